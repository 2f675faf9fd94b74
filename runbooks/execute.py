"""Does a run's steps in order, each recorded before and after; undoes what can be undone when one fails.

    planned ─► running ─► done ─────────────► undoing ─► undone | kept (no undo) | stuck (its undo failed)
                  └────► failed: the run turns back, in the same transaction

A run that has turned back never goes forward again, and a step is asked of the target under one key, however often:
the target does it once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import structlog
from prometheus_client import Counter

from runbooks.journal import Journal
from runbooks.library import Library
from runbooks.registry import steps
from runbooks.run_rows import Run, RunStep
from runbooks.step import Step, Undoable
from watchkeeper.errors import RunbookError, TargetError
from watchkeeper.target import Target
from watchkeeper.vocabulary import Proposal

log = structlog.get_logger()
RUNS = Counter("watchkeeper_runbook_runs", "Runbook runs that ended.", ["runbook", "result"])
# Pauses before asking again, in seconds, where the target says that this can help. The key is the same, so a
# request whose answer was lost is not done twice.
AGAIN_AFTER_S: Final = (0.5, 2.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """How a run ended, one sentence a step."""

    succeeded: bool
    sentences: tuple[str, ...]

    @property
    def text(self) -> str:
        return "; ".join(self.sentences)


def dry_run(proposal: Proposal, target: Target, library: Library) -> Result:
    """Describe what a run would do now. Touches nothing. A run that would be refused gives the reason."""
    try:
        book = library.book_for(proposal)
        status = target.status(proposal.service)
    except (RunbookError, TargetError) as error:
        return Result(succeeded=False, sentences=(error.message,))
    return Result(succeeded=True, sentences=tuple(steps()[step].plan(proposal.service, status) for step in book.steps))


def describe(run: Run) -> Result:
    """Describe a run's steps: forward in order, then what was undone, last first."""
    ahead = [f"{s.name} failed: {s.detail}" if s.state == "failed" else s.detail for s in run.steps if s.detail]
    back = [step.undone for step in reversed(run.steps) if step.undone]
    return Result(succeeded=run.state in ("running", "done"), sentences=(*ahead, *back))


class Executor:
    """Carries out what its holder's journal contains. `sleep` waits between two tries of a step."""

    def __init__(
        self,
        target: Target,
        journal: Journal,
        known: Mapping[str, Step] | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._target = target
        self._journal = journal
        self._steps = steps() if known is None else known
        self._sleep = sleep

    def carry_out(self) -> Result:
        """Do what is left of a run that has begun, or of its undoing. Returns how it ended; the caller records that.

        Raises:
            Conflict: the lease was lost, and somebody else goes on with the run.
        """
        run = self._journal.read()
        if run.state != "undoing":
            for step in run.steps:
                if step.state != "done" and not self._do(run, step):
                    break
        run = self._journal.read()
        if run.state == "undoing":
            failed = next((step.number for step in run.steps if step.state == "failed"), len(run.steps))
            for step in reversed(run.steps[:failed]):
                if step.state in ("done", "undoing"):
                    self._undo(run, step)
            run = self._journal.read()
        RUNS.labels(run.proposal.runbook, "done" if run.state == "running" else "failed").inc()
        return describe(run)

    def _do(self, run: Run, step: RunStep) -> bool:
        """Do one step. False: it failed, and the run has turned back."""
        service, key = run.proposal.service, _key(run, step)
        self._journal.write(step, "running")
        facts = {"run": run.id, "runbook": run.proposal.runbook, "step": step.name, "service": service}
        try:
            did = self._ask(lambda: self._steps[step.name].run(self._target, service, key))
        except (RunbookError, TargetError) as error:
            log.warning("runbook.step.failed", **facts, error=error.message)
            self._journal.write(step, "failed", error.message, back=True)
            return False
        self._journal.write(step, "done", did)
        log.info("runbook.step.done", **facts, did=did)
        return True

    def _undo(self, run: Run, step: RunStep) -> None:
        did, undoable = step.detail, self._steps[step.name]
        if not isinstance(undoable, Undoable):
            self._journal.write(step, "kept", did, undone=f"{step.name} stays as it is: it has no undo by machine")
            return
        self._journal.write(step, "undoing", did)
        key = f"{_key(run, step)}:undo"
        try:
            undone = self._ask(lambda: undoable.undo(self._target, run.proposal.service, key))
        except (RunbookError, TargetError) as error:
            log.warning("runbook.undo.failed", run=run.id, step=step.name, error=error.message)
            self._journal.write(step, "stuck", did, undone=f"undoing {step.name} failed: {error.message}")
            return
        self._journal.write(step, "undone", did, undone=undone)

    def _ask(self, ask: Callable[[], str]) -> str:
        """Ask the target, again where that can help. Any exception of a step is a failed step; the run turns back."""
        for pause_s in (*AGAIN_AFTER_S, None):
            try:
                return ask()
            except (RunbookError, TargetError) as error:
                if pause_s is None or not error.retry:
                    raise
            except Exception as error:
                log.exception("runbook.step.crashed")
                raise RunbookError(f"the step itself failed: {type(error).__name__}: {error}") from error
            self._sleep(pause_s)
            self._journal.hold()  # somebody else may have gone on with the run meanwhile
        raise AssertionError("unreachable")


def _key(run: Run, step: RunStep) -> str:
    return f"{run.id}:{step.number}:{step.name}"
