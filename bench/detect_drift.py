"""Drift detectors on streams of known truth: noise, a daily wave, a shift, a wider spread, a rate that doubles."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from detectors.series.drift import Drift, RateDrift

Floats = npt.NDArray[np.float64]
Row = dict[str, str | float | None]
Watch = Callable[[float], bool]

QUIET: Final = 30_000
RUNS: Final = 3
BEFORE: Final = 2_000
AFTER: Final = 1_500
TRIES: Final = 40
PERIOD: Final = 288


def rows() -> list[Row]:
    """A row for each detector; streams are the same for all."""
    return [_measured(name, make, rate) for name, (make, rate) in _detectors().items()]


def _detectors() -> dict[str, tuple[Callable[[], Watch], bool]]:
    found: dict[str, tuple[Callable[[], Watch], bool]] = {
        "watchkeeper Drift": (lambda: _ours(Drift()), False),
        "watchkeeper RateDrift": (lambda: _ours(RateDrift()), True),
    }
    try:
        from river import drift
    except ImportError:
        return found
    return found | {
        "river ADWIN": (lambda: _river(drift.ADWIN()), False),
        "river PageHinkley": (lambda: _river(drift.PageHinkley()), False),
        "river KSWIN": (lambda: _river(drift.KSWIN(seed=0)), False),
        "river DDM": (lambda: _river(drift.binary.DDM()), True),
    }


def _ours(detector: Drift | RateDrift) -> Watch:
    return lambda value: detector.update(value) is not None  # type: ignore[arg-type]  # 0.0 and 1.0 are outcomes too


def _river(detector: Any) -> Watch:
    def step(value: float) -> bool:
        detector.update(value)
        return bool(detector.drift_detected)

    return step


def _measured(name: str, make: Callable[[], Watch], rate: bool) -> Row:
    noise = np.random.default_rng(7)
    if rate:
        quiet = [(noise.random(QUIET) < 0.1).astype(float) for _ in range(RUNS)]
        doubled = (
            np.concatenate([noise.random(BEFORE) < 0.1, noise.random(AFTER) < 0.2]).astype(float) for _ in range(TRIES)
        )
        return {"detector": name, "on noise": _alarms(make, quiet), "rate 0.1 to 0.2": _delay(make, doubled)}
    return {
        "detector": name,
        "on noise": _alarms(make, [noise.normal(size=QUIET) for _ in range(RUNS)]),
        "on a daily wave": _alarms(make, [_wave(QUIET) + noise.normal(size=QUIET) for _ in range(RUNS)]),
        "shift of 1 sd": _delay(make, (_joined(noise, 1.0, 1.0, False) for _ in range(TRIES))),
        "sd times 2": _delay(make, (_joined(noise, 0.0, 2.0, False) for _ in range(TRIES))),
        "shift of 1 sd on the wave": _delay(make, (_joined(noise, 1.0, 1.0, True) for _ in range(TRIES))),
    }


def _wave(n: int) -> Floats:
    return np.asarray(3 * np.sin(2 * np.pi * np.arange(n) / PERIOD))


def _joined(noise: np.random.Generator, shift: float, spread: float, wave: bool) -> Floats:
    values = np.concatenate([noise.normal(size=BEFORE), noise.normal(shift, spread, size=AFTER)])
    return values + _wave(BEFORE + AFTER) if wave else values


def _alarms(make: Callable[[], Watch], streams: list[Floats]) -> float:
    alarms = 0
    for stream in streams:
        watch = make()
        alarms += sum(watch(value) for value in stream.tolist())
    return alarms / sum(stream.size for stream in streams) * 10_000


def _delay(make: Callable[[], Watch], streams: Iterator[Floats]) -> float | None:
    """The median of the first alarm after the change; None where fewer than half were noticed."""
    delays = []
    for stream in streams:
        watch = make()
        hits = (row - BEFORE for row, value in enumerate(stream.tolist()) if watch(value) and row >= BEFORE)
        delays.append(float(next(hits, np.inf)))
    median = float(np.median(delays))
    return median if np.isfinite(median) else None
