"""Durable waits: one table, and one transaction for a timer and everything that it causes.

A timer is done by the same transaction that records its effect, under a condition that only one of several
workers can meet. A kill at any instruction leaves either both or neither.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from prometheus_client import Counter
from sqlalchemy import Connection, select, update

from watchkeeper.errors import Conflict, StateError
from watchkeeper.problems import Problems
from watchkeeper.state.chunks import chunks
from watchkeeper.state.database import Database, from_micros, to_micros
from watchkeeper.state.insert import insert_all_new
from watchkeeper.state.schema import timers

FIRED = Counter("watchkeeper_timers_fired_total", "Timers that came due.", ["kind"])
FAILED = Counter("watchkeeper_timers_failed_total", "Timers whose effect failed; they are tried again.", ["kind"])
# A timer whose effect fails is put off this long: no crash loop, and no silence.
PUT_OFF: Final = timedelta(seconds=30)
LOOP: Final = "timers"


@dataclass(frozen=True, slots=True, kw_only=True)
class Timer:
    """A wait of an incident that ends at `due_at`. `step` is a step of the escalation where one is meant."""

    id: str
    incident_id: str
    kind: str
    step: int
    due_at: datetime


Effect = Callable[[Connection, Timer, datetime], None]


Row = Mapping[str, Any]


def timer_row(
    incident_id: str,
    kind: str,
    due_at: datetime,
    *,
    version: int,
    step: int = 0,
    at: datetime | None = None,
) -> Row:
    """A wait that begins at `at`; the same kind for the same version of an incident is the same timer."""
    return {
        "id": f"{incident_id}:{kind}:{version}",
        "incident_id": incident_id,
        "kind": kind,
        "step": step,
        "due_at": to_micros(due_at),
        "set_at": to_micros(at) if at else None,
    }


def set_timers(connection: Connection, rows: Sequence[Row]) -> None:
    """Start waits, however many."""
    insert_all_new(connection, timers, rows)


def cancel_timers(connection: Connection, incident_ids: str | Sequence[str], now: datetime, *kinds: str) -> None:
    """End the waits of incidents that are of some kinds (none named: all) without their effect."""
    named = [incident_ids] if isinstance(incident_ids, str) else incident_ids
    for ids in chunks(named):
        waits = update(timers).where(timers.c.incident_id.in_(ids), timers.c.done_at.is_(None))
        if kinds:
            waits = waits.where(timers.c.kind.in_(kinds))
        connection.execute(waits.values(done_at=to_micros(now)))


def pending_kinds(connection: Connection, incident_id: str) -> frozenset[str]:
    """The kinds of waits that an incident has now."""
    waiting = select(timers.c.kind).where(timers.c.incident_id == incident_id, timers.c.done_at.is_(None))
    return frozenset(connection.scalars(waiting))


def waiting_for(connection: Connection, incident_ids: Sequence[str], kind: str) -> frozenset[str]:
    """Those of many incidents that have a wait of a kind now."""
    query = select(timers.c.incident_id).where(timers.c.kind == kind, timers.c.done_at.is_(None))
    found: set[str] = set()
    for ids in chunks(incident_ids):
        found.update(connection.scalars(query.where(timers.c.incident_id.in_(ids))))
    return frozenset(found)


def run_due(db: Database, now: datetime, effects: Mapping[str, Effect], problems: Problems | None = None) -> int:
    """Fire every timer that is due, soonest first; returns how many. Several workers may run this at once.

    A timer that fails is set aside, put off and tried again; the others fire. Where not even putting it off succeeds,
    the database itself is ill: that is the caller's to see.

    Raises:
        DatabaseError: the database failed.
    """
    problems = problems or Problems(None)
    due = select(timers).where(timers.c.done_at.is_(None), timers.c.due_at <= to_micros(now))
    with db.read() as connection:
        rows = connection.execute(due.order_by(timers.c.due_at, timers.c.id)).all()
    fired = 0
    for row in rows:
        try:
            fired += _fire(db, row, now, effects)
        except Conflict:
            continue  # a human was first, in this very moment; the next round decides on what is there then
        except Exception as error:  # noqa: BLE001 - one bad timer must not stop the escalation of other incidents
            FAILED.labels(row.kind).inc()
            problems.report(LOOP, _name(row), error)
            with db.write() as connection:
                again = update(timers).where(timers.c.id == row.id, timers.c.done_at.is_(None))
                connection.execute(again.values(due_at=to_micros(now + PUT_OFF)))
        else:
            problems.solved(LOOP, _name(row))
    return fired


def _name(row: Any) -> str:
    return f"{row.kind} of {row.incident_id}"


def _fire(db: Database, row: Any, now: datetime, effects: Mapping[str, Effect]) -> bool:
    with db.write() as connection:
        unfired = update(timers).where(timers.c.id == row.id, timers.c.done_at.is_(None))
        if connection.execute(unfired.values(done_at=to_micros(now))).rowcount != 1:
            return False  # another worker has it, or an acknowledgement cancelled it
        timer = Timer(
            id=row.id, incident_id=row.incident_id, kind=row.kind, step=row.step, due_at=from_micros(row.due_at)
        )
        effect = effects.get(row.kind)
        if effect is None:
            raise StateError(f"nothing is known of timers of kind {row.kind!r}; another version wrote it")
        effect(connection, timer, now)
    FIRED.labels(row.kind).inc()
    return True
