"""What the page Metrics is asked for: up to four queries, each in choices of the address.

    /explore?metric=http.server.duration&show=p95&where=http.route=/cart*&by=service&metric-b=process.cpu.time

The first query's choices have plain names; those of the others end with `-b`, `-c` and `-d`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final

from dashboard.reads.metrics import Metric
from dashboard.urls import View
from watchkeeper.store.metric_queries import AGGREGATIONS, SERVICE, LabelMatch, MetricQuery, Operator
from watchkeeper.text import seen_name
from watchkeeper.vocabulary import Window

LETTERS: Final = "ABCD"
MOST_CONDITIONS: Final = 8
MOST_GROUPINGS: Final = 4
_QUANTILES: Final = ("p50", "p95", "p99")
# What can be shown of each kind; the first is shown if nothing is chosen.
SHOWS: Final[Mapping[str, tuple[str, ...]]] = {
    "gauge": ("value",),
    "up-down counter": ("value",),
    "counter": ("rate", "value"),
    "histogram": (*_QUANTILES[1:], "p50", "mean", "rate"),
    "exponential histogram": (*_QUANTILES[1:], "p50", "mean", "rate"),
    "summary": ("mean", "rate"),
}
_CONDITION: Final = re.compile(r'\s*([^\s=!,"]+)\s*(!?=)\s*(?:"([^"]*)"|([^,"]*?))\s*(?:,|$)')


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One query as it was asked.

    Attributes:
        letter: A to D.
        metric: None if no metric has the name.
        name: the metric's name as it was written.
        where, by: the conditions and the labels to group by.
        show: value, rate, mean or a quantile such as p95.
        aggregation: how the series of a group become one; without effect on a mean and on quantiles.
        problem: what cannot be used, and what to write instead; empty if nothing.
    """

    letter: str
    name: str
    metric: Metric | None
    where: tuple[LabelMatch, ...] = ()
    by: tuple[str, ...] = ()
    show: str = "value"
    aggregation: str = "avg"
    problem: str = ""

    @property
    def aggregates(self) -> bool:
        """Whether the series of a group are put together by an aggregation that can be chosen."""
        return self.show in ("value", "rate")

    @property
    def unit(self) -> str:
        """The unit of the values that are shown."""
        if self.metric is None:
            return ""
        unit = "" if self.metric.unit == "1" else self.metric.unit
        if self.show == "rate":
            return f"{unit}/s" if self.metric.kind == "counter" else "observations/s"
        return unit

    @property
    def words(self) -> str:
        """The query in words: `p95 of http.server.duration by route`."""
        how = f"{self.aggregation} of the rate" if self.show == "rate" else self.show
        if self.show == "value":
            how = self.aggregation
        return f"{how} of {self.name}" + (f" by {', '.join(self.by)}" if self.by else "")

    def query(self, window: Window, step_s: int, service: str | None = None) -> MetricQuery:
        """What the store is asked, over a window. `service` is an additional condition."""
        if self.metric is None:
            raise ValueError(f"no metric is named {self.name}")
        sender = (LabelMatch(label=SERVICE, operator="=", value=service),) if service else ()
        return MetricQuery(
            metric=self.metric.name,
            kind=self.metric.kind,
            where=(*sender, *self.where),
            by=self.by,
            spans=((window.start.timestamp(), window.end.timestamp()),),
            step_s=step_s,
            gap_s=60.0,
        )


def choice_name(field: str, letter: str) -> str:
    """The name that a query's choice has in the address."""
    return field if letter == LETTERS[0] else f"{field}-{letter.lower()}"


def asked(view: View, dictionary: Sequence[Metric]) -> list[Asked]:
    """The queries of an address, in order; those without a metric's name are left out."""
    by_name: dict[str, Metric] = {}
    for metric in dictionary:
        by_name.setdefault(metric.name, metric)  # of two kinds, that with more series
    queries = []
    for letter in LETTERS:
        name = view.choice(choice_name("metric", letter)).strip()
        if name:
            queries.append(_asked(view, letter, name, by_name))
    return queries


def _asked(view: View, letter: str, name: str, by_name: Mapping[str, Metric]) -> Asked:
    metric = by_name.get(name)
    if metric is None:
        near = " or ".join(seen_name(close) for close in get_close_matches(name[:200], by_name, n=2))
        hint = f"Did you mean {near}?" if near else "Choose one from the dictionary below."
        problem = f"No metric named {seen_name(name)} arrived in this time range. {hint}"
        return Asked(letter=letter, name=name, metric=None, problem=problem)
    where, problem = conditions(view.choice(choice_name("where", letter)))
    labels = [label.strip() for label in view.choice(choice_name("by", letter)).split(",")]
    by = tuple(dict.fromkeys(label for label in labels if label))
    if len(by) > MOST_GROUPINGS:
        problem = problem or f"A query groups by at most {MOST_GROUPINGS} labels; the others are left out."
    shows = SHOWS[metric.kind]
    show = view.choice(choice_name("show", letter))
    aggregation = view.choice(choice_name("agg", letter))
    usual = "sum" if metric.kind == "counter" or show == "rate" else "avg"
    return Asked(
        letter=letter,
        name=name,
        metric=metric,
        where=where,
        by=by[:MOST_GROUPINGS],
        show=show if show in shows else shows[0],
        aggregation=aggregation if aggregation in AGGREGATIONS else usual,
        problem=problem,
    )


def conditions(text: str) -> tuple[tuple[LabelMatch, ...], str]:
    """Read `route=/cart*, status!=200, note="a, b"`; the second part names what cannot be read, empty if nothing.

    >>> conditions('route=/cart*')[0]
    (LabelMatch(label='route', operator='=', value='/cart*'),)
    """
    matches: list[LabelMatch] = []
    at = 0
    while at < len(text) and text[at:].strip():
        read = _CONDITION.match(text, at)
        if read is None:
            rest = seen_name(text[at:].strip(), 60)
            return tuple(matches), (
                f'"{rest}" is no condition. Write label=value or label!=value, separated by commas. '
                "* stands for any text."
            )
        operator: Operator = "!=" if read[2] == "!=" else "="
        matches.append(LabelMatch(label=read[1], operator=operator, value=read[3] if read[3] is not None else read[4]))
        at = read.end()
    if len(matches) > MOST_CONDITIONS:
        return tuple(matches[:MOST_CONDITIONS]), f"Only the first {MOST_CONDITIONS} conditions are used."
    return tuple(matches), ""
