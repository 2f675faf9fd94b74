"""Timers that came due and messages that wait, through the channel that is configured."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from alerting.channels.delivery import Delivery
from alerting.channels.outbox import Draft
from alerting.channels.slack.channel import SlackChannel
from alerting.incidents.commands import Incidents
from alerting.incidents.machine import Incident
from alerting.oncall.clock_steps import ClockSteps
from alerting.oncall.escalation import effects
from alerting.oncall.recipients import Recipient, recipients
from alerting.oncall.schedule import stored_overrides
from alerting.oncall.timers import run_due
from detectors.learning.examples import examples
from detectors.learning.track_record import track_record
from watchkeeper.config import Config
from watchkeeper.problems import Problems
from watchkeeper.state.database import Database


class Paging:
    """Two jobs, neither of which waits for the other: timers that came due, and messages to send."""

    def __init__(
        self,
        config: Config,
        db: Database,
        incidents: Incidents,
        problems: Problems | None = None,
        beat: Callable[[], None] = lambda: None,
    ) -> None:
        """`beat` is called for every message: a long queue to a slow channel is long, and does not hang."""
        self._beat = beat
        self._config = config
        self._db = db
        self._incidents = incidents
        self._problems = problems or Problems(None)
        self._steps = ClockSteps(db, self._problems)
        self._delivery = Delivery(
            db=db,
            channel=SlackChannel(config, self._record, self._problems),
            channel_name="slack",
            read=incidents.get,
            recipients=self._recipients,
            delivered=incidents.all_delivered,
            undelivered=incidents.all_undelivered,
            problems=self._problems,
        )

    def fire(self, now: datetime) -> None:
        """Timers that came due. No channel is called here: one that hangs must not delay the next step."""
        self._steps.check(now)
        run_due(self._db, now, effects(self._incidents, self._config.oncall, self._db), self._problems)

    def deliver(self, now: datetime) -> None:
        """Messages that wait."""
        self._delivery.run(now)

    def run(self, now: datetime) -> None:
        """One round of both."""
        self.fire(now)
        self.deliver(now)

    def _recipients(self, draft: Draft, now: datetime) -> tuple[Recipient, ...]:
        self._beat()
        return recipients(self._config.oncall, draft.person, draft.step, now, stored_overrides(self._db))

    def _record(self, incident: Incident) -> str:
        """How often the detector that opened the incident was right here."""
        opener = next((finding for finding in incident.findings if finding.severity == "page"), None)
        try:
            return track_record(examples(self._db), opener).sentence() if opener else ""
        except Exception as error:  # noqa: BLE001 - a footnote must not stop a page
            self._problems.report("outbox", f"track record of {incident.id}", error)
            return ""
