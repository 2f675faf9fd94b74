"""The audit trail of what humans change outside an incident: overrides, silences, stages of models, credentials.

An incident's own events say who did what to it; this table is for the rest. Rows are only ever added, and each has the
SHA-256 of itself and of the one before it: what was changed, removed in between or put in between shows. Whoever can
write the database can also make a new chain, so note the last digest elsewhere, and verify from it on.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, insert, select, text, update

from watchkeeper.errors import BrokenTrail, DatabaseError, NotFound, StateError
from watchkeeper.state.database import Database, from_micros, to_micros
from watchkeeper.state.schema import audit
from watchkeeper.text import one_line
from watchkeeper.vocabulary import Actor

# Writers on several connections must keep one chain (PostgreSQL; any number that is ours).
CHAINING: Final = 8_274_007
FIRST: Final = "0" * 64  # stands before the first row
READ_AT_ONCE: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """Who did what to what, when, from where."""

    at: datetime
    actor: Actor
    action: str
    subject: str
    detail: str
    digest: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """A chain without a gap: how many entries it has, and the digest of the last one."""

    entries: int
    digest: str


def record_audit(
    connection: Connection, at: datetime, actor: Actor, action: str, subject: str, detail: str = ""
) -> None:
    """Add a line, in the transaction of what it is about. `action` is `noun.verb`.

    Until that transaction ends, no other can add one.
    """
    if connection.dialect.name != "sqlite":  # there, whoever writes is alone already
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": CHAINING})
    before = connection.scalar(select(audit.c.digest).order_by(audit.c.id.desc()).limit(1)) or FIRST
    row = {"at": to_micros(at), "actor": actor.name, "via": actor.via, "action": action, "subject": subject}
    added = insert(audit).values(**row, detail=detail, digest="").returning(audit.c.id)
    number = connection.execute(added).scalar_one()
    # As it is kept: names that are too long, or that no database takes, were changed on the way.
    kept = connection.execute(select(audit).where(audit.c.id == number)).one()
    connection.execute(update(audit).where(audit.c.id == number).values(digest=digest_of(kept, before)))


def digest_of(row: Any, before: str) -> str:
    """The digest of a row that follows one with the digest `before`."""
    values = [before, row.id, row.at, row.actor, row.via, row.action, row.subject, row.detail]
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()


def audit_trail(db: Database, limit: int = 100) -> tuple[AuditEntry, ...]:
    """The newest entries, newest first."""
    with db.read() as connection:
        rows = connection.execute(select(audit).order_by(audit.c.id.desc()).limit(limit)).all()
    return tuple(
        AuditEntry(
            at=from_micros(row.at),
            actor=Actor(name=row.actor, via=row.via),
            action=row.action,
            subject=row.subject,
            detail=row.detail,
            digest=row.digest,
        )
        for row in rows
    )


def verify_audit(db: Database, known: str = "") -> Verified:
    """Check every entry against its digest, oldest first. `known` is a digest that was noted earlier.

    Raises:
        BrokenTrail: an entry was changed, removed or put in between; names the first that does not fit.
        StateError: the trail cannot be read.
        NotFound: no entry has the digest that was noted.
    """
    before, count, seen = FIRST, 0, not known
    try:
        for row in _rows(db):
            if row.digest != digest_of(row, before):
                raise BrokenTrail(
                    f"the audit trail was changed at entry {row.id} or just before it "
                    f"({one_line(row.action, 64)} by {one_line(row.actor, 60)}): its digest does not fit; "
                    "compare with a backup"
                )
            before, count, seen = row.digest, count + 1, seen or row.digest == known
    except DatabaseError as error:
        raise StateError(f"the audit trail cannot be read after {count} entries: {error.message}") from error
    if not seen:
        raise NotFound(
            f"no entry of the audit trail has the digest {one_line(known, 64)}: entries were removed or made anew"
        )
    return Verified(entries=count, digest=before)


def _rows(db: Database) -> Iterator[Any]:
    last = None
    while True:
        query = select(audit).order_by(audit.c.id).limit(READ_AT_ONCE)
        with db.read() as connection:
            rows = connection.execute(query if last is None else query.where(audit.c.id > last)).all()
        yield from rows
        if len(rows) < READ_AT_ONCE:
            return
        last = rows[-1].id
