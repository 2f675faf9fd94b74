"""A board as its file says it: a title, a time range, and panels that ask what a page of the dashboard asks.

    title: Checkout
    range: 1h
    panels:
      - kind: metrics
        title: Latency
        metric: http.server.request.duration
        by: http.route
        show: p95
      - kind: logs
        query: service:checkout severity>=warn

The keys of a panel are those that its page has in its address, so that each panel is also a link to that page. What a
file holds and no reader of it knows is an error with file, line and key: a panel that quietly shows something else
would be believed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, get_args

from dashboard.reads.metric_choices import LETTERS, SHOWS, choice_name, conditions
from dashboard.reads.trace_query import SCOPES, trace_query
from dashboard.urls import LONGEST_CHOICE, RANGES, View
from watchkeeper.errors import ConfigError, QueryError
from watchkeeper.store.log_query import parse as parse_log_query
from watchkeeper.store.metric_queries import AGGREGATIONS
from watchkeeper.text import did_you_mean, one_line
from watchkeeper.yaml_file import Document, Location, documents_in

Kind = Literal["metrics", "logs", "traces", "slo", "text"]
Width = Literal["third", "half", "full"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
WIDTHS: Final[tuple[Width, ...]] = get_args(Width)
USUAL_RANGE: Final = "1h"
MOST_PANELS: Final = 24  # each is a few queries at every refresh
LONGEST_TITLE: Final = 120
LONGEST_TEXT: Final = 4000
LEAST: Final = ("warn", "error")
_QUERY: Final = tuple(
    choice_name(name, letter) for letter in LETTERS for name in ("metric", "where", "by", "show", "agg")
)
# The keys of each kind beside kind, title and width; the first one is needed where `_NEEDED` says so.
KEYS: Final[Mapping[Kind, tuple[str, ...]]] = {
    "metrics": (*_QUERY, "service", "names"),
    "logs": ("query", "least", "service"),
    "traces": ("op", "attr", "min", "max", "q", "status", "scope", "sort", "service"),
    "slo": ("objective",),
    "text": ("text",),
}
_NEEDED: Final[Mapping[Kind, str]] = {"metrics": "metric", "slo": "objective", "text": "text"}
_ALLOWED: Final[Mapping[str, tuple[str, ...]]] = {
    **{
        choice_name("show", letter): tuple(dict.fromkeys(s for shows in SHOWS.values() for s in shows))
        for letter in LETTERS
    },
    **{choice_name("agg", letter): tuple(AGGREGATIONS) for letter in LETTERS},
    "names": ("prometheus",),
    "least": LEAST,
    "status": ("failed", "ok"),
    "scope": tuple(SCOPES),
    "sort": ("newest",),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One panel. `choices` are the choices of its page's address, by name."""

    kind: Kind
    title: str
    width: Width = "half"
    choices: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """What a file says. `range` is the time range that links to the board open it with."""

    title: str
    description: str = ""
    range: str = USUAL_RANGE
    panels: tuple[Panel, ...] = ()


def read_board(path: Path, text: str) -> Board:
    """The board of a file with this text.

    Raises:
        ConfigError: one line a mistake, each with file, line and key.
    """
    return board_of(board_document(path, text))


def board_document(path: Path, text: str) -> Document:
    """The one document of a board's file. Raises ConfigError."""
    documents = documents_in(path, text)
    if len(documents) != 1:
        what = "is empty; write a `title` and `panels`" if not documents else "holds several documents; keep one"
        raise ConfigError(f"{path}:1: file: {what}")
    return documents[0]


def board_of(document: Document) -> Board:
    """The board that a document describes. Raises ConfigError, as `read_board`."""
    return _Reader(document).board()


class _Reader:
    """Reads one document, and collects all of its mistakes before it refuses."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._mistakes: list[str] = []

    def board(self) -> Board:
        data = self._mapping(self._document.data, (), ("title", "description", "range", "panels"))
        title = self._text(data, "title", (), LONGEST_TITLE)
        if not title and "title" not in data:
            self._add((), "needs a `title`, such as `title: Checkout`")
        span = self._text(data, "range", (), 10) or USUAL_RANGE
        if span not in RANGES:
            self._add(("range",), f"{one_line(span, 40)!r} must be one of {', '.join(RANGES)}")
        panels = data.get("panels", [])
        if not isinstance(panels, list):
            self._add(("panels",), "must be a list: one `- kind: …` for each panel")
            panels = []
        if len(panels) > MOST_PANELS:
            self._add(
                ("panels",), f"has {len(panels)} panels, and a board shows at most {MOST_PANELS}; make two boards"
            )
        read = [self._panel(panel, ("panels", place)) for place, panel in enumerate(panels[:MOST_PANELS])]
        board = Board(
            title=title,
            description=self._text(data, "description", (), LONGEST_TEXT),
            range=span,
            panels=tuple(panel for panel in read if panel is not None),
        )
        if self._mistakes:
            raise ConfigError("\n".join(self._mistakes))
        return board

    def _panel(self, given: Any, where: Location) -> Panel | None:
        if not isinstance(given, dict):
            self._add(where, "must hold keys and values, such as `kind: metrics`")
            return None
        kind = next((name for name in KINDS if name == given.get("kind")), None)
        if kind is None:
            found = f"{one_line(given['kind'], 40)!r} must be" if "kind" in given else "needs a `kind`:"
            self._add((*where, *(("kind",) if "kind" in given else ())), f"{found} one of {', '.join(KINDS)}")
            return None
        data = self._mapping(given, where, ("kind", "title", "width", *KEYS[kind]))
        needed = _NEEDED.get(kind)
        longest = LONGEST_TEXT if kind == "text" else LONGEST_CHOICE
        choices = {name: text for name in KEYS[kind] if (text := self._text(data, name, where, longest))}
        if needed and needed not in choices:
            self._add(where, f"a panel of kind {kind} needs `{needed}`")
        width = data.get("width", "half")
        if width not in WIDTHS:
            self._add((*where, "width"), f"{one_line(width, 40)!r} must be one of {', '.join(WIDTHS)}")
        for name, value in choices.items():
            if name in _ALLOWED and value not in _ALLOWED[name]:
                self._add((*where, name), f"{one_line(value, 40)!r} must be one of {', '.join(_ALLOWED[name])}")
        for name, problem in _unreadable(kind, choices):
            self._add((*where, name), problem)
        title = self._text(data, "title", where, LONGEST_TITLE) or usual_title(kind, choices)
        return Panel(kind=kind, title=title, width=next((w for w in WIDTHS if w == width), "half"), choices=choices)

    def _mapping(self, data: Any, where: Location, known: tuple[str, ...]) -> dict[str, Any]:
        if not isinstance(data, dict):
            self._add(where, "must hold keys and values, such as `title: Checkout`")
            return {}
        for name in data:
            if name not in known:
                near = did_you_mean(str(name)[:80], known)
                self._add((*where, name if isinstance(name, int) else str(name)), f"is no key of this place{near}")
        return data

    def _text(self, data: Mapping[str, Any], name: str, where: Location, longest: int) -> str:
        """A value as text: a number too, as `min: 250`; what else YAML makes of it wants quotes."""
        value = data.get(name)
        if value is None:
            return ""
        if isinstance(value, bool) or not isinstance(value, (str, int, float)):
            self._add((*where, name), "must be text; put it in quotes")
            return ""
        text = str(value).strip()
        if len(text) > longest:
            self._add((*where, name), f"has {len(text):,} characters, and at most {longest:,} are read")
        return text

    def _add(self, where: Location, what: str) -> None:
        # The file alone is named by its folder's reader: every place is told from its line and key.
        self._mistakes.append(f"{self._document.where(where)}: {what}")


def _unreadable(kind: Kind, choices: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """What the page of a panel could not read: the key, and what is wrong."""
    yield from _CHECKS[kind](choices) if kind in _CHECKS else ()


def _metrics(choices: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for letter in LETTERS:
        name = choice_name("where", letter)
        if problem := conditions(choices.get(name, ""))[1]:
            yield name, problem
        if letter != LETTERS[0] and choice_name("metric", letter) not in choices:
            used = [own for key in ("where", "by", "show", "agg") if (own := choice_name(key, letter)) in choices]
            if used:
                yield used[0], f"belongs to the query {letter}, which needs `{choice_name('metric', letter)}`"


def _logs(choices: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    try:
        parse_log_query(choices.get("query", ""))
    except QueryError as error:
        yield "query", f"at character {error.at + 1}: {error.message}"


def _traces(choices: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    query = trace_query(View(choices=choices))
    for problem in query.problems:
        name, _, words = problem.partition(": ")
        yield {"attributes": "attr"}.get(name, name if name in KEYS["traces"] else "max"), words or problem


_CHECKS: Final[Mapping[Kind, Callable[[Mapping[str, str]], Iterator[tuple[str, str]]]]] = {
    "metrics": _metrics,
    "logs": _logs,
    "traces": _traces,
}


def usual_title(kind: Kind, choices: Mapping[str, str]) -> str:
    """What a panel is called where nobody gave it a name."""
    of_service = f" of {choices['service']}" if choices.get("service") else ""
    match kind:
        case "metrics":
            by = f" by {choices['by']}" if choices.get("by") else ""
            how = choices.get("show") or choices.get("agg") or ""
            words = f"{how + ' of ' if how else ''}{choices.get('metric', 'Metric')}{by}"
        case "logs":
            words = choices.get("query") or f"Log lines{of_service}"
        case "traces":
            words = " ".join(part for part in ("Traces", of_service.strip(), choices.get("op", "")) if part)
        case "slo":
            words = choices.get("objective", "Objective")
        case "text":
            words = "Note"
    return one_line(words, LONGEST_TITLE)
