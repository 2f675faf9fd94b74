"""What the pages read: telemetry, incidents, changes and the state of Watchkeeper itself, each cached for a moment."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
from sqlalchemy import select

from alerting.incidents.commands import Incidents
from alerting.incidents.machine import Incident
from dashboard.figures.topology import Call
from dashboard.reads.cache import Cache
from dashboard.reads.series import RedSeries, by_service
from dashboard.reads.traces import Example
from detectors.learning.examples import Example as Labelled
from detectors.learning.examples import examples
from detectors.learning.suppression import Reopening, SuppressedFinding, reopenings, suppressed_findings
from detectors.learning.track_record import track_record
from detectors.recorded_readiness import read_readiness
from watchkeeper.clock import Clock
from watchkeeper.config import Config
from watchkeeper.problems import Problem, read_problems
from watchkeeper.state.changes import changes_between
from watchkeeper.state.codec import parse
from watchkeeper.state.database import Database
from watchkeeper.state.schema import findings, postmortems
from watchkeeper.store.schema import SEVERITY_SQL
from watchkeeper.store.telemetry import Telemetry
from watchkeeper.vocabulary import ChangeEvent, Finding, Readiness, Window

CACHE_S = 2.0
OWN = "watchkeeper-"
STALE_AFTER = timedelta(seconds=60)

_SERVICE_RED = (
    "SELECT toDateTime64(intDiv(toUnixTimestamp(bucket), {step:UInt32}) * {step:UInt32}, 0, 'UTC') AS step, service, "
    "toInt64(sum(calls)) AS calls, toInt64(sum(errors)) AS errors, "
    "quantilesTDigestMerge(0.5, 0.9, 0.95, 0.99)(latency) AS q, q[1] / 1e6 AS p50_ms, q[3] / 1e6 AS p95_ms "
    "FROM red WHERE bucket >= toDateTime({start:Float64}, 'UTC') AND bucket < toDateTime({end:Float64}, 'UTC') "
    "AND kind IN ('Server', 'Consumer') GROUP BY step, service ORDER BY step, service"
)
_OPERATIONS = (
    "SELECT operation, toInt64(sum(calls)) AS calls, toInt64(sum(errors)) AS errors, "
    "quantilesTDigestMerge(0.5, 0.9, 0.95, 0.99)(latency) AS q, q[1] / 1e6 AS p50_ms, q[3] / 1e6 AS p95_ms, "
    "max(duration_ns_max) / 1e6 AS max_ms "
    "FROM red WHERE bucket >= toDateTime({start:Float64}, 'UTC') AND bucket < toDateTime({end:Float64}, 'UTC') "
    "AND kind IN ('Server', 'Consumer') AND service = {service:String} GROUP BY operation ORDER BY calls DESC LIMIT 50"
)
_EXAMPLES = (
    "SELECT TraceId AS trace_id, Timestamp AS at, SpanName AS operation, Duration / 1e6 AS duration_ms, "
    "StatusCode = 'Error' AS failed FROM otel_traces WHERE ServiceName = {service:String} "
    "AND Timestamp >= fromUnixTimestamp64Milli(toInt64({start:Float64} * 1000)) "
    "AND Timestamp < fromUnixTimestamp64Milli(toInt64({end:Float64} * 1000)) "
    "AND SpanKind IN ('Server', 'Consumer') ORDER BY failed DESC, Duration DESC LIMIT 8"
)
_TRACE_LOGS = (
    f"SELECT Timestamp AS timestamp, ServiceName AS service, {SEVERITY_SQL} AS severity, "  # noqa: S608 - our own text
    "SeverityNumber AS severity_number, Body AS body FROM otel_logs WHERE TraceId = {trace:String} "
    "ORDER BY timestamp LIMIT 100"
)
_NEWEST = (
    "SELECT 'traces' AS signal, toDateTime64(max(bucket), 0, 'UTC') AS newest FROM red "
    "WHERE bucket >= toDateTime({start:Float64}, 'UTC') "
    "UNION ALL SELECT 'logs' AS signal, toDateTime64(max(bucket), 0, 'UTC') AS newest FROM log_counts "
    "WHERE bucket >= toDateTime({start:Float64}, 'UTC') "
    "UNION ALL SELECT 'metrics' AS signal, toDateTime64(max(newest), 0, 'UTC') AS newest FROM ("
    "SELECT max(TimeUnix) AS newest FROM otel_metrics_gauge WHERE TimeUnix >= toDateTime({start:Float64}, 'UTC') "
    "UNION ALL SELECT max(TimeUnix) FROM otel_metrics_sum WHERE TimeUnix >= toDateTime({start:Float64}, 'UTC'))"
)


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
class Role:
    """One of Watchkeeper's processes: running, or not seen; `hung` names the loop that is stuck."""

    name: str
    running: bool
    hung: str = ""


class Sources:
    """Reads for the pages. Threads share one; every answer is at most two seconds old."""

    def __init__(
        self,
        *,
        telemetry: Telemetry,
        incidents: Incidents,
        db: Database,
        config: Config,
        clock: Clock,
        roles: Callable[[], Sequence[Role]] = lambda: (),
    ) -> None:
        """`roles` looks at Watchkeeper's processes on this machine."""
        self.telemetry = telemetry
        self.incidents = incidents
        self.db = db
        self.config = config
        self.clock = clock
        self._roles = roles
        self._cache = Cache(CACHE_S)

    def now(self) -> datetime:
        return self.clock.now()

    def forget(self) -> None:
        """Read everything anew: a command has just changed something."""
        self._cache.clear()

    # ---- telemetry ---------------------------------------------------------------------------------

    def red(self, window: Window, step_s: int) -> Mapping[str, RedSeries]:
        """RED of each of the target's services, by name. Watchkeeper's own roles are left out.

        Raises:
            StoreError: the store cannot be read.
        """

        def load() -> Mapping[str, RedSeries]:
            table = self.telemetry.query(_SERVICE_RED, _bounds(window) | {"step": step_s}).rename_columns(
                {"step": "bucket"}
            )
            return {n: s for n, s in by_service(table, window, step_s).items() if not n.startswith(OWN)}

        return self._cache.get(("red", window, step_s), load)

    def calls(self, window: Window) -> Sequence[Call]:
        """Who calls whom over the window, the target's services only."""

        def load() -> Sequence[Call]:
            table = self.telemetry.edges(window, max(5, int(window.seconds)))
            return _calls(table, window.seconds)

        return self._cache.get(("calls", window), load)

    def operations(self, window: Window, service: str) -> Sequence[Operation]:
        """The service's operations, busiest first, at most 50."""

        def load() -> Sequence[Operation]:
            rows = self.telemetry.query(_OPERATIONS, _bounds(window) | {"service": service}).to_pylist()
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

    def log_lines(self, window: Window, service: str, limit: int = 8) -> Sequence[Mapping[str, Any]]:
        """The newest warnings and errors of a service: timestamp, severity, body, trace_id."""
        key = ("logs", window, service, limit)
        return self._cache.get(
            key, lambda: self.telemetry.logs(window, service, severity_at_least=13, limit=limit).to_pylist()
        )

    def examples(self, window: Window, service: str) -> Sequence[Example]:
        """Requests of a service worth opening: what failed first, then the slowest; at most eight."""

        def load() -> Sequence[Example]:
            rows = self.telemetry.query(_EXAMPLES, _bounds(window) | {"service": service}).to_pylist()
            return [Example(**row) for row in rows]

        return self._cache.get(("examples", window, service), load)

    def trace(self, trace_id: str) -> list[dict[str, Any]]:
        """The spans of one trace, by start; empty where the store holds none."""
        return self._cache.get(("trace", trace_id), lambda: self.telemetry.trace(trace_id).to_pylist())

    def trace_logs(self, trace_id: str) -> list[dict[str, Any]]:
        """What was logged with a trace's id, by time, at most 100 lines."""
        key = ("trace-logs", trace_id)
        return self._cache.get(key, lambda: self.telemetry.query(_TRACE_LOGS, {"trace": trace_id}).to_pylist())

    def log_counts(self, window: Window, step_s: int) -> pa.Table:
        return self._cache.get(("log_counts", window, step_s), lambda: self.telemetry.log_counts(window, step_s))

    def metrics(self, window: Window, step_s: int, service: str) -> pa.Table:
        key = ("metrics", window, step_s, service)
        return self._cache.get(key, lambda: self.telemetry.metric_series(window, step_s, service))

    def newest(self) -> Mapping[str, datetime | None]:
        """The newest trace, log and metric of the last day, by signal; None where there is none."""

        def load() -> Mapping[str, datetime | None]:
            start = (self.now() - timedelta(days=1)).timestamp()
            rows = self.telemetry.query(_NEWEST, {"start": start}).to_pylist()
            return {r["signal"]: r["newest"] if r["newest"] and r["newest"].year > 1970 else None for r in rows}

        return self._cache.get("newest", load)

    @property
    def people(self) -> Mapping[str, str]:
        """The names of who can be paged, by id."""
        return {person.id: person.name for person in self.config.oncall.people}

    # ---- incidents, changes, people ------------------------------------------------------------------

    def listed(self, limit: int = 60) -> Sequence[Incident]:
        """The newest incidents, newest first."""
        return self._cache.get(("incidents", limit), lambda: tuple(self.incidents.list(limit=limit)))

    def incident(self, incident_id: str) -> Incident:
        """One incident as it is now: never from the cache, because somebody may just have acted on it.

        Raises:
            NotFound: there is none of that id.
        """
        return self.incidents.get(incident_id)

    def firing(self) -> Sequence[Finding]:
        """What the detectors hold against services now: every finding that has not cleared."""

        def load() -> Sequence[Finding]:
            with self.db.read() as connection:
                bodies = connection.scalars(select(findings.c.body).where(findings.c.cleared_at.is_(None)))
                return [parse(Finding, body) for body in bodies]

        return self._cache.get("firing", load)

    def readiness(self) -> Mapping[str, Readiness]:
        """Whether the detectors' baselines are ready, by service."""
        return self._cache.get("readiness", lambda: read_readiness(self.db))

    def changes(self, window: Window) -> Sequence[ChangeEvent]:
        """Change events in the window, newest first."""

        def load() -> Sequence[ChangeEvent]:
            return sorted(changes_between(self.db, window), key=lambda c: c.at, reverse=True)

        return self._cache.get(("changes", window), load)

    def postmortem(self, incident_id: str) -> str:
        """The stored draft, as Markdown; empty where there is none."""
        with self.db.read() as connection:
            query = select(postmortems.c.markdown).where(postmortems.c.incident_id == incident_id)
            return connection.scalar(query) or ""

    # ---- learning -----------------------------------------------------------------------------------

    def labelled(self) -> tuple[Labelled, ...]:
        """Every finding of a judged incident, with the judgement."""
        return self._cache.get("labelled", lambda: examples(self.db))

    def record(self, finding: Finding) -> str:
        """How often the detector of a finding was right on its service, in a sentence."""
        return track_record(self.labelled(), finding).sentence()

    def suppressed(self, limit: int = 30) -> tuple[SuppressedFinding, ...]:
        """Findings that a version suppressed, newest first."""
        return self._cache.get(("suppressed", limit), lambda: suppressed_findings(self.db, limit))

    def reopened(self) -> tuple[Reopening, ...]:
        """Suppressed findings that people reopened."""
        return self._cache.get("reopened", lambda: reopenings(self.db))

    def barred(self) -> frozenset[tuple[str, str]]:
        """The detectors on services that may not be suppressed."""
        return frozenset(reopening.group for reopening in self.reopened())

    # ---- Watchkeeper itself ----------------------------------------------------------------------------

    def roles(self) -> Sequence[Role]:
        """Watchkeeper's processes on this machine."""
        return self._cache.get(("roles",), self._roles)

    def set_aside(self) -> Sequence[tuple[str, Problem]]:
        """What the roles set aside in the last day so that the rest goes on, with the role, the latest first."""

        def read() -> Sequence[tuple[str, Problem]]:
            by_role = read_problems(self.config.data_dir / "run")
            problems = [(role, problem) for role, found in by_role.items() for problem in found]
            return sorted(problems, key=lambda pair: pair[1].last_at, reverse=True)

        return self._cache.get(("set aside",), read)

    def watching(self) -> str:
        """Empty while the watch role runs and telemetry is fresh; else why no service can be judged.

        Raises:
            StoreError: the store cannot be read.
        """
        watch = next((role for role in self.roles() if role.name == "watch" and role.running), None)
        if watch is None:
            return "the watch role is not running"
        if watch.hung:
            return watch.hung
        newest = [at for at in self.newest().values() if at]
        if not newest:
            return "no telemetry has arrived yet"
        if self.now() - max(newest) > STALE_AFTER:
            return "telemetry has stopped arriving"
        return ""


def _bounds(window: Window) -> dict[str, float]:
    return {"start": window.start.timestamp(), "end": window.end.timestamp()}


def _calls(table: pa.Table, seconds: float) -> Sequence[Call]:
    """One Call for each pair, over all steps. A pair that both sides report is instrumented."""
    totals: dict[tuple[str, str], dict[str, float]] = {}
    for row in table.to_pylist():
        if row["caller"].startswith(OWN) or row["callee"].startswith(OWN) or not row["calls"]:
            continue
        total = totals.setdefault(
            (row["caller"], row["callee"]), {"calls": 0, "errors": 0, "ms": 0.0, "timed": 0, "spans": 0}
        )
        total["calls"] += row["calls"]
        total["errors"] += row["errors"]
        total["spans"] += row["source"] == "span"
        if row["client_mean_ms"] is not None and np.isfinite(row["client_mean_ms"]):
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
