"""Labelled series of our own, simulated: what a service's metrics look like, with anomalies whose windows are known.

Nothing here is taken from a public data set, and nothing is tuned on it: it holds what was reached.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
STEP_S = 300.0
ROWS_A_DAY = 288
DAYS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelled:
    """One series: times and values, (n,), and the rows of each anomaly, first and last."""

    name: str
    at_s: Floats
    values: Floats
    windows: tuple[tuple[int, int], ...]


def series() -> list[Labelled]:
    """Eight kinds of series, two anomalies in each after the third day; the same at every call."""
    return [_made(name, seed) for seed, name in enumerate(KINDS)]


def _made(name: str, seed: int) -> Labelled:
    dice = np.random.default_rng(seed)
    n = DAYS * ROWS_A_DAY
    row = np.arange(n)
    day = np.sin(2 * np.pi * row / ROWS_A_DAY)
    values = KINDS[name](dice, day)
    windows = []
    for number, first in enumerate((int(3.6 * ROWS_A_DAY), int(6.2 * ROWS_A_DAY))):
        last = first + int(dice.integers(12, 48))
        _break(values, slice(first, last + 1), (seed + number) % 4, dice)
        windows.append((first, last))
    return Labelled(name=name, at_s=1_772_442_000.0 + STEP_S * row, values=values, windows=tuple(windows))


def _break(values: Floats, rows: slice, how: int, dice: np.random.Generator) -> None:
    """A level that jumps, a flat line, noise, or a drop to nothing."""
    spread = float(np.std(np.diff(values)))
    if how == 0:
        values[rows] += 12 * spread
    elif how == 1:
        values[rows] = values.max() + 6 * spread
    elif how == 2:
        values[rows] += dice.normal(0, 10 * spread, values[rows].size)
    else:
        values[rows] = values.min() - 8 * spread


KINDS = {
    "traffic by the day": lambda dice, day: 200 + 80 * day + dice.normal(0, 5, day.size),
    "latency": lambda dice, day: 40 * np.exp(0.15 * dice.normal(size=day.size)),
    "errors": lambda dice, day: dice.poisson(3, day.size).astype(float),
    "memory that leaks and is freed": lambda dice, day: np.arange(day.size) % 400 + dice.normal(0, 4, day.size),
    "queue in bursts": lambda dice, day: (
        np.where(dice.random(day.size) < 0.03, dice.exponential(60, day.size), 2.0) + dice.normal(0, 0.5, day.size)
    ),
    "two levels": lambda dice, day: np.where(day > 0.5, 90.0, 20.0) + dice.normal(0, 2, day.size),
    "temperature": lambda dice, day: 60 + np.cumsum(dice.normal(0, 0.05, day.size)) + 3 * day,
    "idle": lambda dice, day: dice.normal(5, 0.2, day.size),
}
