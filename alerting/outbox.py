"""Messages that were decided in a transaction and still have to be sent.

At least once, with a key that the channel knows again: a kill between the send and its record leads to a
second try, which the channel recognises. A failure that trying again can mend is tried again, ever more slowly.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog
from prometheus_client import Counter, Histogram
from sqlalchemy import Connection, func, select, update

from alerting.channel import Channel, Message, Thread
from alerting.machine import Event, Incident
from watchkeeper.errors import DeliveryError
from watchkeeper.state.codec import dump, parse
from watchkeeper.state.database import Database, to_micros
from watchkeeper.state.insert import insert_new, upsert
from watchkeeper.state.schema import messages, outbox

SENT = Counter("watchkeeper_messages_total", "Messages to humans, by kind and outcome.", ["kind", "outcome"])
SECONDS = Histogram("watchkeeper_message_seconds", "From the decision to the delivery of a page.")

LEASE = timedelta(seconds=30)
LONGEST_BACKOFF_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A message as the outbox keeps it: what is current is read when it is sent."""

    kind: str
    person: str = ""
    text: str = ""


def put_page(connection: Connection, incident: Incident, event: Event) -> None:
    """Page a person about an incident."""
    _put(connection, incident, event, Draft(kind="page", person=event.person, text=event.text))


def put_update(connection: Connection, incident: Incident, event: Event) -> None:
    """Show what is new in the incident's message."""
    _put(connection, incident, event, Draft(kind="update", text=event.text))


def _put(connection: Connection, incident: Incident, event: Event, draft: Draft) -> None:
    row = {
        "key": f"{incident.id}:{incident.version}",
        "incident_id": incident.id,
        "body": dump(draft),
        "created_at": to_micros(event.at),
        "due_at": to_micros(event.at),
        "leased_until": 0,
        "attempts": 0,
    }
    insert_new(connection, outbox, row)


def thread_of(connection: Connection, incident_id: str, channel: str) -> Thread | None:
    """Where an incident's messages are in a channel."""
    query = select(messages).where(messages.c.incident_id == incident_id, messages.c.channel == channel)
    row = connection.execute(query).first()
    return Thread(room=row.room, ts=row.ts) if row else None


def deliver_due(
    db: Database,
    channel: Channel,
    now: datetime,
    *,
    channel_name: str,
    read: Callable[[str], Incident],
    mention: Callable[[str], str],
    delivered: Callable[[str, str], None],
) -> int:
    """Send every message that is due, an incident's in order; returns how many were sent.

    `read` gives an incident by id, `mention` a person's id in the channel, `delivered` is told the incident and
    the key of each page that reached somebody.
    """
    sent = 0
    blocked: set[str] = set()
    for row in _due(db, now):
        if row.incident_id in blocked:
            continue
        if not _claim(db, row, now):
            blocked.add(row.incident_id)
            continue
        draft = parse(Draft, row.body)
        with db.read() as connection:
            thread = thread_of(connection, row.incident_id, channel_name)
        message = Message(
            key=row.key,
            kind="page" if draft.kind == "page" else "update",
            incident=read(row.incident_id),
            mention=mention(draft.person) if draft.person else "",
            text=draft.text,
            thread=thread,
        )
        try:
            where = channel.send(message)
        except DeliveryError as error:
            _failed(db, row, draft, error, now)
            blocked.add(row.incident_id)
            continue
        _sent(db, row, where, channel_name, now)
        SENT.labels(draft.kind, "sent").inc()
        if draft.kind == "page":
            SECONDS.observe(max(0.0, (to_micros(now) - row.created_at) / 1e6))
            delivered(row.incident_id, row.key)
        sent += 1
    return sent


def _due(db: Database, now: datetime) -> list[Any]:
    """What waits, oldest first; of an incident's updates only the newest, since each shows what is current."""
    waiting = outbox.c.sent_at.is_(None)
    query = select(outbox).where(waiting, outbox.c.error.is_(None) | (outbox.c.due_at <= to_micros(now)))
    with db.read() as connection:
        rows = list(connection.execute(query.where(outbox.c.due_at <= to_micros(now)).order_by(outbox.c.id)))
        newest = dict(
            connection.execute(
                select(outbox.c.incident_id, func.max(outbox.c.id)).where(waiting).group_by(outbox.c.incident_id)
            ).all()
        )
    skipped = [row for row in rows if parse(Draft, row.body).kind == "update" and newest[row.incident_id] != row.id]
    if skipped:
        with db.write() as connection:
            ids = [row.id for row in skipped]
            connection.execute(update(outbox).where(outbox.c.id.in_(ids)).values(sent_at=to_micros(now)))
    gone = {row.id for row in skipped}
    return [row for row in rows if row.id not in gone]


def _claim(db: Database, row: Any, now: datetime) -> bool:
    """Take a message for a while; False when another worker has it."""
    free = (outbox.c.id == row.id) & outbox.c.sent_at.is_(None) & (outbox.c.leased_until <= to_micros(now))
    with db.write() as connection:
        values = {"leased_until": to_micros(now + LEASE), "attempts": row.attempts + 1}
        return bool(connection.execute(update(outbox).where(free).values(**values)).rowcount == 1)


def _sent(db: Database, row: Any, where: Thread, channel_name: str, now: datetime) -> None:
    with db.write() as connection:
        done = {"sent_at": to_micros(now), "error": None}
        connection.execute(update(outbox).where(outbox.c.id == row.id).values(**done))
        place = {"incident_id": row.incident_id, "channel": channel_name, "room": where.room, "ts": where.ts}
        upsert(connection, messages, place)


def _failed(db: Database, row: Any, draft: Draft, error: DeliveryError, now: datetime) -> None:
    SENT.labels(draft.kind, "failed").inc()
    backoff = error.retry_after_s or min(2.0**row.attempts, LONGEST_BACKOFF_S)
    if not error.retry:
        backoff = LONGEST_BACKOFF_S  # a human may mend the token meanwhile; a page is never given up
    structlog.get_logger().warning(
        "message.failed", key=row.key, kind=draft.kind, error=error.message, retry=error.retry, again_s=backoff
    )
    with db.write() as connection:
        again = {"due_at": to_micros(now + timedelta(seconds=backoff)), "leased_until": 0, "error": error.message}
        connection.execute(update(outbox).where(outbox.c.id == row.id).values(**again))
