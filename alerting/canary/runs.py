"""The canary's runs: one row for each alert that Watchkeeper raised for itself, and how far it came."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Literal

from sqlalchemy import Connection, delete, select, update

from watchkeeper.state.database import Database, from_micros, to_micros
from watchkeeper.state.insert import insert_new
from watchkeeper.state.schema import canary_runs
from watchkeeper.text import one_line

Outcome = Literal["running", "passed", "failed"]
KEPT: Final = timedelta(days=30)
LONGEST_REASON: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class CanaryRun:
    """One alert that Watchkeeper raised for itself.

    `id` is in the alert's labels, so that nobody else's alert is taken for it. `broken` names the link that did not
    hold; `notified` says who was told, empty while nobody is.
    """

    id: str
    began: datetime
    ended: datetime | None = None
    outcome: Outcome = "running"
    broken: str = ""
    notified: str = ""

    @property
    def sentence(self) -> str:
        """`passed in 21 s, at 2026-03-01 03:00:21 UTC`."""
        if self.ended is None:
            return f"runs since {self.began:%Y-%m-%d %H:%M:%S} UTC"
        took = f"{(self.ended - self.began).total_seconds():.0f} s, at {self.ended:%Y-%m-%d %H:%M:%S} UTC"
        return f"passed in {took}" if self.outcome == "passed" else f"failed after {took}: {self.broken}"


def begin_run(connection: Connection, run: CanaryRun, every_s: float) -> bool:
    """Begin a run, unless another worker began one for the same time; drops what is too old to interest anybody."""
    connection.execute(delete(canary_runs).where(canary_runs.c.began < to_micros(run.began - KEPT)))
    slot = int(run.began.timestamp() // every_s)
    row = {
        "slot": slot,
        "id": run.id,
        "began": to_micros(run.began),
        "ended": None,
        "outcome": run.outcome,
        "broken": "",
        "notified": "",
    }
    return insert_new(connection, canary_runs, row)


def end_run(connection: Connection, run: CanaryRun, outcome: Outcome, at: datetime, broken: str = "") -> bool:
    """End a run; False where another worker was first."""
    open_run = (canary_runs.c.id == run.id) & canary_runs.c.ended.is_(None)
    values = {"ended": to_micros(at), "outcome": outcome, "broken": one_line(broken, LONGEST_REASON) if broken else ""}
    return connection.execute(update(canary_runs).where(open_run).values(**values)).rowcount == 1


def record_notified(db: Database, run: CanaryRun, who: str) -> None:
    """Somebody knows that a run failed."""
    with db.write() as connection:
        connection.execute(update(canary_runs).where(canary_runs.c.id == run.id).values(notified=one_line(who, 200)))


def newest_runs(db: Database, limit: int = 1) -> tuple[CanaryRun, ...]:
    """The newest runs, the newest first."""
    query = select(canary_runs).order_by(canary_runs.c.began.desc()).limit(limit)
    with db.read() as connection:
        rows = connection.execute(query).all()
    return tuple(_run(row) for row in rows)


def _run(row: Any) -> CanaryRun:
    return CanaryRun(
        id=row.id,
        began=from_micros(row.began),
        ended=from_micros(row.ended) if row.ended is not None else None,
        outcome=row.outcome,
        broken=row.broken,
        notified=row.notified,
    )
