"""Parts that the tests of the protocol share: findings by the handful, and a channel that remembers what it showed."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import func, select

from alerting.channels.channel import Digest, Message, MessageKind, Thread
from alerting.channels.delivery import Delivery
from alerting.incidents.commands import Incidents
from alerting.oncall import timers
from alerting.oncall.escalation import effects
from alerting.oncall.recipients import Reach, recipients
from alerting.oncall.schedule import stored_overrides
from watchkeeper.config import OnCallConfig
from watchkeeper.errors import DeliveryError
from watchkeeper.state.database import Database, from_micros
from watchkeeper.state.schema import outbox as outbox_table
from watchkeeper.state.schema import timers as timers_table
from watchkeeper.vocabulary import Finding

SLACK = Reach(channel="slack", everybody="!channel")
EDGES = (("web", "cart"), ("cart", "payments"), ("payments", "bank"), ("blog", "blog-db"))


def finding(
    at: datetime, service: str, *, signal: str = "errors", severity: str = "page", ago: float = 5, onset: object = None
) -> Finding:
    """A finding of a test; its key is its service and signal."""
    return Finding(
        detector="test",
        detector_version="1",
        kind="errors" if severity == "page" else "metric",
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
        self.digests: list[Digest] = []
        self.unknown: set[str] = set()
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
        return Thread(conversation="C1", ts=message.incident.id)

    def send_digest(self, digest: Digest) -> Thread:
        """Each of its incidents counts as shown, under the key of its own page."""
        self.digests.append(digest)
        for incident in digest.incidents:
            key = f"{incident.id}:{digest.key}"
            kind: MessageKind = "page" if digest.mention else "update"
            self.send(Message(key=key, kind=kind, incident=incident, mention=digest.mention, text=digest.text))
        return digest.thread or Thread(conversation="C1", ts=digest.key)

    def send_test(self, address: str, text: str) -> Thread:
        raise NotImplementedError

    def unreachable(self, mention: str) -> str | None:
        return f"nobody is {mention}" if mention in self.unknown else None

    def pages(self, incident_id: str | None = None) -> list[Message]:
        pages = [message for message in self.shown.values() if message.kind == "page"]
        return [message for message in pages if incident_id in (None, message.incident.id)]


def delivery(db: Database, incidents: Incidents, oncall: OnCallConfig, channel: Recorder) -> Delivery:
    """A worker that sends."""
    return Delivery(
        db=db,
        channel=channel,
        name="slack",
        incidents=incidents,
        recipients=lambda draft, now: recipients(oncall, draft, now, stored_overrides(db), SLACK),
    )


def turn(db: Database, incidents: Incidents, oncall: OnCallConfig, channel: Recorder, now: datetime) -> int:
    """One round of the watch role: timers, then messages. Returns how many timers fired."""
    fired = timers.run_due(db, now, effects(incidents))
    delivery(db, incidents, oncall, channel).run(now)
    return fired


def next_due(db: Database, incident_id: str) -> datetime:
    """When an incident's next timer fires."""
    waiting = timers_table.c.done_at.is_(None) & (timers_table.c.incident_id == incident_id)
    with db.read() as connection:
        return from_micros(connection.scalars(select(func.min(timers_table.c.due_at)).where(waiting)).one())


def unsent(db: Database) -> list[str]:
    """Keys of the messages that still wait."""
    with db.read() as connection:
        return list(connection.scalars(select(outbox_table.c.key).where(outbox_table.c.sent_at.is_(None))))
