"""A latency distribution that changed its shape: a slow tail, or a slow half, behind a mean that hardly moved.

Idea: the logarithms of four quantiles of each operation (of the roll-up's t-digests), each against its own past, with
the noise of so few requests beyond that quantile added. What is clear in two half minutes in a row is reported, by the
quantile that is clearest, beside the median: a page where it is an entry's and three times as long, else a ticket, or a
detail where only slow requests are slower, and by less than anybody notices.
Where the mean's own detector fires for a service, that tells more and this is silent, unless it pages instead. Assumes
some twenty requests in half a minute; operations with fewer are not judged. Cost: one query of the last minute every
half minute, and (operations, buckets) arrays.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import numpy as np

from detectors.detector import QUANTILES, Seen, Setup
from detectors.evidence import Floats, robust_level, to_probability
from detectors.history import History, most_buckets
from detectors.red.entries import Entries
from detectors.simulated import Example, Requests, Simulated
from watchkeeper.vocabulary import Finding, Severity, utc

VERSION: Final = "1"
STEP_S: Final = 30  # seconds in a bucket: so many requests make a quantile of an operation
JUDGED: Final = 2  # buckets in a row
WARM: Final = 8  # buckets of the past: four minutes, enough for a spread
LEAST_CALLS: Final = 20.0  # requests in a bucket: of twenty, one is beyond the 95th percentile
CLEAR: Final = 4.5  # spreads
TIMES: Final = 1.5  # as long as usual at least: what users notice of a slow tail
MORE_MS: Final = 20.0  # and so much longer: below, nobody notices
FELT_TIMES: Final = 3.0  # as long at an entry: that pages,
FELT_MS: Final = 100.0  # with a delay that a human notices
LOG_SPREAD: Final = 0.6  # of latencies within an operation; the noise of a quantile of few follows from it
WORDS: Final = {
    "p50_ms": "half of the requests take",
    "p90_ms": "one request in 10 takes",
    "p95_ms": "one request in 20 takes",
    "p99_ms": "one request in 100 takes",
}


@dataclass(frozen=True, slots=True)
class _Slow:
    """An operation's clearest quantile, and how many spreads above its past it is."""

    row: int
    quantile: str
    spreads: float
    value: float
    usual: float


class LatencyShape:
    """A service whose slow requests became slower, behind a mean that hardly moved. Pages, tickets or details."""

    version = VERSION
    needs = ("latency", "red")
    after = ("red",)

    def __init__(self, setup: Setup) -> None:  # noqa: ARG002 - nothing of it concerns shapes
        self._history: History | None = None

    def waits(self) -> Mapping[str, str]:
        """The services whose operations were seen too shortly."""
        if self._history is None:
            return {}
        step_s, seen = self._history.step_s, most_buckets(self._history, LEAST_CALLS)
        return {
            service: f"the shape of latency needs {WARM * step_s} s, {buckets * step_s} s seen"
            for service, buckets in seen.items()
            if 0 < buckets < WARM
        }

    @staticmethod
    def example() -> Example:
        """One request in twenty that takes far longer, for ten minutes."""

        def search(t: float) -> Requests:
            return Requests(per_s=10, mean_ms=40.0, tail=12.0 if 900 <= t < 1500 else 2.0)

        return Example(
            telemetry=Simulated(seconds=2200, requests={("search", "GET /"): search}), begins_s=900, ends_s=1500
        )

    def judge(self, seen: Seen) -> list[Finding]:
        """The clearest operation of each service, but of those whose mean latency is a finding that says as much."""
        now, history, complete = seen.now, seen["latency"], seen.complete["latency"]
        self._history = history
        reported = {finding.service: finding.severity for finding in seen.findings if finding.kind == "latency"}
        if history.size == 0 or complete < WARM + JUDGED:
            return []
        calls = history["calls"][:, :complete]
        enough = (calls[:, -JUDGED:] >= LEAST_CALLS).all(axis=1)
        if not enough.any():
            return []
        names = history.names()
        median = history["p50_ms"][:, complete - 1]
        best: dict[str, _Slow] = {}
        noticed: set[str] = set()  # most requests are slower, or slow ones by a delay that a human notices
        for name, quantile in QUANTILES.items():
            values = history[name][:, :complete]
            z, usual = _spreads(values, calls, quantile)
            recent = values[:, -JUDGED:]
            slower = (recent >= TIMES * usual[:, None]) & (recent >= usual[:, None] + MORE_MS)
            clear = np.where(enough & slower.all(axis=1), z.min(axis=1), 0.0)
            for row in np.flatnonzero(clear >= CLEAR).tolist():
                service = names[row][0]
                if name == "p50_ms" or recent[row].min() >= usual[row] + FELT_MS:
                    noticed.add(service)
                if reported.get(service) != "page" and (service not in best or clear[row] > best[service].spreads):
                    best[service] = _Slow(row, name, float(clear[row]), float(recent[row].min()), float(usual[row]))
        start = utc(float(history.starts()[complete - JUDGED]))
        if not best:
            return []
        entries = Entries(seen["red"], seen.histories.get("edges"))
        found = []
        for service, one in best.items():
            pages = (
                one.value >= FELT_TIMES * one.usual and one.value >= one.usual + FELT_MS and entries.is_entry(service)
            )
            if pages or service not in reported:
                severity: Severity = "page" if pages else "ticket" if service in noticed else "detail"
                found.append(self._finding(names[one.row], one, float(median[one.row]), severity, start, now))
        return found

    def _finding(
        self, of: tuple[str, ...], slow: _Slow, median: float, severity: Severity, onset: datetime, now: datetime
    ) -> Finding:
        service, operation = of[0], of[1]
        middle = "" if slow.quantile == "p50_ms" else f"; the median is {median:.0f} ms"
        return Finding(
            detector="latency.shape",
            detector_version=self.version,
            kind="latency",
            service=service,
            operation=operation,
            summary=f"{service} {operation}: {WORDS[slow.quantile]} {slow.value:.0f} ms or more "
            f"(usually {slow.usual:.0f} ms){middle}",
            onset=min(onset, now),
            seen_at=now,
            score=float(to_probability(np.array(slow.spreads))),
            severity=severity,
            signal=slow.quantile.removesuffix("_ms"),
            value=slow.value,
            expected=slow.usual,
            unit="ms",
            key=f"latency:shape:{service}",
        )


def _spreads(values: Floats, calls: Floats, quantile: float) -> tuple[Floats, Floats]:
    """How many spreads above its past each of the judged buckets is (n, JUDGED), and the usual value (n,)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log(np.maximum(values, 0.01))
    usable = np.isfinite(logs) & (calls >= LEAST_CALLS)
    usable[:, -JUDGED:] = False
    centre, spread = robust_level(logs, usable)
    centre = np.where(usable.sum(axis=1) >= WARM, centre, np.inf)
    few = LOG_SPREAD / np.sqrt(np.maximum(calls[:, -JUDGED:] * (1.0 - quantile), 0.3))
    z = (logs[:, -JUDGED:] - centre[:, None]) / np.sqrt(spread[:, None] ** 2 + few**2)
    return np.nan_to_num(z, nan=0.0, neginf=0.0), np.exp(np.minimum(centre, 50.0))
