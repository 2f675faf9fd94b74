"""The fast tier: many series a tick."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.series.bank import DAY_S, SeriesBank
from tests.waiting import calls_of
from watchkeeper.errors import DetectorError


def fed(bank: SeriesBank, values: np.ndarray, *, start: float = 0.0, step: float = 5.0) -> np.ndarray:
    """Scores of values (n_ticks, n_series), (n_ticks, n_series)."""
    return np.array([bank.update(row, at=start + step * i) for i, row in enumerate(values)])


def test_it_works() -> None:
    """A spike stands out of noise; its neighbour does not."""
    noise = np.random.default_rng(0)
    bank = SeriesBank(2)
    fed(bank, noise.normal(10, 1, (300, 2)))
    scores = bank.update(np.array([10.0, 40.0]), at=1e6)
    assert scores[0] < 0.95
    assert scores[1] > 0.999


@pytest.mark.parametrize("kind", ["normal", "heavy", "counts"])
def test_a_score_means_the_same_for_every_kind_of_noise(kind: str) -> None:
    """One normal tick in a hundred scores above 0.99, within a factor of two, whatever the tails."""
    noise = np.random.default_rng(1)
    shape = (900, 100)
    values = {
        "normal": noise.normal(50, 3, shape),
        "heavy": 50 + noise.standard_t(3, shape),
        "counts": noise.poisson(4, shape).astype(float),
    }[kind]
    late = fed(SeriesBank(100), values)[600:]
    assert 0.005 <= (late > 0.99).mean() <= 0.02


def test_a_constant_that_changes_is_noticed_once_then_normal() -> None:
    """A level that shifts scores high for a while, then is the new level."""
    bank = SeriesBank(1)
    values = np.concatenate([np.full((200, 1), 7.0), np.full((200, 1), 30.0)])
    scores = fed(bank, values)[:, 0]
    assert scores[200] > 0.999
    assert (scores[260:] < 0.99).all()
    assert int(bank.shifts[0]) == 1


def test_a_counter_is_judged_by_its_rate_and_may_reset() -> None:
    """A counter that restarts from zero is no anomaly."""
    noise = np.random.default_rng(2)
    total = np.cumsum(noise.poisson(50, 300)).astype(float)
    total[200:] -= total[199]  # the process restarted
    bank = SeriesBank(1, counters=np.array([True]))
    scores = fed(bank, total[:, None])[:, 0]
    assert scores[200] < 0.999


def test_a_daily_wave_is_learned_and_not_surprising() -> None:
    """After some days the usual peak is expected, and the bank says it knows the day."""
    noise = np.random.default_rng(3)
    at = np.arange(0, 6 * DAY_S, 600.0)
    values = 100 + 60 * np.sin(2 * np.pi * at / DAY_S) + noise.normal(size=at.size)
    bank = SeriesBank(1)
    scores = np.array([bank.update(np.array([v]), at=t)[0] for v, t in zip(values, at, strict=True)])
    assert (scores[-144:] > 0.999).mean() <= 0.01
    assert bank.stage(0).stage == "season"


def test_it_is_ready_within_a_minute_of_data_and_says_its_stage() -> None:
    """Twelve ticks of five seconds; before that it waits and says for what."""
    bank = SeriesBank(1)
    fed(bank, np.full((11, 1), 5.0))
    assert bank.stage(0).stage == "waiting"
    assert "11 of 12" in bank.stage(0).reason
    fed(bank, np.full((1, 1), 5.0), start=55.0)
    assert bank.stage(0).stage == "level"
    assert bank.update(np.array([500.0]), at=60.0)[0] > 0.999


def test_late_and_repeated_ticks_change_nothing() -> None:
    """A tick that is not later is dropped and counted."""
    bank = SeriesBank(1)
    fed(bank, np.random.default_rng(4).normal(size=(50, 1)))
    before = bank.update(np.array([0.5]), at=1000.0)
    assert np.array_equal(bank.update(np.array([9e9]), at=1000.0), before)
    assert np.array_equal(bank.update(np.array([9e9]), at=10.0), before)
    assert bank.late == 2


def test_a_series_that_vanishes_is_counted_as_silent() -> None:
    """Missing values score 0 and teach nothing."""
    bank = SeriesBank(2)
    fed(bank, np.random.default_rng(5).normal(size=(50, 2)))
    scores = fed(bank, np.tile([np.nan, 0.0], (10, 1)), start=1000.0)
    assert (scores[:, 0] == 0).all()
    assert bank.silent.tolist() == [10, 0]


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.lists(st.floats(allow_nan=True, allow_infinity=True, width=64), min_size=3, max_size=3),
        min_size=1,
        max_size=60,
    )
)
def test_any_numbers_give_scores_between_0_and_1(rows: list[list[float]]) -> None:
    """NaN, infinities and the largest numbers never break it, nor what it learns."""
    bank = SeriesBank(3, counters=np.array([False, True, False]))
    scores = fed(bank, np.array(rows))
    after = fed(bank, np.ones((20, 3)), start=1e6)
    assert ((scores >= 0) & (scores <= 1)).all()
    assert ((after >= 0) & (after <= 1)).all()


def test_a_counter_at_the_end_of_its_range_gives_scores_between_0_and_1() -> None:
    """The step between two of the largest numbers is more than a double holds."""
    largest = float(np.finfo(np.float64).max)
    for rows in ([[0.0], [largest], [0.0], [-1e292]], [[-largest], [largest], [-largest]]):
        scores = fed(SeriesBank(1, counters=np.array([True])), np.array(rows))
        assert ((scores >= 0) & (scores <= 1)).all()


def test_new_series_join_and_old_ones_keep_what_they_know() -> None:
    """Growing leaves earlier series' scores as they were."""
    noise = np.random.default_rng(6).normal(size=(80, 1))
    alone, grown = SeriesBank(1), SeriesBank(1)
    fed(alone, noise[:40])
    fed(grown, noise[:40])
    grown.grow(5)
    expected = alone.update(noise[40], at=1e4)
    assert grown.update(np.concatenate([noise[40], np.zeros(5)]), at=1e4)[0] == expected[0]


def test_wrong_shapes_are_refused() -> None:
    """The message says both sizes."""
    with pytest.raises(DetectorError, match="holds 2 series"):
        SeriesBank(2).update(np.zeros(3), at=1.0)


def test_python_does_not_loop_over_series() -> None:
    """Ten thousand series cost hardly more calls than a hundred, and at most 800 bytes each."""
    banks = {n: SeriesBank(n) for n in (100, 10_000)}
    values = {n: np.random.default_rng(7).normal(50, 3, (40, n)) for n in banks}
    calls = {n: calls_of(lambda n=n: fed(banks[n], values[n])) for n in banks}
    assert calls[10_000] < 2 * calls[100]
    assert banks[10_000].nbytes / 10_000 <= 800
