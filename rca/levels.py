"""Levels and spreads that a few bad samples cannot move, and doubt for small counts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from rca.case import F64, I64

MAD_TO_SIGMA = 1.4826  # 1 / (the normal distribution's third quartile): makes the MAD of normal values their sigma
FLOOR_SHARE = 0.05  # a level that never moved may move by a twentieth: rounding and coarse units hide that much
HALF_AT = 3.0  # robust sigmas that are believed by half: of normal values, one in 370 is farther out
SHARE_HALF_AT = 4.0  # the same for a change of a share, in standard errors
PRIOR_COUNT = 3.0  # occurrences at which a share is half believed; below two, not at all
FEWEST_COUNTED = 2
TINY = 1e-9  # keeps a division by what never varied finite


def level_and_spread(values: F64, floor_share: float = FLOOR_SHARE) -> tuple[float, float]:
    """Median and robust standard deviation (MAD), the latter at least `floor_share` of the level.

    `values` is `(n,)`, n ≥ 1, finite. The floor keeps a flat history from making any change infinite.
    """
    middle = float(np.median(values))
    spread = float(np.median(np.abs(values - middle))) * MAD_TO_SIGMA
    return middle, max(spread, abs(middle) * floor_share, TINY)


def trust(z: float, half_at: float = HALF_AT) -> float:
    """How far to believe a change of `z` spreads: 0 at none, 1/2 at `half_at`, towards 1."""
    return z * z / (z * z + half_at * half_at) if z > 0 else 0.0


def shares(amounts: Mapping[str, float], doubt: float) -> dict[str, float]:
    """Amounts as shares of their sum plus `doubt` (what noise alone would amount to)."""
    positive = {name: amount for name, amount in amounts.items() if amount > 0}
    total = sum(positive.values()) + doubt
    return {name: amount / total for name, amount in positive.items()} if total > 0 else {}


def groups(codes: I64) -> Iterator[tuple[int, I64]]:
    """Each distinct code with the row numbers that carry it, `(k,)`; one sort, no scan per code."""
    if len(codes) == 0:
        return
    order = np.argsort(codes, kind="stable")
    ordered = codes[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    for start, end in zip(starts, np.r_[starts[1:], len(ordered)], strict=True):
        yield int(ordered[start]), order[start:end]


def change_of_share(before: F64, after: F64, n0: F64, n1: F64) -> F64:
    """Signed changes of shares `after / n1` against `before / n0`, effect times trust, `(n,)`, -1 to 1.

    0 where either side was seen less than twice; shrunk where it was seen a few times only.
    """
    p0, p1 = before / np.maximum(n0, 1.0), after / np.maximum(n1, 1.0)
    smooth = (before + 0.5) / (n0 + 1.0)  # Jeffreys' prior: what was never seen is not impossible
    error = np.sqrt(smooth * (1 - smooth) * (1 / np.maximum(n0, 1.0) + 1 / np.maximum(n1, 1.0)))
    z = np.abs(p1 - p0) / np.maximum(error, TINY)
    shrink = n0 / (n0 + PRIOR_COUNT) * n1 / (n1 + PRIOR_COUNT)
    believed = np.array([trust(float(one), SHARE_HALF_AT) for one in z])
    return np.where((n0 >= FEWEST_COUNTED) & (n1 >= FEWEST_COUNTED), (p1 - p0) * believed * shrink, 0.0)
