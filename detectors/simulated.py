"""Simulated telemetry: what the store would answer, from functions of time. For examples, conformance and tests.

    Simulated(seconds=1800, requests={("cart", "GET /"): lambda t: Requests(per_s=9, mean_ms=20)})

Time `t` is in seconds from `START`. What is not given is not there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from detectors.detector import QUANTILES, Setup
from watchkeeper.vocabulary import Window

START: Final = 1_800_000_000  # a Friday, 08:00 UTC; divides by every bucket
STEP_S: Final = 5  # seconds in a bucket of requests
ARRIVES_S: Final = 2.0  # after a bucket's end its rows are in the store
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Requests:
    """What an operation serves: requests a second, the share that fails, and how long they take.

    `tail` is how many times the mean the slowest twentieth takes at least, `direct` the share without a parent span.
    """

    per_s: float
    failing: float = 0.0
    mean_ms: float = 20.0
    tail: float = 2.0
    direct: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulated:
    """Telemetry of `seconds`; each function takes seconds from `START` and is asked once for every five of them.

    Attributes:
        requests: of (service, operation).
        metrics: the value of (service, metric), None for no point.
        lines: lines a second of (service, severity, body). `#` in a body becomes a number that changes.
        calls: calls a second of (caller, callee); failing: the share of them that fails, none where it is not given.
        offsets: seconds by which a callee's clock is ahead of its caller's, of (caller, callee).
        blind: spans of seconds in which nothing at all was recorded.
        now_s: what is recorded later is not there yet.
        runs: whether the bucket that has begun is there already, as in a store that is asked in the middle of it.
    """

    seconds: int
    requests: Mapping[tuple[str, str], Callable[[float], Requests]] = field(default_factory=dict)
    metrics: Mapping[tuple[str, str], Callable[[float], float | None]] = field(default_factory=dict)
    lines: Mapping[tuple[str, str, str], Callable[[float], float]] = field(default_factory=dict)
    calls: Mapping[tuple[str, str], Callable[[float], float]] = field(default_factory=dict)
    failing: Mapping[tuple[str, str], Callable[[float], float]] = field(default_factory=dict)
    offsets: Mapping[tuple[str, str], Callable[[float], float]] = field(default_factory=dict)
    blind: tuple[tuple[float, float], ...] = ()
    now_s: float = float("inf")
    runs: bool = False

    def red_levels(self, window: Window) -> pa.Table:
        """As Telemetry's."""
        rows = [
            (at, *names, *(round(one.per_s * STEP_S * share) for share in (1, one.direct, one.failing)), one.mean_ms)
            for at in self._buckets(window, STEP_S)
            for names, of in self.requests.items()
            if (one := of(at)).per_s > 0
        ]
        counts = dict.fromkeys(("calls", "direct", "errors"), pa.int64())
        return _table(rows, "service", "operation", **counts, mean_ms=pa.float64())

    def red(self, window: Window, step_s: int = 5) -> pa.Table:
        """As Telemetry's: half of the requests take the mean or less, the slowest twentieth `tail` times as long."""
        rows = []
        for at in self._buckets(window, step_s):
            for names, of in self.requests.items():
                one = of(at)
                if one.per_s > 0:
                    slow = [one.mean_ms * (one.tail if share > 0.9 else share + 0.5) for share in QUANTILES.values()]
                    rows.append((at, *names, round(one.per_s * step_s), *slow))
        return _table(rows, "service", "operation", calls=pa.int64(), **dict.fromkeys(QUANTILES, pa.float64()))

    def log_counts(self, window: Window, step_s: int = 5) -> pa.Table:
        """As Telemetry's."""
        counts: dict[tuple[float, str, str], int] = {}
        for at in self._buckets(window, step_s):
            for (service, severity, _), of in self.lines.items():
                counts[at, service, severity] = counts.get((at, service, severity), 0) + round(of(at) * step_s)
        rows = [(*key, count) for key, count in counts.items() if count]
        return _table(rows, "service", "severity", lines=pa.int64())

    def log_bodies(self, window: Window, step_s: int = 10, limit: int = 20_000) -> pa.Table:
        """As Telemetry's."""
        rows = [
            (at, service, severity, body.replace("#", str(int(at) * 7919 % 10_007)), count)
            for at in self._buckets(window, step_s)
            for (service, severity, body), of in self.lines.items()
            if (count := round(of(at) * step_s))
        ]
        return _table(rows[:limit], "service", "severity", "body", lines=pa.int64())

    def metric_series(self, window: Window, step_s: int = 5, service: str | None = None) -> pa.Table:
        """As Telemetry's."""
        rows = [
            (at, *names, "{}", value)
            for at in self._buckets(window, step_s)
            for names, of in self.metrics.items()
            if service in (None, names[0]) and (value := of(at)) is not None
        ]
        return _table(rows, "service", "metric", "attributes", value=pa.float64())

    def edges(self, window: Window, step_s: int = 5) -> pa.Table:
        """As Telemetry's."""
        rows = [
            (at, *names, count, round(count * self.failing[names](at)) if names in self.failing else 0)
            for at in self._buckets(window, step_s)
            for names, of in self.calls.items()
            if (count := round(of(at) * step_s))
        ]
        return _table(rows, "caller", "callee", calls=pa.int64(), errors=pa.int64())

    def served(self, service: str, operation: str, window: Window) -> pa.Table:
        """As Telemetry's."""
        table = replace(self, runs=False).red_levels(window)
        minutes: dict[int, Floats] = {}
        columns = (table[name].to_pylist() for name in ("bucket", "service", "operation", "calls", "errors"))
        for bucket, name, kind, calls, errors in zip(*columns, strict=True):
            if name == service and operation in ("", kind):
                minute = int(bucket.timestamp()) // 60 * 60
                minutes[minute] = minutes.get(minute, np.zeros(2)) + np.array([calls, errors])
        total, bad = np.array([*minutes.values()]).reshape(-1, 2).T
        return pa.table({"minute": pa.array([*minutes], pa.int64()), "total": total, "bad": bad})

    def newest(self, signal: str, window: Window) -> pa.Table:
        """As Telemetry's; nothing comes late."""
        services = {service for service, _ in self.requests} if signal == "spans" else set()
        ends = [at + STEP_S for at in self._buckets(window, STEP_S)] if services else []
        rows = [(service, ends[-1], len(ends)) for service in sorted(services)] if ends else []
        return pa.table(
            {
                "service": pa.array([row[0] for row in rows], pa.string()),
                "newest": pa.array([START + int(row[1]) for row in rows], pa.timestamp("s", "UTC")),
                "rows": pa.array([row[2] for row in rows], pa.int64()),
            }
        )

    def call_offsets(self, window: Window) -> pa.Table:
        """As Telemetry's."""
        at = min(window.end.timestamp() - START, self.now_s, float(self.seconds)) - STEP_S
        rows = [(*names, of(at), 50) for names, of in self.offsets.items()] if at >= 0 else []
        columns = list(zip(*rows, strict=True)) or [(), (), (), ()]
        kinds = (pa.string(), pa.string(), pa.float64(), pa.int64())
        names = ("caller", "callee", "offset_s", "calls")
        return pa.table({n: pa.array(c, kind) for n, c, kind in zip(names, columns, kinds, strict=True)})

    def _buckets(self, window: Window, step_s: int) -> list[float]:
        """The starts of the buckets of a window that were recorded, in seconds from `START`."""
        low = max(0, int(window.start.timestamp() - START) // step_s)
        end = min(self.seconds, int(window.end.timestamp() - START))
        last_start = self.now_s if self.runs else self.now_s - step_s
        starts = [at for step in range(low, -(-end // step_s)) if (at := float(step * step_s)) <= last_start]
        return [at for at in starts if not any(since <= at < until for since, until in self.blind)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """Telemetry with trouble that a detector must find, from `begins_s` to `ends_s`; all is well before and after.

    Attributes:
        clears_within_s: seconds after `ends_s` in which the finding must end.
        setup: what the detector must be made with for it.
    """

    telemetry: Simulated
    begins_s: float
    ends_s: float
    clears_within_s: float = 600.0
    setup: Setup = field(default_factory=Setup)


def _table(rows: list[tuple[Any, ...]], *texts: str, **numbers: pa.DataType) -> pa.Table:
    columns = list(zip(*rows, strict=True)) or [()] * (1 + len(texts) + len(numbers))
    table = {"bucket": pa.array([START + int(at) for at in columns[0]], pa.timestamp("s", "UTC"))}
    kinds = [*((name, pa.string()) for name in texts), *numbers.items()]
    table |= {name: pa.array(column, kind) for (name, kind), column in zip(kinds, columns[1:], strict=True)}
    return pa.table(table)
