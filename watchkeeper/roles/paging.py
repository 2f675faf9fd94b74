"""Timers that came due and messages that wait, through the channels that are configured."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Final

from alerting.canary.channel import CanaryChannel
from alerting.channels import outbox
from alerting.channels.channel import Repeats, ShowsNotices
from alerting.channels.deadline import Deadline
from alerting.channels.delivery import Delivery
from alerting.channels.failover import fail_over
from alerting.channels.outbox import Draft
from alerting.channels.registry import OpenChannels, open_channels
from alerting.incidents.commands import Incidents
from alerting.incidents.machine import Incident
from alerting.oncall import digest, swap_messages
from alerting.oncall.clock_steps import ClockSteps
from alerting.oncall.escalation import effects
from alerting.oncall.recipients import Reach, Recipient, recipients
from alerting.oncall.schedule import stored_overrides
from alerting.oncall.timers import run_due
from alerting.postmortems import reminders
from chaos.evidence import evidence_of
from detectors.learning.examples import examples
from detectors.learning.track_record import track_record
from watchkeeper.clock import SystemClock
from watchkeeper.config import Config
from watchkeeper.problems import Problems
from watchkeeper.state.database import Database
from watchkeeper.vocabulary import CANARY

LOOP: Final = "channels"
# A channel that does not work is reported again and again, so that it stays among the problems of the last day.
REPORTED_EVERY_S: Final = 600.0


class Paging:
    """Jobs of which none waits for another: timers that came due, and messages to send by each channel."""

    def __init__(
        self,
        config: Config,
        db: Database,
        incidents: Incidents,
        problems: Problems | None = None,
        beat: Callable[[], None] = lambda: None,
        channels: OpenChannels | None = None,
    ) -> None:
        """`beat` is called for every message: a long queue to a slow channel is long, and does not hang."""
        self._beat = beat
        self._config = config
        self._db = db
        self._incidents = incidents
        self._problems = problems or Problems(None)
        self._steps = ClockSteps(db, self._problems)
        self._channels = channels or open_configured(config, db, self._problems)
        self._deliveries = {name: self._delivery(name) for name in self._channels.channels}
        self._canary = Delivery(
            db=db,
            channel=CanaryChannel(),
            name=CANARY,
            incidents=incidents,
            recipients=lambda _draft, _now: (Recipient(mention=CANARY, name=CANARY),),
            problems=self._problems,
        )
        self._rerouted = self._digest_scheduled = False
        self._reported_at: float | None = None

    @property
    def channels(self) -> tuple[str, ...]:
        """The channels that work."""
        return tuple(self._deliveries)

    @property
    def _with_notices(self) -> tuple[str, ...]:
        """The channels that can show a message about no incident."""
        return tuple(name for name in self.channels if isinstance(self._channels.channels[name], ShowsNotices))

    def fire(self, now: datetime) -> None:
        """Timers that came due. No channel is called here: one that hangs must not delay the next step."""
        self._report_broken()
        if self._deliveries and not self._rerouted:
            pictures = map(outbox.pictures_of, self.channels)
            outbox.reroute(self._db, (*self.channels, *pictures, CANARY), now)
            outbox.grant_time(self._db, now)
            self._rerouted = True
        self._steps.check(now)
        oncall = self._config.oncall
        if not self._digest_scheduled:
            digest.schedule(self._db, oncall, now)
            self._digest_scheduled = True
        timed = {
            **effects(self._incidents),
            digest.KIND: digest.effect(self.channels, oncall),
            swap_messages.KIND: swap_messages.effect(oncall, self._with_notices),
            reminders.KIND: reminders.effect(oncall, self._with_notices, self._config.web_url),
        }
        run_due(self._db, now, timed, self._problems)
        fail_over(self._db, self._incidents.routing, self._incidents.apply_together, now, self._problems)

    def deliver(self, now: datetime, channel: str) -> None:
        """Messages that wait for one channel."""
        self._deliveries[channel].run(now)

    def deliver_canary(self, now: datetime) -> None:
        """The page of Watchkeeper's own alert, where no channel is configured for it."""
        self._canary.run(now)

    def run(self, now: datetime) -> None:
        """One round of all."""
        self.fire(now)
        for channel in self.channels:
            self.deliver(now, channel)

    def _delivery(self, name: str) -> Delivery:
        part, channel = self._channels.parts[name], self._channels.channels[name]
        return Delivery(
            db=self._db,
            channel=Deadline(channel, name),
            name=name,
            incidents=self._incidents,
            recipients=partial(self._recipients, Reach(channel=name, everybody=part.everybody)),
            shows_updates=part.updates_with(self._config.channels[name]),
            repeat_s=channel.repeat_s if isinstance(channel, Repeats) else None,
            problems=self._problems,
        )

    def _recipients(self, reach: Reach, draft: Draft, now: datetime) -> tuple[Recipient, ...]:
        self._beat()
        if draft.person == CANARY:  # whoever is at that address, and nobody else in their place
            return (Recipient(mention=self._config.canary.address or "", name="the canary"),)
        return recipients(self._config.oncall, draft, now, stored_overrides(self._db), reach)

    def _report_broken(self) -> None:
        now = time.monotonic()
        if self._reported_at is not None and now - self._reported_at < REPORTED_EVERY_S:
            return
        self._reported_at = now
        for name, why in self._channels.broken.items():
            self._problems.report(LOOP, name, f"{why}; pages go out by {', '.join(self.channels) or 'no channel'}")
        for name in self.channels:
            self._problems.solved(LOOP, name)


def open_configured(config: Config, db: Database, problems: Problems) -> OpenChannels:
    """The configuration's channels, as the watch role uses them."""
    return open_channels(config, problems, partial(_track_record, db, problems))


def _track_record(db: Database, problems: Problems, incident: Incident) -> str:
    """How often the detector that opened the incident was right here, and how faults like this one were found."""
    opener = next((finding for finding in incident.findings if finding.severity == "page"), None)
    try:
        record = track_record(examples(db), opener).sentence() if opener else ""
        tested = evidence_of(db, incident.id, incident.service, incident.diagnosis, SystemClock().now())
        return ". ".join(filter(None, (record, tested)))
    except Exception as error:  # noqa: BLE001 - a footnote must not stop a page
        problems.report("outbox", f"track record of {incident.id}", error)
        return ""
