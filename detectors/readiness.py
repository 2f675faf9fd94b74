"""How far the detectors have learned each service, and why no further: what a human must know before trusting silence.

A service whose requests were seen in fewer than `red.requests.WARM` buckets is not judged at all. Then its level is
known; the shape of its latency and the ranks of its metrics take some minutes more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np

from detectors.history import History
from detectors.levels.metrics import MetricLevels
from detectors.red import latency_shape
from detectors.red import requests as red
from watchkeeper.vocabulary import Readiness


def readiness(requests: History, quantiles: History, levels: MetricLevels) -> Mapping[str, Readiness]:
    """Each service that was ever called, by name.

    Args:
        requests: `calls` of each service and operation, one row each.
        quantiles: `calls` of the same in half minutes.
        levels: what is learned of the metrics.
    """
    called = _most(requests, 1.0)
    shaped = _most(quantiles, latency_shape.LEAST_CALLS)
    young, series = levels.unranked(), levels.services()
    found = {}
    for service, seen in called.items():
        if seen < red.WARM:
            step = requests.step_s
            reason = f"requests seen in {seen * step} of {red.WARM * step} s that a level needs"
            found[service] = Readiness(service=service, stage="learning", reason=reason)
            continue
        halves = shaped.get(service, 0)
        waits = _waits(halves, quantiles.step_s, young[service], series[service])
        if waits:
            found[service] = Readiness(service=service, stage="level", reason="; ".join(waits))
            continue
        reason = "all that its telemetry allows is judged"
        if not halves:
            least = f"{latency_shape.LEAST_CALLS:.0f} requests in {quantiles.step_s} s"
            reason = f"all but the shape of latency, which needs {least} of one operation"
        found[service] = Readiness(service=service, stage="ready", reason=reason)
    return found


def _waits(halves: int, step_s: int, young: int, series: int) -> list[str]:
    """What takes longer to learn than a level, and is not learned yet."""
    waits = []
    if 0 < halves < latency_shape.WARM:
        waits.append(f"the shape of latency needs {latency_shape.WARM * step_s} s, {halves * step_s} s seen")
    if young:
        waits.append(f"{young} of {series} metric series lean on a general prior until they have a past of their own")
    return waits


def _most(history: History, least: float) -> Counter[str]:
    """In how many buckets each service's busiest operation had at least so many calls."""
    most: Counter[str] = Counter()
    if history.size:
        seen = (history["calls"] >= least).sum(axis=1)
        for (service, *_), buckets in zip(history.names(), np.asarray(seen).tolist(), strict=True):
            most[service] = max(most[service], buckets)
    return most
