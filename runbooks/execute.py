"""Runs a proposal's steps, each journalled before and after; undoes what can be undone when one fails."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import structlog
from prometheus_client import Counter

from runbooks.journal import Entry, Journal
from runbooks.policy import Policy
from runbooks.runbook import Runbook
from runbooks.steps import STEPS
from runbooks.target import Target
from watchkeeper.errors import RunbookError
from watchkeeper.vocabulary import Proposal

log = structlog.get_logger()
RUNS = Counter("watchkeeper_runbook_runs", "Runbook runs that ended.", ["runbook", "result"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """How a run ended, one sentence a step."""

    succeeded: bool
    sentences: tuple[str, ...]

    @property
    def text(self) -> str:
        return "; ".join(self.sentences)


def dry_run(proposal: Proposal, target: Target, library: Mapping[str, Runbook], policy: Policy) -> Result:
    """Say what a run would do now. Touches nothing. Raises RunbookError where the run would be refused."""
    book = _checked(proposal, library, policy)
    status = target.status(proposal.service)
    return Result(succeeded=True, sentences=tuple(STEPS[s].plan(proposal.service, status) for s in book.steps))


def execute(
    proposal: Proposal,
    target: Target,
    journal: Journal,
    key: str,
    *,
    library: Mapping[str, Runbook],
    policy: Policy,
) -> Result:
    """Run every step in order. The same key never does a step twice, not even after a kill -9 in the middle.

    1. A step whose journal says `done` is not run again.
    2. A step that was `started` runs again with the same key, which the target recognises.
    3. When a step fails, the ones before are undone, last first, where they can be.

    Raises:
        RunbookError: refused before anything was touched (unknown runbook, service not declared).
    """
    book = _checked(proposal, library, policy)
    sentences: list[str] = []
    for number, name in enumerate(book.steps):
        step_key = f"{key}:{number}:{name}"
        known = journal.read(step_key)
        if known and known.status in ("done", "undone"):
            sentences.append(known.detail)
            continue
        journal.write(Entry(key=step_key, runbook=book.id, step=name, status="started", detail=""))
        try:
            did = STEPS[name].run(target, proposal.service, step_key)
        except RunbookError as error:
            journal.write(Entry(key=step_key, runbook=book.id, step=name, status="failed", detail=error.message))
            log.warning("runbook.step.failed", runbook=book.id, step=name, service=proposal.service, error=str(error))
            sentences.append(f"{name} failed: {error.message}")
            sentences += _undo(book, target, proposal.service, journal, key, before=number)
            RUNS.labels(book.id, "failed").inc()
            return Result(succeeded=False, sentences=tuple(sentences))
        journal.write(Entry(key=step_key, runbook=book.id, step=name, status="done", detail=did))
        log.info("runbook.step.done", runbook=book.id, step=name, service=proposal.service, did=did)
        sentences.append(did)
    RUNS.labels(book.id, "done").inc()
    return Result(succeeded=True, sentences=tuple(sentences))


def _undo(book: Runbook, target: Target, service: str, journal: Journal, key: str, *, before: int) -> list[str]:
    sentences = []
    for number in reversed(range(before)):
        name = book.steps[number]
        try:
            undone = STEPS[name].undo(target, service, f"{key}:{number}:{name}:undo")
        except RunbookError as error:
            undone = f"undoing {name} failed: {error.message}"
        if undone is None:
            sentences.append(f"{name} stays as it is: it has no undo by machine")
            continue
        journal.write(Entry(key=f"{key}:{number}:{name}", runbook=book.id, step=name, status="undone", detail=undone))
        sentences.append(undone)
    return sentences


def _checked(proposal: Proposal, library: Mapping[str, Runbook], policy: Policy) -> Runbook:
    book = library.get(proposal.runbook)
    if book is None:
        raise RunbookError(f"no runbook {proposal.runbook!r}; there are {', '.join(library)}")
    policy.check(book, proposal.service)
    return book
