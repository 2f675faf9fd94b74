"""One round of the schedules: what came due, what may begin now, and what became of what had begun.

A due time is a row before anything is done about it, and the process that runs the experiment takes the row before it
touches anything: a kill between any two lines leaves a row that the next round reads. What is not run is said.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from chaos.running import Notes
from chaos.schedules.announcing import LOOP, Announcer
from chaos.schedules.rows import DueRun, DueRuns, State, standing
from chaos.schedules.schedule import Schedule, closed, due_times, is_due_at, next_time, schedules
from chaos.toolkit.document import LONGEST_PAUSE_S
from chaos.toolkit.guards import open_incidents, why_stopped
from watchkeeper.config import Config, ScheduleRule
from watchkeeper.errors import ChaosError
from watchkeeper.problems import Problems
from watchkeeper.state.database import Database

# A process that was started takes its row within seconds; on a machine that is very busy, within this.
TAKEN_UP_WITHIN: Final = timedelta(seconds=90)
SILENT_AT_MOST: Final = timedelta(seconds=LONGEST_PAUSE_S)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """A run to start: the claim is what its process takes the row with."""

    schedule: Schedule
    due_at: datetime
    claim: str


class Scheduler:
    """Runs what is due.

    Args:
        launch: starts the process of a run, and returns at once.
        announcer: asks people to approve, and shows what became of it; None: nobody is asked.
        clear_up: starts a process that plays the rollbacks of experiments that were cut short.
    """

    def __init__(
        self,
        config: Config,
        db: Database,
        problems: Problems,
        *,
        launch: Callable[[Claimed], None],
        announcer: Announcer | None = None,
        clear_up: Callable[[], None] = lambda: None,
        notes: Notes | None = None,
    ) -> None:
        self._config = config
        self._db = db
        self._runs = DueRuns(db)
        self._problems = problems
        self._launch = launch
        self._announcer = announcer
        self._clear_up = clear_up
        self._notes = notes

    def turn(self, now: datetime) -> None:
        """One round."""
        known, mistakes = schedules(self._config)
        for path, why in mistakes.items():
            self._problems.report(LOOP, path, why)
        for attempt in self._problems.each(LOOP, known, lambda schedule: schedule.id):
            with attempt as schedule:
                self._come_due(schedule, now)
        by_id = {schedule.id: schedule for schedule in known}
        for turn in self._problems.each(LOOP, self._runs.open(), lambda run: f"{run.schedule} of {run.due_at}"):
            with turn as run:
                self._follow(run, by_id.get(run.schedule), now)
        if self._announcer:
            self._announcer.show(now)

    def _come_due(self, schedule: Schedule, now: datetime) -> None:
        """Keep the times that came; the newest may still run, the ones before it were missed."""
        newest = self._runs.newest(schedule.id, now)
        if newest is None:  # what was due before anybody knew of the schedule is not made up for
            self._runs.add(schedule.id, now, "added", now)
            return
        times = due_times(schedule.rule, newest, now)
        for at in times[:-1]:
            self._runs.add(schedule.id, at, "missed", now, "no watch role ran at its time")
        if len(times) > 1:
            missed = f"{len(times) - 1} due times were missed: no watch role ran"
            self._problems.report(LOOP, f"{schedule.id} until {times[-2]:%Y-%m-%d %H:%M} UTC", missed)
        if times:
            self._runs.add(schedule.id, times[-1], "waiting", now)
        # People are asked before the time comes.
        approval = schedule.rule.approval
        if approval and (following := next_time(schedule.rule, now)) and following - now <= approval.asked_before:
            self._runs.add(schedule.id, following, "waiting", now)

    def _follow(self, run: DueRun, schedule: Schedule | None, now: datetime) -> None:
        if run.state == "running":
            self._look_after(run, now)
        elif run.state == "claimed":
            if now - run.at > TAKEN_UP_WITHIN:
                # Its process never came so far as to take the row; with the claim void, it never will.
                self._runs.take_back(run, now, "its process never began")
        elif schedule is None:
            self._settle(run, "skipped", now, "its schedule was removed")
        elif run.due_at > now and run.postponed_from is None and not is_due_at(schedule.rule, run.due_at):
            self._settle(run, "skipped", now, "its schedule was changed")
        else:
            if self._announcer and (approval := schedule.rule.approval):
                with suppress(ChaosError):  # an obstacle, too: it is told there
                    self._announcer.ask(run, schedule, approval, now)
            if run.due_at <= now:
                self._begin(run, schedule, now)

    def _look_after(self, run: DueRun, now: datetime) -> None:
        """A run whose process is gone without a word was cut short; only its own machine can know.

        A machine that never comes back, such as a container with another name each time, is not waited for for ever.
        """
        if run.host != socket.gethostname():
            if now - run.at > SILENT_AT_MOST:
                detail = f"nothing was heard from {run.host} for {SILENT_AT_MOST.days} days"
                self._settle(run, "cut short", now, detail)
            return
        notes = self._notes or Notes()
        if any(note.id == run.run_id for note in notes.alive()):
            return
        if now - run.at < TAKEN_UP_WITHIN:
            return  # it plans, and has not noted itself yet; or it is writing down how it ended
        if self._settle(run, "cut short", now, "its process was killed"):
            self._problems.report(LOOP, run.schedule, "an experiment was cut short: its process was killed")
            if notes.cut_short():
                self._clear_up()

    def _begin(self, run: DueRun, schedule: Schedule, now: datetime) -> None:
        """Begin a run whose time has come, unless something stands against it; later it is too late."""
        reason, state = self._obstacle(schedule, now)
        if now - run.due_at > _latest(schedule.rule):
            reason, state = (reason, state) if reason else ("it was too late to begin", "missed")
            self._settle(run, state, now, reason)
            if state != "skipped":
                self._problems.report(LOOP, schedule.id, f"not run at {run.due_at:%Y-%m-%d %H:%M} UTC: {reason}")
        elif not reason and (claim := self._runs.claim(run, now, self._given(schedule, now))):
            self._launch(Claimed(schedule=schedule, due_at=run.due_at, claim=claim))
            self._problems.solved(LOOP, schedule.id)

    def _obstacle(self, schedule: Schedule, now: datetime) -> tuple[str, State]:
        """Why a run may not begin now, and what it becomes if that lasts; empty: it may."""
        if reason := closed(schedule.rule, now):
            return reason, "skipped"
        if reason := why_stopped(self._db):
            return reason, "skipped"
        if incidents := open_incidents(self._db):
            return f"incident {incidents[0][0]} is open: {incidents[0][2]}", "skipped"
        try:
            given = self._given(schedule, now)
        except ChaosError as error:
            return error.message, "refused"
        approval = schedule.rule.approval
        if approval is None or len(given) >= approval.count:
            return "", "skipped"
        return f"{len(given)} of {approval.count} approvals were given", "expired"

    def _given(self, schedule: Schedule, now: datetime) -> set[str]:
        """Who approves it as it is now. Raises ChaosError where its file cannot be read."""
        experiment, approval = schedule.read(), schedule.rule.approval
        if approval is None:
            return set()
        given = self._runs.approvals(schedule.id)
        return standing(given, approval.by, experiment.digest, approval.stands_hours, now)

    def _settle(self, run: DueRun, state: State, now: datetime, detail: str) -> bool:
        return self._runs.settle(run, state, now, detail)


def _latest(rule: ScheduleRule) -> timedelta:
    """How long after its time a run may begin: people who approve may take as long as an approval stands."""
    stands_hours = rule.approval.stands_hours if rule.approval else 0.0
    return max(timedelta(minutes=rule.late_minutes), timedelta(hours=stands_hours))
