"""Events of one series that form a class of their own: a quiet base, and trouble that comes again and again.

Idea: ranks cannot see trouble that is frequent, since each event makes the next one less rare. What they lack is the
gap: hours that are far above the bulk, with hardly any hours between the two. So the hours' distances from what is
ordinary are searched for the lowest threshold with a gap below it. Once a series has shown such a class, each new event
of the class counts, however many came before, unless it was to be expected: at the time of day or after the interval
at which most of them come (a schedule), or in a storm (many more in two days than this series usually has).

Assumes that events last from minutes to hours. Fails on events of every size down to the noise, which leave no gap.
Costs about 2 µs a row, and 0.3 ms an hour that is far out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.special import bdtr

from detectors.series import rolling

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]
Bools = npt.NDArray[np.bool_]
Span = tuple[int, int]

BASE_H: Final = 72  # complete hours whose median is the base: a new level is the base after a day and a half
MEMORY_H: Final = 720  # hours: a month of the past
YOUNGEST_H: Final = 36  # hours before anything is a class
BULK: Final = 0.8  # quantile of the hours' distances that stands for the bulk: events are fewer than a fifth
FAR: Final = 5.0  # bulks; for normal noise 6 standard deviations
COUNT_NOISE: Final = 0.5  # standard deviation of the square root of a count, after Poisson
COUNT_BULK: Final = 2.0  # of that noise: a bulk below it is the steps between small counts
LARGEST_DUTY: Final = 0.2  # of the hours; what is more frequent is how the series works
FEWEST: Final = 4  # events before they are a class
GAPS: Final = (1.5, 2.0, 3.0)  # how many times larger the smallest event is than what lies below it
TAIL_POWER: Final = 2.0  # a tail this heavy is no class: hours above z fall as z to this power
BY_CHANCE: Final = 0.005  # that such a tail leaves so few hours in the gap
MOST_IN_GAP: Final = 0.5  # hours in the gap, for each event
THRESHOLDS: Final = np.power(1.15, -np.arange(1.0, 24.0))  # of the largest hour, downwards: 1.4 decades
SMALLEST: Final = 1e-9  # bulk: a constant series divides by nothing
CALM_H: Final = 0.5  # below the gap before an event is over
SCHEDULE_EVENTS: Final = 14  # newest events that are searched for a schedule
SCHEDULE_SHARE: Final = 0.6  # of them that came one interval after another
DAY_TOLERANCE_H: Final = 1.25
INTERVAL_TOLERANCE: Final = 0.1  # of the usual interval
STORM_H: Final = 48.0
STORM_TIMES: Final = 2.0  # of the events that the series usually has in so many hours


@dataclass(frozen=True, slots=True, kw_only=True)
class Recurring:
    """What is known of one series' events beside ranks.

    Attributes:
        events: (first, end) rows of events of a class of their own that were not to be expected, `end` exclusive. Each
            is found by its first row and the rows before it; its end by the rows up to its end.
        apart: (n,) how far the last hour is from all that is ordinary, in the bulk of such distances.
    """

    events: Sequence[Span]
    apart: Floats


def judge(root: Floats, at_s: Floats, hours: Floats, step: float, whole: Bools) -> Recurring:
    """Find the events of one series that form a class of their own.

    Args:
        root: (n,) signed square roots of the values, without gaps.
        at_s: (n,) Unix seconds.
        hours: (n,) since the first row, never going back.
        step: hours from row to row.
        whole: (n,) whether all values up to the row are whole numbers: counts.
    """
    slot = np.maximum.accumulate(np.floor(hours + 1e-9)) if step <= 1 else np.arange(root.size)
    first = np.flatnonzero(np.diff(slot, prepend=-1.0) != 0)
    if first.size <= YOUNGEST_H:
        return Recurring(events=(), apart=np.zeros(root.size))
    hour = max(1, round(1 / step))
    bounds = np.append(first, root.size)
    distance, off_base = _distances(root, at_s, bounds, hour)
    usual = _bulks(np.maximum.reduceat(off_base, first), whole[first], COUNT_NOISE / np.sqrt(hour))
    apart = distance / np.repeat(usual, np.diff(bounds))
    largest = np.maximum.reduceat(distance, first)
    far = np.flatnonzero((largest >= FAR * usual) & (largest > 0))
    events = _events(distance, largest, FAR * usual, far, bounds, hours, max(1, round(CALM_H / step)))
    return Recurring(events=events, apart=apart)


def _events(
    distance: Floats, largest: Floats, least: Floats, far: Ints, bounds: Ints, hours: Floats, calm: int
) -> list[Span]:
    """The events that begin in the hours `far`; hour i has the rows from `bounds[i]` to the next bound."""
    found: list[Span] = []
    begins: list[float] = []
    end = 0
    for hour in far.tolist():
        gap = _gap(largest[max(0, hour - MEMORY_H) : hour], least[hour]) if bounds[hour + 1] > end else None
        if gap is None:
            continue
        begin = max(int(bounds[hour]), end)
        inside = np.flatnonzero(distance[begin : bounds[hour + 1]] >= max(np.sqrt(gap[0] * gap[1]), least[hour]))
        if not inside.size:
            continue
        begin += int(inside[0])
        end = _end(distance, begin, gap[0], calm)
        now = float(hours[begin])
        if not _scheduled(np.array(begins), now) and not _storm([*begins, now]):
            found.append((begin, end))
        begins.append(now)
    return found


def _distances(root: Floats, at_s: Floats, bounds: Ints, hour: int) -> tuple[Floats, Floats]:
    """How far each row's last hour is from all that is ordinary then, (n,), and from the base alone, (n,).

    Ordinary are the base, what this hour of the day and its neighbours usually read, and all between. Hour i has the
    rows from `bounds[i]` to the next bound.
    """
    rows = np.diff(bounds)
    means = np.add.reduceat(root, bounds[:-1]) / rows
    before = np.concatenate([np.full(BASE_H, np.nan), means[:-1]])
    base = np.empty(means.size)
    base[: BASE_H + 1] = [np.median(means[:i]) if i else root[0] for i in range(min(BASE_H + 1, means.size))]
    if means.size > BASE_H:
        base[BASE_H:] = np.median(np.lib.stride_tricks.sliding_window_view(before, BASE_H)[BASE_H:], axis=1)
    of_row = np.repeat(base, rows)
    recent = rolling.mean(root, hour)
    lowest, highest = of_row.copy(), of_row.copy()
    for usual in rolling.usual_around(recent, (at_s % 86_400 // 3600).astype(np.int64)):
        np.fmin(lowest, usual, out=lowest)
        np.fmax(highest, usual, out=highest)
    return np.maximum(np.maximum(lowest - recent, recent - highest), 0.0), np.abs(recent - of_row)


def _bulks(off_base: Floats, whole: Bools, noise: float) -> Floats:
    """The bulk of the distances of the hours before each hour, (hours,); infinite while there are too few."""
    bulk = np.full(off_base.size, np.inf)
    for hour in range(YOUNGEST_H, off_base.size):
        past = off_base[max(0, hour - MEMORY_H) : hour]
        place = int(BULK * (past.size - 1))
        bulk[hour] = max(np.partition(past, place)[place], SMALLEST)
    return np.where(whole & (bulk <= COUNT_BULK * noise), noise, bulk)


def _gap(largest: Floats, least: float) -> tuple[float, float] | None:
    """The lower and upper edge of the lowest gap among the past hours, (n,), whose upper edge is `least` or more."""
    top = float(largest.max())
    upper = top * THRESHOLDS
    above = largest >= upper[:, None]
    usable = (above.mean(axis=1) <= LARGEST_DUTY) & (upper >= least)
    if top <= 0 or not usable.any():
        return None
    upper, above = upper[usable], above[usable]
    count = above[:, 0] + (above[:, 1:] & ~above[:, :-1]).sum(axis=1)
    near = above.copy()  # an event's rise and fall cross the gap
    near[:, 1:] |= above[:, :-1]
    near[:, :-1] |= above[:, 1:]
    best: tuple[float, float] | None = None
    for times in GAPS:
        lower = upper / times
        between = ((largest >= lower[:, None]) & ~near).sum(axis=1)
        chance = bdtr(between, count + between, 1 - times**-TAIL_POWER)
        clear = np.flatnonzero((chance <= BY_CHANCE) & (count >= FEWEST) & (between <= MOST_IN_GAP * count))
        if clear.size and (best is None or upper[clear[-1]] < best[1]):
            best = float(lower[clear[-1]]), float(upper[clear[-1]])
    return best


def _end(distance: Floats, begin: int, lower: float, calm: int) -> int:
    """The row at which an event is over: below the gap for `calm` rows; the number of rows while it goes on."""
    reach = max(64, 4 * calm)
    while True:
        over = np.flatnonzero(rolling.lasted(distance[begin : begin + reach] < lower) >= calm)
        if over.size:
            return begin + int(over[0])
        if begin + reach >= distance.size:
            return distance.size
        reach *= 4


def _scheduled(begins: Floats, now: float) -> bool:
    """Whether an event now comes when most of the newest ones came: a day, or the usual interval, after another."""
    if begins.size < FEWEST - 1:
        return False
    newest = begins[-SCHEDULE_EVENTS:]
    usual = float(np.median(np.diff(begins[-SCHEDULE_EVENTS - 1 :])))
    for interval, tolerance in ((24.0, DAY_TOLERANCE_H), (usual, INTERVAL_TOLERANCE * usual)):
        asked = np.append(newest[1:], now) - interval
        came = np.asarray((np.abs(begins[:, None] - asked) <= tolerance).any(axis=0))
        if came[-1] and came[:-1].mean() >= SCHEDULE_SHARE:
            return True
    return False


def _storm(begins: list[float]) -> bool:
    """Whether the newest of `begins` is one of many more within `STORM_H` than this series usually has."""
    now = begins[-1]
    recent = sum(begin > now - STORM_H for begin in begins)
    return recent > 1 + STORM_TIMES * STORM_H * len(begins) / max(now, STORM_H)
