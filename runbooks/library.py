"""The runbooks of one folder together with the policy that rules them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from runbooks.policy import Policy, read_policy
from runbooks.runbook import Runbook, read_runbooks
from watchkeeper.errors import RunbookError
from watchkeeper.vocabulary import Proposal


@dataclass(frozen=True, slots=True, kw_only=True)
class Library:
    """Runbooks by id, and what they may touch."""

    books: Mapping[str, Runbook]
    policy: Policy

    def book_for(self, proposal: Proposal) -> Runbook:
        """The proposal's runbook.

        Raises:
            RunbookError: there is none, or it may not touch one of the services that it acts on.
        """
        book = self.books.get(proposal.runbook)
        if book is None:
            raise RunbookError(f"no runbook {proposal.runbook!r}; there are {', '.join(self.books)}")
        for service in sorted(book.program.services(proposal.service)):
            self.policy.check(book, service)
        return book


def load_runbooks(folder: Path | None = None) -> Library:
    """Read a folder of runbooks and its policy.yaml; without a folder, the built-in ones.

    Raises:
        RunbookError: names the file, the key and what is wrong with it.
    """
    return Library(books=read_runbooks(folder), policy=read_policy(folder))
