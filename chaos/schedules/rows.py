"""Due times of scheduled experiments in the state database, and who approved.

A time for which people are asked stands there before it comes.

    waiting ──► claimed ──► running ──► done, refused
       │ ▲         │ never started          │ its process is gone
       │ └─────────┘                        ▼
       ▼                                 cut short
    skipped, expired, missed, refused, postponed (another row has the later time)

Each step is a compare-and-set on the state and the claim, in one transaction: two watch roles, or a watch role and a
late child, never both win. A due time whose claim was never taken up goes back to waiting; its old claim is void.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy import Row, delete, func, select, update

from watchkeeper.errors import Conflict
from watchkeeper.state.audit import record_audit
from watchkeeper.state.database import Database, from_micros, to_micros
from watchkeeper.state.insert import insert_new, upsert
from watchkeeper.state.schema import chaos_approvals, chaos_runs
from watchkeeper.vocabulary import Actor

State = Literal[
    "added",
    "waiting",
    "claimed",
    "running",
    "done",
    "refused",
    "postponed",
    "cut short",
    "skipped",
    "expired",
    "missed",
]
OPEN: tuple[State, ...] = ("waiting", "claimed", "running")


@dataclass(frozen=True, slots=True, kw_only=True)
class DueRun:
    """One due time of a schedule and what became of it.

    Attributes:
        at: of its last change.
        postponed_from: its time by the schedule, where somebody postponed it.
        approved_by: who had approved it when it began.
        request: what people were asked to approve, as JSON; empty: nobody was asked.
        conversation, ts: where they were asked, and `shown` the version of the message that stands there.
    """

    schedule: str
    due_at: datetime
    state: State
    at: datetime
    claim: str = ""
    asked_at: datetime | None = None
    run_id: str = ""
    host: str = ""
    detail: str = ""
    postponed_from: datetime | None = None
    approved_by: str = ""
    request: str = ""
    conversation: str = ""
    ts: str = ""
    shown: str = ""

    @property
    def token(self) -> str:
        """By which a human's decision names it."""
        return f"{self.schedule}@{self.due_at.isoformat()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """That a person approves the next run of a schedule, as its experiment was then."""

    person: str
    at: datetime
    digest: str


class DueRuns:
    """The due times of every schedule."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def newest(self, schedule: str, now: datetime) -> datetime | None:
        """The last time by the schedule that came; None for a schedule that was never seen."""
        came = (chaos_runs.c.due_at <= to_micros(now)) & chaos_runs.c.postponed_from.is_(None)
        query = select(func.max(chaos_runs.c.due_at)).where(chaos_runs.c.schedule == schedule, came)
        with self._db.read() as connection:
            at = connection.scalar(query)
        return None if at is None else from_micros(at)

    def add(self, schedule: str, due_at: datetime, state: State, now: datetime, detail: str = "") -> None:
        """A time that came; nothing changes where it is known."""
        row = {"schedule": schedule, "due_at": to_micros(due_at), "state": state, "claim": "", "at": to_micros(now)}
        with self._db.write() as connection:
            insert_new(connection, chaos_runs, {**row, "asked_at": None, "run_id": "", "host": "", "detail": detail})

    def open(self) -> tuple[DueRun, ...]:
        """What waits, begins or runs, oldest first."""
        query = (
            select(chaos_runs).where(chaos_runs.c.state.in_(OPEN)).order_by(chaos_runs.c.due_at, chaos_runs.c.schedule)
        )
        with self._db.read() as connection:
            return tuple(map(_due_run, connection.execute(query)))

    def history(self, limit: int = 50) -> tuple[DueRun, ...]:
        """The newest due times, newest first."""
        newest_first = (chaos_runs.c.due_at.desc(), chaos_runs.c.schedule)
        query = select(chaos_runs).where(chaos_runs.c.state != "added").order_by(*newest_first)
        with self._db.read() as connection:
            return tuple(map(_due_run, connection.execute(query.limit(limit))))

    def get(self, schedule: str, due_at: datetime) -> DueRun | None:
        own = (chaos_runs.c.schedule == schedule) & (chaos_runs.c.due_at == to_micros(due_at))
        with self._db.read() as connection:
            row = connection.execute(select(chaos_runs).where(own)).one_or_none()
        return None if row is None else _due_run(row)

    def claim(self, run: DueRun, now: datetime, approved_by: Collection[str] = ()) -> str:
        """Take a waiting run: nobody else begins it. Returns the claim; empty where somebody else was first.

        The approvals that allowed it are used up in the same transaction, and the row keeps whose they were.
        """
        claim, by = secrets.token_hex(8), ", ".join(sorted(approved_by)) or run.approved_by
        with self._db.write() as connection:
            if not self._change(connection, run, "claimed", now, claim=claim, approved_by=by):
                return ""
            connection.execute(delete(chaos_approvals).where(chaos_approvals.c.schedule == run.schedule))
        return claim

    def began(self, run: DueRun, run_id: str, host: str, now: datetime) -> bool:
        """The process that holds the claim begins. Says whether it may: its claim may be void by now."""
        with self._db.write() as connection:
            return self._change(connection, run, "running", now, run_id=run_id, host=host)

    def take_back(self, run: DueRun, now: datetime, detail: str) -> None:
        """Void a claim that nobody took up. The approvals that allowed it were used up: people are asked again."""
        with self._db.write() as connection:
            anew = {"asked_at": None, "conversation": "", "ts": "", "shown": "", "approved_by": ""}
            self._change(connection, run, "waiting", now, detail=detail, **anew)

    def settle(self, run: DueRun, state: State, now: datetime, detail: str = "") -> bool:
        """What became of it. Says whether it was still as `run` has it."""
        with self._db.write() as connection:
            return self._change(connection, run, state, now, detail=detail)

    def asks(self, run: DueRun, request: str, now: datetime) -> None:
        """What the people who approve are asked."""
        asked_at = to_micros(run.asked_at or now)
        self._note(run, request=request, asked_at=asked_at)

    def shows(self, run: DueRun, version: str, conversation: str = "", ts: str = "") -> None:
        """Which version of the message stands where."""
        self._note(run, shown=version, conversation=conversation, ts=ts)

    def asked(self, since: datetime) -> tuple[DueRun, ...]:
        """Those for which people were asked, and that are open or changed since then, oldest first."""
        lately = chaos_runs.c.state.in_(OPEN) | (chaos_runs.c.at >= to_micros(since))
        query = select(chaos_runs).where(chaos_runs.c.request != "", lately).order_by(chaos_runs.c.due_at)
        with self._db.read() as connection:
            return tuple(map(_due_run, connection.execute(query)))

    def approve(self, schedule: str, approval: Approval, actor: Actor, run: DueRun | None = None) -> bool:
        """Keep an approval, and who gave it from where. Of a `run` that no longer waits, keep nothing: False."""
        row = {"schedule": schedule, "person": approval.person, "digest": approval.digest}
        with self._db.write() as connection:
            if run is not None and not self._change(connection, run, "waiting", approval.at):
                return False
            upsert(connection, chaos_approvals, {**row, "at": to_micros(approval.at)})
            record_audit(connection, approval.at, actor, "experiment.approve", schedule, f"as {approval.person}")
        return True

    def refuse(self, run: DueRun, person: str, actor: Actor, now: datetime) -> bool:
        """A waiting run does not happen. Approvals of it are void. False: it no longer waits."""
        with self._db.write() as connection:
            if not self._change(connection, run, "refused", now, detail=f"{person} refused"):
                return False
            connection.execute(delete(chaos_approvals).where(chaos_approvals.c.schedule == run.schedule))
            record_audit(connection, now, actor, "experiment.refuse", run.schedule, f"{run.due_at.isoformat()}")
        return True

    def postpone(self, run: DueRun, to: datetime, person: str, actor: Actor, now: datetime) -> bool:
        """A waiting run happens later; approvals stand as long as they do. False: it no longer waits.

        Raises:
            Conflict: it is due at that time anyway.
        """
        detail = f"{person} postponed it to {to:%Y-%m-%d %H:%M} UTC"
        later = {"schedule": run.schedule, "due_at": to_micros(to), "state": "waiting", "claim": "", "run_id": ""}
        later |= {"postponed_from": to_micros(run.postponed_from or run.due_at), "at": to_micros(now)}
        with self._db.write() as connection:
            if not self._change(connection, run, "postponed", now, detail=detail):
                return False
            if not insert_new(connection, chaos_runs, later | {"asked_at": None, "host": "", "detail": ""}):
                raise Conflict(f"{run.schedule} is due at {to:%Y-%m-%d %H:%M} UTC anyway; choose another time")
            record_audit(connection, now, actor, "experiment.postpone", run.schedule, f"to {to.isoformat()}")
        return True

    def _note(self, run: DueRun, **values: object) -> None:
        own = (chaos_runs.c.schedule == run.schedule) & (chaos_runs.c.due_at == to_micros(run.due_at))
        with self._db.write() as connection:
            connection.execute(update(chaos_runs).where(own).values(**values))

    def approvals(self, schedule: str) -> tuple[Approval, ...]:
        query = select(chaos_approvals).where(chaos_approvals.c.schedule == schedule)
        with self._db.read() as connection:
            rows = connection.execute(query.order_by(chaos_approvals.c.at)).all()
        return tuple(Approval(person=row.person, at=from_micros(row.at), digest=row.digest) for row in rows)

    @staticmethod
    def _change(connection: object, run: DueRun, state: State, now: datetime, **values: str | None) -> bool:
        own = (chaos_runs.c.schedule == run.schedule) & (chaos_runs.c.due_at == to_micros(run.due_at))
        as_known = own & (chaos_runs.c.state == run.state) & (chaos_runs.c.claim == run.claim)
        statement = update(chaos_runs).where(as_known).values(state=state, at=to_micros(now), **values)
        return bool(connection.execute(statement).rowcount)  # type: ignore[attr-defined]


def standing(
    approvals: Collection[Approval], by: Collection[str], digest: str, hours: float, now: datetime
) -> set[str]:
    """Who approves the experiment as it is now, within the time that an approval stands. Pure."""
    return {
        approval.person
        for approval in approvals
        if approval.person in by
        and approval.digest == digest
        and 0 <= (now - approval.at).total_seconds() <= 3600 * hours
    }


def _due_run(row: Row[tuple[object, ...]]) -> DueRun:
    return DueRun(
        schedule=row.schedule,
        due_at=from_micros(row.due_at),
        state=row.state,
        at=from_micros(row.at),
        claim=row.claim,
        asked_at=None if row.asked_at is None else from_micros(row.asked_at),
        run_id=row.run_id,
        host=row.host,
        detail=row.detail,
        postponed_from=None if row.postponed_from is None else from_micros(row.postponed_from),
        approved_by=row.approved_by,
        request=row.request,
        conversation=row.conversation,
        ts=row.ts,
        shown=row.shown,
    )
