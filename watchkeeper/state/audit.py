"""The audit trail of what humans change outside an incident: overrides, stages of models, credentials.

An incident's own events say who did what to it; this table is for the rest. Rows are only ever added.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, insert, select

from watchkeeper.state.database import Database, from_micros, to_micros
from watchkeeper.state.schema import audit
from watchkeeper.vocabulary import Actor


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """Who did what to what, when, from where."""

    at: datetime
    actor: Actor
    action: str
    subject: str
    detail: str


def record_audit(
    connection: Connection, at: datetime, actor: Actor, action: str, subject: str, detail: str = ""
) -> None:
    """Add a line, in the transaction of what it is about. `action` is `noun.verb`."""
    row = {"at": to_micros(at), "actor": actor.name, "via": actor.via, "action": action, "subject": subject}
    connection.execute(insert(audit).values(**row, detail=detail))


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
        )
        for row in rows
    )
