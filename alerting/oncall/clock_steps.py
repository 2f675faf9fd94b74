"""What a machine's clock that is set does to waits: nothing. They are kept as times, so they move with the clock.

Between two rounds the clock is compared with one that nobody can set; what it moved too far is a step. Waits that were
begun by the old time are moved by as much, so that no page comes later, or earlier, than its step of the escalation.
The time of the last rounds is kept, too: a clock that went back while nobody ran is noticed at the next start.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

import structlog
from prometheus_client import Counter
from sqlalchemy import Connection, select, update

from watchkeeper.problems import Problems
from watchkeeper.state.database import Database, from_micros, to_micros
from watchkeeper.state.insert import upsert
from watchkeeper.state.schema import clocks, outbox, timers

STEPS = Counter("watchkeeper_clock_steps_total", "Times that the machine's clock was set, as seen by the timers.")
# Less than this is a clock that is steered, not set.
LEAST: Final = timedelta(seconds=2)
# Between reading the clock and writing a timer: one set that much before a round counts as set in it.
BLUR: Final = timedelta(seconds=0.2)
# The last time is kept this often, so a step back over a restart must be larger to be noticed.
KEPT_EVERY_S: Final = 10.0
LEAST_OVER_A_RESTART: Final = timedelta(seconds=20)
# Two workers that see one step move the waits once (PostgreSQL; any number that is ours).
STEPPING: Final = 8_274_004
LAST: Final = "last round"
MOVED: Final = "last move"


class ClockSteps:
    """Moves waits when the clock was set. One for each worker; `monotonic` gives seconds that nobody can set."""

    def __init__(
        self, db: Database, problems: Problems | None = None, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._db = db
        self._problems = problems or Problems(None)
        self._monotonic = monotonic
        self._last: tuple[datetime, float] | None = None
        self._kept_at: float | None = None

    def check(self, now: datetime) -> timedelta:
        """Compare the clocks, and move the waits if need be; by how much the clock was set."""
        steady = self._monotonic()
        if self._last is None:
            step, elapsed = self._since_the_last_process(now), timedelta(0)
        else:
            elapsed = timedelta(seconds=steady - self._last[1])
            step = now - self._last[0] - elapsed
            step = step if abs(step) >= LEAST else timedelta(0)
        if step:
            self._move(step, now, elapsed)
        if step or self._kept_at is None or steady - self._kept_at >= KEPT_EVERY_S:
            with self._db.write() as connection:
                upsert(connection, clocks, {"name": LAST, "at": to_micros(now)})
            self._kept_at = steady
        self._last = now, steady
        return step

    def _since_the_last_process(self, now: datetime) -> timedelta:
        """How far the clock went back since an earlier process; how long nobody ran is unknown, so it counts as 0."""
        last = self._kept(LAST)
        return now - last if last and now < last - LEAST_OVER_A_RESTART else timedelta(0)

    def _kept(self, name: str, connection: Connection | None = None) -> datetime | None:
        query = select(clocks.c.at).where(clocks.c.name == name)
        if connection is not None:
            at = connection.scalar(query)
        else:
            with self._db.read() as reading:
                at = reading.scalar(query)
        return from_micros(at) if at is not None else None

    def _move(self, step: timedelta, now: datetime, elapsed: timedelta) -> None:
        with self._db.write() as connection:
            self._db.one_at_a_time(connection, STEPPING)
            moved = self._kept(MOVED, connection)
            if moved and -LEAST <= now - moved <= elapsed + LEAST:
                return  # another worker saw the same step, a moment ago
            _move_timers(connection, step, now, elapsed)
            _move_messages(connection, step, now, elapsed)
            upsert(connection, clocks, {"name": MOVED, "at": to_micros(now)})
        STEPS.inc()
        seconds = step.total_seconds()
        structlog.get_logger().warning("clock.stepped", seconds=seconds)
        text = f"it was set by {seconds:+.0f} s; waits were moved with it; check time synchronisation"
        self._problems.report("timers", "the machine's clock", text)


def _move_timers(connection: Connection, step: timedelta, now: datetime, elapsed: timedelta) -> None:
    """All but those that were set by the new time, since the round before."""
    by = step // timedelta(microseconds=1)
    first, last = to_micros(now - elapsed - BLUR), to_micros(now + BLUR)
    old = timers.c.set_at.is_(None) | (timers.c.set_at < first) | (timers.c.set_at > last)
    values = {"due_at": timers.c.due_at + by, "set_at": timers.c.set_at + by}
    connection.execute(update(timers).where(timers.c.done_at.is_(None) & old).values(**values))


def _move_messages(connection: Connection, step: timedelta, now: datetime, elapsed: timedelta) -> None:
    """Pauses, leases and notification rules of messages that were written by the old time.

    After a step back all that would last too long is moved. After one ahead pauses only end sooner; a page that was
    not tried yet keeps the wait of its rule.
    """
    by, moment = step // timedelta(microseconds=1), to_micros(now)
    first, last = to_micros(now - elapsed - BLUR), to_micros(now + BLUR)
    waiting = outbox.c.sent_at.is_(None) & ((outbox.c.created_at < first) | (outbox.c.created_at > last))
    columns = (outbox.c.leased_until, outbox.c.fails_over_at, outbox.c.due_at, outbox.c.created_at)
    if step > timedelta(0):
        later = waiting & (outbox.c.attempts == 0) & (outbox.c.due_at > moment - by)
        values = {column.name: column + by for column in columns[1:]}
        connection.execute(update(outbox).where(later).values(**values))
        return
    for column in columns:
        connection.execute(update(outbox).where(waiting & (column > moment)).values({column.name: column + by}))
