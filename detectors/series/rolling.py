"""Statistics of one recorded series, each row from itself and earlier rows only.

All take values (n,) in time order and return (n,). Windows are rows: the caller turns hours into rows.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

HOUR_BUCKETS: Final = 24  # hours of the day
BUCKET_MEMORY: Final = 100  # values of one hour of the day
BUCKET_READY: Final = 3  # values of an hour before its mean is used
OVERALL_MEMORY: Final = 2000  # values: a week of five-minute rows


def mean(values: Floats, window: int) -> Floats:
    """The mean of the last `window` rows, this one included."""
    total = np.concatenate([[0.0], np.cumsum(values)])
    end = np.arange(1, values.size + 1)
    begin = np.maximum(end - window, 0)
    return np.asarray((total[end] - total[begin]) / (end - begin), np.float64)


def faded(values: Floats, memory: float) -> Floats:
    """The mean of all rows so far, this one included; beyond `memory` rows, older ones fade exponentially."""
    n = values.size
    out = np.empty(n)
    # Weights grow instead of fading, so a cumulative sum does; restarted before they overflow.
    carried, weight = 0.0, 0.0
    chunk = max(1, int(100 * memory))
    for first in range(0, n, chunk):
        part = values[first : first + chunk]
        row = np.arange(first, first + part.size)
        over = np.maximum(row - memory, 0.0)
        growth = np.exp((over - over[0]) / memory)
        sums = carried + np.cumsum(growth * part)
        weights = weight + np.cumsum(growth)
        out[first : first + part.size] = sums / weights
        step = np.exp(min(1.0, max(0.0, row[-1] + 1 - memory)) / memory)
        carried, weight = sums[-1] / growth[-1] / step, weights[-1] / growth[-1] / step
    return out


def earlier(values: Floats, first: float = 0.0) -> Floats:
    """Each row's value one row before."""
    return np.concatenate([[first], values[:-1]])


def lasted(flags: Bools) -> Ints:
    """For how many rows each flag has been set without a break, this row included; 0 where it is not."""
    row = np.arange(flags.size)
    return np.asarray(row - np.maximum.accumulate(np.where(flags, -1, row)), np.int64)


def spreads(values: Floats, memory: float) -> Floats:
    """|distance to the faded mean of earlier rows| in their faded standard deviation. Outliers widen it: on purpose."""
    shifted = values - values[0]
    centre = faded(shifted, memory)
    variance = faded(shifted * shifted, memory) - centre * centre
    centre, variance = earlier(centre), earlier(variance)
    scale = np.sqrt(np.maximum(variance, 0.0))
    usable = (scale > 1e-9 * (1.0 + np.abs(values[0]))) & (np.arange(values.size) > BUCKET_READY)
    return np.where(usable, np.abs(shifted - centre) / np.where(usable, scale, 1.0), 0.0)


def in_spreads(residual: Floats, memory: float) -> Floats:
    """|residual| in the faded root mean square of earlier ones."""
    scale = np.sqrt(np.maximum(earlier(faded(residual * residual, memory)), 0.0))
    usable = scale > 1e-9
    return np.where(usable, np.abs(residual) / np.where(usable, scale, 1.0), 0.0)


def of_hour(values: Floats, hour: Ints) -> Floats:
    """Each value minus what its hour of the day (0 to 23) usually reads; minus the overall mean until that is known."""
    usual = earlier(faded(values, OVERALL_MEMORY), 0.0)
    for bucket in range(HOUR_BUCKETS):
        rows = np.flatnonzero(hour == bucket)
        if rows.size > BUCKET_READY:
            usual[rows[BUCKET_READY:]] = earlier(faded(values[rows], BUCKET_MEMORY))[BUCKET_READY:]
    return values - usual


def usual_around(values: Floats, hour: Ints) -> Floats:
    """What the hour before, this hour and the hour after usually read at this time of day, (3, n); NaN until known."""
    out = np.full((3, values.size), np.nan)
    for bucket in range(HOUR_BUCKETS):
        rows = np.flatnonzero(hour == bucket)
        if rows.size <= BUCKET_READY:
            continue
        usual = faded(values[rows], BUCKET_MEMORY)
        for i, off in enumerate((1, 0, -1)):
            asking = np.flatnonzero(hour == (bucket + off) % HOUR_BUCKETS)
            newest = np.searchsorted(rows, asking) - 1
            known = newest >= BUCKET_READY
            out[i, asking[known]] = usual[newest[known]]
    return out


def step_of_means(values: Floats, window: int) -> Floats:
    """|mean of the last window - mean of the window before it|."""
    now = mean(values, window)
    before = np.concatenate([np.full(min(window, values.size), np.nan), now[:-window]])[: values.size]
    return np.where(np.isnan(before), 0.0, np.abs(now - np.nan_to_num(before)))
