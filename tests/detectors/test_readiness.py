"""What the detectors say of themselves: how far each service is learned, and why no further."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
from seeing import seen
from shop_of_numbers import STEP, Shop, empty

from detectors.detector import QUANTILES, Setup
from detectors.history import History
from detectors.levels.metrics import MetricLevels
from detectors.live import Live
from detectors.readiness import readiness
from detectors.red.latency_shape import LatencyShape
from watchkeeper.vocabulary import Readiness, utc

START = 1_800_000_000


def calls(name: str, counts: np.ndarray, step_s: int) -> History:
    """A history of one operation of `cart`."""
    history = History(
        name,
        keys=("service", "operation"),
        values={"calls": 0.0} | dict.fromkeys(QUANTILES, float("nan")),
        buckets=len(counts),
        step_s=step_s,
    )
    history.advance(utc(START + (len(counts) - 1) * step_s))
    at = pa.array(START + np.arange(len(counts)) * step_s, pa.timestamp("s", "UTC"))
    names = {"service": ["cart"] * len(counts), "operation": ["GET /"] * len(counts)}
    history.place(pa.table({"bucket": at, **names, "calls": counts} | dict.fromkeys(QUANTILES, counts)))
    return history


def shape_waits(quantiles: History) -> Mapping[str, str]:
    """What the shape of latency waits for, once it has seen so much."""
    for name in QUANTILES:
        quantiles[name][:] = 20.0
    shape = LatencyShape(Setup())
    shape.judge(seen(START, latency=quantiles))
    return shape.waits()


def of_cart(half_minutes: np.ndarray, *waits: Mapping[str, str]) -> Readiness:
    """What is said of `cart`, whose level is known and whose operation had so many calls by half minutes."""
    return readiness(calls("red", np.full(12, 9.0), STEP), calls("halves", half_minutes, 30), waits)["cart"]


def test_a_service_is_learned_after_a_minute_and_says_what_it_waits_for_before() -> None:
    """Nothing of it is judged at first; a minute of requests later its level is."""
    shop, live = Shop(seed=1, seconds=120), Live(history_s=600)
    shop.tick(live, 25)
    assert live.readiness()["orders"].stage == "learning"
    assert live.readiness()["orders"].reason == "requests seen in 20 of 35 s that a level needs"
    shop.tick(live, 60)
    assert {one.stage for one in live.readiness().values()} == {"ready"}


def test_a_level_is_not_all() -> None:
    """The shape of latency takes minutes more, and a service with few requests never gets there."""
    few, some, many = (
        of_cart(counts, shape_waits(calls("halves", counts, 30)))
        for counts in (np.full(12, 9.0), np.where(np.arange(12) < 5, 0.0, 50.0), np.full(12, 50.0))
    )
    assert (few.stage, few.reason) == (
        "ready",
        "all but the shape of latency, which needs 20 requests in 30 s of one operation",
    )
    assert (some.stage, some.reason) == ("level", "the shape of latency needs 240 s, 210 s seen")
    assert many.stage == "ready"


def test_metrics_without_a_past_hold_a_service_at_its_level() -> None:
    """The reason counts the series that lean on the prior."""
    history = History(
        "metrics", keys=("service", "metric", "attributes"), values={"value": float("nan")}, buckets=36, step_s=10
    )
    levels = MetricLevels(Setup())
    history.advance(utc(START))
    history.place(
        pa.table(
            {
                "bucket": pa.array([START], pa.timestamp("s", "UTC")),
                "service": ["cart"],
                "metric": ["cpu"],
                "attributes": ["{}"],
                "value": [1.0],
            }
        )
    )
    levels.judge(seen(START + 10, metrics=history))
    found = readiness(calls("red", np.full(12, 9.0), STEP), calls("halves", np.full(12, 50.0), 30), [levels.waits()])[
        "cart"
    ]
    assert found.stage == "level"
    assert found.reason == "1 of 1 metric series lean on a general prior until they have a past of their own"


def test_nothing_called_is_nothing_learned() -> None:
    """An empty store has no services."""
    live = Live(history_s=600)
    shop = Shop(seed=1, seconds=60)
    shop.red_levels = lambda window: empty(  # type: ignore[method-assign]
        "service", "operation", calls=pa.int64(), errors=pa.int64(), mean_ms=pa.float64()
    )
    shop.tick(live, 30)
    assert live.readiness() == {}
