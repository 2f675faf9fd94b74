"""A shop made of numbers: what `Telemetry` would answer, from arrays, with faults put in where a test wants them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa

from detectors.live import Live
from watchkeeper.vocabulary import Finding, Window, utc

START = 1_800_000_000
STEP = 5
# service, operation, requests per second, milliseconds
SERIES = (
    ("front", "GET /", 4.0, 60.0),
    ("front", "POST /buy", 2.0, 110.0),
    ("goods", "GET /goods", 9.0, 12.0),
    ("goods", "GET /price", 4.0, 5.0),
    ("basket", "POST /basket", 3.0, 10.0),
    ("orders", "POST /orders", 2.0, 90.0),
    ("money", "POST /pay", 2.0, 6.0),
    ("stock", "GET /stock", 7.0, 4.0),
    ("parcels", "POST /parcels", 1.0, 5.0),
    ("advice", "GET /advice", 5.0, 15.0),
)


class Shop:
    """Counts and latencies by bucket for every series. `ticks` plays them to a `Live`, with a delay.

    Traffic swings by a sixth up and down in five minutes, as a day would.
    """

    def __init__(self, *, seed: int, seconds: int, series: tuple[tuple[str, str, float, float], ...] = SERIES) -> None:
        self.dice = np.random.default_rng(seed)
        self.series = series
        self.buckets = seconds // STEP
        wave = 1 + 0.17 * np.sin(np.arange(self.buckets) * STEP / 300 * 2 * np.pi)
        rates = np.array([rate for *_, rate, _ in series])[:, None] * STEP * wave
        self.calls = self.dice.poisson(rates).astype(float)
        base = np.array([ms for *_, ms in series])[:, None]
        noise = self.dice.normal(0, 0.6, self.calls.shape) / np.sqrt(np.maximum(self.calls, 1))
        self.mean_ms = base * np.exp(noise) * np.exp(self.dice.normal(0, 0.08, self.calls.shape))
        self.errors = self.dice.binomial(self.calls.astype(int), 0.001).astype(float)
        self.now = 0.0
        self.lag_s = 2.5
        # Seconds by which a service's rows come later than that; what lies in the future came early.
        self.late: dict[str, float] = {}
        self.ahead: dict[str, float] = {}
        self.set_right_at: dict[str, float] = {}  # from this second on a clock that was ahead is right

    def rows(self, service: str) -> list[int]:
        return [i for i, one in enumerate(self.series) if one[0] == service]

    def slow(self, service: str, since_s: int, until_s: int, *, times: float = 1.0, more_ms: float = 0.0) -> None:
        """Every request of a service takes longer for a while."""
        span = slice(since_s // STEP, until_s // STEP)
        for row in self.rows(service):
            self.mean_ms[row, span] = self.mean_ms[row, span] * times + more_ms

    def fail(self, service: str, since_s: int, until_s: int, share: float) -> None:
        """A share of a service's requests fails for a while."""
        span = slice(since_s // STEP, until_s // STEP)
        for row in self.rows(service):
            self.errors[row, span] = self.dice.binomial(self.calls[row, span].astype(int), share)

    def stop(self, service: str, since_s: int, until_s: int) -> None:
        """A service answers nothing for a while."""
        span = slice(since_s // STEP, until_s // STEP)
        for row in self.rows(service):
            self.calls[row, span] = 0
            self.errors[row, span] = 0

    def ticks(self, live: Live, since_s: float, until_s: float, every_s: float = 2.0) -> dict[str, list[float]]:
        """Let `live` judge from one second to another: when each finding that pages was newly reported."""
        opened: dict[str, list[float]] = {}
        firing: set[str] = set()
        at = since_s
        while at < until_s:
            pages = {finding.key for finding in self.tick(live, at) if finding.severity == "page"}
            for key in pages - firing:
                opened.setdefault(key, []).append(at)
            firing = pages
            at += every_s
        return opened

    def tick(self, live: Live, at_s: float) -> list[Finding]:
        self.now = START + at_s
        return live.tick(self, utc(self.now))

    # What Telemetry answers

    def red_levels(self, window: Window) -> pa.Table:
        row, column = self._inside(window, self.calls > 0)
        return pa.table(
            {
                "bucket": pa.array(START + column * STEP + self.shift(row, column), pa.timestamp("s", "UTC")),
                "service": pa.array([self.series[i][0] for i in row], pa.string()),
                "operation": [self.series[i][1] for i in row],
                "calls": self.calls[row, column].astype(np.int64),
                "direct": np.zeros(len(row), np.int64),
                "errors": self.errors[row, column].astype(np.int64),
                "mean_ms": self.mean_ms[row, column],
            }
        )

    def _inside(self, window: Window, there: Any) -> tuple[Any, Any]:
        """Rows and true columns whose own clock says that they are in the window, and that have come by now."""
        furthest = max(self.ahead.values(), default=0.0)
        nearest = min(0.0, *self.ahead.values()) if self.ahead else 0.0
        low = max(0, int(window.start.timestamp() - START - furthest) // STEP)
        newest = min(window.end.timestamp() - nearest, self.now - self.lag_s) - START
        high = max(low, min(self.buckets, int(newest) // STEP))
        row, column = np.nonzero(there[:, low:high])
        column += low
        if not (self.late or self.ahead):
            return row, column
        late = np.array([self.late.get(name, 0.0) for name, *_ in self.series])[row]
        has_come = (column + 1) * STEP <= self.now - START - self.lag_s - late
        stamp = START + column * STEP + self.shift(row, column)
        inside = has_come & (stamp >= window.start.timestamp()) & (stamp < window.end.timestamp())
        return row[inside], column[inside]

    def shift(self, row: Any, column: Any) -> Any:
        """Seconds by which the clock of each of these was ahead."""
        names = [name for name, *_ in self.series]
        ahead = np.array([self.ahead.get(name, 0.0) for name in names]).astype(int)[row]
        right = np.array([self.set_right_at.get(name, np.inf) for name in names])[row]
        return np.where(column * STEP < right, ahead, 0)

    def log_counts(self, window: Window, step_s: int = 5) -> pa.Table:
        return empty("service", "severity", lines=pa.int64())

    def red(self, window: Window, step_s: int = 5) -> pa.Table:
        quantiles = {name: pa.float64() for name in ("p50_ms", "p90_ms", "p95_ms", "p99_ms")}
        return empty("service", "operation", calls=pa.int64(), **quantiles)

    def log_bodies(self, window: Window, step_s: int = 10, limit: int = 20_000) -> pa.Table:
        return empty("service", "severity", "body", lines=pa.int64())

    def metric_series(self, window: Window, step_s: int = 5, service: str | None = None) -> pa.Table:
        return empty("service", "metric", "attributes", value=pa.float64())

    def edges(self, window: Window, step_s: int = 5) -> pa.Table:
        return empty("caller", "callee", calls=pa.int64(), errors=pa.int64())

    def newest(self, signal: str, window: Window) -> pa.Table:
        found: dict[str, int] = {}
        rows: dict[str, int] = {}
        if signal == "spans":
            row, column = self._inside(window, self.calls > 0)
            ends = START + (column + 1) * STEP + self.shift(row, column)
            for name in {name for name, *_ in self.series}:
                mine = np.isin(row, self.rows(name))
                if mine.any():
                    found[name] = int(ends[mine].max())
                    rows[name] = int(self.calls[row[mine], column[mine]].sum())
        return pa.table(
            {
                "service": pa.array(list(found), pa.string()),
                "newest": pa.array(list(found.values()), pa.timestamp("s", "UTC")),
                "rows": pa.array(list(rows.values()), pa.int64()),
            }
        )

    def call_offsets(self, window: Window) -> pa.Table:
        return empty("caller", "callee", offset_s=pa.float64(), calls=pa.int64())

    def served(self, service: str, operation: str, window: Window) -> pa.Table:
        raise AssertionError("no objective is configured here")


def empty(*texts: str, **numbers: pa.DataType) -> pa.Table:
    """A table without rows."""
    columns = {"bucket": pa.array([], pa.timestamp("s", "UTC"))}
    columns |= {name: pa.array([], pa.string()) for name in texts}
    return pa.table(columns | {name: pa.array([], kind) for name, kind in numbers.items()})


Change = Callable[[Shop], None]
