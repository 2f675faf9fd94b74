"""Families of simulated series with known events: what the decision is developed on, instead of recorded sets.

Each family is one habit of metrics (bursts on a quiet base, rare spikes, heavy tails, counts with many zeros …), drawn
anew for every seed: base level, noise, shape and size of events, sampling step. Harmless families have no events.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Windows = list[tuple[int, int]]
MINUTE, FIVE, HOUR = 60.0, 300.0, 3600.0
DAY: Final = 86_400.0
BEGIN: Final = 1_772_442_000.0
WARM_SHARE: Final = 0.15


@dataclass(frozen=True, slots=True, kw_only=True)
class Draw:
    """One series of a family: (n,) times and values, and the (first, last) rows of each event."""

    family: str
    at_s: Floats
    values: Floats
    windows: tuple[tuple[int, int], ...]


def draw(family: str, seed: int) -> Draw:
    """One series of `family`; the same for the same seed."""
    dice = np.random.default_rng([seed, *family.encode()])
    step = float(dice.choice(STEPS[family]))
    days = {MINUTE: 10, FIVE: 14, HOUR: 40}[step]
    n = int(days * DAY / step)
    values, windows = FAMILIES[family](dice, n, step)
    return Draw(family=family, at_s=BEGIN + step * np.arange(n), values=values, windows=tuple(windows))


def _wave(dice: np.random.Generator, n: int, step: float) -> Floats:
    """A day's wave between 0 and 1, with a second harmonic."""
    turn = 2 * np.pi * (np.arange(n) * step / DAY + dice.random())
    return np.asarray(0.5 + 0.35 * np.sin(turn) + 0.15 * np.sin(2 * turn + 6 * dice.random()))


def _times(dice: np.random.Generator, n: int, step: float, a_day: float, length_h: tuple[float, float]) -> Windows:
    """Events at random times, `a_day` of them on average, of `length_h` hours, never touching."""
    windows, end = [], 0
    for first in np.sort(dice.integers(0, n, dice.poisson(a_day * n * step / DAY))).tolist():
        last = min(n - 1, first + max(1, round(dice.uniform(*length_h) * HOUR / step)) - 1)
        if first > end + 2 * max(1, HOUR / step):
            windows.append((int(first), int(last)))
            end = last
    return windows


def _quiet_base(dice: np.random.Generator, n: int) -> Floats:
    """A low share with noise that grows with it."""
    level = 10 ** dice.uniform(-1, 2)
    return np.asarray(level * np.exp(dice.uniform(0.05, 0.25) * dice.normal(size=n)))


def _bursts(dice: np.random.Generator, n: int, step: float) -> tuple[Floats, Windows]:
    values = _quiet_base(dice, n)
    windows = _times(dice, n, step, dice.uniform(0.5, 4), (0.3, 3))
    times = dice.uniform(3, 12)
    for first, last in windows:
        values[first : last + 1] *= times * dice.uniform(0.7, 1.5)
    return values, windows


def _counts(dice: np.random.Generator, n: int, step: float) -> tuple[Floats, Windows]:
    rate = np.full(n, 10 ** dice.uniform(-1.5, 0.3))
    windows = _times(dice, n, step, dice.uniform(0.3, 3), (0.5, 3))
    for first, last in windows:
        rate[first : last + 1] = 6 + 6 * rate[0] * dice.uniform(1, 3)
    return dice.poisson(rate).astype(float), windows


def _rare_spikes(dice: np.random.Generator, n: int, step: float) -> tuple[Floats, Windows]:
    values = 100 + 50 * _wave(dice, n, step) + dice.uniform(1, 4) * dice.normal(size=n)
    windows = _times(dice, n, step, 0.12, (0.5, 4))
    for first, last in windows:
        values[first : last + 1] += dice.choice([-1, 1]) * dice.uniform(40, 90)
    return values, windows


def _level_shifts(dice: np.random.Generator, n: int, step: float) -> tuple[Floats, Windows]:
    """A new level for days; the first six hours are the event."""
    values = dice.normal(0, 1, n) + 60
    windows = []
    for first, _ in _times(dice, n, step, 0.1, (1, 1)):
        values[first:] += dice.choice([-1, 1]) * dice.uniform(8, 20)
        windows.append((first, min(n - 1, first + round(6 * HOUR / step))))
    return values + 4 * _wave(dice, n, step), windows


def _outages(dice: np.random.Generator, n: int, step: float) -> tuple[Floats, Windows]:
    """Traffic by the day that sometimes falls to little."""
    values = 20 + 200 * _wave(dice, n, step)
    windows = _times(dice, n, step, 0.2, (0.5, 5))
    for first, last in windows:
        values[first : last + 1] *= dice.uniform(0, 0.35)
    return values * np.exp(0.06 * dice.normal(size=n)), windows


def _frequent_drops(dice: np.random.Generator, n: int, step: float) -> tuple[Floats, Windows]:
    """A success rate near one that drops clearly, a few times a day."""
    values = 99.5 - np.abs(dice.normal(0, 0.2, n))
    windows = _times(dice, n, step, dice.uniform(0.7, 3), (0.3, 2))
    for first, last in windows:
        values[first : last + 1] -= dice.uniform(5, 40)
    return values, windows


def _noise_bursts(dice: np.random.Generator, n: int, step: float) -> tuple[Floats, Windows]:
    """Harmless: a wave whose noise is some times larger for an hour or two, several times a day."""
    noise = np.full(n, 3.0)
    for first, last in _times(dice, n, step, dice.uniform(2, 6), (0.5, 3)):
        noise[first : last + 1] *= dice.uniform(1.5, 4)
    return 100 + 60 * _wave(dice, n, step) + noise * dice.normal(size=n), []


def _heavy_tails(dice: np.random.Generator, n: int, _step: float) -> tuple[Floats, Windows]:
    """Harmless: Student's t, log-normal or Pareto noise."""
    how = dice.integers(3)
    if how == 0:
        return 50 + 2 * dice.standard_t(dice.uniform(2.2, 4), n), []
    if how == 1:
        return 10 * np.exp(dice.uniform(0.5, 1.1) * dice.normal(size=n)), []
    return 5 * (1 + dice.pareto(dice.uniform(2, 4), n)), []


def _spikes_of_every_size(dice: np.random.Generator, n: int, step: float) -> tuple[Floats, Windows]:
    """Errors on an almost silent base: a few spikes a day, from clear to enormous."""
    values = 2 + np.abs(dice.normal(0, 0.5, n))
    windows = _times(dice, n, step, dice.uniform(0.3, 2.5), (0.2, 2))
    for first, last in windows:
        values[first : last + 1] += 8 + dice.exponential(30)
    return values, windows


def _busy_queue(dice: np.random.Generator, n: int, step: float) -> tuple[Floats, Windows]:
    """Harmless: a queue that fills and empties all the time, to every size."""
    busy = dice.random(n) < min(0.5, dice.uniform(20, 60) * step / DAY)
    return 2 + dice.normal(0, 0.3, n) + np.where(busy, dice.exponential(20, n), 0.0), []


def _nightly_job(dice: np.random.Generator, n: int, step: float) -> tuple[Floats, Windows]:
    """Harmless: a batch job every night, for an hour or two, at the same time within minutes."""
    values = 30 + 2 * dice.normal(size=n)
    hour = np.arange(n) * step / HOUR % 24
    begin, length = dice.uniform(0, 22), dice.uniform(1, 2)
    return values + np.where((hour >= begin) & (hour < begin + length), 50.0, 0.0), []


def _wandering(dice: np.random.Generator, n: int, step: float) -> tuple[Floats, Windows]:
    """Harmless: correlated noise with a memory of hours, on a weekly and daily wave."""
    keep = np.exp(-step / HOUR / dice.uniform(0.5, 6))
    noise, walk = dice.normal(0, np.sqrt(1 - keep**2), n), np.empty(n)
    walk[0] = 0.0
    for i in range(1, n):
        walk[i] = keep * walk[i - 1] + noise[i]
    return 100 + 40 * _wave(dice, n, step) + 8 * walk, []


def _sawtooth(dice: np.random.Generator, n: int, step: float) -> tuple[Floats, Windows]:
    """Harmless: memory that fills and is freed, at no fixed time."""
    period = dice.uniform(2, 30) * HOUR / step
    phase = np.cumsum(dice.uniform(0.8, 1.2, n)) % max(period, 4.0) / max(period, 4.0)
    return 200 + 300 * phase + 5 * dice.normal(size=n), []


Family = Callable[[np.random.Generator, int, float], tuple[Floats, Windows]]
FAMILIES: Final[dict[str, Family]] = {
    "bursts on a quiet base": _bursts,
    "counts with many zeros": _counts,
    "frequent drops": _frequent_drops,
    "spikes of every size": _spikes_of_every_size,
    "rare spikes": _rare_spikes,
    "level shifts": _level_shifts,
    "outages": _outages,
    "noise bursts": _noise_bursts,
    "heavy tails": _heavy_tails,
    "busy queue": _busy_queue,
    "nightly job": _nightly_job,
    "wandering": _wandering,
    "sawtooth": _sawtooth,
}
STEPS: Final[dict[str, tuple[float, ...]]] = dict.fromkeys(FAMILIES, (MINUTE, FIVE, HOUR, HOUR))
