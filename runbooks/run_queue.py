"""The approved runs of a state database, as one worker takes them: each for a lease, which the worker renews."""

from __future__ import annotations

import os
import socket
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Final

import structlog

from runbooks.journal import Journal
from runbooks.run_rows import Run, claim_run, read_run, release_run
from watchkeeper.clock import Clock, SystemClock
from watchkeeper.errors import Conflict, StateError
from watchkeeper.state.database import Database
from watchkeeper.state.runs import RunState, begin_run, end_run, plan_steps

# So long after a kill another watch role goes on with a run. Renewed several times in between.
LEASE: Final = timedelta(seconds=30)
RENEWALS_PER_LEASE: Final = 5
# A run that failed for a reason of ours (a bug, the database) is tried again after this.
AGAIN: Final = timedelta(seconds=15)
# A step that waits for no time at all must not keep a worker from the other runs.
SOONEST: Final = timedelta(seconds=0.2)


class RunQueue:
    """One worker's view of the runs. Several workers may share a database: each run has one holder at a time."""

    def __init__(self, db: Database, clock: Clock | None = None, lease: timedelta = LEASE) -> None:
        self._db = db
        self._clock = clock or SystemClock()
        self._lease = lease
        self._owner = f"{socket.gethostname()[:100]}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
        self._logger = structlog.get_logger()

    def claim(
        self, unreadable: Callable[[str, Exception], None], *, all_leases_over: bool = False, only: str = ""
    ) -> Run | None:
        """The next run that is due and that nobody holds; `unreadable` gets the ids of those that cannot be read.

        `only`: the run of that id, or none. With `all_leases_over` also one that somebody holds: whoever that was is
        known to be gone.
        """
        now = self._clock.now() + (3 * self._lease if all_leases_over else timedelta(0))
        return claim_run(self._db, self._owner, now, self._lease, unreadable, only)

    def journal(self, run: Run) -> Journal:
        """The steps of a run that this worker holds."""
        return Journal(self._db, run, self._clock, self._lease)

    def plan(self, run: Run, actions: tuple[str, ...]) -> Run:
        """Write down the steps of a run that has none yet."""
        with self._db.write() as connection:
            plan_steps(connection, run.id, actions, self._clock.now())
        return read_run(self._db, run.id) or run

    def begin(self, run: Run) -> None:
        """Begin a run that belongs to no incident."""
        with self._db.write() as connection:
            begin_run(connection, run.id, self._clock.now())

    def end(self, run: Run, state: RunState, text: str) -> None:
        """End a run that belongs to no incident, or whose incident has moved on already."""
        with self._db.write() as connection:
            end_run(connection, run.id, state, text, self._clock.now())

    def give_back(self, run: Run) -> None:
        """Let it be claimed again, after a while."""
        try:
            release_run(self._db, run.id, self._owner, self._clock.now() + min(AGAIN, self._lease))
        except StateError as error:  # then the lease runs out
            self._logger.warning("runbook.unreleased", run=run.id, error=error.message)

    def park(self, run: Run, seconds: float) -> None:
        """Let anybody take it up again after so many seconds; not later than a lease ends."""
        pause = min(max(timedelta(seconds=seconds), SOONEST), self._lease)
        release_run(self._db, run.id, self._owner, self._clock.now() + pause)

    def now(self) -> datetime:
        """The time by the clock of the leases."""
        return self._clock.now()

    @contextmanager
    def renewed(self, journal: Journal) -> Iterator[None]:
        """Keep the lease while a step takes its time."""
        over = threading.Event()

        def renew() -> None:
            while not over.wait(self._lease.total_seconds() / RENEWALS_PER_LEASE):
                try:
                    journal.hold()
                except Conflict:
                    return  # the next write of the run fails for the same reason
                except StateError as error:
                    self._logger.warning("runbook.lease_unrenewed", error=error.message)

        thread = threading.Thread(target=renew, name="runbook-lease", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join(5)
