"""Which attributes distinguish one group of spans from another by more than chance."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from watchkeeper.intervals import wilson
from watchkeeper.store.span_comparison import SpanComparison, ValueCount

BY_CHANCE: Final = 0.01  # of naming even one value where nothing differs
SMALLEST: Final = 0.02  # a share's difference; less explains nothing, however sure it is


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A value whose share differs: `share_selected` and `share_others` from 0 to 1; `low` and `high` bound their
    difference (95 %)."""

    value: ValueCount
    share_selected: float
    share_others: float
    low: float
    high: float

    @property
    def difference(self) -> float:
        return self.share_selected - self.share_others

    @property
    def certain(self) -> float:
        """The smallest difference, without its sign, that the interval leaves."""
        return min(abs(self.low), abs(self.high))


def differences(comparison: SpanComparison) -> Sequence[Difference]:
    """Values whose shares differ by more than chance, the largest certain difference first.

    Fisher's exact test for each value, corrected for their number by Bonferroni. The interval is Newcombe's,
    of two Wilson intervals (R. G. Newcombe, Statistics in Medicine 17, 1998, method 10).
    """
    n, m = comparison.sampled_selected, comparison.sampled_others
    if not n or not m:
        return []
    named = [
        _difference(value, n, m)
        for value in comparison.values
        if chance(value.selected, n, value.others, m) * len(comparison.values) < BY_CHANCE
    ]
    certain = [one for one in named if abs(one.difference) >= SMALLEST and one.low * one.high > 0]
    return sorted(certain, key=_rank)


def _rank(one: Difference) -> tuple[float, bool, str, str, str]:
    """Of a value that replaces another one, the one that the selected spans have comes first."""
    return -round(one.certain, 2), one.difference < 0, one.value.place, one.value.key, one.value.value


def chance(a: int, n: int, b: int, m: int) -> float:
    """The probability that `a` of `n` and `b` of `m` differ so much by chance, two-sided, from 0 to 1.

    Twice the tail of Fisher's exact test: it holds for the smallest groups, too.

    >>> round(chance(2, 2, 10, 50), 2), chance(90, 100, 10, 100) < 1e-20
    (0.11, True)
    """
    hits = a + b
    least, most = max(0, hits - m), min(n, hits)
    upwards = a * (n + m) >= hits * n
    log = _log_choose(hits, a) + _log_choose(n + m - hits, n - a) - _log_choose(n + m, n)
    term = total = 1.0
    x = a
    while (x < most if upwards else x > least) and term > total * 1e-9:
        if upwards:
            term *= (hits - x) * (n - x) / ((x + 1) * (m - hits + x + 1))
            x += 1
        else:
            term *= x * (m - hits + x) / ((hits - x + 1) * (n - x + 1))
            x -= 1
        total += term
    return min(1.0, 2 * math.exp(min(0.0, log)) * total)


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)


def _difference(value: ValueCount, n: int, m: int) -> Difference:
    one, other = value.selected / n, value.others / m
    (low1, high1), (low2, high2) = wilson(value.selected, n), wilson(value.others, m)
    low = one - other - math.hypot(one - low1, high2 - other)
    high = one - other + math.hypot(high1 - one, other - low2)
    return Difference(value=value, share_selected=one, share_others=other, low=low, high=high)
