"""The page that is being drawn: what its plots need to know of it without being told by each page.

A plot's menu names the page's address with absolute times, and its files are made by drawing the same page at the same
times again. That is the same for every plot of a page, so it stands beside the page, not in each call.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from dashboard.urls import View
from watchkeeper.store.recording import Statement, noted, recording
from watchkeeper.vocabulary import Window


@dataclass(frozen=True, slots=True, kw_only=True)
class Plotted:
    """A plot of the page: its figure, and the reads that made it, with the SQL that the store got for them."""

    figure: dict[str, Any]
    reads: Sequence[str]
    queries: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """One drawing of a page.

    Attributes:
        address: the page's path and query, with absolute times.
        chosen: the time of the address, if the reader has chosen it; None while the page follows the present.
        plots: those that are drawn, by name.
        problems: why parts of the page could not be drawn.
    """

    address: str
    chosen: Window | None
    plots: dict[str, Plotted] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def add(self, name: str, figure: dict[str, Any], reads: Sequence[str]) -> Plotted:
        """Remember a plot. Call it after what the plot needs was read."""
        own = [one for one in noted() if one.read in reads]
        # The page may have read a shorter time for its words; a plot shows the longest.
        longest = max((_span(one) for one in own), default=0.0)
        queries = tuple(dict.fromkeys(one.filled() for one in own if _span(one) >= longest))
        self.plots[name] = Plotted(figure=figure, reads=reads, queries=queries)
        return self.plots[name]


def _span(statement: Statement) -> float:
    """The seconds from `start` to `end`; 0 for a statement without them."""
    start, end = (statement.parameters.get(name, 0.0) for name in ("start", "end"))
    return float(end) - float(start)


_current: ContextVar[Drawing | None] = ContextVar("drawing", default=None)


def current() -> Drawing | None:
    """The drawing that goes on in this context; None outside of one."""
    return _current.get()


def note_problem(text: str) -> None:
    """Remember why a part of the page that is being drawn could not be."""
    of = _current.get()
    if of is not None:
        of.problems.append(text)


@contextmanager
def drawing(view: View, now: datetime) -> Iterator[Drawing]:
    """Draw a page in the block; what it reads is recorded."""
    of = Drawing(address=view.frozen(now), chosen=None if view.is_live else view.window(now))
    token = _current.set(of)
    try:
        with recording():
            yield of
    finally:
        _current.reset(token)
