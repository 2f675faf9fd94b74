"""How rare a statistic is: its rank among its own past, leaning on a prior tail while that past is short.

    p = (earlier values as large + weight × prior tail) / (earlier values + weight)

The prior is the tail that such statistics have on average; the weight says how many values of a series' own it is
worth. With a long history the rank decides; beyond everything seen, the prior orders what the rank cannot.
"""

from __future__ import annotations

from typing import Final, TypeVar

import numpy as np
import numpy.typing as npt

# Pooled over normal rows of two public sets of very different kind, |z| of residuals exceeds 1, 2, 3, 4 spreads with
# probability 10^-0.65, 10^-1.4, 10^-2.0, 10^-2.4: close to exponential in z, far heavier than a normal tail.
Real = TypeVar("Real", np.float32, np.float64)

YOUNGEST: Final = 16  # values before anything is ranked
SPREADS_DECADES: Final = 0.7
# And a distance exceeds u times its own 90 % quantile about like 0.1 / u^4.5 (measured: u = 2 → 10^-2.05, 3 → 10^-2.5).
QUANTILE: Final = 0.9  # of distances, by which they are made comparable
RATIO_POWER: Final = 4.5
# Statistics that differ in later bits than these are equal: what exp() rounds to on one processor and not on another
# must not move a rank.
SIGNIFICANT_BITS: Final = 26


def prior_of_spreads(z: npt.NDArray[Real]) -> npt.NDArray[Real]:
    """The prior tail probability of a residual of `z` ≥ 0 robust spreads."""
    return np.asarray(np.exp(z * z.dtype.type(-SPREADS_DECADES * np.log(10.0))))


def prior_of_ratio(u: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The prior tail probability of a distance that is `u` times its own 90 % quantile."""
    return np.asarray(np.minimum((1 - QUANTILE) * np.maximum(u, 1e-3) ** -RATIO_POWER, 1.0))


def blocks(n: int, *, largest: int = 256, share: int = 16) -> list[tuple[int, int]]:
    """Cut `n` rows into blocks that are judged against everything before them: (first, end) of each.

    A block is at most 1/`share` of what came before it, so a rank is at most that stale; the first rows go one by one.
    """
    cut: list[tuple[int, int]] = []
    first = 0
    while first < n:
        end = min(n, first + max(1, min(largest, first // share)))
        cut.append((first, end))
        first = end
    return cut


def significant(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Values, (n,), rounded to `SIGNIFICANT_BITS`."""
    mantissa, exponent = np.frexp(values)
    return np.asarray(np.ldexp(np.rint(np.ldexp(mantissa, SIGNIFICANT_BITS)), exponent - SIGNIFICANT_BITS))


class Reference:
    """The sorted last `memory` values of one statistic: what it has been."""

    def __init__(self, memory: int) -> None:
        self._memory = memory
        self._arrived: list[npt.NDArray[np.float64]] = []
        self._size = 0
        self.sorted = np.empty(0)

    def add(self, values: npt.NDArray[np.float64]) -> None:
        """Add the newest values, (n,), and forget the oldest beyond the memory."""
        self._arrived.append(values)
        self._size += values.size
        # Two sorted runs: the stable sort merges them in linear time.
        merged = np.concatenate([self.sorted, np.sort(values)])
        merged.sort(kind="stable")
        while self._size - self._arrived[0].size >= self._memory:
            merged = self._without(merged, self._arrived.pop(0))
        self.sorted = merged

    def _without(self, merged: npt.NDArray[np.float64], gone: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        self._size -= gone.size
        ordered = np.sort(gone)
        place = np.searchsorted(merged, ordered)
        # Equal values take the places after each other.
        first = np.searchsorted(ordered, ordered)
        place = place + np.arange(ordered.size) - first
        keep = np.ones(merged.size, np.bool_)
        keep[place] = False
        return merged[keep]


def decades(
    statistic: npt.NDArray[np.float64],
    *,
    ratio: bool,
    weight: float,
    memory: int,
    cut: list[tuple[int, int]],
) -> npt.NDArray[np.float64]:
    """How rare each value is among those before its block, as -log10 of the tail probability, (n,), ≥ 0.

    Args:
        statistic: (n,), larger is stranger.
        ratio: the prior is that of a distance over its own 90 % quantile; else `statistic` is in robust spreads.
        weight: how many values the prior is worth.
        memory: how many earlier values are kept.
        cut: blocks of rows, as from `blocks`.
    """
    out = np.zeros(statistic.size)
    statistic = significant(statistic)
    reference = Reference(memory)
    for first, end in cut:
        value = statistic[first:end]
        if first >= YOUNGEST:
            past = reference.sorted
            count = past.size
            beyond = count - np.searchsorted(past, value, "left")
            prior = prior_of_spreads(value)
            if ratio:
                scale = past[int(QUANTILE * count)] if count else 0.0
                scale = scale or (past[-1] if count else 0.0) or 1.0
                prior = prior_of_ratio(value / scale)
            out[first:end] = -np.log10(np.maximum((beyond + weight * prior) / (count + weight), 1e-15))
        reference.add(value)
    return out
