"""How far the detectors have learned each service, and why no further: what a human must know before trusting silence.

A service whose requests were seen in fewer than `red.rows.WARM` buckets is not judged at all. Then its level is
known; the shape of its latency and the ranks of its metrics take some minutes more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from detectors.history import History, most_buckets
from detectors.red import latency_shape
from detectors.red.rows import WARM
from watchkeeper.vocabulary import Readiness


def readiness(requests: History, quantiles: History, waits: Sequence[Mapping[str, str]]) -> Mapping[str, Readiness]:
    """Each service that was ever called, by name.

    Args:
        requests: `calls` of each service and operation, one row each.
        quantiles: `calls` of the same in half minutes.
        waits: of each detector that takes longer than a level does, what services still wait for.
    """
    called = most_buckets(requests, 1.0)
    shaped = most_buckets(quantiles, latency_shape.LEAST_CALLS)
    known = {}
    for service, buckets in called.items():
        if buckets < WARM:
            step = requests.step_s
            reason = f"requests seen in {buckets * step} of {WARM * step} s that a level needs"
            known[service] = Readiness(service=service, stage="learning", reason=reason)
            continue
        if missing := [words[service] for words in waits if service in words]:
            known[service] = Readiness(service=service, stage="level", reason="; ".join(missing))
            continue
        reason = "all that its telemetry allows is judged"
        if not shaped[service]:
            least = f"{latency_shape.LEAST_CALLS:.0f} requests in {quantiles.step_s} s"
            reason = f"all but the shape of latency, which needs {least} of one operation"
        known[service] = Readiness(service=service, stage="ready", reason=reason)
    return known
