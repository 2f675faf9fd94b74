"""Messages that were decided in a transaction and still have to be sent.

At least once, with a key that the channel knows again: a kill between the send and its record leads to a
second try, which the channel recognises. A failure is tried again, ever more slowly; a page is never given up.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

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

# How long a worker has for one send; a channel's own time-outs must be shorter. After a kill it is the delay.
LEASE: Final = timedelta(seconds=20)
LONGEST_BACKOFF_S: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A message as the outbox keeps it: what is current is read when it is sent."""

    kind: str
    person: str = ""
    text: str = ""


def put_page(connection: Connection, incident: Incident, event: Event, *, also: str = "") -> None:
    """Page the person of an event about an incident; `also` names somebody else for the same event."""
    draft = Draft(kind="page", person=also or event.person, text=event.text)
    _put(connection, incident, event, draft, suffix=f":{also}" if also else "")


def put_update(connection: Connection, incident: Incident, event: Event) -> None:
    """Show what is new in the incident's message."""
    _put(connection, incident, event, Draft(kind="update", text=event.text))


def _put(connection: Connection, incident: Incident, event: Event, draft: Draft, suffix: str = "") -> None:
    row = {
        "key": f"{incident.id}:{incident.version}{suffix}",
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
    delivered: Callable[[str, str], object],
    undelivered: Callable[[str, str, str], object] | None = None,
) -> int:
    """Send every message that is due, an incident's in order; returns how many were sent.

    `read` gives an incident by id, `mention` a person's id in the channel. `delivered` is told the incident and the
    key of each page that reached its channel, `undelivered` those of a page that did not, and why. Both may be
    told the same twice.
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
        try:
            where = channel.send(_message(db, row, draft, read(row.incident_id), mention, channel_name))
        except Exception as error:  # noqa: BLE001 - whatever a channel dies of, other incidents' pages must go out
            _failed(db, row, draft, error, now)
            blocked.add(row.incident_id)
            if draft.kind == "page" and undelivered:
                undelivered(row.incident_id, row.key, f"the page could not be delivered yet: {error}")
            continue
        if draft.kind == "page":
            # Before the record of the send: a kill in between repeats the send, never loses the delivery.
            delivered(row.incident_id, row.key)
            SECONDS.observe(max(0.0, (to_micros(now) - row.created_at) / 1e6))
        _sent(db, row, where, channel_name, now)
        SENT.labels(draft.kind, "sent").inc()
        sent += 1
    return sent


def _message(
    db: Database, row: Any, draft: Draft, incident: Incident, mention: Callable[[str], str], channel_name: str
) -> Message:
    with db.read() as connection:
        thread = thread_of(connection, row.incident_id, channel_name)
    # A page that waited until somebody took the incident wakes nobody any more; it still shows.
    wakes = draft.kind == "page" and incident.human_state not in ("acknowledged", "resolved")
    return Message(
        key=row.key,
        kind="page" if wakes else "update",
        incident=incident,
        mention=mention(draft.person) if wakes and draft.person else "",
        text=draft.text,
        thread=thread,
    )


def _due(db: Database, now: datetime) -> list[Any]:
    """What waits and is due, oldest first; an update that a newer message overtakes is dropped.

    Each message shows what is current, so of an incident's updates only the newest says anything. Its text, a line
    in the thread, goes with it: the timeline has them all.
    """
    waiting = outbox.c.sent_at.is_(None)
    query = select(outbox).where(waiting, outbox.c.due_at <= to_micros(now)).order_by(outbox.c.id)
    with db.read() as connection:
        rows = list(connection.execute(query))
        last = select(outbox.c.incident_id, func.max(outbox.c.id).label("last")).where(waiting)
        newest = {row.incident_id: row.last for row in connection.execute(last.group_by(outbox.c.incident_id))}
    overtaken = {
        row.id for row in rows if parse(Draft, row.body).kind == "update" and newest[row.incident_id] != row.id
    }
    if overtaken:
        dropped = update(outbox).where(outbox.c.id.in_(overtaken), outbox.c.leased_until <= to_micros(now))
        with db.write() as connection:
            connection.execute(dropped.values(sent_at=to_micros(now), error="overtaken by a newer update"))
    return [row for row in rows if row.id not in overtaken]


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


def _failed(db: Database, row: Any, draft: Draft, error: Exception, now: datetime) -> None:
    SENT.labels(draft.kind, "failed").inc()
    backoff = min(2.0**row.attempts, LONGEST_BACKOFF_S)
    log = structlog.get_logger()
    if isinstance(error, DeliveryError):
        if error.retry_after_s is not None:
            backoff = error.retry_after_s
        elif not error.retry:
            backoff = LONGEST_BACKOFF_S  # a human may mend the token meanwhile
        facts = {"error": error.message, "retry": error.retry, "again_s": backoff}
        log.warning("message.failed", key=row.key, kind=draft.kind, **facts)
    else:
        log.error("message.failed", key=row.key, kind=draft.kind, again_s=backoff, exc_info=error)
    with db.write() as connection:
        again = {"due_at": to_micros(now + timedelta(seconds=backoff)), "leased_until": 0, "error": str(error)}
        connection.execute(update(outbox).where(outbox.c.id == row.id).values(**again))
