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
from typing import Final, TypeVar

import structlog
from prometheus_client import Counter

from runbooks.journal import Journal
from runbooks.library import Library
from runbooks.step import Step
from runbooks.steps import STEPS
from runbooks.targets.shop import Services
from watchkeeper.errors import RunbookError
from watchkeeper.state.runs import Run, RunStep
from watchkeeper.vocabulary import Proposal

log = structlog.get_logger()
RUNS = Counter("watchkeeper_runbook_runs", "Runbook runs that ended.", ["runbook", "result"])
# Pauses before asking again, in seconds, where the target says that this can help. The key is the same, so a
# request whose answer was lost is not done twice.
AGAIN_AFTER_S: Final = (0.5, 2.0)
Answered = TypeVar("Answered")


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """How a run ended, one sentence a step."""

    succeeded: bool
    sentences: tuple[str, ...]

    @property
    def text(self) -> str:
        return "; ".join(self.sentences)


def dry_run(proposal: Proposal, target: Services, library: Library) -> Result:
    """Describe what a run would do now. Touches nothing. A run that would be refused gives the reason."""
    try:
        book = library.book_for(proposal)
        status = target.status(proposal.service)
    except RunbookError as error:
        return Result(succeeded=False, sentences=(error.message,))
    return Result(succeeded=True, sentences=tuple(STEPS[s].plan(proposal.service, status) for s in book.steps))


def carry_out(
    run: Run,
    target: Services,
    journal: Journal,
    steps: Mapping[str, Step] = STEPS,
    sleep: Callable[[float], None] = time.sleep,
) -> Result:
    """Do what is left of a run that has begun, or of its undoing. Returns how it ended; the caller records that.

    Raises:
        Conflict: the lease was lost, and somebody else goes on with the run.
    """
    if run.state != "undoing":
        for step in run.steps:
            if step.state != "done" and not _forward(run, step, target, journal, steps, sleep):
                break
    run = journal.read()
    if run.state == "undoing":
        failed = next((step.number for step in run.steps if step.state == "failed"), len(run.steps))
        for step in reversed(run.steps[:failed]):
            if step.state in ("done", "undoing"):
                _back(run, step, target, journal, steps, sleep)
        run = journal.read()
    RUNS.labels(run.proposal.runbook, "done" if run.state == "running" else "failed").inc()
    return describe(run)


def describe(run: Run) -> Result:
    """Describe a run's steps: forward in order, then what was undone, last first."""
    ahead = [f"{s.name} failed: {s.detail}" if s.state == "failed" else s.detail for s in run.steps if s.detail]
    back = [step.undone for step in reversed(run.steps) if step.undone]
    return Result(succeeded=run.state in ("running", "done"), sentences=(*ahead, *back))


def _forward(
    run: Run,
    step: RunStep,
    target: Services,
    journal: Journal,
    steps: Mapping[str, Step],
    sleep: Callable[[float], None],
) -> bool:
    service, key = run.proposal.service, _key(run, step)
    journal.write(step, "running")
    facts = {"run": run.id, "runbook": run.proposal.runbook, "step": step.name, "service": service}
    try:
        did = _asked(lambda: steps[step.name].run(target, service, key), journal, sleep)
    except RunbookError as error:
        log.warning("runbook.step.failed", **facts, error=error.message)
        journal.write(step, "failed", error.message, back=True)
        return False
    journal.write(step, "done", did)
    log.info("runbook.step.done", **facts, did=did)
    return True


def _back(
    run: Run,
    step: RunStep,
    target: Services,
    journal: Journal,
    steps: Mapping[str, Step],
    sleep: Callable[[float], None],
) -> None:
    did = step.detail
    journal.write(step, "undoing", did)
    try:
        key = f"{_key(run, step)}:undo"
        undone = _asked(lambda: steps[step.name].undo(target, run.proposal.service, key), journal, sleep)
    except RunbookError as error:
        log.warning("runbook.undo.failed", run=run.id, step=step.name, error=error.message)
        journal.write(step, "stuck", did, undone=f"undoing {step.name} failed: {error.message}")
        return
    if undone is None:
        journal.write(step, "kept", did, undone=f"{step.name} stays as it is: it has no undo by machine")
    else:
        journal.write(step, "undone", did, undone=undone)


def _key(run: Run, step: RunStep) -> str:
    return f"{run.id}:{step.number}:{step.name}"


def _asked(ask: Callable[[], Answered], journal: Journal, sleep: Callable[[float], None]) -> Answered:
    """Ask the target, again where that can help. Whatever a step dies of is a failed step, and the run turns back."""
    for pause_s in (*AGAIN_AFTER_S, None):
        try:
            return ask()
        except RunbookError as error:
            if pause_s is None or not error.retry:
                raise
        except Exception as error:
            log.exception("runbook.step.crashed")
            raise RunbookError(f"the step itself failed: {type(error).__name__}: {error}") from error
        sleep(pause_s)
        journal.hold()  # somebody else may have gone on with the run meanwhile
    raise AssertionError("unreachable")
