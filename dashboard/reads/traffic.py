"""What the pages read of telemetry: requests, calls, traces, log lines and metrics, each cached for a moment."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa

from dashboard.figures.topology import Call
from dashboard.reads.cache import Cache
from dashboard.reads.series import Present, RedSeries, Served, by_service, idle
from dashboard.reads.traces import NotableRequest
from dashboard.urls import floor_5s
from watchkeeper.clock import Clock
from watchkeeper.store import page_queries
from watchkeeper.store.telemetry import Telemetry
from watchkeeper.vocabulary import Window, utc

OWN = "watchkeeper-"
KNOWN_S = 20.0
KNOWN_FROM_S = 1800.0
RECENT_S = 60.0
RECENT_STEP_S = 15
NOTHING = Served(per_second=0.0, errors=0.0, error_ratio=None, p95_ms=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One operation of a service over a window; latencies in milliseconds, `error_ratio` 0 to 1."""

    name: str
    calls: int
    error_ratio: float
    p50_ms: float
    p95_ms: float
    max_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """One instance of a service with its version, over a window; empty where the telemetry does not name it."""

    name: str
    version: str
    calls: int
    error_ratio: float
    p50_ms: float
    p95_ms: float
    first: datetime
    last: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class LogPattern:
    """Log lines that differ in numbers only: how many, one of them, and when the newest was written."""

    severity: str
    body: str
    lines: int
    newest: datetime


class TrafficReads:
    """Reads of the telemetry store. Every method raises StoreError if the store cannot be read."""

    def __init__(self, telemetry: Telemetry, clock: Clock, cache: Cache) -> None:
        self._telemetry = telemetry
        self._clock = clock
        self._cache = cache
        self._known = Cache(KNOWN_S)

    def services(self, window: Window) -> Sequence[str]:
        """The names of the target's services that served anything in the window, sorted."""
        return self._cache.get(("services", window), lambda: self._services(window))

    def known_services(self) -> Sequence[str]:
        """The names of the last half hour, sorted, some seconds old: what a search offers."""
        return self._known.get("services", lambda: self._services(Window.last(KNOWN_FROM_S, until=self._clock.now())))

    def _services(self, window: Window) -> Sequence[str]:
        names = self._telemetry.query(page_queries.SERVICES, _bounds(window))["service"].to_pylist()
        return sorted(name for name in names if not name.startswith(OWN))

    def present(self) -> Mapping[str, Present]:
        """What each service that served anything in the last half hour does now."""
        now = floor_5s(self._clock.now())

        def load() -> Mapping[str, Present]:
            until = Window.last(KNOWN_FROM_S, until=now)
            rows = self._telemetry.query(page_queries.LAST_SERVED, _bounds(until))
            moving = self.red(Window.last(RECENT_S + 2 * RECENT_STEP_S, until=now), RECENT_STEP_S)
            return {
                name: Present(served=moving[name].recent(RECENT_S) if name in moving else NOTHING, last=utc(last))
                for name, last in zip(*(column.to_pylist() for column in rows.columns), strict=True)
                if not name.startswith(OWN)
            }

        return self._cache.get(("present", now), load)

    def red_of(self, window: Window, step_s: int, service: str) -> RedSeries:
        """RED of one service."""

        def load() -> RedSeries:
            parameters = _bounds(window) | {"step": step_s, "service": service}
            table = self._telemetry.query(page_queries.RED_OF_SERVICE, parameters)
            series = by_service(table.rename_columns({"step": "bucket"}), window, step_s)
            return series.get(service) or idle(service, window, step_s)

        return self._cache.get(("red_of", window, step_s, service), load)

    def red(self, window: Window, step_s: int) -> Mapping[str, RedSeries]:
        """RED of each of the target's services, by name. Watchkeeper's own roles are left out."""

        def load() -> Mapping[str, RedSeries]:
            table = self._telemetry.query(page_queries.SERVICE_RED, _bounds(window) | {"step": step_s})
            series = by_service(table.rename_columns({"step": "bucket"}), window, step_s)
            return {name: red for name, red in series.items() if not name.startswith(OWN)}

        return self._cache.get(("red", window, step_s), load)

    def calls(self, window: Window) -> Sequence[Call]:
        """Who calls whom over the window, the target's services only."""

        def load() -> Sequence[Call]:
            table = self._telemetry.edges(window, max(5, int(window.seconds)))
            return _calls(table, window.seconds)

        return self._cache.get(("calls", window), load)

    def operations(self, window: Window, service: str) -> Sequence[Operation]:
        """The service's operations, busiest first, at most 50."""

        def load() -> Sequence[Operation]:
            rows = self._telemetry.query(page_queries.OPERATIONS, _bounds(window) | {"service": service}).to_pylist()
            return [
                Operation(
                    name=row["operation"],
                    calls=row["calls"],
                    error_ratio=row["errors"] / row["calls"] if row["calls"] else 0.0,
                    p50_ms=row["p50_ms"],
                    p95_ms=row["p95_ms"],
                    max_ms=row["max_ms"],
                )
                for row in rows
            ]

        return self._cache.get(("operations", window, service), load)

    def instances(self, window: Window, service: str) -> Sequence[Instance]:
        """The instances of a service by version, busiest first, at most 50; from raw spans: keep the window short."""

        def load() -> Sequence[Instance]:
            rows = self._telemetry.query(page_queries.INSTANCES, _bounds(window) | {"service": service}).to_pylist()
            return [
                Instance(
                    name=row["instance"],
                    version=row["version"],
                    calls=row["calls"],
                    error_ratio=row["errors"] / row["calls"],
                    p50_ms=row["p50_ms"],
                    p95_ms=row["p95_ms"],
                    first=row["first"],
                    last=row["last"],
                )
                for row in rows
            ]

        return self._cache.get(("instances", window, service), load)

    def log_patterns(self, window: Window, service: str, newest: int = 50_000) -> Sequence[LogPattern]:
        """What a service logs, of its `newest` lines in the window, the most frequent first; at most 30."""

        def load() -> Sequence[LogPattern]:
            parameters = _bounds(window) | {"service": service, "newest": newest}
            return [
                LogPattern(**row) for row in self._telemetry.query(page_queries.LOG_PATTERNS, parameters).to_pylist()
            ]

        return self._cache.get(("log_patterns", window, service, newest), load)

    def log_lines(self, window: Window, service: str, limit: int = 8) -> Sequence[Mapping[str, Any]]:
        """The newest warnings and errors of a service: timestamp, severity, body, trace_id."""
        key = ("logs", window, service, limit)
        return self._cache.get(
            key, lambda: self._telemetry.logs(window, service, severity_at_least=13, limit=limit).to_pylist()
        )

    def examples(self, window: Window, service: str) -> Sequence[NotableRequest]:
        """Failed requests of a service, then the slowest; at most eight."""

        def load() -> Sequence[NotableRequest]:
            parameters = _bounds(window) | {"service": service}
            rows = self._telemetry.query(page_queries.NOTABLE_REQUESTS, parameters).to_pylist()
            return [NotableRequest(**row) for row in rows]

        return self._cache.get(("examples", window, service), load)

    def log_counts(self, window: Window, step_s: int) -> pa.Table:
        """Log lines by bucket, service and severity: see `Telemetry.log_counts`."""
        return self._cache.get(("log_counts", window, step_s), lambda: self._telemetry.log_counts(window, step_s))

    def metrics(self, window: Window, step_s: int, service: str) -> pa.Table:
        """The metrics of a service by bucket: see `Telemetry.metric_series`."""
        key = ("metrics", window, step_s, service)
        return self._cache.get(key, lambda: self._telemetry.metric_series(window, step_s, service))

    def newest(self) -> Mapping[str, datetime | None]:
        """The newest trace, log and metric of the last day, by signal; None if there is none."""

        def load() -> Mapping[str, datetime | None]:
            start = (self._clock.now() - timedelta(days=1)).timestamp()
            rows = self._telemetry.query(page_queries.NEWEST, {"start": start}).to_pylist()
            return {r["signal"]: r["newest"] if r["newest"] and r["newest"].year > 1970 else None for r in rows}

        return self._cache.get("newest", load)


def _bounds(window: Window) -> dict[str, float]:
    return {"start": window.start.timestamp(), "end": window.end.timestamp()}


def _calls(table: pa.Table, seconds: float) -> Sequence[Call]:
    """One Call for each pair, over all steps. A pair that both sides report is instrumented."""
    totals: dict[tuple[str, str], dict[str, float]] = {}
    columns = ["caller", "callee", "calls", "errors", "source", "client_mean_ms"]  # times would take most of the time
    for row in table.select(columns).to_pylist():
        if row["caller"].startswith(OWN) or row["callee"].startswith(OWN) or not row["calls"]:
            continue
        # An earlier version named a database without a namespace `redis:`.
        callee = row["callee"].removesuffix(":") or row["callee"]
        total = totals.setdefault((row["caller"], callee), {"calls": 0, "errors": 0, "ms": 0.0, "timed": 0, "spans": 0})
        total["calls"] += row["calls"]
        total["errors"] += row["errors"]
        total["spans"] += row["source"] == "span"
        if row["client_mean_ms"] is not None and math.isfinite(row["client_mean_ms"]):
            total["ms"] += row["client_mean_ms"] * row["calls"]
            total["timed"] += row["calls"]
    return [
        Call(
            caller=caller,
            callee=callee,
            per_second=t["calls"] / seconds,
            error_ratio=min(1.0, t["errors"] / t["calls"]),
            mean_ms=t["ms"] / t["timed"] if t["timed"] else None,
            instrumented=bool(t["spans"]),
        )
        for (caller, callee), t in sorted(totals.items())
    ]
