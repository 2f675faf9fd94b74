"""Parts that the tests of the protocol share: findings by the handful, and a channel that remembers what it showed."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import select

from alerting import outbox, timers
from alerting.channel import Message, Thread
from alerting.escalation import effects
from alerting.incidents import Incidents
from alerting.schedule import person
from watchkeeper.config import OnCallConfig
from watchkeeper.errors import DeliveryError
from watchkeeper.state.database import Database
from watchkeeper.state.schema import outbox as outbox_table
from watchkeeper.vocabulary import Finding

EDGES = (("web", "cart"), ("cart", "payments"), ("payments", "bank"), ("blog", "blog-db"))


def finding(
    at: datetime, service: str, *, signal: str = "errors", severity: str = "page", ago: float = 5, onset: object = None
) -> Finding:
    """A finding of a test; its key is its service and signal."""
    return Finding(
        detector="test",
        detector_version="1",
        kind="errors",
        service=service,
        summary=f"{service}: {signal}",
        onset=onset if isinstance(onset, datetime) else at - timedelta(seconds=ago),
        seen_at=at,
        score=0.99,
        severity=severity,  # type: ignore[arg-type]
        signal=signal,
    )


class Recorder:
    """A channel that shows each key once, as Slack does, and can have bad days."""

    def __init__(self) -> None:
        self.shown: dict[str, Message] = {}
        self.sends: list[str] = []
        self.broken = ""

    def send(self, message: Message) -> Thread:
        self.sends.append(message.key)
        if self.broken == "refuses":
            raise DeliveryError("not today", retry=True)
        if self.broken == "hopeless":
            raise DeliveryError("invalid_auth", retry=False)
        if self.broken == "crashes":
            raise RuntimeError("a bug in the channel")
        self.shown.setdefault(message.key, message)
        if self.broken == "answer lost":
            raise DeliveryError("timed out", retry=True)
        return Thread(room="C1", ts=message.incident.id)

    def pages(self, incident_id: str | None = None) -> list[Message]:
        mine = [message for message in self.shown.values() if message.kind == "page"]
        return [message for message in mine if incident_id in (None, message.incident.id)]


def turn(db: Database, incidents: Incidents, oncall: OnCallConfig, channel: Recorder, now: datetime) -> int:
    """One round of the watch role: timers, then messages. Returns how many timers fired."""
    fired = timers.run_due(db, now, effects(incidents, oncall, db))
    outbox.deliver_due(
        db,
        channel,
        now,
        channel_name="slack",
        read=incidents.get,
        mention=lambda person_id: person(oncall, person_id).slack_id,
        delivered=lambda incident_id, key: incidents.delivered(incident_id, f"delivered:{key}"),
        undelivered=lambda incident_id, key, why: incidents.undelivered(incident_id, f"undelivered:{key}", why),
    )
    return fired


def unsent(db: Database) -> list[str]:
    """Keys of the messages that still wait."""
    with db.read() as connection:
        return list(connection.scalars(select(outbox_table.c.key).where(outbox_table.c.sent_at.is_(None))))
