"""How far the last hours are from the most similar hours before them: the left-only matrix profile.

After Yeh et al., Matrix Profile I (ICDM 2016), without z-normalisation (level matters in operations) and with windows
summarised by at most `SEGMENTS` means, so that a window of 1-minute rows costs what one of 5-minute rows does.

A distance is a rank's raw material, and ranks jump at a tie: so it must not depend on how many rows are judged at
once, on threads, or on which kernel multiplies matrices. Products are therefore of integers that double precision
holds exactly, in any order of summation; everything else is element by element.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

# Means that stand for a window: its shape, not its noise (piecewise aggregate approximation, Keogh 2001).
SEGMENTS: Final = 12
MOST_WINDOWS: Final = 4096  # that one window is compared with
FEWEST: Final = 4  # earlier windows before a distance means anything
# Fixed point: a summary is an integer of so many bits, in units of the largest earlier one. A row that lies further out
# has up to so many octaves more (what is larger counts as that: 512 times everything seen is far enough). A product of
# two, twice, summed over the segments, stays below the 53 bits that a double holds: 19 + 19 + 9 + 1 + log2(12) < 52.
BITS: Final = 19
OCTAVES_BEYOND: Final = 9


def summaries(values: Floats, window: int) -> Floats:
    """Each row's last `window` rows as at most `SEGMENTS` means, (n, segments), from the first value on."""
    segments = min(window, SEGMENTS)
    edges = np.rint(np.linspace(0, window, segments + 1)).astype(int)
    total = np.concatenate([[0.0], np.cumsum(values - values[0])])  # small numbers keep their digits
    end = np.arange(1, values.size + 1)
    out = np.empty((values.size, segments))
    for i in range(segments):
        newest, oldest = np.maximum(end - edges[i], 0), np.maximum(end - edges[i + 1], 0)
        out[:, i] = (total[newest] - total[oldest]) / (edges[i + 1] - edges[i])
    return out


def nearest(values: Floats, window: int, *, memory: int, cut: list[tuple[int, int]]) -> Floats:
    """The distance of each row's window to the nearest one that ended before it began, (n,); 0 before there are any.

    Args:
        values: (n,)
        window: rows.
        memory: how many rows back windows are remembered.
        cut: blocks of rows, as from `tails.blocks`; a block is compared with what came before it.
    """
    shape = summaries(values, window)
    out = np.zeros(values.size)
    for first, end in cut:
        newest = first - window
        oldest = max(window - 1, newest - memory)
        if newest - oldest < FEWEST:
            continue
        # Neighbouring windows are similar: step by a segment, and never compare with more than fits.
        step = max(1, window // SEGMENTS, -(-(newest - oldest) // MOST_WINDOWS))
        start = newest - 1 - (newest - 1 - oldest) // step * step
        out[first:end] = _least_squares(shape[first:end], shape[start:newest:step])
    return np.asarray(np.sqrt(out * (window / shape.shape[1])), np.float64)


def _least_squares(ours: Floats, theirs: Floats) -> Floats:
    """The least squared distance of each of `ours`, (n, segments), to any of `theirs`, (m, segments): exact, (n,)."""
    largest = np.abs(theirs).max()
    octave = int(np.frexp(largest)[1]) if largest > 0 else int(np.frexp(np.abs(ours).max())[1]) - OCTAVES_BEYOND
    limit = np.ldexp(1.0, octave + OCTAVES_BEYOND)
    near = np.clip(ours, -limit, limit)
    beyond = np.clip(np.frexp(np.abs(near).max(axis=1))[1] - octave, 0, OCTAVES_BEYOND)
    a = np.rint(np.ldexp(near, (BITS - octave - beyond)[:, None]))
    b = np.rint(np.ldexp(theirs, BITS - octave))
    # [-2a, 1] · [b, |b|²] is the squared distance less |a|², in one product of integers.
    left = np.hstack([np.ldexp(-2.0 * a, beyond[:, None]), np.ones((a.shape[0], 1))])
    right = np.hstack([b, np.square(b).sum(axis=1, keepdims=True)])
    least = (left @ right.T).min(axis=1)
    squares = np.ldexp(np.square(a).sum(axis=1), 2 * beyond)
    return np.asarray(np.ldexp(np.maximum(least + squares, 0.0), 2 * (octave - BITS)), np.float64)


def same_hour(values: Floats, window: int, *, rows_a_day: int, tolerance: int, days: int) -> Floats:
    """The distance of each row's window to the nearest of earlier days' at that hour, (n,); 0 on the first day.

    Args:
        values: (n,)
        window: rows.
        rows_a_day: rows in 24 hours.
        tolerance: rows that a day's window may be early or late.
        days: how many days back.
    """
    shape = np.ascontiguousarray(summaries(values, window).T, np.float32)
    segments, n = shape.shape
    best = np.full(n, np.inf, np.float32)
    stride = max(1, tolerance // 2)
    for day in range(1, days + 1):
        for off in range(-tolerance, tolerance + 1, stride):
            back = day * rows_a_day + off
            if back < window or back + window >= n:
                continue
            total = np.zeros(n - back - window, np.float32)
            for row in shape:  # in this order on every machine
                apart = row[back + window :] - row[window:-back]
                total += np.square(apart, out=apart)
            np.minimum(best[back + window :], total, out=best[back + window :])
    far = np.where(np.isfinite(best), best, 0.0).astype(np.float64)
    return np.asarray(np.sqrt(far * (window / segments)), np.float64)
