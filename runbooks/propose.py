"""From a diagnosis to a proposal: the first suspect's mechanism, and what was changed before the onset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

from runbooks.library import Library
from runbooks.placeholders import fill
from runbooks.program import program_text
from runbooks.runbook import Runbook
from runbooks.wording import plan_sentences
from watchkeeper.vocabulary import ChangeEvent, Diagnosis, Proposal, Suspect

# A change explains a trouble that begins within this time after it. The onset is known to a bucket or two
# only, so a change may seem to come a little after it.
CHANGE_BEFORE = timedelta(minutes=15)
CHANGE_AFTER = timedelta(seconds=15)


def propose(diagnosis: Diagnosis, changes: Sequence[ChangeEvent], library: Library) -> Proposal | None:
    """The runbook for the first suspect, or None: no suspect, an abstention, or nothing that fits."""
    if diagnosis.abstained or not diagnosis.suspects:
        return None
    suspect = diagnosis.suspects[0]
    change = _change_of(suspect, diagnosis, changes)
    fitting = [
        book
        for book in library.books.values()
        if suspect.mechanism in book.mechanisms and (change is not None or not book.after_change)
    ]
    if not fitting:
        return None
    # A runbook for a change beats one that is not; then the one with the fewest other uses.
    book = min(fitting, key=lambda b: (not b.after_change, len(b.mechanisms), b.id))
    arguments = {"service": suspect.service, "mechanism": suspect.mechanism}
    if change and book.after_change:
        arguments["change"] = change.id
    rule = library.policy.rule_for(book.id)
    proposal = proposal_of(book, suspect.service, arguments)
    return replace(proposal, approvals=rule.count, approvers=(*rule.people, *rule.schedules))


def proposal_of(book: Runbook, service: str, arguments: Mapping[str, str]) -> Proposal:
    """What a runbook would do to a service. Raises RunbookError where its steps can't be described."""
    return Proposal(
        runbook=book.id,
        title=fill(book.title, {"service": service}, leave=True),
        service=service,
        steps=plan_sentences(book.program, service, arguments, None),
        blast_radius=fill(book.blast_radius, {"service": service}, leave=True),
        undo=fill(book.undo, {"service": service}, leave=True),
        arguments=arguments,
        actions=book.steps,
        program=program_text(book.program),
    )


def _change_of(suspect: Suspect, diagnosis: Diagnosis, changes: Sequence[ChangeEvent]) -> ChangeEvent | None:
    """The latest change of the suspect that can explain the onset and was not rolled back since.

    A rollback is a repair, not a cause; a restart leaves nothing to roll back.
    """
    since, until = diagnosis.onset - CHANGE_BEFORE, diagnosis.onset + CHANGE_AFTER
    own = [change for change in changes if change.service == suspect.service and change.kind != "restart"]
    own.sort(key=lambda change: change.at)
    standing = own[max((n + 1 for n, change in enumerate(own) if _is_rollback(change)), default=0) :]
    fitting = [change for change in standing if since <= change.at <= until or change.id == suspect.change_id]
    return fitting[-1] if fitting else None


def _is_rollback(change: ChangeEvent) -> bool:
    return change.attributes.get("rollback") == "true"
