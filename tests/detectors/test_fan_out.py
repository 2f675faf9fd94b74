"""Calls for each request of their caller."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from seeing import seen
from shop_of_numbers import START

from detectors.detector import Setup
from detectors.history import History
from detectors.traces.fan_out import CallsPerRequest
from watchkeeper.vocabulary import Finding, utc

STEP = 10
SIZE = 90


def judged(
    requests: npt.NDArray[np.float64], calls: npt.NDArray[np.float64], ends: range = range(SIZE, SIZE + 1)
) -> list[Finding]:
    """What is said of an edge with so many calls by ten seconds, of a caller with so many requests by five."""
    edges = History("edges", keys=("caller", "callee"), values={"calls": 0.0}, buckets=SIZE, step_s=STEP)
    red = History("red", keys=("service", "operation"), values={"calls": 0.0}, buckets=2 * SIZE, step_s=STEP // 2)
    edges.advance(utc(START + STEP * (SIZE - 1)))
    red.advance(utc(START + STEP * SIZE - 5))
    edges.place(_rows(calls, STEP, caller="web", callee="stock"))
    for operation, share in (("GET /", 0.6), ("POST /", 0.4)):
        red.place(_rows(requests * share, STEP // 2, service="web", operation=operation))
    detector = CallsPerRequest(Setup())
    return [finding for end in ends for finding in detector.judge(seen(START + STEP * end, end, edges=edges, red=red))]


def _rows(values: npt.NDArray[np.float64], step: int, **names: str) -> pa.Table:
    start = pa.array(START + step * np.arange(values.size), pa.timestamp("s", "UTC"))
    return pa.table({"bucket": start} | {key: [name] * values.size for key, name in names.items()} | {"calls": values})


def wave(seed: int) -> npt.NDArray[np.float64]:
    """Requests by five seconds: ten a second, up and down by half in ten minutes, then threefold."""
    at = np.arange(2 * SIZE)
    rate = 50 * (1 + 0.5 * np.sin(at / 120 * 2 * np.pi)) * np.where(at > 1.8 * SIZE, 3, 1)
    return np.random.default_rng(seed).poisson(rate).astype(float)


def two_for_each(requests: npt.NDArray[np.float64], seed: int) -> npt.NDArray[np.float64]:
    return np.random.default_rng(seed + 100).poisson(2 * requests.reshape(-1, 2).sum(axis=1)).astype(float)


@pytest.mark.parametrize("seed", range(10))
def test_a_wave_of_traffic_is_no_change(seed: int) -> None:
    """More and fewer requests make more and fewer calls: nothing is told, at any time."""
    requests = wave(seed)
    assert judged(requests, two_for_each(requests, seed), range(20, SIZE + 1)) == []


@pytest.mark.parametrize("seed", range(10))
def test_rare_calls_are_not_judged_by_chance(seed: int) -> None:
    """An edge with a call in thirty requests differs from minute to minute by itself."""
    requests = wave(seed)
    calls = np.random.default_rng(seed).poisson(requests.reshape(-1, 2).sum(axis=1) / 30).astype(float)
    assert judged(requests, calls, range(20, SIZE + 1)) == []


@pytest.mark.parametrize(("times", "says"), [(3.0, "makes 6"), (0.3, "makes 0.6")])
def test_more_and_fewer_calls_a_request_are_tickets(times: float, says: str) -> None:
    """Each request retries, or a step is left out, while the traffic is as usual."""
    requests = wave(3)
    calls = two_for_each(requests, 3)
    calls[-10:] = np.round(calls[-10:] * times)
    (found,) = judged(requests, calls)
    assert (found.detector, found.severity, found.service) == ("topology.shape", "ticket", "web")
    assert says in found.summary


def test_a_caller_without_requests_of_its_own_is_not_judged() -> None:
    """What works off a schedule has no requests to count against."""
    assert judged(np.zeros(2 * SIZE), np.r_[np.full(80, 20.0), np.full(10, 200.0)]) == []
