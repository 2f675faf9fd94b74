"""Whatever a store may answer, the detectors neither crash nor page for it."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st
from shop_of_numbers import START, STEP, Shop

from detectors.evidence import cumulative, first_bad
from detectors.history import History
from detectors.live import Live
from watchkeeper.vocabulary import Window, utc

ODD = st.sampled_from([math.nan, math.inf, -math.inf, -1.0, 0.0, 1e-300, 1e300])


class OddShop(Shop):
    """A shop whose answers hold odd values, repeated rows and rows that come late."""

    odd: tuple[float, ...] = ()
    late_every = 0
    twice = False

    def red_levels(self, window: Window) -> pa.Table:
        table = super().red_levels(window)
        if self.odd and table.num_rows:
            mean = table["mean_ms"].to_numpy().copy()
            mean[:: len(self.odd) + 7] = self.odd[0]
            table = table.set_column(table.schema.get_field_index("mean_ms"), "mean_ms", pa.array(mean))
        if self.late_every and table.num_rows:
            kept = np.flatnonzero(np.arange(table.num_rows) % self.late_every != 0)
            table = table.take(kept)
        return pa.concat_tables([table, table]) if self.twice else table


@settings(max_examples=15, deadline=None)
@given(
    odd=st.lists(ODD, max_size=3),
    twice=st.booleans(),
    steps=st.lists(st.sampled_from([2.0, 5.0, 0.0, -60.0, 600.0, -3600.0, 0.001]), min_size=4, max_size=12),
)
def test_odd_values_and_clock_steps_never_page(odd: list[float], twice: bool, steps: list[float]) -> None:
    """NaN, infinities, repeated rows, and a clock that jumps both ways wake nobody."""
    shop = OddShop(seed=2, seconds=1800)
    shop.odd, shop.twice = tuple(odd), twice
    live, at = Live(history_s=600), 400.0
    paged = []
    for step in steps:
        at = min(max(at + step, 10.0), 1790.0)
        paged += [finding for finding in shop.tick(live, at) if finding.severity == "page"]
    assert "orders" in live.readiness()
    assert paged == []


def test_late_rows_are_placed_where_they_belong() -> None:
    """A row that was missing at first and comes within forty seconds is counted in its own bucket."""
    shop = Shop(seed=2, seconds=600)
    shop.lag_s = 20.0
    live = Live(history_s=600)
    assert shop.ticks(live, 100, 300, every_s=5) == {}


def test_a_vanished_series_is_not_judged_for_ever() -> None:
    """An operation that nobody asks for any more, in a service that goes on, wakes nobody."""
    shop = Shop(seed=2, seconds=900)
    shop.calls[3, 60:] = 0
    assert shop.ticks(Live(history_s=600), 100, 890, every_s=5) == {}


def test_a_hundred_thousand_new_series_are_bounded_and_said() -> None:
    """Past the limit new series are counted and dropped; those that were there go on."""
    history = History("test", keys=("service",), values={"calls": 0.0}, buckets=36, step_s=5, max_series=1000)
    history.advance(utc(START))
    bucket = pa.array([START] * 100_000, pa.timestamp("s", "UTC"))
    names = pa.array([f"s{i}" for i in range(100_000)])
    history.place(pa.table({"bucket": bucket, "service": names, "calls": np.ones(100_000)}))
    assert (history.size, history.dropped) == (1000, 99_000)
    assert history["calls"].nbytes == 1000 * 36 * 8


@given(st.lists(st.one_of(st.floats(-50, 50), st.just(math.nan)), min_size=1, max_size=40))
def test_evidence_gathers_and_is_never_negative(scores: list[float]) -> None:
    """The cumulative sum is never negative, never rises by more than a bucket may add, and skips what is missing."""
    array = np.array([scores])
    sums = cumulative(array)[0]
    assert (sums >= 0).all()
    assert (np.diff(np.concatenate([[0.0], sums])) <= 6.0 + 1e-9).all()
    assert 0 <= first_bad(array)[0] < len(scores)


@given(
    columns=st.lists(st.tuples(st.integers(-50, 50), st.sampled_from("abc"), ODD), max_size=30),
    moves=st.lists(st.integers(-100, 100), max_size=5),
)
def test_a_history_keeps_its_shape(columns: list[tuple[int, str, float]], moves: list[int]) -> None:
    """Rows outside the ring, odd values and time that goes backwards leave a history of its size, all finite."""
    history = History("test", keys=("service",), values={"calls": 0.0}, buckets=20, step_s=STEP)
    history.advance(utc(START))
    for move in [0, *moves]:
        history.advance(utc(START + move * STEP))
        history.place(
            pa.table(
                {
                    "bucket": pa.array([START + c * STEP for c, *_ in columns], pa.timestamp("s", "UTC")),
                    "service": pa.array([name for _, name, _ in columns], pa.string()),
                    "calls": pa.array([value for *_, value in columns], pa.float64()),
                }
            )
        )
    assert history["calls"].shape[1] == 20
    assert np.isfinite(history["calls"]).all()
