"""Timers that came due and messages that wait, through the channel that is configured."""

from __future__ import annotations

from datetime import datetime

from alerting import outbox
from alerting.escalation import effects
from alerting.incidents import Incidents
from alerting.machine import Incident
from alerting.schedule import person
from alerting.slack import SlackChannel
from alerting.timers import run_due
from watchkeeper.config import Config
from watchkeeper.errors import NotFound
from watchkeeper.learning.examples import examples
from watchkeeper.learning.track_record import track_record
from watchkeeper.problems import Problems
from watchkeeper.state.database import Database


class Paging:
    """One round: fire timers, then send."""

    def __init__(self, config: Config, db: Database, incidents: Incidents, problems: Problems | None = None) -> None:
        self._problems = problems or Problems(None)
        self._config = config
        self._db = db
        self._incidents = incidents
        self._channel = SlackChannel(config, self._record)

    def run(self, now: datetime) -> None:
        run_due(self._db, now, effects(self._incidents, self._config.oncall, self._db))
        outbox.deliver_due(
            self._db,
            self._channel,
            now,
            channel_name="slack",
            read=self._incidents.get,
            mention=self._mention,
            delivered=self._delivered,
            undelivered=self._undelivered,
        )

    def _mention(self, person_id: str) -> str:
        try:
            return person(self._config.oncall, person_id).slack_id
        except NotFound:  # the configuration changed since the page was decided
            return ""

    def _record(self, incident: Incident) -> str:
        """How often the detector that opened the incident was right here."""
        opener = next((finding for finding in incident.findings if finding.severity == "page"), None)
        return track_record(examples(self._db), opener).sentence() if opener else ""

    def _undelivered(self, incident_id: str, key: str, why: str) -> None:
        self._incidents.undelivered(incident_id, f"undelivered:{key}", why)

    def _delivered(self, incident_id: str, key: str) -> None:
        self._incidents.delivered(incident_id, f"delivered:{key}")
