"""Intervals of what was measured a few times: a share, a rate and a median, each with its bounds (95 %)."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import NormalDist, median
from typing import Final

CONFIDENCE: Final = 0.95  # of every interval that is shown
_Z: Final = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """`right` of `count`. `low` and `high` bound the share behind it: 0 and 1 where nothing was counted."""

    right: int
    count: int

    @property
    def value(self) -> float | None:
        return self.right / self.count if self.count else None

    @property
    def low(self) -> float:
        return wilson(self.right, self.count)[0]

    @property
    def high(self) -> float:
        return wilson(self.right, self.count)[1]

    @classmethod
    def of(cls, answers: Iterable[bool | None]) -> Share:
        """The share of those that are true; None was not counted."""
        known = [bool(answer) for answer in answers if answer is not None]
        return cls(right=sum(known), count=len(known))


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """`events` in `hours`. `low` and `high` bound the events an hour; `high` is infinite where nothing was watched."""

    events: int
    hours: float

    @property
    def value(self) -> float | None:
        return self.events / self.hours if self.hours else None

    @property
    def low(self) -> float:
        return poisson(self.events)[0] / self.hours if self.hours else 0.0

    @property
    def high(self) -> float:
        return poisson(self.events)[1] / self.hours if self.hours else math.inf


@dataclass(frozen=True, slots=True, kw_only=True)
class Median:
    """The median of `count` numbers. `low` and `high` are None where so few numbers bound it on no side."""

    value: float | None
    low: float | None
    high: float | None
    count: int

    @classmethod
    def of(cls, numbers: Iterable[float | None]) -> Median:
        """By order statistics, without a guess about the distribution; None was not measured.

        Source: W. J. Conover, Practical Nonparametric Statistics (1999), section 3.2.

        >>> Median.of([8.0, 9.0, 30.0, 11.0, 12.0, 10.0])
        Median(value=10.5, low=8.0, high=30.0, count=6)
        """
        known = sorted(number for number in numbers if number is not None)
        if not known:
            return cls(value=None, low=None, high=None, count=0)
        outside = _outermost(len(known))
        low, high = (known[outside], known[-1 - outside]) if outside is not None else (None, None)
        return cls(value=median(known), low=low, high=high, count=len(known))


def wilson(right: int, count: int) -> tuple[float, float]:
    """The interval of a share. Source: E. B. Wilson, JASA 22 (1927).

    >>> [round(bound, 3) for bound in wilson(9, 10)]
    [0.596, 0.982]
    """
    if count == 0:
        return 0.0, 1.0
    share, spread = right / count, _Z * _Z / count
    middle = share + spread / 2
    half = math.sqrt(spread * (share * (1 - share) + spread / 4))
    low, high = (middle - half) / (1 + spread), (middle + half) / (1 + spread)
    # At the ends the formula gives exactly 0 and 1, but for the last digit.
    return (0.0 if right == 0 else low), (1.0 if right == count else high)


def poisson(events: int) -> tuple[float, float]:
    """The exact interval of a count's expectation. Source: F. Garwood, Biometrika 28 (1936).

    >>> [round(bound, 2) for bound in poisson(0)], [round(bound, 2) for bound in poisson(3)]
    ([0.0, 3.69], [0.62, 8.77])
    """
    tail = (1 - CONFIDENCE) / 2
    low = _expectation(events - 1, 1 - tail) if events else 0.0
    return low, _expectation(events, tail)


def _expectation(events: int, at_most: float) -> float:
    """The expectation with which `events` or fewer come with the probability `at_most`, by bisection."""
    low, high = 0.0, 10.0 + 3.0 * events + 10.0 * math.sqrt(events)
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if _cumulative(events, middle) > at_most else (low, middle)
    return (low + high) / 2


def _cumulative(events: int, expected: float) -> float:
    logs = (count * math.log(expected) - expected - math.lgamma(count + 1) for count in range(events + 1))
    return math.fsum(math.exp(log) for log in logs)


def _outermost(count: int) -> int | None:
    """How many numbers at either end lie outside the interval of the median; None where all of them are too few."""
    tail, outside = 0.0, None
    for below in range(count // 2):
        ways = math.lgamma(count + 1) - math.lgamma(below + 1) - math.lgamma(count - below + 1)
        tail += math.exp(ways - count * math.log(2))
        if tail > (1 - CONFIDENCE) / 2:
            break
        outside = below
    return outside
