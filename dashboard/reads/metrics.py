"""What the pages read of metrics: the dictionary, and any metric as lines on a plot."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

import numpy as np

from dashboard.reads.cache import Cache
from dashboard.reads.quantiles import quantile_of
from dashboard.reads.series import Floats
from watchkeeper.store import catalog_queries, metric_queries
from watchkeeper.store.metric_queries import MetricQuery
from watchkeeper.store.telemetry import Telemetry
from watchkeeper.vocabulary import Window

CATALOG_S: Final = 60.0  # what there is changes slowly
STEPS: Final = (5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21_600, 86_400)
BAND_DAYS: Final = 7
ENOUGH_DAYS: Final = 3
DAY_S: Final = 86_400
_NEAR_S: Final = 1800.0  # "the same hour": half an hour before and after
_ZERO: Final = -(2**31)  # the index of an exponential histogram's bucket of zeros


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One metric of the dictionary, over the hours that a window touches. `series` is an estimate, within 2 %."""

    name: str
    kind: str
    unit: str
    description: str
    services: int
    series: int
    points: int
    newest: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """A service that sends a metric."""

    service: str
    kind: str
    scope: str
    temporality: str
    series: int
    points: int
    newest: datetime


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Line:
    """One group of series. `times` are Unix seconds, sorted, `values` of the same shape (n_points,)."""

    labels: tuple[str, ...]
    times: Floats
    values: Floats


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Lines:
    """What a query gives: the highest groups, how many there are in all, and the seconds between points."""

    lines: Sequence[Line]
    groups: int
    step_s: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Band:
    """Between which values a line lay at this time on earlier days; all of shape (n_points,). `days` is how many."""

    times: Floats
    low: Floats
    middle: Floats
    high: Floats
    days: int


class MetricReads:
    """Reads of metrics. Every method raises StoreError if the store cannot be read."""

    def __init__(self, telemetry: Telemetry, cache: Cache) -> None:
        self._telemetry = telemetry
        self._cache = cache
        self._slow_cache = Cache(CATALOG_S)

    def dictionary(self, window: Window) -> Sequence[Metric]:
        """Every metric in the hours of a window, those with most series first; read once a minute."""

        def load() -> Sequence[Metric]:
            rows = self._telemetry.query(catalog_queries.METRICS, _bounds(window)).to_pylist()
            return [Metric(name=row.pop("metric"), **row) for row in rows]

        return self._slow_cache.get(("metrics", *_hours(window)), load)

    def senders(self, window: Window, metric: str) -> Sequence[Sender]:
        """Who sends a metric, those with most series first, at most 200."""

        def load() -> Sequence[Sender]:
            rows = self._telemetry.query(catalog_queries.SENDERS, _bounds(window) | {"metric": metric}).to_pylist()
            words = {1: "delta", 2: "cumulative"}
            return [Sender(**{**row, "temporality": words.get(row["temporality"], "")}) for row in rows]

        return self._slow_cache.get(("senders", metric, *_hours(window)), load)

    def labels(self, window: Window, metric: str) -> Sequence[tuple[str, int]]:
        """A metric's labels with how many values each has, about, the one with most first."""

        def load() -> Sequence[tuple[str, int]]:
            rows = self._telemetry.query(catalog_queries.LABELS, _bounds(window) | {"metric": metric}).to_pylist()
            return [(row["label"], row["distinct"]) for row in rows]

        return self._slow_cache.get(("labels", metric, *_hours(window)), load)

    def lines(self, asked: MetricQuery, show: str, aggregation: str) -> Lines:
        """A query's lines. `show` is value, rate, mean or a quantile such as p95; `step_s` is the least that is used.

        A step is longer than a series' own interval, so that every series has a point in it.
        """
        key = ("lines", asked, show, aggregation)
        return self._cache.get(key, lambda: self._lines(self.stepped(asked), show, aggregation))

    def stepped(self, asked: MetricQuery) -> MetricQuery:
        """The query with a step and a gap that fit how often its series are sent."""

        def load() -> float:
            start, end = asked.spans[0]
            recent = replace(asked, by=(), spans=((max(start, end - 900), end),))
            parameters = metric_queries.parameters(recent)
            rows = self._telemetry.query(metric_queries.interval_sql(recent), parameters).to_pylist()
            return float(rows[0]["interval_s"]) if rows else 0.0

        about = tuple((start // 600, end // 600) for start, end in asked.spans)
        interval_s = self._slow_cache.get(("interval", replace(asked, by=(), spans=about)), load)
        least = max(float(asked.step_s), interval_s * 1.2)
        step = next((step for step in STEPS if step >= least), STEPS[-1])
        return replace(asked, step_s=step, gap_s=max(5 * interval_s, 60.0))

    def band(self, asked: MetricQuery, show: str, aggregation: str) -> Band | None:
        """Where the one line of a query usually lies at this time of day; None with fewer than three earlier days.

        The median of what was measured within half an hour of the same time on the last seven days, and three
        robust standard deviations (1.4826 median absolute deviations) on both sides.
        """
        now = self.stepped(asked)
        start, end = now.spans[0]
        earlier = tuple((start - day * DAY_S - _NEAR_S, end - day * DAY_S + _NEAR_S) for day in range(1, BAND_DAYS + 1))
        past = replace(now, spans=earlier, step_s=max(now.step_s, 60))
        key = ("band", past, show, aggregation)
        lines = self._slow_cache.get(key, lambda: self._lines(past, show, aggregation)).lines
        return band_of(lines[0], start, end, now.step_s) if len(lines) == 1 else None

    def _lines(self, query: MetricQuery, show: str, aggregation: str) -> Lines:
        parameters = metric_queries.parameters(query)
        if show.startswith("p") and "histogram" in query.kind:
            statement = (
                metric_queries.buckets_sql(query)
                if query.kind == "histogram"
                else metric_queries.exponential_sql(query)
            )
            rows = self._telemetry.query(statement, parameters).to_pylist()
            ratio = float(show[1:]) / 100
            lines = [_quantiles(row, ratio, exponential=query.kind != "histogram") for row in rows]
        else:
            if show == "mean":
                statement = metric_queries.means_sql(query)
            elif show == "rate":
                statement = metric_queries.rates_sql(query, aggregation)
            else:
                statement = metric_queries.values_sql(query, aggregation)
            rows = self._telemetry.query(statement, parameters).to_pylist()
            lines = [
                Line(
                    labels=tuple(row["labels"]), times=np.asarray(row["steps"], float), values=np.asarray(row["points"])
                )
                for row in rows
            ]
        return Lines(lines=lines, groups=rows[0]["groups"] if rows else 0, step_s=query.step_s)


def band_of(line: Line, start: float, end: float, step_s: int) -> Band | None:
    """The usual values of a line for each step from `start` to `end`, from its points on earlier days."""
    times = np.arange(-(-start // step_s) * step_s, end, step_s, dtype=float)
    days = len(np.unique(np.round((start - line.times) / DAY_S)))
    if days < ENOUGH_DAYS or not times.size:
        return None
    low, middle, high = (np.full(times.shape, math.nan) for _ in range(3))
    for place, at in enumerate(times):
        apart = np.abs((line.times - at + DAY_S / 2) % DAY_S - DAY_S / 2)
        near = line.values[apart <= _NEAR_S]
        if near.size >= ENOUGH_DAYS:
            middle[place] = np.median(near)
            spread = 3 * 1.4826 * float(np.median(np.abs(near - middle[place])))
            low[place], high[place] = middle[place] - spread, middle[place] + spread
    return Band(times=times, low=low, middle=middle, high=high, days=days)


def _quantiles(row: dict[str, Any], ratio: float, *, exponential: bool) -> Line:
    """The quantile of each step of one group, by linear interpolation within a bucket."""
    by_step: dict[int, list[tuple[float, float, float]]] = {}
    if exponential:
        for step, scale, index, seen in zip(row["steps"], row["scales"], row["indexes"], row["counts"], strict=True):
            base = 2.0 ** (2.0**-scale)
            low, high = (0.0, 0.0) if index == _ZERO else (base**index, base ** (index + 1))
            by_step.setdefault(step, []).append((low, high, float(seen)))
    else:
        for step, bounds, counts in zip(row["steps"], row["bounds"], row["counts"], strict=True):
            # Of what is above the last bound, only that is known; what is below the first lies above 0, if that can be.
            lows = [min(0.0, bounds[0]) if bounds else 0.0, *bounds]
            highs = [*bounds, bounds[-1] if bounds else 0.0]
            by_step.setdefault(step, []).extend(zip(lows, highs, map(float, counts), strict=True))
    steps = sorted(by_step)
    values = [quantile_of(by_step[step], ratio) for step in steps]
    return Line(labels=tuple(row["labels"]), times=np.asarray(steps, float), values=np.asarray(values))


def _bounds(window: Window) -> dict[str, float]:
    return {"start": window.start.timestamp(), "end": window.end.timestamp()}


def _hours(window: Window) -> tuple[int, int]:
    return int(window.start.timestamp()) // 3600, -(-int(window.end.timestamp()) // 3600)
