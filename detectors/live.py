"""Every live detector at every tick: read what is new, judge all series at once, return what fires.

All state is rebuilt from the store when the role starts, so that a restart forgets nothing that matters.

What one detector dies of costs the others nothing: it is set aside for this tick, and told. What it found before
neither clears nor opens anew until it can judge again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final, Protocol

import pyarrow as pa
import structlog
from prometheus_client import Histogram

from detectors.arrivals.delays import Arrivals
from detectors.arrivals.lateness import Signal, as_it_was
from detectors.drift.services import ServiceDrift
from detectors.history import History
from detectors.levels.metrics import MetricLevels
from detectors.logs.error_lines import ErrorLines
from detectors.logs.new_templates import BUCKETS as LOG_BUCKETS
from detectors.logs.new_templates import STEP_S as LOG_STEP_S
from detectors.logs.new_templates import LogTemplates
from detectors.readiness import readiness
from detectors.red.latency_shape import QUANTILES, LatencyShape
from detectors.red.latency_shape import STEP_S as SHAPE_STEP_S
from detectors.red.requests import RedDetector, RedThresholds
from detectors.slo.burn import SloBurn
from detectors.slo.openslo import Slo
from detectors.traces.edges import CallEdges
from detectors.traces.fan_out import CallsPerRequest
from watchkeeper.errors import StoreError
from watchkeeper.problems import Problems
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
# How far back each read of metrics and edges goes at least.
SLOW_REREAD_STEPS: Final = 12

# What a finding's `detector` begins with, and what the detector judges: the longest that fits names it.
READS: Final[Mapping[str, tuple[str, ...]]] = {
    "red.": ("red",),
    "latency.shape": ("red", "quantiles"),
    "logs.errors": ("logs",),
    "logs.": ("bodies",),
    "metrics.": ("metrics",),
    "topology.": ("edges",),
    "topology.shape": ("edges", "red"),
    "drift.service": ("red",),
    "slo.": ("slo",),
    "clock": (),
}


class Rollups(Protocol):
    """What the detectors read: watchkeeper.store.telemetry.Telemetry, or tables in a test."""

    def red_levels(self, window: Window) -> pa.Table: ...

    def red(self, window: Window, step_s: int = 5) -> pa.Table: ...

    def log_counts(self, window: Window, step_s: int = 5) -> pa.Table: ...

    def log_bodies(self, window: Window, step_s: int = 10, limit: int = 20_000) -> pa.Table: ...

    def metric_series(self, window: Window, step_s: int = 5, service: str | None = None) -> pa.Table: ...

    def edges(self, window: Window, step_s: int = 5) -> pa.Table: ...

    def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> pa.Table: ...

    def newest(self, signal: str, window: Window) -> pa.Table: ...

    def call_offsets(self, window: Window) -> pa.Table: ...


class Live:
    """The live detectors of one installation.

    Args:
        history_s: how much of the past the baselines use.
        version: the serving model's version, shown with each finding.
        clear_s: how long a series is normal before its finding ends; at least two buckets.
        slos: objectives whose budgets are followed (`detectors.slo.openslo.read`).
        problems: where a detector that cannot judge is told.
        late_s: telemetry that comes later than this is not judged.
    """

    def __init__(
        self,
        *,
        history_s: float,
        version: str = "1",
        clear_s: float = 15.0,
        slos: tuple[Slo, ...] = (),
        problems: Problems | None = None,
        late_s: float = 600.0,
    ) -> None:
        self._logger = structlog.get_logger()
        self._problems = problems or Problems(None)
        self._arrivals = Arrivals(late_s, self._problems)
        self._unjudged: frozenset[str] = frozenset()
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
        self._logs_read: datetime | None = None
        self._metrics_read: datetime | None = None
        self._edges_read: datetime | None = None

    def readiness(self) -> Mapping[str, Readiness]:
        """How far each service is learned, by service."""
        known = readiness(self._red, self._quantiles, self._levels)
        late = {service: self._arrivals.words(service) for service in known}
        return {
            service: replace(one, reason=f"{one.reason}; {late[service]}") if late[service] else one
            for service, one in known.items()
        }

    def tick(self, rollups: Rollups, now: datetime) -> list[Finding]:
        """Judge everything at `now`.

        Returns every finding that fires now. The same trouble has the same key at every tick, and a key that is
        no longer returned has cleared, if `judged` says so of its finding.

        Raises:
            StoreError: the store cannot be read; nothing is judged, nothing clears.
        """
        with TICK_SECONDS.time():
            why = self._why_anew(now)
            if why:
                self._logger.warning("detectors.begin_anew", why=why)
                self._begin(self._history_s, self.red.version, self._clear_s, self.slo.objectives)
            self._unjudged = frozenset(READS)  # until it is judged, nothing is
            self._works("reading arrivals", lambda: self._realign(self._arrivals.read(rollups, now)))
            unread = self._read(self._arrivals.aligned(rollups), now)
            delays = self._arrivals.delays()
            return [
                as_it_was(finding, delays)
                for finding in self._judge(now, unread)
                if finding.kind != "silence" or not self._arrivals.is_late(finding.service, now)
            ]

    def judged(self, finding: Finding) -> bool:
        """Whether the last tick judged what this finding is about, so that one that it did not return has cleared."""
        fitting = [name for name in READS if finding.detector.startswith(name)]
        return not fitting or max(fitting, key=len) not in self._unjudged

    def _judge(self, now: datetime, unread: Collection[str]) -> list[Finding]:
        complete = self._complete(self._red, now)
        edges = self._complete(self._edges, now) - 1
        metrics = self._complete(self._metrics, now) - 1
        found: list[Finding] = []

        def shape() -> list[Finding]:
            slow = {finding.service for finding in found if finding.kind == "latency"}
            return self._shape.judge(now, self._quantiles.buckets, slow)

        judges: dict[str, Callable[[], list[Finding]]] = {
            "red.": lambda: self.red.judge(now, complete),
            "latency.shape": shape,
            "logs.errors": lambda: self._error_lines.judge(now, self._complete(self._logs, now)),
            "logs.": lambda: self._templates.judge(now),
            "metrics.": lambda: self._levels.judge(now, metrics),
            "topology.": lambda: self._calls.judge(now, edges),
            "topology.shape": lambda: self._fan_out.judge(now, edges),
            "drift.service": lambda: self._drift.judge(now, complete),
            "slo.": lambda: self.slo.judge(now),
            "clock": lambda: self._arrivals.judge(now),
        }
        unjudged = set()
        for name, judge in judges.items():
            is_read = set(READS[name]).isdisjoint(unread)
            if not (is_read and self._works(f"detector {name.rstrip('.')}", lambda: found.extend(judge()))):  # noqa: B023 - called at once
                unjudged.add(name)
        self._unjudged = frozenset(unjudged)
        return found

    def _works(self, subject: str, work: Callable[[], None]) -> bool:
        """Do one part of a tick; what it dies of is told, and the other parts go on.

        Raises:
            StoreError: the store cannot be reached: that is no part's own trouble.
        """
        try:
            work()
        except StoreError as error:
            if error.retry:
                raise
            self._problems.report("detectors", subject, error)
            return False
        except Exception as error:  # noqa: BLE001 - whatever a detector dies of, the others must judge
            self._problems.report("detectors", subject, error)
            return False
        self._problems.solved("detectors", subject)
        return True

    def _realign(self, changed: Mapping[Signal, frozenset[str]]) -> None:
        """Read the services again whose rows are somewhere else from now on: later, or earlier, than until now."""
        if services := changed.get("spans"):
            for history in (self._red, self._quantiles, self._edges):
                history.blank(services)
            self._read_until = self._quantiles_until = self._edges_read = None
        if services := changed.get("logs"):
            self._logs.blank(services)
            self._logs_read = None
        if services := changed.get("metrics"):
            self._metrics.blank(services)
            self._metrics_read = None

    def _why_anew(self, now: datetime) -> str:
        """Why all state should be read from the store again, as after a restart; empty where it need not."""
        if self._read_until is not None and (self._read_until - now).total_seconds() > REREAD_S:
            # Rings that ran ahead of the clock would judge nothing until it caught up.
            return "the clock stepped back"
        for history in (self._red, self._logs, self._metrics, self._edges, self._quantiles):
            if history.crowded():
                return f"series that are gone take the room of new ones: {history.name}"
        return ""

    def _read(self, rollups: Rollups, now: datetime) -> set[str]:
        """Read what is new, each kind by itself; returns those that could not be read.

        Raises:
            StoreError: the store cannot be reached, or refuses what everything else goes by.
        """
        reads = {
            "red": self._read_red,
            "logs": self._read_logs,
            "bodies": self._read_bodies,
            "quantiles": self._read_quantiles,
            "slo": self._read_objectives,
            "metrics": self._read_metrics,
            "edges": self._read_edges,
        }
        unread = {
            name
            for name, read in reads.items()
            if not self._works(f"reading {name}", lambda: read(rollups, now))  # noqa: B023 - called at once
        }
        if {"red", "logs"} <= unread:
            raise StoreError("neither requests nor log lines can be read; `watchkeeper doctor` says why")
        return unread

    @staticmethod
    def _span(last: datetime | None, now: datetime, step_s: float, full_s: float, reread_s: float) -> Window:
        """What to read: everything at first, then what may have changed since the last time."""
        newest = utc(now.timestamp() // step_s * step_s)
        back = full_s if last is None else max(reread_s, (now - last).total_seconds() + reread_s)
        return Window(start=newest - timedelta(seconds=min(back, full_s)), end=newest + timedelta(seconds=step_s))

    def _read_red(self, rollups: Rollups, now: datetime) -> None:
        window = self._span(self._read_until, now, STEP_S, self._red.buckets * STEP_S, REREAD_S)
        tables = [rollups.red_levels(part) for part in window.parts(READ_AT_ONCE_S)]
        self._red.advance(window.end - timedelta(seconds=STEP_S))
        for table in tables:
            self._red.place(table)
        self._read_until = now

    def _read_logs(self, rollups: Rollups, now: datetime) -> None:
        window = self._span(self._logs_read, now, STEP_S, self._red.buckets * STEP_S, REREAD_S)
        table = rollups.log_counts(window)
        self._logs.advance(window.end - timedelta(seconds=STEP_S))
        self._logs.place(table)
        self._logs_read = now

    def _read_objectives(self, rollups: Rollups, now: datetime) -> None:
        if self.slo.objectives and (self._slo_read is None or (now - self._slo_read).total_seconds() >= SLO_EVERY_S):
            self.slo.read(rollups, now)
            self._slo_read = now

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
        self._bodies_read = end  # lines that cannot be read now never can: the next ones must not wait for them
        self._templates.read(table, end - timedelta(seconds=LOG_STEP_S), unread)

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

    def _read_metrics(self, rollups: Rollups, now: datetime) -> None:
        """The whole history at first, then what may have changed."""
        if self._metrics_read is not None and (now - self._metrics_read).total_seconds() < METRICS_EVERY_S:
            return
        step = self._metrics.step_s
        window = self._span(self._metrics_read, now, step, self._metrics.buckets * step, SLOW_REREAD_STEPS * step)
        table = rollups.metric_series(window, step)
        if self._metrics_read is not None:
            # A counter's growth needs the point before: the first buckets of a window know less than the last read.
            table = _without_first_buckets(table, window.start + timedelta(seconds=6 * step))
        self._metrics.advance(window.end - timedelta(seconds=step))
        self._metrics.place(table)
        self._metrics_read = now

    def _read_edges(self, rollups: Rollups, now: datetime) -> None:
        """The whole history at first, then what may have changed."""
        if self._edges_read is not None and (now - self._edges_read).total_seconds() < METRICS_EVERY_S:
            return
        step = self._edges.step_s
        window = self._span(self._edges_read, now, step, self._edges.buckets * step, SLOW_REREAD_STEPS * step)
        table = _by_edge(rollups.edges(window, step))
        self._edges.advance(window.end - timedelta(seconds=step))
        self._edges.place(table)
        self._edges_read = now

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
