"""Has what a stream means changed: its level, its spread, or its error rate? Quiet on a daily wave.

Idea: learn a reference, then cumulative sums of log-likelihood ratios against it (Page 1954; optimal for a known change
by Lorden 1971). Levels are compared like for like: a period is looked for by autocorrelation, its wave is taken
off, what is left is turned into normal scores by its rank in the reference, so that heavy tails do not matter. A
stream that still moves smoothly, because no whole wave was seen yet, is not judged: `waiting` says so.

Assumes evenly spaced values. Fails on a wave so slow that half a reference of it looks flat (over about 3,000 values a
wave): it costs one alarm, after which the longer memory finds the period. Costs about 4 µs a value.

    >>> import numpy as np
    >>> noise = np.random.default_rng(0)
    >>> stream = np.concatenate([noise.normal(size=1500), noise.normal(1.5, size=100)])
    >>> drift = Drift()
    >>> found = [(row, change.kind) for row, value in enumerate(stream) if (change := drift.update(value))]
    >>> len(found), found[0][1], 1500 < found[0][0] < 1530
    (1, 'level up', True)
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections import deque
from dataclasses import dataclass
from random import Random
from statistics import NormalDist
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Kind = Literal["level up", "level down", "wider", "narrower", "rate up", "rate down"]

REFERENCE: Final = 500  # values before anything is judged
LONGEST: Final = 16_384  # values remembered for the search of a period
GROWTH: Final = 1.4  # the reference is looked at again when it is so many times as long
CYCLES: Final = 3.0  # of a wave, before its period is believed
HARMONICS: Final = 12  # of a wave, at most
CLEAR: Final = 16.0  # power of a harmonic over that of noise, to be kept
NEARLY: Final = 0.85  # as high as the highest peak
PERIODIC: Final = 0.25  # autocorrelation of a period that is believed
SMOOTH: Final = 0.05  # mean autocorrelation of what is not noise
BARS: Final[dict[Kind, float]] = {"level up": 12.0, "level down": 12.0, "wider": 11.5, "narrower": 12.5}
RATE_BAR: Final = 9.4  # log-likelihood ratio at which a rate has changed: one false alarm in some ten thousand outcomes
RATE_REFERENCE: Final = 1000  # outcomes before a rate is judged: of one in a hundred, ten were true
LEARN_NO_FURTHER: Final = 20_000  # values: a longer reference would hardly change, and costs memory
_LOG2: Final = math.log(2.0)
_SCORES: Final = NormalDist()


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A change that was noticed, with its log-likelihood ratio against no change; it began `since` values ago."""

    kind: Kind
    evidence: float
    since: int


class Drift:
    """Watches the level and spread of one stream of numbers; a change is reported once, then learned as the new normal.

    Args:
        seed: of the draws between equal values.
    """

    def __init__(self, seed: int = 0) -> None:
        self._dice = Random(seed)  # noqa: S311
        self._memory: deque[float] = deque(maxlen=LONGEST)
        self._count = 0
        self.waiting = "no reference yet"
        self._forget()

    @property
    def period(self) -> float | None:
        """Values in a wave, if one was found."""
        return self._period

    def update(self, value: float) -> Change | None:
        """Take the next value; a change, if this value is what shows it. Missing and infinite values are left out."""
        if not math.isfinite(value):
            return None
        self._memory.append(value)
        self._count += 1
        self._since_start += 1
        if self._since_start == self._look_at:
            self._look()
        if self._ranks is None:
            return None
        return self._judge(self._score(value))

    def _forget(self) -> None:
        self._since_start = 0
        self._look_at = REFERENCE
        self._period: float | None = None
        self._wave: Wave | None = None
        self._ranks: list[float] | None = None
        self._allowance = 0.0
        self._sums = dict.fromkeys(BARS, 0.0)
        self._began = dict.fromkeys(BARS, 0)

    def _look(self) -> None:
        """Fit the reference anew to all that was seen since the last change."""
        self._look_at = math.ceil(self._look_at * GROWTH)
        own = min(self._since_start, len(self._memory))
        # A change does not change the period, so the whole memory is searched for it.
        self._period = period_of(np.array(self._memory))
        seen = np.array(self._memory)[-own:]
        first = self._count - own
        residual = seen
        self._wave = None
        if self._period and own < CYCLES * self._period:
            self.waiting = f"a wave of {self._period:.0f} values was found, and too few of it since the last change"
            return
        if self._period:
            self._wave = Wave.fitted(seen, first, self._period)
            residual = seen - self._wave.at(first + np.arange(own))
        if smoothness(residual) > SMOOTH and own < LONGEST:
            self.waiting = "it moves smoothly: a wave that is not yet whole, or a trend"
            return
        self.waiting = ""
        if self._since_start > LEARN_NO_FURTHER:
            return
        self._ranks = np.sort(residual).tolist()
        # The reference itself is uncertain: a change must exceed that too.
        learned = 1 + (self._wave.size if self._wave else 0)
        self._allowance = math.sqrt(learned / own)

    def _score(self, value: float) -> float:
        """The normal score of a value's rank in the reference."""
        if self._wave:
            value -= self._wave.one(self._count - 1)
        ranks = self._ranks or [0.0]
        low, high = bisect_left(ranks, value), bisect_right(ranks, value)
        # Among equal values the rank is drawn, so that counts and constants score like any other noise.
        place = (low + self._dice.random() * (high - low + 1)) / (len(ranks) + 1)
        return _SCORES.inv_cdf(min(max(place, 1e-6), 1 - 1e-6))

    def _judge(self, z: float) -> Change | None:
        shift = 0.5 + self._allowance
        steps: dict[Kind, float] = {
            "level up": z - shift,
            "level down": -z - shift,
            "wider": 0.375 * z * z - _LOG2 - self._allowance,  # twice the spread against once
            "narrower": _LOG2 - 1.5 * z * z - self._allowance,  # half of it
        }
        for kind, step in steps.items():
            total = self._sums[kind] + step
            if total <= 0:
                self._sums[kind], self._began[kind] = 0.0, self._count
                continue
            self._sums[kind] = total
            if total > BARS[kind]:
                change = Change(kind=kind, evidence=total, since=self._count - self._began[kind])
                self._forget()
                self.waiting = "a change was reported; its new normal is being learned"
                return change
        return None


class RateDrift:
    """Watches how often something is true, such as errors: a rate that doubles or halves."""

    def __init__(self) -> None:
        self._forget()

    @property
    def rate(self) -> float:
        """The reference rate, kept off 0 and 1."""
        return (self._true + 1) / (self._seen + 10)

    def update(self, happened: bool) -> Change | None:
        """Take the next outcome; a change, if this one is what shows it."""
        change = None
        if self._seen >= RATE_REFERENCE:
            for sign, factor in ((1, 2.0), (-1, 0.5)):
                usual = self.rate
                other = min(factor * usual, (1 + usual) / 2)
                step = math.log(other / usual) if happened else math.log((1 - other) / (1 - usual))
                self._sums[sign] = max(0.0, self._sums[sign] + step)
                self._length[sign] = self._length[sign] + 1 if self._sums[sign] else 0
                if self._sums[sign] > RATE_BAR:
                    change = Change(
                        kind="rate up" if sign > 0 else "rate down",
                        evidence=self._sums[sign],
                        since=self._length[sign],
                    )
        if change:
            self._forget()
            return change
        # What is being doubted is not learned.
        if self._seen < LEARN_NO_FURTHER and max(self._sums.values()) < RATE_BAR / 2:
            self._seen += 1
            self._true += happened
        return None

    def _forget(self) -> None:
        self._seen = self._true = 0
        self._sums = {1: 0.0, -1: 0.0}
        self._length = {1: 0, -1: 0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wave:
    """A repeating shape: the harmonics of a period that stand clear of the noise, as cosines and sines."""

    period: float
    turns: tuple[float, ...]  # radians a value, of each harmonic
    cosines: tuple[float, ...]
    sines: tuple[float, ...]

    @classmethod
    def fitted(cls, seen: Floats, first: int, period: float) -> Wave:
        """Fit to values `seen`, (n,), the first of which is number `first`; the period is refined on the way."""
        # Least squares, not projection: a last wave that is not whole would leak into the others.
        exact = period
        for share in (16, 256):  # of one wave: how far off the wave may be after all of the values
            tried = exact + period * period / seen.size / share * np.arange(-16, 17)
            left = [_fit(seen, first, np.array([2 * np.pi / candidate]))[1] for candidate in tried.tolist()]
            exact = float(tried[int(np.argmin(left))])
        turns = 2 * np.pi / exact * np.arange(1, min(HARMONICS, int((exact - 1) / 2)) + 1, dtype=np.float64)
        weights, noise = _fit(seen, first, turns)
        kept = np.abs(weights) ** 2 * seen.size / 2 > CLEAR * noise
        kept[0] = True
        turns = np.asarray(turns[kept], np.float64)
        weights, _ = _fit(seen, first, turns)
        return cls(
            period=exact,
            turns=tuple(turns.tolist()),
            cosines=tuple(weights.real.tolist()),
            sines=tuple(weights.imag.tolist()),
        )

    @property
    def size(self) -> int:
        """How many numbers were learned."""
        return 2 * len(self.turns)

    def at(self, rows: npt.NDArray[np.int64]) -> Floats:
        """The wave at value numbers, (n,)."""
        angle = np.outer(self.turns, rows)
        return np.asarray(self.cosines @ np.cos(angle) + self.sines @ np.sin(angle), np.float64)

    def one(self, row: int) -> float:
        """The wave at one value number."""
        return sum(
            c * math.cos(turn * row) + s * math.sin(turn * row)
            for turn, c, s in zip(self.turns, self.cosines, self.sines, strict=True)
        )


def _fit(seen: Floats, first: int, turns: Floats) -> tuple[npt.NDArray[np.complex128], float]:
    """Cosine + i sine weights of each frequency by least squares beside a constant, and the mean square left."""
    angle = np.outer(first + np.arange(seen.size), turns)
    design = np.hstack([np.ones((seen.size, 1)), np.cos(angle), np.sin(angle)])
    # The normal equations are small and well-conditioned here, and far quicker than a decomposition of the design.
    gram = design.T @ design
    solution = np.linalg.solve(gram + 1e-9 * seen.size * np.eye(gram.shape[0]), design.T @ seen)
    left = float(np.mean((seen - design @ solution) ** 2))
    return solution[1 : 1 + turns.size] + 1j * solution[1 + turns.size :], left


def autocorrelation(values: Floats) -> Floats:
    """The autocorrelation at each lag, (n,), by FFT; zero throughout for a constant.

    As `statsmodels.tsa.stattools.acf`, whose import takes seconds, in the middle of a tick.
    """
    centred = values - values.mean()
    size = 1 << (2 * values.size - 1).bit_length()
    spectrum = np.fft.rfft(centred, size)
    raw = np.fft.irfft(spectrum * np.conj(spectrum), size)[: values.size]
    return np.asarray(raw / raw[0]) if raw[0] > 0 else np.zeros(values.size)


def smoothness(values: Floats) -> float:
    """The mean autocorrelation over the first tenth of the lags: 0 for noise, however it is distributed."""
    lags = max(2, min(200, values.size // 10))
    return float(autocorrelation(values)[1 : lags + 1].mean())


def period_of(values: Floats) -> float | None:
    """The period of the clearest wave that repeats at least `CYCLES` times, in values; None if there is none."""
    lags = int(values.size / CYCLES)
    if lags < 4:
        return None
    correlation = autocorrelation(values) * (values.size / (values.size - np.arange(values.size)))
    correlation = correlation[: lags + 1]
    below = np.flatnonzero(correlation < 0)  # a wave goes negative before it comes back
    if below.size == 0:
        return None
    best = float(correlation[below[0] :].max())
    if best < PERIODIC:
        return None
    # Multiples of the period are as high as the period itself: the first peak that is nearly as high counts.
    start = int(below[0]) + int(np.argmax(correlation[below[0] :] >= NEARLY * best))
    low = np.flatnonzero(correlation[start:] < best / 2)
    end = start + int(low[0]) if low.size else lags + 1
    peak = start + int(np.argmax(correlation[start:end]))
    if peak >= lags:
        return None
    # A later peak tells the period more exactly: twice as many waves each time, each found within a little.
    period, waves = float(peak), 2
    while waves * period < lags - period / 4:
        near, width = waves * period, max(1.0, min(period / 4, 2.0 * waves))
        first = round(near - width)
        period = (first + int(np.argmax(correlation[first : round(near + width) + 1]))) / waves
        waves *= 2
    return period
