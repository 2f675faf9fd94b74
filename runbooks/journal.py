"""What a run did and is about to do, kept in the state database by whoever holds the run.

Every write renews the lease and is refused to whoever lost it. `running` and `undoing` are written before anything
happens to the target: a run that was killed is read back and goes on where it was, in the direction it had.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from runbooks.run_rows import (
    Reply,
    Run,
    RunStep,
    StepNotes,
    StepState,
    hold_run,
    read_run,
    reply_of,
    turn_back,
    write_step,
)
from runbooks.step import NOBODY
from runbooks.step_states import MOVES
from watchkeeper.clock import Clock
from watchkeeper.state.database import Database
from watchkeeper.state.runs import keep_answer
from watchkeeper.state.stops import stopped
from watchkeeper.vocabulary import Question


class Journal:
    """The steps of one run, for one holder of it."""

    def __init__(self, db: Database, run: Run, clock: Clock, lease: timedelta) -> None:
        self._db = db
        self._id = run.id
        self._owner = run.owner
        self._clock = clock
        self._lease = lease

    def read(self) -> Run:
        """The run as it stands."""
        run = read_run(self._db, self._id)
        if run is None:
            raise LookupError(f"there is no run {self._id}")
        return run

    def now(self) -> datetime:
        """The time by the clock that writes are dated with."""
        return self._clock.now()

    def write(
        self,
        step: RunStep,
        state: StepState,
        detail: str = "",
        *,
        undone: str = "",
        back: bool = False,
        notes: StepNotes | None = None,
    ) -> RunStep:
        """How far a step is; with `back`, from now on the run only undoes. Committed before this returns.

        Raises:
            Conflict: somebody else holds the run now. Nothing was written; stop.
        """
        if state not in MOVES[step.state]:
            raise AssertionError(f"a step never goes from {step.state} to {state}")
        now = self._clock.now()
        written = replace(step, state=state, at=now, detail=detail, undone=undone, notes=notes or step.notes)
        with self._db.write() as connection:
            hold_run(connection, self._id, self._owner, now + self._lease)
            write_step(connection, self._id, written)
            if back:
                turn_back(connection, self._id)
        return written

    def reply(self, step: RunStep) -> Reply | None:
        """What a human answered to a step's question."""
        return reply_of(self._db, self._id, step)

    def close(self, question: Question) -> None:
        """Nobody may answer any more: what counts if nobody did is the answer. One that is there stays."""
        with self._db.write() as connection:
            keep_answer(connection, question, question.unanswered, NOBODY, self._clock.now())

    def is_stopped(self) -> bool:
        """Whether somebody set the global stop."""
        return stopped(self._db) is not None

    def hold(self) -> None:
        """Renew the lease. Raises Conflict as `write` does."""
        with self._db.write() as connection:
            hold_run(connection, self._id, self._owner, self._clock.now() + self._lease)
