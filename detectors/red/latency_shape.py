"""A latency distribution that changed its shape: a slow tail, or a slow half, behind a mean that hardly moved. Tickets.

Idea: the logarithms of four quantiles of each operation (of the roll-up's t-digests), each against its own past, with
the noise of so few requests beyond that quantile added. What is clear in two half minutes in a row is told, by the
quantile that is clearest, beside the median. Where the mean's own detector fires for a service, that tells more and
this is silent. Assumes some twenty requests in half a minute; operations with fewer are not judged. Cost: one query of
the last minute every half minute, and (operations, buckets) arrays.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Final

import numpy as np

from detectors.evidence import Floats, robust_level, to_probability
from detectors.history import History
from watchkeeper.vocabulary import Finding, utc

VERSION: Final = "1"
STEP_S: Final = 30
QUANTILES: Final = {"p50_ms": 0.5, "p90_ms": 0.9, "p95_ms": 0.95, "p99_ms": 0.99}
JUDGED: Final = 2  # buckets in a row
WARM: Final = 8
LEAST_CALLS: Final = 20.0
CLEAR: Final = 4.5  # spreads
TIMES: Final = 1.5
MORE_MS: Final = 20.0
LOG_SPREAD: Final = 0.6  # of latencies within an operation; the noise of a quantile of few follows from it
WORDS: Final = {
    "p50_ms": "half of the requests take",
    "p90_ms": "one request in 10 takes",
    "p95_ms": "one request in 20 takes",
    "p99_ms": "one request in 100 takes",
}


class LatencyShape:
    """Judges the history of quantiles: `calls` and the columns of `QUANTILES`, half a minute a bucket."""

    def __init__(self, history: History, version: str = VERSION) -> None:
        self._history = history
        self.version = version

    def judge(self, now: datetime, complete: int, told: Collection[str] = ()) -> list[Finding]:
        """One ticket for the clearest operation of each service, but of those in `told`."""
        if self._history.size == 0 or complete < WARM + JUDGED:
            return []
        calls = self._history["calls"][:, :complete]
        enough = (calls[:, -JUDGED:] >= LEAST_CALLS).all(axis=1)
        if not enough.any():
            return []
        names = self._history.names()
        median = self._history["p50_ms"][:, complete - 1]
        best: dict[str, tuple[float, int, str, float, float]] = {}
        for name, quantile in QUANTILES.items():
            values = self._history[name][:, :complete]
            z, usual = _spreads(values, calls, quantile)
            recent = values[:, -JUDGED:]
            slower = (recent >= TIMES * usual[:, None]) & (recent >= usual[:, None] + MORE_MS)
            clear = np.where(enough & slower.all(axis=1), z.min(axis=1), 0.0)
            for row in np.flatnonzero(clear >= CLEAR).tolist():
                service = names[row][0]
                if service not in told and clear[row] > best.get(service, (0.0,))[0]:
                    best[service] = (float(clear[row]), row, name, float(recent[row].min()), float(usual[row]))
        start = utc(float(self._history.starts()[complete - JUDGED]))
        return [
            self._finding(names[row], start, now, score, name, value, usual, float(median[row]))
            for score, row, name, value, usual in best.values()
        ]

    def _finding(
        self,
        of: tuple[str, ...],
        onset: datetime,
        now: datetime,
        score: float,
        quantile: str,
        value: float,
        usual: float,
        median: float,
    ) -> Finding:
        service, operation = of[0], of[1]
        middle = "" if quantile == "p50_ms" else f"; the median is {median:.0f} ms"
        return Finding(
            detector="latency.shape",
            detector_version=self.version,
            kind="latency",
            service=service,
            operation=operation,
            summary=f"{service} {operation}: {WORDS[quantile]} {value:.0f} ms or more (usually {usual:.0f} ms){middle}",
            onset=min(onset, now),
            seen_at=now,
            score=float(to_probability(np.array(score))),
            severity="ticket",
            signal=quantile.removesuffix("_ms"),
            value=value,
            expected=usual,
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
