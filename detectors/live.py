"""Every live detector at every tick: read what is new, judge all series at once, return what fires.

All state is rebuilt from the store when the role starts, so that a restart forgets nothing that matters.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, Protocol

import pyarrow as pa
import structlog
from prometheus_client import Histogram

from detectors.drift import ServiceDrift
from detectors.fan_out import CallsPerRequest
from detectors.history import History
from detectors.latency_shape import QUANTILES, LatencyShape
from detectors.latency_shape import STEP_S as SHAPE_STEP_S
from detectors.log_templates import BUCKETS as LOG_BUCKETS
from detectors.log_templates import STEP_S as LOG_STEP_S
from detectors.log_templates import LogTemplates
from detectors.logs import ErrorLines
from detectors.metrics import MetricLevels
from detectors.openslo import Slo
from detectors.readiness import readiness
from detectors.red import RedDetector, RedThresholds
from detectors.slo import SloBurn
from detectors.topology import CallEdges
from watchkeeper.vocabulary import Finding, Readiness, Window, utc

TICK_SECONDS = Histogram("watchkeeper_detector_tick_seconds", "Time of one tick over every series.")

STEP_S: Final = 5
# A span is in the roll-ups this long after it ended: batching in the SDK, the ingest log, the loader.
LAG_S: Final = 2.5
# How far back each tick reads again: what came late is placed where it belongs.
REREAD_S: Final = 40
METRICS_EVERY_S: Final = 10
SLO_EVERY_S: Final = 20
# More of a large installation at once would be too much for a small store.
READ_AT_ONCE_S: Final = 60
MOST_SERIES: Final = 50_000  # of each kind; over that, new ones are dropped and counted
MOST_BODIES: Final = 20_000  # different log lines in one read


class Rollups(Protocol):
    """What the detectors read: watchkeeper.store.telemetry.Telemetry, or tables in a test."""

    def red_levels(self, window: Window) -> pa.Table: ...

    def red(self, window: Window, step_s: int = 5) -> pa.Table: ...

    def log_counts(self, window: Window, step_s: int = 5) -> pa.Table: ...

    def log_bodies(self, window: Window, step_s: int = 10, limit: int = 20_000) -> pa.Table: ...

    def metric_series(self, window: Window, step_s: int = 5, service: str | None = None) -> pa.Table: ...

    def edges(self, window: Window, step_s: int = 5) -> pa.Table: ...

    def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> pa.Table: ...


class Live:
    """The live detectors of one installation.

    Args:
        history_s: how much of the past the baselines use.
        version: the serving model's version, shown with each finding.
        clear_s: how long a series is normal before its finding ends; at least two buckets.
        slos: objectives whose budgets are followed (`detectors.openslo.read`).
    """

    def __init__(
        self,
        *,
        history_s: float,
        version: str = "1",
        clear_s: float = 15.0,
        slos: tuple[Slo, ...] = (),
    ) -> None:
        self._logger = structlog.get_logger()
        self._begin(history_s, version, clear_s, slos)

    def _begin(self, history_s: float, version: str, clear_s: float, slos: tuple[Slo, ...]) -> None:
        """Know nothing yet: at the start, and where the clock stepped back."""
        self._history_s, self._clear_s = history_s, clear_s
        buckets = max(36, int(min(history_s, 1800)) // STEP_S)
        self._red = History(
            "red",
            keys=("service", "operation"),
            values={"calls": 0.0, "errors": 0.0, "mean_ms": float("nan")},
            buckets=buckets,
            step_s=STEP_S,
            max_series=MOST_SERIES,
        )
        self._logs = History(
            "logs",
            keys=("service", "severity"),
            values={"lines": 0.0},
            buckets=buckets,
            step_s=STEP_S,
            max_series=MOST_SERIES,
        )
        self._metrics = History(
            "metrics",
            keys=("service", "metric", "attributes"),
            values={"value": float("nan")},
            buckets=max(36, buckets // 2),
            step_s=2 * STEP_S,
            max_series=MOST_SERIES,
        )
        self._edges = History(
            "edges",
            keys=("caller", "callee"),
            values={"calls": 0.0},
            buckets=max(36, buckets // 2),
            step_s=2 * STEP_S,
            max_series=MOST_SERIES,
        )
        clear_buckets = max(2, math.ceil(clear_s / STEP_S))
        self.red = RedDetector(self._red, RedThresholds(), version, clear_buckets=clear_buckets)
        self._error_lines = ErrorLines(self._logs)
        self._quantiles = History(
            "latency",
            keys=("service", "operation"),
            values={"calls": 0.0} | dict.fromkeys(QUANTILES, float("nan")),
            buckets=24,  # each costs a query of its own at the start
            step_s=SHAPE_STEP_S,
            max_series=MOST_SERIES,
        )
        self._shape = LatencyShape(self._quantiles)
        self._quantiles_until: datetime | None = None
        self._templates = LogTemplates()
        self._bodies_read: datetime | None = None
        self._levels = MetricLevels(self._metrics)
        self._calls = CallEdges(self._edges)
        self._fan_out = CallsPerRequest(self._edges, self._red)
        self._drift = ServiceDrift(self._red)
        self.slo = SloBurn(slos)
        self._slo_read: datetime | None = None
        self._read_until: datetime | None = None
        self._metrics_read: datetime | None = None

    def readiness(self) -> Mapping[str, Readiness]:
        """How far each service is learnt, by service."""
        return readiness(self._red, self._quantiles, self._levels)

    def tick(self, rollups: Rollups, now: datetime, outside: Sequence[Finding] = ()) -> list[Finding]:
        """Judge everything at `now`; `outside` are alerts that other systems raise, handed through.

        Returns every finding that fires now. The same trouble has the same key at every tick, and a key that is
        no longer returned has cleared.

        Raises:
            StoreError: the store cannot be read; nothing is judged, nothing clears.
        """
        with TICK_SECONDS.time():
            why = self._why_anew(now)
            if why:
                self._logger.warning("detectors.begin_anew", why=why)
                self._begin(self._history_s, self.red.version, self._clear_s, self.slo.objectives)
            self._read(rollups, now)
            complete = self._complete(self._red, now)
            found = self.red.judge(now, complete)
            slow = {finding.service for finding in found if finding.kind == "latency"}
            found += self._shape.judge(now, self._quantiles.buckets, slow)
            found += self._error_lines.judge(now, self._complete(self._logs, now))
            found += self._templates.judge(now)
            found += self._levels.judge(now, self._complete(self._metrics, now) - 1)
            found += self._calls.judge(now, self._complete(self._edges, now) - 1)
            found += self._fan_out.judge(now, self._complete(self._edges, now) - 1)
            found += self._drift.judge(now, complete)
            found += self.slo.judge(now)
        return [*found, *outside]

    def _why_anew(self, now: datetime) -> str:
        """Why all state should be read from the store again, as after a restart; empty where it need not."""
        if self._read_until is not None and (self._read_until - now).total_seconds() > REREAD_S:
            # Rings that ran ahead of the clock would judge nothing until it caught up.
            return "the clock stepped back"
        for history in (self._red, self._logs, self._metrics, self._edges, self._quantiles):
            if history.crowded():
                return f"series that are gone take the room of new ones: {history.name}"
        return ""

    def _read(self, rollups: Rollups, now: datetime) -> None:
        newest = utc(now.timestamp() // STEP_S * STEP_S)
        full = self._red.buckets * STEP_S
        back = full if self._read_until is None else max(REREAD_S, (now - self._read_until).total_seconds() + REREAD_S)
        window = Window(start=newest - timedelta(seconds=min(back, full)), end=newest + timedelta(seconds=STEP_S))
        self._red.advance(newest)
        for part in window.parts(READ_AT_ONCE_S):
            self._red.place(rollups.red_levels(part))
        self._logs.advance(newest)
        self._logs.place(rollups.log_counts(window))
        self._read_until = now
        self._read_bodies(rollups, now)
        self._read_quantiles(rollups, now)
        if self.slo.objectives and (self._slo_read is None or (now - self._slo_read).total_seconds() >= SLO_EVERY_S):
            self.slo.read(rollups, now)
            self._slo_read = now
        if self._metrics_read is None or (now - self._metrics_read).total_seconds() >= METRICS_EVERY_S:
            self._read_slowly(rollups, now)
            self._metrics_read = now

    def _read_bodies(self, rollups: Rollups, now: datetime) -> None:
        """Log lines of the buckets that are complete since the last read; each is read once, when it is whole."""
        end = utc((now.timestamp() - 2 * LAG_S) // LOG_STEP_S * LOG_STEP_S)
        oldest = end - timedelta(seconds=LOG_BUCKETS * LOG_STEP_S)
        start = oldest if self._bodies_read is None else max(self._bodies_read, oldest)
        if end <= start:
            return
        table = rollups.log_bodies(Window(start=start, end=end), LOG_STEP_S, MOST_BODIES)
        unread = 0
        if table.num_rows >= MOST_BODIES:
            counted = rollups.log_counts(Window(start=start, end=end))["lines"].to_numpy().sum()
            unread = max(0, int(counted) - int(table["lines"].to_numpy().sum()))
        self._templates.read(table, end - timedelta(seconds=LOG_STEP_S), unread)
        self._bodies_read = end

    def _read_quantiles(self, rollups: Rollups, now: datetime) -> None:
        """Latency quantiles of the half minutes that are complete since the last read."""
        end = utc((now.timestamp() - 2 * LAG_S) // SHAPE_STEP_S * SHAPE_STEP_S)
        oldest = end - timedelta(seconds=self._quantiles.buckets * SHAPE_STEP_S)
        start = oldest if self._quantiles_until is None else max(self._quantiles_until, oldest)
        if end <= start:
            return
        self._quantiles.advance(end - timedelta(seconds=SHAPE_STEP_S))
        for part in Window(start=start, end=end).parts(SHAPE_STEP_S):
            self._quantiles.place(rollups.red(part, SHAPE_STEP_S))
        self._quantiles_until = end

    def _read_slowly(self, rollups: Rollups, now: datetime) -> None:
        """Metrics and edges: the whole history at first, then what may have changed."""
        step = self._metrics.step_s
        newest = utc(now.timestamp() // step * step)
        end = newest + timedelta(seconds=step)
        first = self._metrics_read is None
        back = self._metrics.buckets * step if first else 12 * step
        window = Window(start=newest - timedelta(seconds=back), end=end)
        table = rollups.metric_series(window, step)
        if not first:
            # A counter's growth needs the point before: the first buckets of a window know less than the last read.
            table = _without_first_buckets(table, window.start + timedelta(seconds=6 * step))
        self._metrics.advance(newest)
        self._metrics.place(table)
        self._edges.advance(newest)
        self._edges.place(_by_edge(rollups.edges(window, step)))

    @staticmethod
    def _complete(history: History, now: datetime) -> int:
        """How many of a history's columns, from the left, no late row will change much."""
        ends = history.starts() + history.step_s
        return int((ends <= now.timestamp() - LAG_S).sum())


def _without_first_buckets(table: pa.Table, since: datetime) -> pa.Table:
    """The rows from `since` on."""
    if table.num_rows == 0:
        return table
    import pyarrow.compute as pc

    return table.filter(pc.greater_equal(table["bucket"], pa.scalar(since, table["bucket"].type)))


def _by_edge(table: pa.Table) -> pa.Table:
    """One row for each bucket, caller and callee, however the call was seen."""
    if table.num_rows == 0:
        return table
    return (
        table.group_by(["bucket", "caller", "callee"])
        .aggregate([("calls", "sum")])
        .rename_columns(["bucket", "caller", "callee", "calls"])
    )
