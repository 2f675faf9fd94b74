"""Drift: quiet on noise and waves, quick on changes."""

from __future__ import annotations

import numpy as np
import pytest

from detectors.series.drift import Drift, RateDrift, period_of


def alarms(detector: Drift | RateDrift, values: np.ndarray) -> list[tuple[int, str]]:
    """The rows at which a change was told, and its kind."""
    return [(row, change.kind) for row, value in enumerate(values.tolist()) if (change := detector.update(value))]


def delays(make: type, streams: list[np.ndarray], change: int) -> list[int]:
    """Values from the change to the first alarm after it."""
    found = []
    for stream in streams:
        after = [row - change for row, _ in alarms(make(), stream) if row >= change]
        found.append(after[0] if after else 10_000)
    return found


@pytest.mark.parametrize("noise", ["normal", "heavy"])
def test_it_stays_quiet_on_noise(noise: str) -> None:
    """No alarm in twenty thousand values, thin tails or heavy."""
    dice = np.random.default_rng(1)
    assert alarms(Drift(), dice.normal(size=20_000) if noise == "normal" else dice.standard_t(3, 20_000)) == []


@pytest.mark.parametrize("period", [24, 288, 1440])
def test_it_stays_quiet_on_a_daily_wave_whose_period_it_finds(period: int) -> None:
    """A wave three times as large as the noise is no change."""
    n = max(10 * period, 6_000)
    values = 3 * np.sin(2 * np.pi * np.arange(n) / period) + np.random.default_rng(2).normal(size=n)
    detector = Drift()
    assert alarms(detector, values) == []
    assert detector.period == pytest.approx(period, rel=0.02)


def test_a_shift_of_one_deviation_is_told_within_thirty_values() -> None:
    """In the median."""
    dice = np.random.default_rng(3)
    streams = [np.concatenate([dice.normal(size=1500), dice.normal(1, 1, 200)]) for _ in range(15)]
    assert np.median(delays(Drift, streams, 1500)) <= 30


def test_a_spread_that_doubles_is_told_within_25_values() -> None:
    """In the median."""
    dice = np.random.default_rng(4)
    streams = [np.concatenate([dice.normal(size=1500), dice.normal(0, 2, 200)]) for _ in range(15)]
    assert np.median(delays(Drift, streams, 1500)) <= 25


def test_an_error_rate_that_doubles_is_told_within_200_outcomes() -> None:
    """In the median, and a steady rate is not told at all."""
    dice = np.random.default_rng(5)
    streams = [np.concatenate([dice.random(2000) < 0.1, dice.random(1000) < 0.2]) for _ in range(25)]
    assert np.median(delays(RateDrift, streams, 2000)) <= 200
    assert alarms(RateDrift(), dice.random(20_000) < 0.1) == []


def test_a_slow_ramp_is_told() -> None:
    """Creeping by one deviation in a thousand values does not teach it that broken is normal."""
    dice = np.random.default_rng(6)
    values = np.concatenate([dice.normal(size=2000), dice.normal(np.linspace(0, 3, 3000), 1)])
    assert any(row >= 2000 and kind == "level up" for row, kind in alarms(Drift(), values))


def test_it_adapts_after_it_has_told() -> None:
    """A change is told once."""
    dice = np.random.default_rng(7)
    values = np.concatenate([dice.normal(size=2000), dice.normal(5, 1, 8000)])
    assert len(alarms(Drift(), values)) == 1


def test_it_says_what_it_waits_for() -> None:
    """Half a wave is not judged."""
    detector = Drift()
    alarms(detector, 3 * np.sin(2 * np.pi * np.arange(600) / 1440) + np.random.default_rng(8).normal(size=600))
    assert "wave" in detector.waiting


def test_missing_values_and_constants_are_harmless() -> None:
    """NaN and infinities are left out; a constant has no drift."""
    detector = Drift()
    assert alarms(detector, np.array([np.nan, np.inf, -np.inf] * 10)) == []
    assert alarms(detector, np.full(3_000, 4.0)) == []


def test_noise_has_no_period() -> None:
    """And a wave with a trend of its own still has its period."""
    dice = np.random.default_rng(9)
    assert period_of(dice.normal(size=4_000)) is None
    assert period_of(np.sin(2 * np.pi * np.arange(4_000) / 125.5)) == pytest.approx(125.5, rel=0.01)
