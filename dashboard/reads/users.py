"""What users feel: the services they reach first, and how these served them before a moment and since.

The detectors know entry points exactly, from days of history (`detectors.red.entries`). A page has one window: it
takes the same share of requests without a parent span for enough.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import numpy as np

from dashboard.figures.topology import Call
from dashboard.reads.series import RedSeries, Served
from detectors.red.entries import DIRECT

FAILED_MORE: Final = 0.01  # of the requests, beyond what failed before
SLOWER: Final = 1.5  # times the latency before, and more than SLOWER_MS longer
SLOWER_MS: Final = 50.0
FEWER: Final = 0.5  # of the requests before


@dataclass(frozen=True, slots=True, kw_only=True)
class Felt:
    """One entry point before a moment and since."""

    entry: str
    before: Served
    since: Served

    @property
    def fails(self) -> bool:
        return (self.since.error_ratio or 0.0) >= (self.before.error_ratio or 0.0) + FAILED_MORE

    @property
    def is_slow(self) -> bool:
        before, since = self.before.p95_ms, self.since.p95_ms
        return before is not None and since is not None and since >= max(before * SLOWER, before + SLOWER_MS)

    @property
    def is_missed(self) -> bool:
        """Whether most of its requests do not come any more."""
        return self.before.per_second > 0 and self.since.per_second < self.before.per_second * FEWER

    @property
    def is_hurt(self) -> bool:
        return self.fails or self.is_slow or self.is_missed

    @property
    def harm(self) -> tuple[float, float]:
        """Sorts the worst last: failed requests first, then how many times slower."""
        slower = (self.since.p95_ms or 0.0) / self.before.p95_ms if self.before.p95_ms else 0.0
        return self.since.errors if self.fails else 0.0, slower


def entry_points(series: Mapping[str, RedSeries], calls: Callable[[], Iterable[Call]]) -> tuple[str, ...]:
    """The services that users reach first, by name.

    Where no request at all lacks a parent, as where browsers begin the traces, they are those that nobody calls:
    only then are `calls` asked for.
    """
    direct = [name for name, one in series.items() if one.direct >= max(1.0, DIRECT * float(one.calls.sum()))]
    if direct:
        return tuple(sorted(direct))
    called = {call.callee for call in calls() if call.caller != call.callee}
    return tuple(sorted(set(series) - called))


def felt(series: Mapping[str, RedSeries], entries: Iterable[str], at: datetime, end: datetime) -> tuple[Felt, ...]:
    """How each entry point served before `at`, and from then until `end`: the worst first."""
    found = []
    for name in entries:
        one = series[name]
        cut = _bucket(one, at)
        last = max(cut + 1, _bucket(one, end))
        found.append(Felt(entry=name, before=one.over(slice(0, cut)), since=one.over(slice(cut, last))))
    return tuple(sorted(found, key=lambda each: (each.is_hurt, each.harm, each.since.per_second), reverse=True))


def _bucket(series: RedSeries, at: datetime) -> int:
    """Where a moment lies on the series' grid, from 0 to its length."""
    return int(np.clip((at - series.start).total_seconds() // series.step_s, 0, len(series.calls)))
