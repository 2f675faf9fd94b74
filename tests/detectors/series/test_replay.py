"""The accurate tier on one recorded series."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.series import decision, rolling
from detectors.series.feedback import judge_with_labels
from detectors.series.replay import rarity
from tests.waiting import calls_of

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
    alerts = np.flatnonzero(decision.alerts(judged))
    assert alerts[alerts > 700].tolist() == [row for row in alerts.tolist() if 2400 <= row < 2424]
    assert ((alerts >= 2400) & (alerts < 2424)).any()


def test_a_row_is_judged_without_later_rows() -> None:
    """Cutting the series changes no earlier score, whatever comes after."""
    at, values = daily(5)
    whole = rarity(at, values).decades
    for cut in (*range(1, 70), 100, 511, 777, 1000, 1234):
        assert np.array_equal(rarity(at[:cut], values[:cut]).decades, whole[:cut])
    strange = values.copy()
    strange[1000:] = 1e9
    assert np.array_equal(rarity(at, strange).decades[:1000], whole[:1000])


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    kind=st.sampled_from(["walk", "steps", "counts", "spikes", "tiny", "huge", "gaps"]),
    uneven=st.booleans(),
    cut=st.integers(1, 700),
)
def test_no_series_is_judged_with_later_rows(seed: int, kind: str, uneven: bool, cut: int) -> None:
    """Whatever the values and the steps between rows: to the last bit."""
    noise, n = np.random.default_rng(seed), 700
    values = {
        "walk": noise.normal(size=n).cumsum(),
        "steps": np.repeat(noise.normal(0, 1e4, n // 70), 70),
        "counts": noise.poisson(2, n).astype(float),
        "spikes": np.where(noise.random(n) < 0.02, 1e7 * noise.random(n), noise.normal(size=n)),
        "tiny": 1e-12 * noise.normal(size=n),
        "huge": 1e29 * noise.normal(size=n),
        "gaps": np.where(noise.random(n) < 0.3, np.nan, 5 + noise.normal(size=n)),
    }[kind]
    at = 1.7e9 + np.cumsum(noise.choice([60.0, 300.0, 900.0], n) if uneven else np.full(n, 60.0))
    assert np.array_equal(rarity(at[:cut], values[:cut]).decades, rarity(at, values).decades[:cut])


JUDGE = """
import hashlib, numpy as np
from detectors.series.replay import rarity
from tests.waiting import calls_of
noise = np.random.default_rng(3)
at = 1.7e9 + 300.0 * np.arange(1500)
values = 50 + 20 * np.sin(np.arange(1500) / 46) + noise.normal(size=1500)
print(hashlib.sha256(rarity(at, values).decades.round(9).tobytes()).hexdigest())
"""
# Kernels of the linear algebra library for processors of one maker; a name that it does not know changes nothing.
KERNELS = ("", "Prescott", "Nehalem", "Sandybridge", "Haswell", "SkylakeX", "Zen", "ARMV8", "NEOVERSEN1")


def test_scores_do_not_depend_on_the_kernel_or_on_threads() -> None:
    """The same numbers whichever way the matrices are multiplied."""
    answers = set()
    for kernel in KERNELS:
        for threads in ("1", "2"):
            environment = {**os.environ, "OPENBLAS_CORETYPE": kernel, "OPENBLAS_NUM_THREADS": threads}
            if not kernel:
                environment.pop("OPENBLAS_CORETYPE")
            done = subprocess.run([sys.executable, "-c", JUDGE], env=environment, capture_output=True, text=True)
            if done.returncode >= 0:  # a kernel for another processor may die of an instruction that this one lacks
                assert done.returncode == 0, done.stderr
                answers.add(done.stdout)
    assert len(answers) == 1


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
    assert decision.alerts(judged)[600:].sum() <= 1


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
    untaught = decision.alerts(judged).sum()
    _, taught = judge_with_labels(at, values, [])
    assert taught.sum() < untaught


def test_labels_are_learned_only_when_known() -> None:
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


def test_python_does_not_loop_over_rows() -> None:
    """A longer series costs fewer calls a row: rows are judged in blocks. How fast that is, the benchmark says."""
    short, long = daily(10), daily(50)
    rarity(*short)
    assert calls_of(lambda: rarity(*long)) < 3 * calls_of(lambda: rarity(*short))
