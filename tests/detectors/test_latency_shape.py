"""Latency by its distribution: a slow tail or a slow half is told, noise and a slow mean are not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from seeing import seen

from detectors.detector import QUANTILES, Setup
from detectors.history import History
from detectors.red.latency_shape import STEP_S, LatencyShape
from watchkeeper.vocabulary import Finding, utc

START = 1_800_000_000 // STEP_S * STEP_S


def play(
    slow_share: float,
    times: float,
    *,
    calls: int = 120,
    faster: float = 1.0,
    seed: int = 1,
    reported: tuple[Finding, ...] = (),
) -> list[tuple[int, Finding]]:
    """Forty half minutes of an operation at 20 ms; from the thirtieth on a share of its requests takes `times` longer
    and the others `faster` as long. What was found, with the bucket's number."""
    dice = np.random.default_rng(seed)
    history = History(
        "test-shape",
        keys=("service", "operation"),
        values={"calls": 0.0} | dict.fromkeys(QUANTILES, float("nan")),
        buckets=60,
        step_s=STEP_S,
    )
    requests = History("test-red", keys=("service", "operation"), values={"calls": 0.0}, buckets=60, step_s=5)
    shape = LatencyShape(Setup())
    found = []
    for bucket in range(40):
        number = int(dice.poisson(calls))
        latencies = 20 * np.exp(0.6 * dice.normal(size=max(number, 1)))
        if bucket >= 30:
            latencies *= np.where(dice.random(latencies.size) < slow_share, times, faster)
        at = START + bucket * STEP_S
        history.advance(utc(float(at)))
        row = {"service": ["cart"], "operation": ["GET /"], "calls": pa.array([number], pa.int64())}
        row |= {name: [float(np.quantile(latencies, q))] for name, q in QUANTILES.items()}
        history.place(pa.table({"bucket": pa.array([at], pa.timestamp("s", "UTC")), **row}))
        judged = shape.judge(seen(at + STEP_S, latency=history, red=requests, findings=reported))
        found += [(bucket, one) for one in judged]
    return found


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("calls", [5, 30, 300])
def test_noise_is_no_shape(seed: int, calls: int) -> None:
    """Twenty minutes without a change, at any traffic."""
    assert play(0.0, 1.0, calls=calls, seed=seed) == []


def test_a_slow_tail_is_told_beside_a_usual_median() -> None:
    """One request in twelve takes fifteen times as long: the mean doubles at most, the tail is told within a minute."""
    bucket, first = play(0.08, 15.0)[0]
    assert bucket <= 32
    assert (first.detector, first.severity, first.key) == ("latency.shape", "ticket", "latency:shape:cart")
    assert "the median is 2" in first.summary
    assert first.signal != "p50"


def test_a_tail_that_nobody_notices_is_a_detail() -> None:
    """One request in four takes three times as long, and yet less than a tenth of a second more than slow ones did."""
    found = play(0.25, 3.0, calls=1000)
    assert found
    assert {one.severity for _, one in found} == {"detail"}


def test_a_tail_that_users_notice_pages() -> None:
    """One request in eight takes thirty times as long at a service whose callers nobody knows: users may be those."""
    bucket, first = play(0.12, 30.0)[0]
    assert bucket <= 32
    assert first.severity == "page"


def test_two_humps_with_the_same_mean_are_told() -> None:
    """A tenth of the requests six times slower, the others half as fast again: the mean stays, the shape does not."""
    found = play(0.12, 5.0, faster=0.55, calls=300)
    assert found
    assert found[0][1].signal in ("p90", "p95", "p99")


def test_it_is_silent_where_the_mean_is_a_finding() -> None:
    """A service with a latency finding of its own needs no second one."""
    (_, shape), *_ = play(1.0, 5.0)
    mean = replace(shape, detector="red.latency", severity="page")
    assert play(1.0, 5.0, reported=(mean,)) == []
    assert play(1.0, 5.0, reported=(replace(mean, service="web"),)) != []
