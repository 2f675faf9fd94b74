"""Takes the runs that humans approved, one at a time, and carries each to a definite end.

claim (a lease) ─► may it still run? ─► the incident records the start ─► steps, lease renewed ─► it ends
                          │ no                    │ refused
                          └───────────────────────┴─► cancelled, with the reason; the target is not touched
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final, Protocol

import structlog
from opentelemetry import trace

from runbooks.execute import Executor, Parked, Result, describe
from runbooks.library import Library
from runbooks.program import program_of
from runbooks.questions import Follower, IncidentQuestions
from runbooks.registry import steps as registered_steps
from runbooks.run_queue import RunQueue
from runbooks.run_rows import Run
from runbooks.step import AnyStep, Surroundings
from runbooks.wording import plan_sentences
from watchkeeper.errors import Conflict, RunbookError
from watchkeeper.problems import Problems
from watchkeeper.target import Target

LOOP: Final = "runbooks"


class Answer(Protocol):
    """The answer of an incident to a report about its run."""

    @property
    def changed(self) -> bool: ...
    @property
    def message(self) -> str: ...


class Reports(Follower, Protocol):
    """Receives a run's beginning and end: the one writer of incidents."""

    def run_started(self, incident_id: str, key: str, *, run: str, seen: str) -> Answer: ...
    def run_finished(self, incident_id: str, key: str, *, succeeded: bool, text: str, run: str) -> Answer: ...
    def run_cancelled(self, incident_id: str, key: str, *, text: str, run: str) -> Answer: ...
    def run_noted(self, incident_id: str, key: str, *, text: str) -> Answer: ...


class Runner:
    """Carries out what a queue of approved runs contains, against one target."""

    def __init__(
        self,
        queue: RunQueue,
        target: Target,
        library: Library,
        reports: Reports,
        problems: Problems | None = None,
        *,
        steps: Mapping[str, AnyStep] | None = None,
        around: Surroundings | None = None,
        may_begin: Callable[[Run], str] = lambda _: "",
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """`around` is what steps reach beside the target; `may_begin` has a reason against an approved run, or none."""
        self._queue = queue
        self._target = target
        self._library = library
        self._reports = reports
        self._problems = problems or Problems(None)
        self._steps = registered_steps() if steps is None else steps
        self._around = around or Surroundings()
        self._may_begin = may_begin
        self._sleep = sleep
        self._logger = structlog.get_logger()

    def turn(self, only: str = "") -> int:
        """Carry out every run that is due and that nobody holds, or `only` that one. Returns how many ended here."""
        ended = 0
        while run := self._queue.claim(self._unreadable, only=only):
            try:
                ended += self._one(run)
                self._problems.solved(LOOP, run.id)
            except Conflict as error:
                self._logger.warning("runbook.lost", run=run.id, why=error.message)
            except Exception as error:  # noqa: BLE001 - one run that cannot go on must not stop the others
                self._problems.report(LOOP, run.id, error)
                self._queue.give_back(run)
        return ended

    def give_up(self, why: str) -> int:
        """End every run that is not over, without touching its service; returns how many."""
        ended = 0
        while run := self._queue.claim(self._unreadable, all_leases_over=True):
            with next(self._problems.each(LOOP, [run], lambda each: each.id)):
                if run.state == "approved":
                    self._cancel(run, why)
                else:
                    self._end(
                        run,
                        Result(succeeded=False, sentences=(*describe(run).sentences, f"stopped where it was: {why}")),
                    )
                ended += 1
        return ended

    def _unreadable(self, run_id: str, why: Exception) -> None:
        self._problems.report(LOOP, run_id, f"its record cannot be read, so it does not run: {why}")

    def _one(self, run: Run) -> bool:
        if run.state == "approved" and not run.steps:
            run = self._planned(run)
        why_not = self._why_not(run)
        if run.state == "approved":
            why_not = why_not or self._may_begin(run)
            if not why_not and not run.incident_id:
                self._queue.begin(run)
            elif not why_not:
                key = f"run:{run.id}"
                begun = self._reports.run_started(run.incident_id, key, run=run.id, seen=run.proposal.id)
                why_not = "" if begun.changed else begun.message
            if why_not:
                self._cancel(run, why_not)
                return True
        elif why_not:
            # It may not touch the service any more, not even to undo: that is for a human now.
            did = describe(run).sentences
            self._end(run, Result(succeeded=False, sentences=(*did, f"stopped where it was: {why_not}")))
            return True
        journal = self._queue.journal(run)
        with self._queue.renewed(journal), trace.get_tracer("watchkeeper").start_as_current_span("runbook"):
            around = self._surroundings(run)
            questions = IncidentQuestions(self._reports, run.incident_id, journal) if run.incident_id else None
            result = Executor(self._target, journal, self._steps, self._sleep, around, questions).carry_out()
        if isinstance(result, Parked):
            self._queue.park(run, result.seconds)
            return False
        self._end(run, result)
        return True

    def _why_not(self, run: Run) -> str:
        """Why a run may not touch its service now; empty when it may. What was approved is what runs, or nothing."""
        try:
            book = self._library.book_for(run.proposal)
        except RunbookError as error:
            return error.message
        names = tuple(step.name for step in run.steps)
        unknown = [name for name in names if name not in self._steps]
        if unknown:
            return f"{book.id} has a step {unknown[0]!r} that this version does not know"
        try:
            program = program_of(run.proposal, names)
        except RunbookError as error:
            return error.message
        if program.kinds != names and run.proposal.program:
            return f"the steps of run {run.id} are not those that were approved"
        if run.state == "approved" and book.program != program:
            return f"{book.id} was changed since it was approved: it has other steps now"
        return ""

    def _surroundings(self, run: Run) -> Surroundings:
        """What steps of this run reach; what they notify of stands in the incident, too."""
        if not run.incident_id:
            return self._around

        def notify(text: str, key: str) -> None:
            self._reports.run_noted(run.incident_id, key, text=text)
            self._around.notify(text, key)

        return replace(self._around, notify=notify)

    def _planned(self, run: Run) -> Run:
        """A run whose proposal came from an earlier version names no steps: the runbook's, if they read the same."""
        book = self._library.books.get(run.proposal.runbook)
        if book and all(name in self._steps for name in book.steps):
            read = plan_sentences(book.program, run.proposal.service, run.proposal.arguments, None, self._steps)
            if read == run.proposal.steps:
                return self._queue.plan(run, book.steps)
        return run

    def _cancel(self, run: Run, why: str) -> None:
        text = f"the runbook did not run: {why}"
        if not run.incident_id:
            self._queue.end(run, "cancelled", text)
            return
        answer = self._reports.run_cancelled(run.incident_id, f"cancelled:{run.id}", text=text, run=run.id)
        if not answer.changed:  # the incident has moved on already: then only the run itself still has to end
            self._queue.end(run, "cancelled", text)
        self._logger.warning("runbook.cancelled", run=run.id, incident=run.incident_id, why=why)

    def _end(self, run: Run, result: Result) -> None:
        recorded = run.incident_id and self._reports.run_finished(
            run.incident_id, f"ran:{run.id}", succeeded=result.succeeded, text=result.text, run=run.id
        )
        if not recorded or not recorded.changed:
            self._queue.end(run, "done" if result.succeeded else "failed", result.text)
        facts = {"run": run.id, "incident": run.incident_id, "succeeded": result.succeeded}
        self._logger.info("runbook.finished", **facts, text=result.text)
