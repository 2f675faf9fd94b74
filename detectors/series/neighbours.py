"""How far the last hours are from the most similar hours before them: the left-only matrix profile.

After Yeh et al., Matrix Profile I (ICDM 2016), without z-normalisation (level matters in operations) and with windows
summarised by at most `SEGMENTS` means, so that a window of 1-minute rows costs what one of 5-minute rows does.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

SEGMENTS: Final = 12
MOST_WINDOWS: Final = 4096  # that one window is compared with
FEWEST: Final = 4
ROUNDING: Final = 1e-6


def summaries(values: Floats, window: int) -> npt.NDArray[np.float32]:
    """Each row's last `window` rows as at most `SEGMENTS` means, (n, segments); scaled so that distances add up."""
    segments = min(window, SEGMENTS)
    edges = np.rint(np.linspace(0, window, segments + 1)).astype(int)
    shifted = values - values[:window].mean()  # float32 below wants small numbers
    total = np.concatenate([[0.0], np.cumsum(shifted)])
    end = np.arange(1, values.size + 1)
    found = np.empty((values.size, segments), np.float32)
    for i in range(segments):
        newest, oldest = np.maximum(end - edges[i], 0), np.maximum(end - edges[i + 1], 0)
        found[:, i] = (total[newest] - total[oldest]) / (edges[i + 1] - edges[i])
    return found * np.float32(np.sqrt(window / segments))


def nearest(values: Floats, window: int, *, memory: int, cut: list[tuple[int, int]]) -> Floats:
    """The distance of each row's window to the nearest one that ended before it began, (n,); 0 before there are any.

    Args:
        values: (n,)
        window: rows.
        memory: how many rows back windows are remembered.
        cut: blocks of rows, as from `tails.blocks`; a block is compared with what came before it.
    """
    shape = summaries(values, window)
    squares = np.einsum("ij,ij->i", shape, shape)
    # [-2a, 1] · [b, |b|²] is the squared distance less |a|², in one product.
    ours = np.hstack([-2 * shape, np.ones((values.size, 1), np.float32)])
    theirs = np.hstack([shape, squares[:, None]])
    found = np.zeros(values.size)
    for first, end in cut:
        newest = first - window
        oldest = max(window - 1, newest - memory)
        if newest - oldest < FEWEST:
            continue
        # Neighbouring windows are alike: step by a segment, and never compare with more than fits.
        step = max(1, window // SEGMENTS, -(-(newest - oldest) // MOST_WINDOWS))
        start = newest - 1 - (newest - 1 - oldest) // step * step
        product = ours[first:end] @ theirs[start:newest:step].T
        found[first:end] = product.min(axis=1) + squares[first:end]
    # What single precision leaves of a difference of such squares is rounding; a row's own size, so no row looks ahead.
    return np.sqrt(np.where(found > ROUNDING * squares, found, 0.0))


def same_hour(values: Floats, window: int, *, rows_a_day: int, tolerance: int, days: int) -> Floats:
    """The distance of each row's window to the nearest of earlier days' at that hour, (n,); 0 on the first day.

    Args:
        values: (n,)
        window: rows.
        rows_a_day: rows in 24 hours.
        tolerance: rows that a day's window may be early or late.
        days: how many days back.
    """
    shape = summaries(values, window)
    n = values.size
    best = np.full(n, np.inf, np.float32)
    stride = max(1, tolerance // 2)
    for day in range(1, days + 1):
        for off in range(-tolerance, tolerance + 1, stride):
            back = day * rows_a_day + off
            if back < window or back + window >= n:
                continue
            apart = shape[back + window :] - shape[window:-back]
            np.minimum(best[back + window :], np.einsum("ij,ij->i", apart, apart), out=best[back + window :])
    return np.sqrt(np.where(np.isfinite(best), best, 0.0)).astype(np.float64)
