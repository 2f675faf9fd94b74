"""Runs a proposal's steps, each journalled before and after; undoes what can be undone when one fails."""

from __future__ import annotations

from dataclasses import dataclass

import structlog
from prometheus_client import Counter

from runbooks.journal import Entry, Journal
from runbooks.library import Library
from runbooks.runbook import Runbook
from runbooks.steps import STEPS
from runbooks.target import Services
from watchkeeper.clock import Clock, SystemClock
from watchkeeper.errors import RunbookError
from watchkeeper.state.database import Database
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


def dry_run(proposal: Proposal, target: Services, library: Library) -> Result:
    """Say what a run would do now. Touches nothing. A run that would be refused says why."""
    try:
        book = library.book_for(proposal)
        status = target.status(proposal.service)
    except RunbookError as error:
        return Result(succeeded=False, sentences=(error.message,))
    return Result(succeeded=True, sentences=tuple(STEPS[s].plan(proposal.service, status) for s in book.steps))


def execute(
    proposal: Proposal,
    target: Services,
    library: Library,
    db: Database,
    incident_id: str,
    key: str,
    *,
    clock: Clock | None = None,
) -> Result:
    """Run every step in order. The same key never does a step twice, not even after a kill -9 in the middle.

    1. A run that may not touch the service is refused before anything happens.
    2. A step whose journal says `done` is not run again.
    3. A step that was `started` runs again with the same key, which the target recognises.
    4. When a step fails, the ones before are undone, last first, where they can be.
    """
    try:
        book = library.book_for(proposal)
    except RunbookError as error:
        RUNS.labels(proposal.runbook, "refused").inc()
        return Result(succeeded=False, sentences=(error.message,))
    journal = Journal(db, incident_id, clock or SystemClock())
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


def _undo(book: Runbook, target: Services, service: str, journal: Journal, key: str, *, before: int) -> list[str]:
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
