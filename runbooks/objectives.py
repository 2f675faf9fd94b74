"""Whether the objectives that runbooks wait for are those of the configuration. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from runbooks.library import Library
from runbooks.placeholders import PLACEHOLDER
from watchkeeper.text import did_you_mean


def objective_mistakes(library: Library, known: Collection[str]) -> Iterator[str]:
    """A line for each objective that is not `known`. A placeholder is known only when the step begins."""
    for book in library.books.values():
        for number, step in enumerate(book.program.steps):
            name = step.inputs.get("slo") if step.kind == "wait-for" else None
            if isinstance(name, str) and name not in known and not PLACEHOLDER.search(name):
                where = f"{book.id}: steps.{number}.wait-for.slo"
                yield f"{where}: no objective {name!r} under `slo` of the configuration{did_you_mean(name, known)}"
