"""A quantile of observations of which only the buckets are known."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def quantile_of(buckets: Sequence[tuple[float, float, float]], ratio: float) -> float:
    """The value below which `ratio` (0 to 1) of the observations lie, by linear interpolation within buckets.

    `buckets` are (low, high, observations), in any order; they may overlap, as those of two layouts do. NaN if there
    is no observation.

    >>> quantile_of([(0.0, 10.0, 50.0), (10.0, 20.0, 50.0)], 0.75)
    15.0
    """
    low, high, counts = np.array(buckets, dtype=float).reshape(-1, 3).T
    total = counts.sum()
    if total <= 0:
        return float("nan")
    edges = np.unique(np.concatenate([low, high]))
    width = np.where(high > low, high - low, 1.0)
    # How many observations lie below each edge, and up to it, shape (n_edges,): a bucket without a width is a step.
    inside = np.clip((edges[:, None] - low) / width, 0.0, 1.0)
    below = np.where(high > low, inside, edges[:, None] > low) @ counts
    up_to = np.where(high > low, inside, edges[:, None] >= low) @ counts
    return float(np.interp(ratio * total, np.ravel([below, up_to], order="F"), np.repeat(edges, 2)))
