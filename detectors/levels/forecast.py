"""When a limit will be reached, from the trend of what is used of it.

Idea: of the last 1, 3, 10 and 30 minutes, each cut into blocks, the lowest value of every block is the envelope that a
garbage collector's sawtooth leaves alone. A window rises if the envelope's Theil-Sen slope is positive, nearly every
later block is higher than the earlier ones (Kendall), both ends rise, too, and the level is a new high: what a series
reached before and came back from is its ordinary course. The time left is the distance to the
limit over the slope. The longer it is, the longer the rise must have been seen.

Source: P. K. Sen, Estimates of the regression coefficient based on Kendall's tau, JASA 63 (1968).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from detectors.evidence import Floats

WINDOWS_S: Final = (60.0, 180.0, 600.0, 1800.0)
BLOCKS: Final = 10
FEWEST: Final = 4  # points or blocks of a window: what reports once a minute has no more in three
CONCORDANT: Final = 0.8  # the share of pairs of blocks that rise
STEADY: Final = 0.4  # the slope of either end over the entire one, at least: else it settles, or has just begun
STRAIGHT: Final = 0.2  # how far blocks lie off the line (root mean square), over the rise: a step is no trend
LEAST_RISE: Final = 0.02  # of the limit, in a window
LEAST_PAST_S: Final = 900.0  # a process that has just begun takes what it needs
NEW_HIGH: Final = 0.02  # of the limit, above what was reached before the window


@dataclass(frozen=True, slots=True, kw_only=True)
class Rise:
    """A steady rise: `level` (share of the limit) now, `per_s`, seen for `seen_s`, over `before` at its start.

    `left_s` is the time until the limit is reached, `latest_s` the same by the slopes' lower quartile.
    """

    level: float
    before: float
    per_s: float
    seen_s: float
    left_s: float
    latest_s: float


def rises(at: Floats, level: Floats, *, known_s: float, highest_before: float = -np.inf) -> list[Rise]:
    """The windows in which a level rises, the shortest first.

    Args:
        at: seconds, `(n,)`, ascending.
        level: the share of the limit, `(n,)`, finite.
        known_s: for how long the series has been known; a window needs a past as long as itself.
        highest_before: the highest level of what lies before the first point.
    """
    out = []
    for seconds in WINDOWS_S:
        inside = at > at[-1] - seconds - 1.0
        if inside.sum() < FEWEST or at[-1] - at[inside][0] < 0.75 * seconds or known_s < max(2 * seconds, LEAST_PAST_S):
            continue
        earlier = level[~inside]
        highest = max(highest_before, float(earlier.max()) if len(earlier) else -np.inf)
        now = _lowest_now(level[inside])
        if now < highest + NEW_HIGH or now < level[inside].min() + LEAST_RISE:
            continue  # most series, most of the time: nothing that costs more is computed
        rise = _rise(at[inside], level[inside])
        if rise is not None:
            out.append(rise)
    return out


def _lowest_now(level: Floats) -> float:
    """The lowest of the last values: one high value is no new high."""
    return float(level[-max(2, len(level) // BLOCKS) :].min())


def _rise(at: Floats, level: Floats) -> Rise | None:
    blocks = np.minimum(((at - at[0]) / (at[-1] - at[0]) * BLOCKS).astype(np.int64), BLOCKS - 1)
    used = np.unique(blocks)
    if len(used) < FEWEST:
        return None
    lowest = np.array([level[blocks == block].min() for block in used])
    times = np.array([at[blocks == block].mean() for block in used])
    first, second = np.triu_indices(len(used), 1)
    slopes = (lowest[second] - lowest[first]) / (times[second] - times[first])
    slope, low = float(np.median(slopes)), float(np.quantile(slopes, 0.25))
    seen = float(at[-1] - at[0])
    if slope <= 0 or (slopes > 0).mean() < CONCORDANT or slope * seen < LEAST_RISE:
        return None
    part = max(3, (len(used) + 2) // 3)
    early = float(np.median(slopes[second < part]))
    late = float(np.median(slopes[first >= len(used) - part]))
    off = lowest - slope * times
    if min(early, late) < STEADY * slope or off.std() > STRAIGHT * slope * seen:
        return None
    level_now = _lowest_now(level)
    left = max(0.0, 1.0 - float(np.median(level[-max(2, len(level) // BLOCKS) :])))
    latest = left / low if low > 0 else np.inf
    return Rise(
        level=level_now, before=float(lowest[0]), per_s=slope, seen_s=seen, left_s=left / slope, latest_s=float(latest)
    )
