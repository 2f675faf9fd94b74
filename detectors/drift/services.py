"""What a service is like, over an hour and longer: a slow ramp that teaches the fast detectors ends up here. Tickets.

Idea: each service's latency and traffic, a value every ten seconds, through `detectors.series.drift`, which takes a
daily wave off before it compares. Waits for some 500 values. Cost: about 4 µs a value.
"""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from typing import Final

import numpy as np

from detectors.detector import Seen, Setup
from detectors.history import History
from detectors.series.drift import Change, Drift
from detectors.simulated import Example, Requests, Simulated
from watchkeeper.vocabulary import Finding

VERSION: Final = "1"
EVERY_S: Final = 10  # seconds in a value: two buckets of requests, less noisy than one
# A ticket stays until somebody has looked; the change itself is the new normal at once.
REPORTED_FOR: Final = timedelta(minutes=15)
MAX_STREAMS: Final = 4_000  # two of each service; 2,000 services cost some 50 ms every ten seconds
WORDS: Final = {
    "level up": "is higher than before",
    "level down": "is lower than before",
    "wider": "varies more than before",
    "narrower": "varies less than before",
    "rate up": "is more often than before",
    "rate down": "is less often than before",
}


class ServiceDrift:
    """Latency or traffic of a service that drifted over an hour and longer. Tickets."""

    version = VERSION
    needs = ("red",)

    def __init__(self, setup: Setup) -> None:  # noqa: ARG002 - nothing of it concerns drift
        self._streams: dict[tuple[str, str], Drift] = {}
        self._reported: dict[str, Finding] = {}
        self._read_until = 0

    @staticmethod
    def example() -> Example:
        """Latency that rises by half and stays there."""

        def orders(t: float) -> Requests:
            return Requests(per_s=10, mean_ms=(60.0 if 6000 <= t < 7200 else 40.0) + t * 7919 % 101 / 50)

        telemetry = Simulated(seconds=8700, requests={("orders", "POST /"): orders})
        return Example(telemetry=telemetry, begins_s=6000, ends_s=7200, clears_within_s=1500)

    def judge(self, seen: Seen) -> list[Finding]:
        """Tickets for services whose latency or traffic has drifted; each stays for a while."""
        now, history, complete = seen.now, seen["red"], seen.complete["red"]
        columns = EVERY_S // history.step_s
        end = int(history.starts()[complete - 1]) + history.step_s if complete else 0
        if complete >= columns and history.size and end - self._read_until >= EVERY_S:
            self._read_until = end
            self._feed(history, now, slice(complete - columns, complete))
        self._reported = {
            key: finding for key, finding in self._reported.items() if now - finding.seen_at < REPORTED_FOR
        }
        return list(self._reported.values())

    def _feed(self, history: History, now: datetime, columns: slice) -> None:
        calls, mean = history["calls"][:, columns], history["mean_ms"][:, columns]
        services, code = np.unique(np.array([name[0] for name in history.names()]), return_inverse=True)
        code = code.reshape(-1)
        total = np.bincount(code, calls.sum(axis=1))
        busy = np.bincount(code, np.where(calls > 0, calls * np.nan_to_num(mean), 0.0).sum(axis=1))
        for i, service in enumerate(services.tolist()):
            if total[i] <= 0:
                continue  # silence is reported elsewhere
            self._update(service, "latency", math.log(max(busy[i] / total[i], 0.01)), now)
            self._update(service, "traffic", math.log(total[i]), now)

    def _update(self, service: str, signal: str, value: float, now: datetime) -> None:
        stream = self._streams.get((service, signal))
        if stream is None:
            if len(self._streams) >= MAX_STREAMS:
                return
            stream = self._streams[service, signal] = Drift()
        change = stream.update(value)
        if change:
            finding = self._finding(service, signal, change, now)
            self._reported[finding.key] = finding

    def _finding(self, service: str, signal: str, change: Change, now: datetime) -> Finding:
        onset = now - timedelta(seconds=EVERY_S * change.since)
        return Finding(
            detector="drift.service",
            detector_version=self.version,
            kind="drift",
            service=service,
            summary=f"{service}'s {signal} {WORDS[change.kind]}, since about {onset:%H:%M} UTC",
            onset=onset,
            seen_at=now,
            score=min(0.99, change.evidence / (change.evidence + 10.0)),
            severity="ticket",
            signal=signal,
            key=f"drift:{signal}:{service}",
        )
