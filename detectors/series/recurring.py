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
COUNT_BULK: Final = 0.5  # the bulk of a count's square root is no less: the 80 % quantile of Poisson's noise
LARGEST_DUTY: Final = 0.2  # of the hours; what is more frequent is how the series works
FEWEST: Final = 4  # events before they are a class
GAPS: Final = (1.5, 2.0, 3.0)  # how many times larger the smallest event is than what lies below it
TAIL_POWER: Final = 2.0  # a tail this heavy is no class: hours above z fall as z to this power
BY_CHANCE: Final = 0.005  # that such a tail leaves so few hours in the gap
MOST_IN_GAP: Final = 0.5  # hours in the gap, for each event
THRESHOLDS: Final = np.power(1.15, -np.arange(1.0, 24.0))  # of the largest hour, downwards: 1.4 decades
CALM_H: Final = 0.5  # below the gap before an event is over
SCHEDULE_EVENTS: Final = 14  # newest events that are searched for a schedule
SCHEDULE_SHARE: Final = 0.6  # of them that came one interval after another
DAY_TOLERANCE_H: Final = 1.25
INTERVAL_TOLERANCE: Final = 0.1  # of the usual interval
STORM_H: Final = 48.0
STORM_TIMES: Final = 2.0  # of the events that the series usually has in so many hours


def events(root: Floats, at_s: Floats, hours: Floats, step: float, whole: Bools) -> list[Span]:
    """The events of a class of their own that were not to be expected, as rows: (first, end), `end` exclusive.

    Each event is found by its first row and the rows before it; its end by the rows up to its end.

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
        return []
    distance, off_base = _distances(root, at_s, first, max(1, round(1 / step)))
    largest, bulk = np.maximum.reduceat(distance, first), np.maximum.reduceat(off_base, first)
    bounds = np.append(first, root.size)
    calm = max(1, round(CALM_H / step))
    noise = COUNT_BULK / np.sqrt(max(1, round(1 / step)))
    found: list[Span] = []
    begins: list[float] = []
    end = 0
    for hour in _candidates(largest, bulk).tolist():
        if bounds[hour + 1] <= end:
            continue
        past = slice(max(0, hour - MEMORY_H), hour)
        least = FAR * max(float(np.quantile(bulk[past], BULK)), noise * whole[bounds[hour]])
        gap = _gap(largest[past], least)
        if gap is None:
            continue
        begin = max(int(bounds[hour]), end)
        inside = np.flatnonzero(distance[begin : bounds[hour + 1]] >= max(np.sqrt(gap[0] * gap[1]), least))
        if not inside.size:
            continue
        begin += int(inside[0])
        end = _end(distance, begin, gap[0], calm)
        now = float(hours[begin])
        if not _scheduled(np.array(begins), now) and not _storm([*begins, now]):
            found.append((begin, end))
        begins.append(now)
    return found


def _distances(root: Floats, at_s: Floats, first: Ints, hour: int) -> tuple[Floats, Floats]:
    """How far each row's last hour is from all that is ordinary then, (n,), and from the base alone, (n,).

    Ordinary are the base, what this hour of the day and its neighbours usually read, and all between.
    """
    means = np.add.reduceat(root, first) / np.diff(np.append(first, root.size))
    before = np.concatenate([np.full(BASE_H, np.nan), means[:-1]])
    base = np.empty(first.size)
    base[: BASE_H + 1] = [np.median(means[:i]) if i else root[0] for i in range(min(BASE_H + 1, first.size))]
    if first.size > BASE_H:
        base[BASE_H:] = np.median(np.lib.stride_tricks.sliding_window_view(before, BASE_H)[BASE_H:], axis=1)
    of_row = np.repeat(base, np.diff(np.append(first, root.size)))
    recent = rolling.mean(root, hour)
    lowest, highest = of_row.copy(), of_row.copy()
    for usual in rolling.usual_around(recent, (at_s % 86_400 // 3600).astype(np.int64)):
        np.fmin(lowest, usual, out=lowest)
        np.fmax(highest, usual, out=highest)
    return np.maximum(np.maximum(lowest - recent, recent - highest), 0.0), np.abs(recent - of_row)


def _candidates(largest: Floats, bulk: Floats) -> Ints:
    """The hours that may be far out: a bulk that is up to half a day old rules out most at little cost."""
    hours = np.arange(YOUNGEST_H, largest.size)
    stale = [np.quantile(bulk[max(0, at - MEMORY_H) : at], BULK) for at in range(YOUNGEST_H, largest.size, 12)]
    of_hour = np.repeat(stale, 12)[: hours.size]
    return np.asarray(hours[(largest[hours] >= 0.5 * FAR * of_hour) & (largest[hours] > 0)], np.intp)


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
        low = distance[begin : begin + reach] < lower
        row = np.arange(low.size)
        run = row - np.maximum.accumulate(np.where(low, -1, row))
        over = np.flatnonzero(run >= calm)
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
