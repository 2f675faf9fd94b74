"""From surprise to decision: how bad each bucket is, and when it is bad enough, early and without flapping.

A score says how unusual one bucket is. The decision is a cumulative sum of scores above a drift: two clearly bad
buckets raise it, a single outlier never does, and a mild shift needs longer. It ends when the last buckets are
normal again.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

# In standard deviations of a bucket. A bucket counts at most CLIP, so that one alone stays below RAISE.
CLIP: Final = 8.0
DRIFT: Final = 2.0
RAISE: Final = 8.0


def robust_level(values: Floats, usable: Bools) -> tuple[Floats, Floats]:
    """Median and spread (1.4826 x median absolute deviation) of each row's usable values.

    `values` and `usable` are (n, m); both results (n,), NaN where a row has nothing usable.
    """
    known = usable.sum(axis=1)
    centre = _median(np.where(usable, values, np.nan), known)
    return centre, 1.4826 * _median(np.where(usable, np.abs(values - centre[:, None]), np.nan), known)


def _median(values: Floats, known: npt.NDArray[np.int64]) -> Floats:
    """Each row's median of its `known` values that are not NaN; twenty times as fast as `numpy.nanmedian`."""
    ranked = np.sort(values, axis=1)  # NaN comes last
    rows, last = np.arange(len(ranked)), np.maximum(known - 1, 0)
    return np.asarray(0.5 * (ranked[rows, last // 2] + ranked[rows, (last + 1) // 2]))


def cumulative(scores: Floats) -> Floats:
    """Page's cumulative sum along each row of (n, m) scores; a bucket without a score (NaN) changes nothing.

    Source: E. S. Page, Continuous inspection schemes, Biometrika 41 (1954).
    """
    steps = np.where(np.isnan(scores), 0.0, np.clip(scores, -CLIP, CLIP) - DRIFT)
    total = np.cumsum(steps, axis=1)
    low = np.minimum(np.minimum.accumulate(total, axis=1), 0.0)
    return np.asarray(total - low)


def first_bad(scores: Floats) -> npt.NDArray[np.int64]:
    """The column at which the run of badness that lasts to the end began: after the last zero of the sum."""
    sums = cumulative(scores)
    columns = np.arange(scores.shape[1])
    last_zero = np.where(sums <= 0, columns, -1).max(axis=1)
    return np.asarray(np.minimum(last_zero + 1, scores.shape[1] - 1))


def to_probability(sums: Floats) -> Floats:
    """A score from 0 to 1: 0.5 where the decision is raised, towards 1 as evidence gathers."""
    return np.asarray(np.clip(sums / (sums + RAISE), 0.0, 1.0))


def by_group(code: npt.NDArray[np.int64], values: Floats) -> Floats:
    """Sums of the rows of `values` (n, m) that share a code, (groups, m); codes (n,) are 0 to groups - 1, each used.

    A sort and one pass: `numpy.add.at` does the same twenty times slower.
    """
    order = np.argsort(code, kind="stable")
    starts = np.flatnonzero(np.diff(code[order], prepend=-1))
    return np.asarray(np.add.reduceat(values[order], starts, axis=0), np.float64)
