"""Addresses of calendar feeds: each is for one schedule or one person, and can be revoked alone.

A calendar can show nothing but an address, so the address holds a secret. Only its digest is kept.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import insert, select, update

from alerting.oncall.ical import person_feed, schedule_feed
from alerting.oncall.schedule import Override, person, schedule_of
from alerting.oncall.versions import Part
from watchkeeper.config import OnCallConfig
from watchkeeper.errors import NotFound, StateError
from watchkeeper.state.audit import record_audit
from watchkeeper.state.database import Database, from_micros, to_micros
from watchkeeper.state.schema import calendar_feeds as table
from watchkeeper.vocabulary import Actor

Kind = Literal["schedule", "person"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Feed:
    """One address: what it shows, and who made it. `revoked_at` is None while it works."""

    id: str
    kind: Kind
    subject: str
    made_at: datetime
    made_by: str
    revoked_at: datetime | None = None

    def body(self, parts: Sequence[Part], now: datetime, overrides: Sequence[Override]) -> bytes:
        """The calendar of a span of time.

        Raises:
            NotFound: its schedule or person is no longer configured.
        """
        feed = schedule_feed if self.kind == "schedule" else person_feed
        return feed(parts, self.subject, overrides, now)


def make_feed(
    db: Database, oncall: OnCallConfig, kind: Kind, subject: str, now: datetime, actor: Actor
) -> tuple[str, str]:
    """A new feed of a schedule or person: its id, and the secret for its address, which is nowhere kept.

    Raises:
        NotFound: no such schedule or person.
    """
    if kind == "schedule":
        schedule_of(oncall, subject)
    else:
        person(oncall, subject)
    feed_id, secret = secrets.token_hex(4), secrets.token_urlsafe(32)
    row = {"id": feed_id, "digest": _digest(secret), "kind": kind, "subject": subject}
    with db.write() as connection:
        connection.execute(insert(table).values(**row, made_at=to_micros(now), made_by=actor.name))
        record_audit(connection, now, actor, "calendar.add", subject, f"{kind} feed {feed_id}")
    return feed_id, secret


def revoke_feed(db: Database, feed_id: str, now: datetime, actor: Actor) -> None:
    """End an address: from now on it is unknown.

    Raises:
        NotFound: no such feed.
        StateError: it is revoked already.
    """
    with db.write() as connection:
        row = connection.execute(select(table).where(table.c.id == feed_id)).first()
        if row is None:
            raise NotFound(f"no feed {feed_id!r}; `watchkeeper oncall feed list` lists them")
        in_use = (table.c.id == feed_id) & table.c.revoked_at.is_(None)
        if connection.execute(update(table).where(in_use).values(revoked_at=to_micros(now))).rowcount != 1:
            raise StateError(f"feed {feed_id} is revoked already")
        record_audit(connection, now, actor, "calendar.revoke", row.subject, f"{row.kind} feed {feed_id}")


def feeds(db: Database) -> tuple[Feed, ...]:
    """Every feed, oldest first, revoked ones included."""
    with db.read() as connection:
        rows = connection.execute(select(table).order_by(table.c.made_at, table.c.id)).all()
    return tuple(_feed(row) for row in rows)


def feed_of(db: Database, secret: str) -> Feed | None:
    """The feed whose address holds a secret; None: unknown, or revoked."""
    in_use = (table.c.digest == _digest(secret)) & table.c.revoked_at.is_(None)
    with db.read() as connection:
        row = connection.execute(select(table).where(in_use)).first()
    return _feed(row) if row else None


def _feed(row: Any) -> Feed:
    return Feed(
        id=row.id,
        kind=row.kind,
        subject=row.subject,
        made_at=from_micros(row.made_at),
        made_by=row.made_by,
        revoked_at=None if row.revoked_at is None else from_micros(row.revoked_at),
    )


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
