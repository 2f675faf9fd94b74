"""What was decided in a transaction and still has to be sent, to subscribers and to stakeholders: how it is kept.

A row is for one subscriber and one update, or for one stakeholder and one event of an incident, so that it reaches
nobody twice. It holds no address and no text: both are read when it is sent.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, delete, select, update

from watchkeeper.durations import backoff_s
from watchkeeper.state.chunks import chunks
from watchkeeper.state.database import Database, from_micros, to_micros
from watchkeeper.state.insert import insert_all_new, insert_new
from watchkeeper.state.schema import status_mails as table
from watchkeeper.state.schema import status_subscribers

# How long a worker has for one e-mail. After a kill it is the delay.
LEASE: Final = timedelta(seconds=60)
FIRST_BACKOFF_S: Final = 30.0
LONGEST_BACKOFF_S: Final = 1800.0
KEPT: Final = timedelta(days=100)  # after it was sent; the page shows an update for 90 days


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """An e-mail that is to be sent. Without `update_id` it asks to confirm."""

    key: str
    subscriber_id: str
    update_id: str
    created_at: datetime
    attempts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingNews:
    """Something that a stakeholder is to learn. `batch` is the message that it was tried in; empty before the first."""

    key: str
    recipient_id: str
    incident_id: str
    news: str
    created_at: datetime
    attempts: int
    batch: str


Row = Mapping[str, Any]


def put_update(connection: Connection, update_id: str, components: Sequence[str], now: datetime) -> None:
    """Send an update to everybody who has confirmed and wants one of its components, in the transaction of that."""
    confirmed = select(status_subscribers).where(status_subscribers.c.state == "confirmed")
    rows = [
        _row(f"{row.id}:{update_id}", row.id, update_id, now)
        for row in connection.execute(confirmed)
        if not (wanted := json.loads(row.components)) or set(wanted) & set(components)
    ]
    insert_all_new(connection, table, rows)


def take_back(connection: Connection, update_id: str) -> None:
    """What waits of an update that is public no more; what was sent stays on record, and is not sent again."""
    connection.execute(delete(table).where(table.c.update_id == update_id, table.c.sent_at.is_(None)))


def put_question(connection: Connection, subscriber_id: str, now: datetime) -> None:
    """Ask a subscriber to confirm."""
    insert_new(connection, table, _row(f"{subscriber_id}:confirm:{to_micros(now)}", subscriber_id, "", now))


def due(db: Database, now: datetime, most: int) -> list[Waiting]:
    """What is due and free, at most so many: updates before questions, then the oldest first."""
    moment = to_micros(now)
    free = table.c.sent_at.is_(None) & (table.c.due_at <= moment) & (table.c.leased_until <= moment)
    free &= table.c.news == ""
    query = select(table).where(free).order_by(table.c.update_id == "", table.c.created_at, table.c.key).limit(most)
    with db.read() as connection:
        return [
            Waiting(
                key=row.key,
                subscriber_id=row.subscriber_id,
                update_id=row.update_id,
                created_at=from_micros(row.created_at),
                attempts=row.attempts,
            )
            for row in connection.execute(query)
        ]


def put_news(connection: Connection, rows: Sequence[Row]) -> None:
    """Inform stakeholders, however many."""
    insert_all_new(connection, table, rows)


def news_row(key: str, recipient_id: str, incident_id: str, news: str, now: datetime) -> Row:
    """What one stakeholder learns of an incident."""
    return {**_row(key, recipient_id, incident_id, now), "news": news}


def news_due(db: Database, now: datetime, most: int) -> list[WaitingNews]:
    """News that are due and free, at most so many, the oldest first."""
    moment = to_micros(now)
    free = table.c.sent_at.is_(None) & (table.c.due_at <= moment) & (table.c.leased_until <= moment)
    query = select(table).where(free, table.c.news != "").order_by(table.c.created_at, table.c.key).limit(most)
    with db.read() as connection:
        return [
            WaitingNews(
                key=row.key,
                recipient_id=row.subscriber_id,
                incident_id=row.update_id,
                news=row.news,
                created_at=from_micros(row.created_at),
                attempts=row.attempts,
                batch=row.batch,
            )
            for row in connection.execute(query)
        ]


def last_news(db: Database, recipient_ids: Sequence[str], since: datetime) -> Mapping[str, Sequence[datetime]]:
    """When each recipient's messages since a time went out, in order; what one message gathered counts once."""
    found: dict[str, dict[str, datetime]] = {}
    query = select(table.c.subscriber_id, table.c.batch, table.c.sent_at).where(table.c.sent_at > to_micros(since))
    with db.read() as connection:
        for ids in chunks(recipient_ids):
            of_theirs = query.where(table.c.subscriber_id.in_(ids), table.c.news != "", table.c.batch != "")
            for row in connection.execute(of_theirs):
                found.setdefault(row.subscriber_id, {})[row.batch] = from_micros(row.sent_at)
    return {recipient: sorted(batches.values()) for recipient, batches in found.items()}


def claim_news(connection: Connection, keys: Sequence[str], batch: str, now: datetime) -> list[str]:
    """Take news for a while as one message; the keys of those that no other worker has."""
    moment = to_micros(now)
    taken: list[str] = []
    for some in chunks(keys):
        free = table.c.key.in_(some) & table.c.sent_at.is_(None) & (table.c.leased_until <= moment)
        values = {"leased_until": to_micros(now + LEASE), "batch": batch}
        taken += connection.scalars(update(table).where(free).values(**values).returning(table.c.key)).all()
    return taken


def claim(db: Database, key: str, now: datetime) -> bool:
    """Take an e-mail for a while, unless another worker has it, or it waits no more."""
    free = (table.c.key == key) & table.c.sent_at.is_(None) & (table.c.leased_until <= to_micros(now))
    with db.write() as connection:
        return connection.execute(update(table).where(free).values(leased_until=to_micros(now + LEASE))).rowcount == 1


def record_sent(connection: Connection, key: str, now: datetime, error: str = "") -> None:
    """It was sent, or with `error` will never be."""
    _change(connection, key, {"sent_at": to_micros(now), "error": error[:500]})


def put_off(connection: Connection, row: Waiting | WaitingNews, now: datetime, error: str) -> None:
    """Try it again, ever more slowly."""
    wait_s = backoff_s(row.attempts + 1, FIRST_BACKOFF_S, LONGEST_BACKOFF_S)
    again = {"due_at": to_micros(now + timedelta(seconds=wait_s)), "leased_until": 0, "error": error[:500]}
    _change(connection, row.key, {**again, "attempts": row.attempts + 1})


def forget_old(connection: Connection, now: datetime) -> None:
    """Drop the record of what was sent long ago."""
    connection.execute(delete(table).where(table.c.sent_at < to_micros(now - KEPT)))


def _change(connection: Connection, key: str, values: dict[str, Any]) -> None:
    connection.execute(update(table).where(table.c.key == key).values(**values))


def _row(key: str, subscriber_id: str, update_id: str, now: datetime) -> dict[str, Any]:
    return {
        "key": key,
        "subscriber_id": subscriber_id,
        "update_id": update_id,
        "created_at": to_micros(now),
        "due_at": to_micros(now),
        "leased_until": 0,
        "attempts": 0,
        "sent_at": None,
        "error": "",
        "news": "",
        "batch": "",
    }
