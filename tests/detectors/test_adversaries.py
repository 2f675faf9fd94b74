"""Adversaries: a ramp that wants to be normal, a clock that was wrong, more series than anybody has room for."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest
from seeing import seen
from shop_of_numbers import START, Shop

from detectors.detector import Setup
from detectors.history import History
from detectors.levels.metrics import MetricLevels
from detectors.live import Live
from detectors.slo.burn import SloBurn
from detectors.slo.openslo import Slo
from watchkeeper.vocabulary import utc


def test_a_clock_that_was_ahead_blinds_nobody() -> None:
    """After a clock that was an hour ahead is put right, a fault is noticed as early as ever."""
    shop = Shop(seed=2, seconds=5400)
    shop.slow("orders", 900, 1500, times=6)
    live = Live(history_s=600)
    shop.ticks(live, 600, 700)
    shop.tick(live, 700 + 3600)
    opened = shop.ticks(live, 702, 960)
    assert 900 < opened["red:latency:orders"][0] < 930


@pytest.mark.parametrize("seed", [1, 2])
def test_a_slow_ramp_cannot_teach_that_broken_is_normal(seed: int) -> None:
    """Latency that creeps up eightfold over 50 minutes is told, if by nothing faster then as drift."""
    shop = Shop(seed=seed, seconds=8400)
    row = shop.rows("money")[0]
    shop.mean_ms[row, 1080:1680] *= np.exp(np.linspace(0, np.log(8), 600))
    live, told = Live(history_s=600), set[str]()
    for at in range(100, 8390, 10):
        told |= {finding.key for finding in shop.tick(live, at) if finding.service == "money" and at > 5400}
    assert told & {"drift:latency:money", "red:latency:money"}


def test_a_slow_ramp_of_errors_spends_the_budget_aloud() -> None:
    """Errors that creep up over six hours are told by the budget, which compares with the promise, not the past."""
    slo = Slo(name="pay", title="Pay", service="money", operation="", target=0.999, window_s=30 * 86400)
    burn = SloBurn(Setup(objectives=(slo,)))
    minute = START // 60 * 60 - 60 * np.arange(3 * 1440)[::-1]
    total = np.full(minute.size, 120.0)
    bad = np.where(np.arange(minute.size) >= minute.size - 360, np.linspace(-11, 1, minute.size) * 3, 0.0).clip(0)
    burn.place("pay", utc(START), minute, total - bad, total)
    assert {finding.severity for finding in burn.judge(seen(START))} >= {"page"}


def test_a_hundred_thousand_new_metric_series_are_bounded() -> None:
    """The metric judge's state follows the history's limit; old series are judged as before."""
    history = History(
        "test-metrics",
        keys=("service", "metric", "attributes"),
        values={"value": math.nan},
        buckets=36,
        step_s=10,
        max_series=1000,
    )
    levels = MetricLevels(Setup())
    for tick in range(12):
        history.advance(utc(START + 10 * tick))
        n = 100_000 if tick == 8 else 10
        history.place(
            pa.table(
                {
                    "bucket": pa.array([START + 10 * tick] * n, pa.timestamp("s", "UTC")),
                    "service": pa.array(["s"] * n),
                    "metric": pa.array([f"m{i}" for i in range(n)]),
                    "attributes": pa.array([""] * n),
                    "value": np.full(n, 5.0),
                }
            )
        )
        assert levels.judge(seen(START + 10 * tick + 10, metrics=history)) == []
    assert (history.size, history.dropped) == (1000, 99_000)
    assert sum(levels.count_stages().values()) == 1000
