"""Slowdowns of operations whose latency always goes up and down by itself."""

from __future__ import annotations

import numpy as np
import pytest

from detectors.detector import Setup
from detectors.live import Live
from detectors.simulated import ARRIVES_S, START, Requests, Simulated
from watchkeeper.vocabulary import utc

FAULT_S = 1500
NOISE = np.random.default_rng(5).normal(0.0, 0.8, 400)


def noisy(slower: tuple[float, float, float]) -> Simulated:
    """Six milliseconds, give or take a factor of two, and in a span of seconds so many times as long."""
    since, until, times = slower

    def search(t: float) -> Requests:
        mean_ms = 6.0 * float(np.exp(NOISE[int(t) // 5]))
        return Requests(per_s=5, mean_ms=mean_ms * (times if since <= t < until else 1.0))

    return Simulated(seconds=1800, requests={("desk", "GET /find"): search})


def pages(telemetry: Simulated, since_s: int, until_s: int) -> list[int]:
    live = Live(history_s=1800, setup=Setup(clear_s=20))
    ticks = range(since_s, until_s, 5)
    found = {at: live.tick(telemetry, utc(START + at + ARRIVES_S)) for at in ticks}
    return [at for at in ticks if any(one.kind == "latency" and one.severity == "page" for one in found[at])]


def test_thirty_times_as_long_is_no_noise() -> None:
    """Each bucket is within five spreads of the past, and far beyond the worst of them."""
    at, *_ = pages(noisy((FAULT_S, 1800, 30.0)), FAULT_S - 60, FAULT_S + 40)
    assert at - FAULT_S <= 15


@pytest.mark.parametrize("slower", [(0.0, 0.0, 1.0), (1000.0, 1060.0, 30.0)], ids=["calm", "an outage before"])
def test_the_noise_itself_is_usual(slower: tuple[float, float, float]) -> None:
    """Also where an outage of the past made it seem larger."""
    assert pages(noisy(slower), 1200, 1790) == []
