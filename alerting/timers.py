"""Durable waits: one table, and one transaction for a timer and everything that it causes.

A timer is done by the same transaction that records its effect, under a condition that only one of several
workers can meet. A kill at any instruction leaves either both or neither.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from prometheus_client import Counter
from sqlalchemy import Connection, select, update

from watchkeeper.state.database import Database, from_micros, to_micros
from watchkeeper.state.insert import insert_new
from watchkeeper.state.schema import timers

FIRED = Counter("watchkeeper_timers_fired_total", "Timers that came due.", ["kind"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Timer:
    """A wait that ends at `due_at`."""

    id: str
    incident_id: str
    kind: str
    step: int
    due_at: datetime


Effect = Callable[[Connection, Timer, datetime], None]


def set_timer(connection: Connection, incident_id: str, kind: str, step: int, due_at: datetime) -> None:
    """Start a wait; the same incident, kind and step again is the same timer."""
    row = {
        "id": f"{incident_id}:{kind}:{step}",
        "incident_id": incident_id,
        "kind": kind,
        "step": step,
        "due_at": to_micros(due_at),
        "leased_until": 0,
    }
    insert_new(connection, timers, row)


def cancel_timers(connection: Connection, incident_id: str, now: datetime) -> None:
    """End every wait of an incident without its effect."""
    mine = update(timers).where(timers.c.incident_id == incident_id, timers.c.done_at.is_(None))
    connection.execute(mine.values(done_at=to_micros(now)))


def run_due(db: Database, now: datetime, effects: Mapping[str, Effect]) -> int:
    """Fire every timer that is due; returns how many. Several workers may run this at once."""
    due = select(timers).where(timers.c.done_at.is_(None), timers.c.due_at <= to_micros(now))
    with db.read() as connection:
        rows = connection.execute(due.order_by(timers.c.due_at, timers.c.id)).all()
    fired = 0
    for row in rows:
        with db.write() as connection:
            mine = update(timers).where(timers.c.id == row.id, timers.c.done_at.is_(None))
            if connection.execute(mine.values(done_at=to_micros(now))).rowcount != 1:
                continue  # another worker has it, or an acknowledgement cancelled it
            timer = Timer(
                id=row.id,
                incident_id=row.incident_id,
                kind=row.kind,
                step=row.step,
                due_at=from_micros(row.due_at),
            )
            effects[row.kind](connection, timer, now)
        FIRED.labels(row.kind).inc()
        fired += 1
    return fired


def next_due(db: Database) -> datetime | None:
    """When the next timer fires, for whoever wants to show it."""
    query = select(timers.c.due_at).where(timers.c.done_at.is_(None)).order_by(timers.c.due_at).limit(1)
    with db.read() as connection:
        micros = connection.scalar(query)
    return from_micros(micros) if micros is not None else None
