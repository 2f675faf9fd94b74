"""The dear tier on one recorded series."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from threadpoolctl import threadpool_limits

from detectors.series import decision, rolling
from detectors.series.feedback import judge_with_labels
from detectors.series.replay import rarity

STEP = 300.0


def daily(days: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A daily wave with noise in 5-minute rows."""
    n = int(days * 86_400 / STEP)
    at = 1.7e9 + STEP * np.arange(n)
    return at, 50 + 20 * np.sin(2 * np.pi * np.arange(n) / 288) + np.random.default_rng(seed).normal(size=n)


def test_it_works() -> None:
    """A broken afternoon alerts once; the days before it do not."""
    at, values = daily(10)
    values[2400:2424] += 40
    judged = rarity(at, values)
    alerts = np.flatnonzero(decision.alerts(judged.hours, judged.decades))
    assert alerts[alerts > 700].tolist() == [row for row in alerts.tolist() if 2400 <= row < 2424]
    assert ((alerts >= 2400) & (alerts < 2424)).any()


def test_a_row_is_judged_without_later_rows() -> None:
    """Cutting the series changes no earlier score, whatever comes after."""
    at, values = daily(5)
    whole = rarity(at, values).decades
    for cut in (1, 17, 100, 777, 1234):
        assert np.array_equal(rarity(at[:cut], values[:cut]).decades, whole[:cut])
    strange = values.copy()
    strange[1000:] = 1e9
    assert np.allclose(rarity(at, strange).decades[:1000], whole[:1000], atol=1e-6)


@pytest.mark.parametrize("kind", ["constant", "noise", "counts"])
def test_ordinary_series_stay_quiet(kind: str) -> None:
    """Two weeks of nothing page at most once."""
    noise = np.random.default_rng(1)
    at, _ = daily(14)
    values = {
        "constant": np.full(at.size, 3.0),
        "noise": noise.normal(100, 5, at.size),
        "counts": noise.poisson(3, at.size).astype(float),
    }[kind]
    judged = rarity(at, values)
    assert decision.alerts(judged.hours, judged.decades)[600:].sum() <= 1


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(st.floats(), st.integers(-5, 3600)), max_size=120))
def test_any_numbers_and_clock_steps_give_finite_scores(rows: list[tuple[float, int]]) -> None:
    """NaN, infinities, duplicates and steps back in time are only rows."""
    values = np.array([value for value, _ in rows], np.float64)
    at = 1.7e9 + np.cumsum([step for _, step in rows]).astype(np.float64)
    judged = rarity(at, values)
    scores = decision.score(judged.decades)
    assert np.isfinite(scores).all()
    assert ((scores >= 0) & (scores <= 1)).all()


def test_a_label_quiets_what_it_calls_false() -> None:
    """Told that all its alerts are false, a series alerts less often."""
    at, values = daily(20)
    for i, row in enumerate(range(1000, values.size - 50, 400)):
        values[row : row + 12] += 30 + 10 * i  # each bump is larger than all before it
    judged = rarity(at, values)
    untaught = decision.alerts(judged.hours, judged.decades).sum()
    _, taught = judge_with_labels(at, values, [])
    assert taught.sum() < untaught


def test_labels_are_learnt_only_when_known() -> None:
    """Rows before a window's end come out the same whether or not later windows are labelled."""
    at, values = daily(12)
    values[1500:1520] += 40
    values[3000:3020] += 40
    one, _ = judge_with_labels(at, values, [(at[1500], at[1519])])
    two, flags = judge_with_labels(at, values, [(at[1500], at[1519]), (at[3000], at[3019])])
    assert np.array_equal(one[:3020], two[:3020])
    assert flags[1500:1520].any()


def test_a_faded_mean_is_the_plain_mean_while_young() -> None:
    """And forgets exponentially when it is old."""
    values = np.random.default_rng(0).normal(size=5_000)
    young = rolling.faded(values, 1e6)
    assert np.allclose(young, np.cumsum(values) / np.arange(1, 5_001))
    stepped = rolling.faded(np.concatenate([np.zeros(3_000), np.ones(3_000)]), 100.0)
    assert stepped[2_999] == pytest.approx(0, abs=1e-12)
    assert stepped[-1] == pytest.approx(1, abs=1e-6)


@pytest.mark.slow
def test_it_is_fast_enough_for_what_deserves_it() -> None:
    """A hundred thousand rows a CPU second on one core; half of that here, where the machine is shared."""
    at, values = daily(50)
    with threadpool_limits(1):
        rarity(at[:500], values[:500])
        started = time.process_time()
        rarity(at, values)
    assert values.size / (time.process_time() - started) >= 50_000
