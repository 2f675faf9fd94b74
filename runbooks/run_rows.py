"""Runs of approved runbooks: who works on one now, and how far each step is.

One watch role at a time holds a run, by a lease that it renews; every write of a step is refused to whoever lost the
lease. What is about to be done is recorded before it is done (`running`, `undoing`), so a kill at any instruction
leaves a row that says where to go on, and in which direction.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import Connection, or_, select, update

from watchkeeper.errors import Conflict
from watchkeeper.state.codec import dump, parse
from watchkeeper.state.database import Database, from_micros, to_micros
from watchkeeper.state.runs import UNFINISHED, RunState
from watchkeeper.state.schema import run_answers as answers
from watchkeeper.state.schema import run_steps, runs
from watchkeeper.vocabulary import Actor, Proposal

# `kept` is a step that has no undo by machine; `stuck` is one whose undo failed. `waiting` is for what a step waits for
# or for its next attempt, `asking` for a human; `unsure` is a failure of what may have happened all the same.
StepState = Literal[
    "planned",
    "skipped",
    "running",
    "waiting",
    "asking",
    "done",
    "failed",
    "unsure",
    "undoing",
    "undone",
    "kept",
    "stuck",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class StepNotes:
    """What a step must know after a restart.

    Attributes:
        inputs: with placeholders filled, as its first attempt got them; None: it has not begun.
        tries: attempts that failed.
        key: number of the idempotency key in use; a new one for each attempt after a certain failure.
        began: when its first attempt began.
        question: what a human is asked, the `asked`th time, with the choices that they have; `confirm` and `unanswered`
            as in `runbooks.step.Ask`.
        uncertain: the question is ours: whether the step happened.
    """

    inputs: Mapping[str, Any] | None = None
    outputs: Mapping[str, str | int | float | bool] = field(default_factory=dict)
    tries: int = 0
    key: int = 0
    began: datetime | None = None
    question: str = ""
    choices: tuple[str, ...] = ()
    confirm: tuple[str, ...] = ()
    unanswered: str = ""
    asked: int = 0
    uncertain: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStep:
    """One step of a run; `detail` is what it did or why it failed, `undone` what came of undoing it, in words."""

    number: int
    name: str
    state: StepState
    at: datetime
    detail: str = ""
    undone: str = ""
    notes: StepNotes = StepNotes()


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What a human answered to a step's question."""

    answer: str
    actor: Actor
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A run as it stands. `proposal` is what was approved; `text` how it ended."""

    id: str
    incident_id: str
    proposal: Proposal
    state: RunState
    owner: str
    approved_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    text: str
    steps: tuple[RunStep, ...]
    approved_by: str = ""
    autonomous: bool = False

    @property
    def is_over(self) -> bool:
        return self.state not in UNFINISHED


def claim_run(
    db: Database,
    owner: str,
    now: datetime,
    lease: timedelta,
    set_aside: Callable[[str, Exception], None] = lambda *_: None,
    only: str = "",
) -> Run | None:
    """Take the run that waits longest and that nobody holds, for `lease`; None when there is none.

    With `only`, take that one or none. One that cannot be read is reported to `set_aside` and left alone for as long;
    the next one is taken.
    """
    at = to_micros(now)
    # A lease that ends later than any lease can was given before the clock was set back.
    free = or_(runs.c.leased_until <= at, runs.c.leased_until > to_micros(now + 2 * lease))
    waiting = runs.c.state.in_(UNFINISHED) & free
    if only:
        waiting &= runs.c.id == only
    with db.read() as connection:
        ids = list(connection.scalars(select(runs.c.id).where(waiting).order_by(runs.c.approved_at, runs.c.id)))
    for run_id in ids:
        own = update(runs).where((runs.c.id == run_id) & waiting)
        with db.write() as connection:
            if connection.execute(own.values(owner=owner, leased_until=to_micros(now + lease))).rowcount != 1:
                continue
            try:
                return _read(connection, runs.c.id == run_id)[0]
            except ValueError as error:  # written by another version, or by hand
                unreadable = error
        set_aside(run_id, unreadable)
    return None


def hold_run(connection: Connection, run_id: str, owner: str, until: datetime) -> None:
    """Renew the lease inside a transaction.

    Raises:
        Conflict: somebody else holds the run, or it is over; whoever asks must stop.
    """
    own = (runs.c.id == run_id) & (runs.c.owner == owner) & runs.c.state.in_(UNFINISHED)
    if connection.execute(update(runs).where(own).values(leased_until=to_micros(until))).rowcount != 1:
        raise Conflict(f"run {run_id} is no longer held by {owner}: another watch role went on with it, or it ended")


def release_run(db: Database, run_id: str, owner: str, free_at: datetime) -> None:
    """Let others have the run from `free_at` on; nobody holds it until then."""
    own = (runs.c.id == run_id) & (runs.c.owner == owner)
    with db.write() as connection:
        connection.execute(update(runs).where(own).values(owner="", leased_until=to_micros(free_at)))


def turn_back(connection: Connection, run_id: str) -> None:
    """From here on, the run only undoes."""
    connection.execute(update(runs).where(runs.c.id == run_id, runs.c.state == "running").values(state="undoing"))


def write_step(connection: Connection, run_id: str, step: RunStep) -> None:
    """How far a step is now."""
    own = (run_steps.c.run_id == run_id) & (run_steps.c.number == step.number)
    values = {
        "state": step.state,
        "at": to_micros(step.at),
        "detail": step.detail,
        "undone": step.undone,
        "body": dump(step.notes),
    }
    connection.execute(update(run_steps).where(own).values(**values))


def read_run(db: Database, run_id: str) -> Run | None:
    """One run as it stands."""
    with db.read() as connection:
        found = _read(connection, runs.c.id == run_id)
    return found[0] if found else None


def runs_of(db: Database, incident_id: str) -> tuple[Run, ...]:
    """An incident's runs, oldest first."""
    with db.read() as connection:
        return tuple(_read(connection, runs.c.incident_id == incident_id))


def _read(connection: Connection, where: Any) -> list[Run]:
    rows = connection.execute(select(runs).where(where).order_by(runs.c.approved_at, runs.c.id)).all()
    query = select(run_steps).where(run_steps.c.run_id.in_([row.id for row in rows])).order_by(run_steps.c.number)
    steps: dict[str, list[RunStep]] = {}
    for step in connection.execute(query):
        known = RunStep(
            number=step.number,
            name=step.name,
            state=step.state,
            at=from_micros(step.at),
            detail=step.detail,
            undone=step.undone,
            notes=parse(StepNotes, step.body) if step.body else StepNotes(),
        )
        steps.setdefault(step.run_id, []).append(known)
    return [_run(row, steps.get(row.id, ())) for row in rows]


def _run(row: Any, steps: Sequence[RunStep]) -> Run:
    return Run(
        id=row.id,
        incident_id=row.incident_id,
        proposal=parse(Proposal, row.body),
        state=row.state,
        owner=row.owner,
        approved_at=from_micros(row.approved_at),
        started_at=from_micros(row.started_at) if row.started_at is not None else None,
        ended_at=from_micros(row.ended_at) if row.ended_at is not None else None,
        text=row.text,
        steps=tuple(steps),
        approved_by=row.approved_by,
        autonomous=bool(row.autonomous),
    )


def recent_runs(db: Database, limit: int = 50, since: datetime | None = None) -> tuple[Run, ...]:
    """The newest runs, newest first; those that cannot be read are left out."""
    query = select(runs.c.id).order_by(runs.c.approved_at.desc(), runs.c.id.desc()).limit(limit)
    if since is not None:
        query = query.where(runs.c.approved_at >= to_micros(since))
    readable: list[Run] = []
    with db.read() as connection:
        for run_id in connection.scalars(query):
            try:
                readable += _read(connection, runs.c.id == run_id)
            except ValueError:  # written by another version
                continue
    return tuple(readable)


def reply_of(db: Database, run_id: str, step: RunStep) -> Reply | None:
    """The answer to a step's question, or None while nobody answered."""
    own = (answers.c.run_id == run_id) & (answers.c.number == step.number) & (answers.c.asked == step.notes.asked)
    with db.read() as connection:
        row = connection.execute(select(answers).where(own)).first()
    return Reply(answer=row.answer, actor=Actor(name=row.actor, via=row.via), at=from_micros(row.at)) if row else None
