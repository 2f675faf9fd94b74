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


SLOW_ONE = np.random.default_rng(0).random(400) < 0.4  # buckets in which one request of many waits for an event


def polled(fault_s: float) -> Simulated:
    """Buckets that alternate by chance between two levels, as where long polls share a name with quick requests."""

    def hub(t: float) -> Requests:
        return Requests(per_s=5, mean_ms=1400.0 if SLOW_ONE[int(t) // 5] or t >= fault_s else 40.0)

    return Simulated(seconds=1800, requests={("hub", "GET"): hub})


def test_runs_of_slow_buckets_that_the_past_has_are_usual() -> None:
    """Their median says that they are quick, and chance puts several slow ones in a row."""
    assert pages(polled(1800), 1500, 1790) == []


def test_a_longer_run_than_any_of_the_past_is_not_usual() -> None:
    """From then on every bucket is slow."""
    at, *_ = pages(polled(FAULT_S), FAULT_S, FAULT_S + 120)
    assert at - FAULT_S <= 90


RARE = np.random.default_rng(3).random(400) < 0.08  # buckets with a request beside the one of a health check


def probed(fault_s: float, slow_ms: float = 240.0) -> Simulated:
    """A health check every five seconds, and now and then a request under the same name that takes longer."""

    def gateway(t: float) -> Requests:
        if RARE[int(t) // 5] or 1550 <= t < 1560 or t >= fault_s:
            return Requests(per_s=0.4, mean_ms=slow_ms / 2 if t >= fault_s else 120.0)
        return Requests(per_s=0.2, mean_ms=1.5)

    return Simulated(seconds=1800, requests={("gateway", "GET"): gateway})


def test_two_slow_requests_in_a_row_are_chance_where_each_part_of_the_past_has_some() -> None:
    """Two such buckets would raise where none was ever slow."""
    assert pages(probed(1800), 1500, 1790) == []


@pytest.mark.parametrize(("slow_ms", "within_s"), [(240.0, 60), (9000.0, 25)], ids=["as slow as some", "far slower"])
def test_where_every_request_is_slow_it_is_no_chance(slow_ms: float, within_s: int) -> None:
    """What is beyond the past's worst takes no more buckets than elsewhere."""
    at, *_ = pages(probed(FAULT_S + 100, slow_ms), FAULT_S + 100, FAULT_S + 200)
    assert at - FAULT_S - 100 <= within_s


def test_earlier_outages_stay_left_out_when_another_one_fires() -> None:
    """With one request in five seconds, minutes show an outage: those of earlier ones must not be usual."""
    outages = (650, 1210, 2000, 2400)

    def search(t: float) -> Requests:
        return Requests(per_s=0.2, mean_ms=600.0 if any(since <= t < since + 200 for since in outages) else 150.0)

    requests = {("desk", "GET /find"): search, ("front", "GET /"): lambda _: Requests(per_s=9)}
    live, found = Live(history_s=1800, setup=Setup(clear_s=20)), []
    for outage in outages:
        for at in range(outage - 30, outage + 230, 10):
            every = live.tick(Simulated(seconds=2700, requests=requests), utc(START + at + ARRIVES_S))
            if any(one.kind == "latency" and one.service == "desk" for one in every) and outage not in found:
                found.append(outage)
    assert found == list(outages)
