"""Whether a proposal can be run from here now. One that cannot is advice, with the reason: nobody is asked."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

from runbooks.library import Library
from watchkeeper.errors import RunbookError
from watchkeeper.vocabulary import Proposal


class Reachable(Protocol):
    """Can give the reason why a service cannot be acted upon, or nothing."""

    def why_not(self, service: str) -> str: ...


def weighed(proposal: Proposal, library: Library, target: Reachable) -> Proposal:
    """The proposal with the reason why it cannot be run, if there is one: a policy, or the target."""
    return replace(proposal, blocked=_why_not(proposal, library, target))


def _why_not(proposal: Proposal, library: Library, target: Reachable) -> str:
    try:
        library.book_for(proposal)
    except RunbookError as error:
        return error.message
    return target.why_not(proposal.service)
