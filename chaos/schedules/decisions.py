"""What people decide about a scheduled experiment: approve, refuse, postpone, stop. The same from every channel.

A decision names the run and, by its digest, the experiment that was seen. It is recorded only while that run waits: two
people who press at once, or a press as the run begins, never both count.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from chaos.schedules.rows import Approval, DueRun, DueRuns, standing
from chaos.schedules.schedule import Schedule, closed, schedule_named
from watchkeeper.clock import Clock
from watchkeeper.config import ApprovalConfig, Config
from watchkeeper.errors import ChaosError
from watchkeeper.state.audit import record_audit
from watchkeeper.state.database import Database
from watchkeeper.vocabulary import Actor

POSTPONED_BY_AT_MOST: Final = timedelta(days=31)


class Decisions:
    """Decisions on the runs of a configuration's schedules. Each returns a sentence for whoever decided.

    Every method raises ChaosError or Conflict, with the reason, where the decision does not count.
    """

    def __init__(self, config: Config, db: Database, clock: Clock, stop: Callable[[], str] | None = None) -> None:
        """`stop` ends the experiments that run on this machine; None: nothing here can."""
        self._config = config
        self._db = db
        self._runs = DueRuns(db)
        self._clock = clock
        self._stop = stop

    def approve(self, token: str, seen: str, actor: Actor) -> str:
        """One more approval of the experiment as it was seen."""
        run, schedule, approval, person = self._waiting(token, actor)
        digest = self._unchanged(schedule, seen)
        now = self._clock.now()
        before = standing(self._runs.approvals(run.schedule), approval.by, digest, approval.stands_hours, now)
        if person in before:
            raise ChaosError(f"you approved it already: {len(before)} of {approval.count} approvals")
        if not self._runs.approve(run.schedule, Approval(person=person, at=now, digest=digest), actor, run):
            raise ChaosError(self._over(token))
        return f"approved: {len(before) + 1} of {approval.count} approvals, for {approval.stands_hours:g} hours"

    def refuse(self, token: str, seen: str, actor: Actor) -> str:
        """It does not run at this time. One of those who may approve is enough."""
        run, schedule, _, _ = self._waiting(token, actor)
        self._unchanged(schedule, seen)
        if not self._runs.refuse(run, actor.name, actor, self._clock.now()):
            raise ChaosError(self._over(token))
        return "refused: it does not run this time"

    def postpone(self, token: str, to: datetime, actor: Actor) -> str:
        """It runs at a later time, which the schedule's hours and days must allow."""
        run, schedule, _, _ = self._waiting(token, actor)
        now = self._clock.now()
        if not now < to <= now + POSTPONED_BY_AT_MOST:
            raise ChaosError(f"choose a time within the next {POSTPONED_BY_AT_MOST.days} days")
        if to == run.due_at:
            raise ChaosError("it is due at that time already")
        if why := closed(schedule.rule, to):
            raise ChaosError(f"it cannot run then: {why}")
        if not self._runs.postpone(run, to, actor.name, actor, now):
            raise ChaosError(self._over(token))
        return f"postponed to {to:%Y-%m-%d %H:%M} UTC"

    def stop(self, token: str, actor: Actor) -> str:
        """End the run, as `watchkeeper chaos stop` does on its machine. Everybody who can give commands may."""
        run = self._run(token)
        if run.state != "running":
            raise ChaosError(self._over(token))
        if run.host != socket.gethostname() or self._stop is None:
            raise ChaosError(f"it runs on {run.host}: end it there with `watchkeeper chaos stop`")
        with self._db.write() as connection:
            record_audit(connection, self._clock.now(), actor, "experiment.stop", run.schedule, run.due_at.isoformat())
        return self._stop()

    def _waiting(self, token: str, actor: Actor) -> tuple[DueRun, Schedule, ApprovalConfig, str]:
        """The run, if it waits, and the id of the person who decides."""
        run = self._run(token)
        if run.state != "waiting":
            raise ChaosError(self._over(token))
        schedule = schedule_named(self._config, run.schedule)
        approval = schedule.rule.approval
        if approval is None:
            raise ChaosError(f"{run.schedule} needs no approval any more")
        person = self._person(actor)
        if person not in approval.by:
            raise ChaosError(f"{actor.name} may not decide about {run.schedule}; {', '.join(approval.by)} may")
        return run, schedule, approval, person

    def _unchanged(self, schedule: Schedule, seen: str) -> str:
        digest = schedule.read().digest
        if seen != digest:
            raise ChaosError(f"{schedule.file.name} was changed since you looked: look at it again, and decide then")
        return digest

    def _run(self, token: str) -> DueRun:
        schedule, _, at = token.rpartition("@")
        try:
            run = self._runs.get(schedule, datetime.fromisoformat(at))
        except (ValueError, TypeError):
            run = None
        if run is None:
            raise ChaosError("that run is unknown: `watchkeeper chaos schedule` lists those that are known")
        return run

    def _over(self, token: str) -> str:
        run = self._run(token)
        return (
            f"{run.schedule} of {run.due_at:%Y-%m-%d %H:%M} UTC is {run.state}{f': {run.detail}' if run.detail else ''}"
        )

    def _person(self, actor: Actor) -> str:
        """The id of a person by any of their names; a token is nobody."""
        if actor.via == "api":
            return ""
        wanted = actor.name.casefold()
        for person in self._config.oncall.people:
            if wanted in (person.id.casefold(), person.name.casefold()):
                return person.id
        return ""
