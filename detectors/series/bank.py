"""The fast tier: thousands of series advance together, one value each a tick.

Idea: what a series should read is a robust level, a damped trend and a bucket of the day, learned as it goes; the
residual in robust spreads is ranked among the series' own earlier residuals, so that a score means the same
everywhere. While a series is young its rank leans on a fixed prior tail.

Assumes ticks that move forward. A level that shifts is surprising for `SHIFT_TICKS` ticks and then becomes the new
level. Fails on waves that are neither daily nor slower than the level's memory: they widen the spread and hide
small anomalies. Costs about 0.2 µs a series and tick, and 400 bytes a series.

    >>> import numpy as np
    >>> bank = SeriesBank(2)
    >>> noise = np.random.default_rng(0)
    >>> for tick in range(200):
    ...     scores = bank.update(10 + noise.normal(size=2), at=5.0 * tick)
    >>> scores = bank.update(np.array([10.0, 90.0]), at=1000.0)
    >>> bool(scores[0] < 0.99), bool(scores[1] > 0.999)
    (True, True)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from detectors.series.tails import prior_of_spreads
from watchkeeper.errors import DetectorError

Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]
Stage = Literal["waiting", "level", "rank", "season"]

BUCKETS: Final = 48  # of the day, half an hour each
DAY_S: Final = 86_400
BINS: Final = 24  # eight octaves at three a octave: residuals from 1/8 of a spread to 32 spreads
LAST_BIN: Final = np.float32(BINS - 1)
BINS_AN_OCTAVE: Final = np.float32(3)  # a rank is exact to a quarter of a residual
SMALLEST_BIN: Final = np.float32(0.125)  # spreads; below it all residuals are equal
LEVEL_GAIN: Final = np.float32(1 / 300)  # a tick
SPREAD_GAIN: Final = np.float32(1 / 1000)  # a tick; slower than the level, so that a burst does not widen it
TREND_GAIN: Final = np.float32(1 / 300 / 1500)  # a tick; a trend is believed over some 1,500 levels
# Of a trend at each tick: one that is not fed fades within minutes (Gardner and McKenzie 1985).
TREND_DAMPING: Final = np.float32(0.98)
SEASON_MEMORY: Final = np.float32(200)  # values of one bucket
MOST_TIMES: Final = 250  # values of one bucket of the day that are counted: the counts are single bytes
SEASON_DAYS: Final = 2.0  # before the wave is believed
SEASON_GAIN: Final = np.float32(0.9)  # how much smaller it must make the error
RANK_MEMORY: Final = 8000  # ticks; shorter histories rank worse, measured on both development sets
LARGEST_WEIGHT: Final = 1e6  # bounds a sum in single precision
PRIOR_TICKS: Final = np.float32(100)  # the prior tail weighs as much as so many ticks of the series' own
READY_TICKS: Final = 12  # a minute of 5-second ticks
SHIFT_TICKS: Final = 12  # ticks on one side before a level counts as shifted: a minute of 5-second ticks
SHIFT_SPREADS: Final = np.float32(4)  # and so far out, each of them
CLIP_SPREADS: Final = np.float32(3)  # how far one value may move what was learned
COUNT_SPREAD: Final = np.float32(0.4)  # of the square root of a count: Poisson's is 0.5
MEAN_TO_SPREAD: Final = np.float32(1.2533)  # mean absolute deviation to standard deviation, normal residuals
RELATIVE_FLOOR: Final = np.float32(2e-3)  # of the level's root: a steadier series is treated as this steady
LARGEST: Final = 1e30  # a value beyond it counts as it: single precision has to hold what is made of it
SMALLEST: Final = np.float32(1e-6)  # a spread is never less: nothing is divided by zero
ZERO, ONE, TWO, FOUR = (np.float32(number) for number in (0, 1, 2, 4))


@dataclass(frozen=True, slots=True, kw_only=True)
class StageOf:
    """How far one series has learned, and why no further."""

    stage: Stage
    reason: str


class SeriesBank:
    """Scores one value of every series a tick; state is arrays with series along the last axis, mostly float32.

    Args:
        n_series: how many series to begin with; `grow` adds more.
        counters: (n_series,) true where values are monotonic counters: their rate is judged, and a reset
            (the value falls) counts from zero.
        ready_ticks: values of a series before it is judged.

    Values that are NaN or infinite are missing: they score 0 and teach nothing. A tick that is not later than
    the one before it is dropped (`late` counts them).
    """

    def __init__(self, n_series: int, counters: Bools | None = None, *, ready_ticks: int = READY_TICKS) -> None:
        self.late = 0
        self.ready_ticks = ready_ticks
        self._at = -np.inf
        self._weight = 1.0  # of one tick in the rank histogram; grows, so that older ticks count less
        self._level = self._trend = self._spread = self._score = np.zeros(0, np.float32)
        self._plain_error = self._season_error = self._total = np.zeros(0, np.float32)
        self._seen = self._silent = np.zeros(0, np.uint32)
        self._run = np.zeros(0, np.int8)
        self._shifts = np.zeros(0, np.uint16)
        self._whole = self._counter = np.zeros(0, np.bool_)
        self._first_at = self._before = self._before_at = np.zeros(0, np.float64)  # a counter needs all its digits
        self._season = np.zeros((BUCKETS, 0), np.float32)
        self._season_n = np.zeros((BUCKETS, 0), np.uint8)
        self._at_least = np.zeros((BINS + 1, 0), np.float32)
        self.grow(n_series, counters)

    def __len__(self) -> int:
        return self._level.size

    @property
    def nbytes(self) -> int:
        """Bytes of state."""
        return sum(column.nbytes for column in vars(self).values() if isinstance(column, np.ndarray))

    def grow(self, more: int, counters: Bools | None = None) -> None:
        """Add `more` series at the end."""
        if more < 0:
            raise DetectorError(f"{more} more series: it must be 0 or more")
        kinds = np.zeros(more, np.bool_) if counters is None else np.asarray(counters, np.bool_)
        if kinds.shape != (more,):
            raise DetectorError(f"counters has shape {kinds.shape}, but {more} series are added")
        for name, column in list(vars(self).items()):
            if isinstance(column, np.ndarray):
                wider = np.concatenate([column, np.zeros((*column.shape[:-1], more), column.dtype)], axis=-1)
                setattr(self, name, wider)
        fresh = slice(len(self) - more, None)
        self._counter[fresh] = kinds
        self._whole[fresh] = True
        self._first_at[fresh] = self._before[fresh] = self._before_at[fresh] = np.nan

    @property
    def silent(self) -> npt.NDArray[np.uint32]:
        """Ticks since each series' last value, (n_series,)."""
        return self._silent

    @property
    def seen(self) -> npt.NDArray[np.uint32]:
        """How many values of each series were learned, (n_series,)."""
        return self._seen

    @property
    def far(self) -> npt.NDArray[np.int8]:
        """For how many ticks each series has been more than `SHIFT_SPREADS` out, on one side, (n_series,)."""
        return np.abs(self._run)

    @property
    def shifts(self) -> npt.NDArray[np.uint16]:
        """How often each series' level was moved to a new one, (n_series,)."""
        return self._shifts

    @property
    def expected(self) -> Floats:
        """What each series should read, apart from its wave of the day, in its own units, (n_series,)."""
        root = self._level + self._trend
        return np.asarray(np.sign(root) * root * root, np.float32)

    def stage(self, series: int) -> StageOf:
        """How far one series has learned, and why no further."""
        seen = int(self._seen[series])
        if seen < self.ready_ticks:
            return StageOf(stage="waiting", reason=f"{seen} of {self.ready_ticks} values seen")
        if seen < PRIOR_TICKS:
            return StageOf(stage="level", reason=f"ranks lean on the prior until {PRIOR_TICKS:.0f} values; {seen} seen")
        days = (self._at - float(self._first_at[series])) / DAY_S
        if days < SEASON_DAYS:
            return StageOf(stage="rank", reason=f"the day's wave needs {SEASON_DAYS:.0f} days; {days:.1f} seen")
        if not self._season_helps()[series]:
            return StageOf(stage="rank", reason="the hour of day does not make it more predictable")
        return StageOf(stage="season", reason="level, ranks and the day's wave are learned")

    def update(self, values: npt.ArrayLike, at: float) -> Floats:
        """Take one value of every series, (n_series,), at Unix seconds `at`; return scores, (n_series,), 0 to 1.

        The score uses what was learned before this tick; then the tick is learned.
        """
        given = np.asarray(values, np.float64)
        if given.shape != (len(self),):
            raise DetectorError(f"values has shape {given.shape}, the bank holds {len(self)} series")
        if not at > self._at:
            self.late += 1
            return self._score.copy()
        self._at = at
        root, known = self._roots(given, at)
        bucket = int(at % DAY_S) * BUCKETS // DAY_S
        season = self._season[bucket]
        plain = self._level + self._trend
        off = root - plain
        residual = off - np.where(self._season_helps(), season, ZERO)  # a bucket not yet seen reads 0
        spread = self._floored_spread()
        z = np.abs(residual) / spread
        column = self._bin(z)
        ready = known & (self._seen >= self.ready_ticks)
        self._score = np.where(ready, ONE - self._tail(z, column), ZERO)
        self._learn(off, known, residual, bucket, spread)
        self._shift(known, residual, z)
        self._rank(ready, column)
        self._seen += known
        self._silent = np.where(known, 0, self._silent + 1).astype(np.uint32)
        return self._score.copy()

    def _roots(self, given: npt.NDArray[np.float64], at: float) -> tuple[Floats, Bools]:
        """Signed square roots (counts get even noise, tails get shorter), rates for counters, and what is known."""
        known = np.isfinite(given)
        value = np.where(known, given, 0.0)
        if self._counter.any():
            with np.errstate(over="ignore"):  # what becomes infinite is the largest number below
                step = np.where(value < self._before, value, value - self._before)
                rate = step / np.maximum(at - self._before_at, 1e-9)
            value = np.where(self._counter, np.nan_to_num(rate), value)
            judged = known & ~(self._counter & np.isnan(self._before))
            np.copyto(self._before, given, where=known)
            np.copyto(self._before_at, at, where=known)
            known = judged
        self._whole &= ~known | (value == np.rint(value))
        np.copyto(self._first_at, at, where=known & (self._seen == 0))
        root = np.clip(value, -LARGEST, LARGEST).astype(np.float32)
        return np.copysign(np.sqrt(np.abs(root)), root), known

    def _season_helps(self) -> Bools:
        old = self._first_at <= self._at - SEASON_DAYS * DAY_S
        return np.asarray(old & (self._season_error < SEASON_GAIN * self._plain_error), np.bool_)

    def _floored_spread(self) -> Floats:
        floor = np.where(self._whole, COUNT_SPREAD, SMALLEST)
        np.maximum(floor, RELATIVE_FLOOR * np.abs(self._level), out=floor)
        return np.asarray(np.maximum(MEAN_TO_SPREAD * self._spread, floor), np.float32)

    def _tail(self, z: Floats, column: npt.NDArray[np.intp]) -> Floats:
        """The share of normal ticks that lie as far out as `z` spreads: the series' own rank, and the prior."""
        rows = np.arange(z.size)
        own = (self._at_least[column, rows] + self._at_least[column + 1, rows]) * np.float32(0.5 / self._weight)
        prior = prior_of_spreads(z)
        return np.asarray((own + PRIOR_TICKS * prior) / (self._total / np.float32(self._weight) + PRIOR_TICKS))

    @staticmethod
    def _bin(z: Floats) -> npt.NDArray[np.intp]:
        octave = np.log2(np.maximum(z, SMALLEST_BIN) * np.float32(1 / SMALLEST_BIN))
        return np.minimum(octave * BINS_AN_OCTAVE, LAST_BIN).astype(np.intp)

    def _learn(self, off: Floats, known: Bools, residual: Floats, bucket: int, spread: Floats) -> None:
        taught = known.astype(np.float32)
        young = taught / (self._seen + ONE)
        fresh = known & (self._seen == 0)
        warm = self._seen >= self.ready_ticks
        limit = np.where(warm, CLIP_SPREADS * spread, np.float32(np.inf))
        clipped = np.minimum(np.maximum(residual, -limit), limit)
        step = taught * clipped
        self._level += taught * self._trend + np.maximum(young, taught * LEVEL_GAIN) * step
        self._trend *= np.where(known, TREND_DAMPING, ZERO)
        self._trend += np.where(warm, TREND_GAIN, ZERO) * step
        gain = np.where(fresh, ZERO, np.maximum(young, taught * SPREAD_GAIN))
        self._spread += gain * (np.minimum(np.abs(residual), TWO * limit) - self._spread)
        # Would the bucket have predicted better than the level alone? That decides whether it is believed.
        season, times = self._season[bucket], self._season_n[bucket]
        slow = np.where((times > 0) & warm, taught * SPREAD_GAIN, ZERO)
        most = FOUR * spread
        self._plain_error += slow * (np.minimum(np.abs(off), most) - self._plain_error)
        self._season_error += slow * (np.minimum(np.abs(off - season), most) - self._season_error)
        season += np.where(known & warm, (off - season) / np.minimum(times + ONE, SEASON_MEMORY), ZERO)
        times += known & warm & (times < MOST_TIMES)

    def _shift(self, known: Bools, residual: Floats, z: Floats) -> None:
        """After enough ticks far out on the same side, the new level is the level: surprising once, then normal."""
        far = known & (z > SHIFT_SPREADS) & (self._seen >= self.ready_ticks)
        if not far.any() and not self._run.any():
            return
        side = np.where(residual > 0, 1, -1).astype(np.int8)
        same = far & (np.sign(self._run) != -side)
        self._run = np.where(same, self._run + side, np.where(known, far * side, self._run)).astype(np.int8)
        moved = np.flatnonzero(np.abs(self._run) >= SHIFT_TICKS)
        if moved.size:
            self._level[moved] += residual[moved]
            self._trend[moved] = 0
            self._spread[moved] *= np.float32(1.5)
            self._run[moved] = 0
            self._shifts[moved] += np.uint16(1)

    def _rank(self, ready: Bools, column: npt.NDArray[np.intp]) -> None:
        weight = np.float32(self._weight)
        top = np.where(ready, column, -1).astype(np.int8)
        for i in range(BINS):  # far fewer bins than series; a row at a time is kind to the cache
            self._at_least[i] += (top >= i) * weight
        self._total += ready * weight
        self._weight *= 1 + 1 / RANK_MEMORY
        if self._weight > LARGEST_WEIGHT:
            self._at_least /= weight
            self._total /= weight
            self._weight = 1.0
