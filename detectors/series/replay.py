"""The accurate tier: one recorded series, each row judged by itself and the rows before it.

Idea: ten statistics, of one to twelve hours each (the distance to the nearest earlier hours, to the same hour of
earlier days, residuals of the hour of day, robust spreads, steps of the mean), each turned into the rarity it has
among its own past, then fused by their quadratic mean. A young series leans on prior tails, a long one on ranks. Beside
it, events that recur and form a class of their own (`recurring`). One configuration for every series.

Assumes rows in roughly even steps; windows are hours, turned into rows by the median of the first steps. Fails on
anomalies that look like something seen before. Costs about 15 µs a row of a long series, more for the first thousand.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from detectors.series import neighbours, recurring, rolling
from detectors.series.tails import YOUNGEST, blocks, decades
from watchkeeper.errors import DetectorError

Floats = npt.NDArray[np.float64]

STEP_ROWS: Final = YOUNGEST  # the first steps' median is the series' step: no row before them is judged
FEWEST_ROWS: Final = 3  # of a window that has a shape
MEMORY: Final = 8000  # rows of the past; 2,000 cost a fifth of the events on one development set
RATIO_WEIGHT: Final = 1000.0  # rows of its own that the prior tail of a distance is worth
SPREAD_WEIGHT: Final = 1500.0  # and that of a residual; both chosen on the development sets
SLOW_HOURS: Final = 2000.0  # memory of the slow level: a quarter of a year
QUICK_HOURS: Final = 200.0  # and of the quick one: a good week
LARGEST: Final = 1e30  # a value beyond it counts as it: distances are squared, in single precision
DAYS_BACK: Final = 14  # that a day is compared with: two weeks hold each weekday twice
POINTS_OF_AN_HOUR: Final = 0.4  # decades that a decade of rows an hour costs: more rows, more chances


# The statistics, and whether each is a distance (ranked by ratios) or a residual in spreads. All count the same: twenty
# weights chosen on two public sets ranked no better on the one, and worse on the other.
RATIO: Final[dict[str, bool]] = {
    "nearest hour": True,
    "nearest 4 hours": True,
    "same hours of other days": True,
    "hour of day, 2 hours": True,
    "hour of day, 12 hours": True,
    "step of 4 hours": True,
    "hour of day, 1 hour, in spreads": False,
    "1 hour in slow spreads": False,
    "1 hour in quick spreads": False,
    "row in slow spreads": False,
}
# Those that look at the last hour alone: beside the last days, and beside the same hour of other days.
FRESH: Final = ("1 hour in quick spreads", "hour of day, 1 hour, in spreads")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rarity:
    """What is fused for each row of one series.

    Attributes:
        hours: (n,) since the first row, never going back.
        decades: (n,) fused rarity, about -log10 of a probability, ≥ 0; comparable between series.
        fresh: (n,) rarity of the last hour alone: longer windows still see what is over.
        step: hours from row to row.
        recurring: (first, end) rows of events of a class of their own, see `recurring.Recurring`.
        apart: (n,) how far the last hour is from all that is ordinary, in the bulk of such distances.
    """

    hours: Floats
    decades: Floats
    fresh: Floats
    step: float
    recurring: Sequence[tuple[int, int]]
    apart: Floats


def rarity(at_s: Floats, values: Floats) -> Rarity:
    """Judge one series.

    Args:
        at_s: (n,) Unix seconds. A step back counts as no time passed.
        values: (n,) NaN and infinities count as the last value.
    """
    if at_s.shape != values.shape or values.ndim != 1:
        raise DetectorError(f"at_s has shape {at_s.shape} and values {values.shape}: both must be (n,)")
    n = values.size
    if n == 0:
        none = np.empty(0)
        return Rarity(hours=none, decades=none, fresh=none, step=1.0, recurring=(), apart=none)
    hours = np.maximum.accumulate((at_s - at_s[0]) / 3600.0)
    step = step_hours(hours)
    filled = held(values)
    root = np.sign(filled) * np.sqrt(np.abs(filled))
    cut = blocks(n)
    total, fresh = np.zeros(n), np.full(n, np.inf)
    for name, statistic in _statistics(root, at_s, step, cut).items():
        ratio = RATIO[name]
        weight = RATIO_WEIGHT if ratio else SPREAD_WEIGHT
        rare = decades(statistic, ratio=ratio, weight=weight, memory=MEMORY, cut=cut)
        total += rare * rare
        if name in FRESH:
            np.minimum(fresh, rare, out=fresh)
    fused = np.sqrt(total / len(RATIO)) - POINTS_OF_AN_HOUR * np.log10(max(1.0, 1.0 / step))
    again = recurring.judge(root, at_s, hours, step, np.logical_and.accumulate(filled == np.rint(filled)))
    return Rarity(
        hours=hours,
        decades=np.maximum(fused, 0.0),
        fresh=fresh,
        step=step,
        recurring=again.events,
        apart=again.apart,
    )


def step_hours(hours: Floats) -> float:
    """Hours from row to row: the median of the first steps, at least a second."""
    return max(float(np.median(np.diff(hours[:STEP_ROWS]))), 1 / 3600.0) if hours.size > 1 else 1.0


def held(values: Floats) -> Floats:
    """Missing and infinite values replaced by the last known one, or 0 before any."""
    known = np.isfinite(values)
    newest = np.maximum.accumulate(np.where(known, np.arange(values.size), -1))
    filled = np.where(newest >= 0, values[np.maximum(newest, 0)], 0.0)
    return np.asarray(np.clip(filled, -LARGEST, LARGEST), np.float64)


def _statistics(root: Floats, at_s: Floats, step: float, cut: list[tuple[int, int]]) -> dict[str, Floats]:
    def rows(hours: float, fewest: int = 1) -> int:
        return max(fewest, round(hours / step))

    hour = rows(1)
    hourly = rolling.mean(root, hour)
    residual = rolling.of_hour(root, (at_s % 86_400 // 3600).astype(np.int64))
    of_hour = rolling.mean(residual, hour)
    return {
        "nearest hour": neighbours.nearest(root, rows(1, FEWEST_ROWS), memory=MEMORY, cut=cut),
        "nearest 4 hours": neighbours.nearest(root, rows(4, FEWEST_ROWS), memory=MEMORY, cut=cut),
        "same hours of other days": neighbours.same_hour(
            root, rows(4, FEWEST_ROWS), rows_a_day=rows(24), tolerance=hour, days=DAYS_BACK
        ),
        "hour of day, 2 hours": np.abs(rolling.mean(residual, rows(2))),
        "hour of day, 12 hours": np.abs(rolling.mean(residual, rows(12))),
        "step of 4 hours": rolling.step_of_means(root, rows(4, FEWEST_ROWS)),
        "hour of day, 1 hour, in spreads": rolling.in_spreads(of_hour, SLOW_HOURS * hour),
        "1 hour in slow spreads": rolling.spreads(hourly, SLOW_HOURS * hour),
        "1 hour in quick spreads": rolling.spreads(hourly, QUICK_HOURS * hour),
        "row in slow spreads": rolling.spreads(root, SLOW_HOURS),
    }
