"""What the pages read of log lines: searches with their histogram, a line's neighbours, and templates."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, Literal, Self

from dashboard.reads.cache import Cache
from detectors.templates.miner import TemplateMiner
from detectors.templates.shape import VALUE
from watchkeeper.store.log_query import All, rank
from watchkeeper.store.log_search import histogram, kinds, lines_around, newest_lines, searched
from watchkeeper.store.telemetry import Telemetry
from watchkeeper.vocabulary import Window, utc_ns

SHOWN: Final = 100  # lines at once
MOST_PAGES: Final = 50
MOST_AT_ONCE: Final = 1000  # lines of one microsecond among which one is looked for
NOISE: Final = 3.0  # standard deviations by which counts differ before it is called a change
LEAST_TIMES: Final = 1.5  # a smaller change is none to a human, however certain

Change = Literal["new", "gone", "more", "fewer", "same", "unknown"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One log line. `at` is exact to the microsecond, `at_ns` to the nanosecond; `name` tells it from all others."""

    at: datetime
    at_ns: int
    name: str
    service: str
    severity: str
    instance: str
    body: str
    trace_id: str
    span_id: str
    scope: str
    event: str
    attributes: Mapping[str, str]
    resource: Mapping[str, str]

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Self:
        """A row of the store."""
        names = ("at_ns", "service", "severity", "instance", "body", "trace_id", "span_id", "scope", "event")
        return cls(
            at=utc_ns(row["at_ns"]),
            name=f"{row['at_ns']}-{row['line']}",
            attributes=dict(row["attributes"]),
            resource=dict(row["resource"]),
            **{name: row[name] for name in names},
        )

    @property
    def rank(self) -> int:
        """The severity's rank from 1 (TRACE) to 6 (FATAL); 0 for a word that is none."""
        return rank(self.severity) or 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """What a search found.

    Attributes:
        window: the part of the time range that was searched.
        step_s: seconds in a bucket of `counts`.
        counts: lines by severity and by the bucket's start.
        lines: the newest, newest first.
        total: how many lines were found.
    """

    window: Window
    step_s: int
    counts: Mapping[str, Mapping[datetime, int]]
    lines: Sequence[Line]
    total: int


@dataclass(slots=True)
class Template:
    """One kind of log lines: how many in the window, and how many would be expected by the window before.

    `before` are the lines that were counted in the window before, `expected` the same for a window of equal length.
    """

    text: str
    now: int = 0
    before: int = 0
    expected: float = 0.0
    first: datetime | None = None
    services: set[str] = field(default_factory=set)
    severity: str = ""
    is_comparable: bool = True  # whether anything was logged in the window before

    @property
    def change(self) -> Change:
        """What has changed beyond chance, by counts as of a Poisson process."""
        if not self.is_comparable:
            return "unknown"
        if not self.before:
            return "new"
        if not self.now and self.expected >= NOISE:
            return "gone"
        apart = self.now - self.expected
        if abs(apart) < NOISE * (self.now + self.expected + 1.0) ** 0.5:
            return "same"
        times = max(self.now, self.expected) / max(min(self.now, self.expected), 0.5)
        if times < LEAST_TIMES:
            return "same"
        return "more" if apart > 0 else "fewer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Templates:
    """The templates of two windows, the most frequent first. Counts are estimates where `every` is not 1."""

    templates: Sequence[Template]
    every: int
    window: Window


class LogReads:
    """Reads of log lines. Every method raises StoreError if the store cannot be read."""

    def __init__(self, telemetry: Telemetry, cache: Cache) -> None:
        self._telemetry = telemetry
        self._cache = cache

    def search(self, query: All, window: Window, step_s: int, page: int = 1) -> Search:
        """The newest lines that a search finds, and how many there are over time.

        `page` 2 are the next `SHOWN` lines; at most `MOST_PAGES`.
        """
        key = ("log-search", query, window, step_s, page)
        return self._cache.get(key, lambda: self._search(query, window, step_s, page))

    def _search(self, query: All, window: Window, step_s: int, page: int) -> Search:
        part = searched(self._telemetry, query, window)
        counts: dict[str, dict[datetime, int]] = defaultdict(dict)
        by_bucket: dict[datetime, int] = defaultdict(int)
        for row in histogram(self._telemetry, query, part, step_s).to_pylist():
            counts[row["severity"]][row["bucket"]] = row["lines"]
            by_bucket[row["bucket"]] += row["lines"]
        # The counts tell where the lines of this page lie: only that is read.
        shown = _holding(by_bucket, part, page * SHOWN)
        rows = newest_lines(self._telemetry, query, shown, SHOWN, (page - 1) * SHOWN) if shown else []
        lines = [Line.of(row) for row in rows]
        return Search(window=part, step_s=step_s, counts=counts, lines=lines, total=sum(by_bucket.values()))

    def around(self, service: str, instance: str, at_ns: int) -> Sequence[Line]:
        """The lines of the same service and instance around a moment, oldest first."""
        key = ("log-context", service, instance, at_ns)
        return self._cache.get(
            key, lambda: [Line.of(row) for row in lines_around(self._telemetry, service, instance, at_ns)]
        )

    def line(self, name: str) -> Line | None:
        """One line by its name; None if the store has none of that name."""
        match = re.fullmatch(r"(\d{1,19})-[0-9A-F]{1,16}", name)
        if match is None or int(match[1]) >= 2**62:
            return None

        def load() -> Line | None:
            at = utc_ns(int(match[1]))
            window = Window(start=at, end=at + timedelta(microseconds=1))
            rows = newest_lines(self._telemetry, All(), window, MOST_AT_ONCE)
            return next((line for line in map(Line.of, rows) if line.name == name), None)

        return self._cache.get(("log-line", name), load)

    def templates(self, query: All, before: Window, window: Window) -> Templates:
        """The templates of what a search finds in a window, and how often each came in an earlier one."""
        return self._cache.get(("log-templates", query, before, window), lambda: self._templates(query, before, window))

    def _templates(self, query: All, before: Window, window: Window) -> Templates:
        read = kinds(self._telemetry, query, before, window)
        rows = sorted(read.rows.to_pylist(), key=lambda row: row["body"])
        miner = TemplateMiner()
        given = miner.add_many([row["body"] for row in rows])
        longer = window.seconds / before.seconds
        by_id: dict[int, Template] = {}
        for row, name in zip(rows, miner.canonical(given).tolist(), strict=True):
            one = by_id.setdefault(name, Template(text=miner.template(name)))
            one.now += row["now"] * read.every
            one.before += row["before"] * read.every
            one.expected += row["before"] * read.every * longer
            one.services.add(row["service"])
            if (rank(row["severity"]) or 0) > (rank(one.severity) or 0) or not one.severity:
                one.severity = row["severity"]
            if row["now"]:
                first = utc_ns(row["first_ns"])
                one.first = min(one.first or first, first)
        is_comparable = any(one.before for one in by_id.values())
        for one in by_id.values():
            one.is_comparable = is_comparable
        templates = sorted(by_id.values(), key=lambda one: (-max(one.now, one.before), one.text))
        return Templates(templates=templates, every=read.every, window=window)


def _holding(by_bucket: Mapping[datetime, int], part: Window, lines: int) -> Window | None:
    """The shortest end of a window that holds so many lines, or all that there are; None if there is none."""
    seen = 0
    for bucket in sorted(by_bucket, reverse=True):
        seen += by_bucket[bucket]
        if seen >= lines:
            return Window(start=max(bucket, part.start), end=part.end)
    return part if seen else None


def search_for(template: str) -> str:
    """A template as a search: its values, and the blanks between its words, are wildcards.

    >>> print(search_for('user <*> said "hi"'))
    "user*said*\\"hi\\""
    """
    parts = [part for word in template.split() for part in word.split(VALUE)]
    escaped = [re.sub(r'(["\\*])', r"\\\1", part) for part in parts if part]
    return f'"{"*".join(escaped) or "*"}"'
