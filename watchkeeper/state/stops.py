"""The global stop: while it is set, no runbook runs without a human, and no experiment begins."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import delete, select

from watchkeeper.state.audit import record_audit
from watchkeeper.state.database import Database, from_micros, to_micros
from watchkeeper.state.insert import upsert
from watchkeeper.state.schema import stops
from watchkeeper.vocabulary import Actor

EVERYTHING: Final = "everything"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """Who stopped everything, when, and why."""

    at: datetime
    actor: str
    reason: str


def stopped(db: Database) -> Stop | None:
    """The global stop, while it is set."""
    with db.read() as connection:
        row = connection.execute(select(stops).where(stops.c.name == EVERYTHING)).first()
    return Stop(at=from_micros(row.at), actor=row.actor, reason=row.reason) if row else None


def stop_everything(db: Database, actor: Actor, reason: str, at: datetime) -> None:
    """Set the global stop."""
    row = {"name": EVERYTHING, "at": to_micros(at), "actor": actor.name, "reason": reason}
    with db.write() as connection:
        upsert(connection, stops, row)
        record_audit(connection, at, actor, "everything.stop", EVERYTHING, reason)


def lift_stop(db: Database, actor: Actor, at: datetime) -> bool:
    """End the global stop; False where there was none."""
    with db.write() as connection:
        if not connection.execute(delete(stops).where(stops.c.name == EVERYTHING)).rowcount:
            return False
        record_audit(connection, at, actor, "everything.resume", EVERYTHING)
    return True
