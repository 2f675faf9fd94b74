"""What readers ask of the telemetry store: Arrow tables over a window of time."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Self
from urllib.parse import urlsplit

import clickhouse_connect
import pyarrow as pa
from clickhouse_connect.driver.exceptions import ClickHouseError
from urllib3.exceptions import HTTPError

from watchkeeper.config import Config
from watchkeeper.errors import StoreError
from watchkeeper.store.recording import Statement, note
from watchkeeper.store.schema import BUCKET_S, SEVERITY_SQL
from watchkeeper.vocabulary import Window

# Its failures are raised as well, with where and why: a bare line of its own on a user's terminal says neither.
logging.getLogger("clickhouse_connect").addHandler(logging.NullHandler())

_BETWEEN = "bucket >= toDateTime({start:Float64}, 'UTC') AND bucket < toDateTime({end:Float64}, 'UTC')"
# DateTime64 so that Arrow gets a timestamp with its zone, not a bare number.
_STEP = "toDateTime64(intDiv(toUnixTimestamp(bucket), {step:UInt32}) * {step:UInt32}, 0, 'UTC')"
_TIME = (
    "{column} >= fromUnixTimestamp64Nano({{start_ns:Int64}}) AND {column} < fromUnixTimestamp64Nano({{end_ns:Int64}})"
)
_SERVES = "kind IN ('Server', 'Consumer')"


class Telemetry:
    """A reader of the telemetry store. Threads may share one; it connects at the first query."""

    timeout_s: float = 60.0  # for the answer to one query

    def __init__(self, *, url: str, database: str, user: str, password: str) -> None:
        self._url = url
        self._database = database
        self._user = user
        self._password = password
        self._client: Any = None

    @classmethod
    def connect(cls, config: Config) -> Self:
        """A reader of the store that `config` names."""
        return cls(
            url=config.store_url,
            database=config.store.database,
            user=config.store.user,
            password=config.store_password(),
        )

    def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> pa.Table:
        """The rows of one SELECT; `parameters` fill `{name:Type}` in it.

        Raises:
            StoreError: the store rejected it (its own message), or could not be reached (`retry` is set).
        """
        note([Statement(sql=sql, parameters=dict(parameters or {}))])
        try:
            if self._client is None:
                self._client = connect(self._url, self._database, self._user, self._password, self.timeout_s)
            values = dict(parameters or {})
            try:
                return self._client.query_arrow(sql, parameters=values, use_strings=True)
            except UnicodeEncodeError:
                return self._client.query_arrow(sql, parameters=_as_stored(values), use_strings=True)
        except (ClickHouseError, HTTPError, OSError) as error:
            if isinstance(error, ClickHouseError) and not isinstance(error.__cause__, HTTPError):
                raise StoreError(f"the store rejected a query: {error}") from error
            reason = error.__cause__ or error
            raise StoreError(f"the store at {self._url} cannot be reached: {reason}", retry=True) from error

    def red(self, window: Window, step_s: int = 5) -> pa.Table:
        """Rate, errors and duration of every service's operations, by `step_s`.

        Columns: bucket (timestamp, UTC), service, operation, calls, errors (int64), mean_ms, p50_ms, p90_ms,
        p95_ms, p99_ms, max_ms (float64); sorted by bucket. A request counts in the bucket in which it ended.
        """
        return (
            self.query(
                f"SELECT {_STEP} AS step, service, operation, toInt64(sum(calls)) AS calls, toInt64(sum(errors)) AS errors, "
                "sum(duration_ns_sum) / sum(r.calls) / 1e6 AS mean_ms, "
                "quantilesTDigestMerge(0.5, 0.9, 0.95, 0.99)(latency) AS q, q[1] / 1e6 AS p50_ms, q[2] / 1e6 AS p90_ms, "
                "q[3] / 1e6 AS p95_ms, q[4] / 1e6 AS p99_ms, max(duration_ns_max) / 1e6 AS max_ms "
                f"FROM red AS r WHERE {_BETWEEN} AND {_SERVES} GROUP BY step, service, operation ORDER BY step, service, operation",
                _seconds(window, step_s),
            )
            .drop_columns(["q"])
            .rename_columns({"step": "bucket"})
        )

    def red_levels(self, window: Window) -> pa.Table:
        """What `red` gives without quantiles, in 5-second buckets, unsorted: a tenth of the work, for every tick.

        Columns: bucket (timestamp, UTC), service, operation, calls, direct (of them without a parent span), errors
        (int64), mean_ms (float64).
        """
        return self.query(
            f"SELECT {_STEP} AS step, service, operation, toInt64(sum(calls)) AS calls, toInt64(sum(direct)) AS direct, "
            "toInt64(sum(errors)) AS errors, sum(duration_ns_sum) / sum(r.calls) / 1e6 AS mean_ms "
            f"FROM red AS r WHERE {_BETWEEN} AND {_SERVES} GROUP BY step, service, operation",
            _seconds(window),
        ).rename_columns({"step": "bucket"})

    def served(self, service: str, operation: str, window: Window) -> pa.Table:
        """Requests of a service's operation ("" for all) by the minute, sorted, for windows of days.

        Columns: minute (Unix seconds, int64), total, bad (float64).
        """
        return self.query(
            "SELECT intDiv(toUnixTimestamp(bucket), 60) * 60 AS minute, toFloat64(sum(calls)) AS total, "
            f"toFloat64(sum(errors)) AS bad FROM red WHERE {_BETWEEN} AND {_SERVES} AND service = {{service:String}} "
            "AND ({operation:String} = '' OR operation = {operation:String}) GROUP BY minute ORDER BY minute",
            _seconds(window) | {"service": service, "operation": operation},
        )

    def edges(self, window: Window, step_s: int = 5) -> pa.Table:
        """Who called whom, by `step_s`, from the caller's side and, where the callee reports, from its side.

        Columns: bucket, caller, callee, calls, errors (int64), client_mean_ms, server_mean_ms (float64; NaN where
        that side did not report), source (`span`: both sides report; `attribute`: the caller names the callee).
        """
        return self.query(
            f"SELECT {_STEP} AS step, caller, callee, toInt64(sum(calls)) AS calls, toInt64(sum(errors)) AS errors, "
            "sum(client_ns_sum) / sum(e.calls) / 1e6 AS client_mean_ms, "
            "sum(server_ns_sum) / sum(server_calls) / 1e6 AS server_mean_ms, source "
            f"FROM edges AS e WHERE {_BETWEEN} GROUP BY step, caller, callee, source HAVING calls > 0 "
            "ORDER BY step, caller, callee",
            _seconds(window, step_s),
        ).rename_columns({"step": "bucket"})

    def newest(self, signal: str, window: Window) -> pa.Table:
        """The end of each service's newest data: service, newest (timestamp, UTC), rows (int64) in the window.

        `signal` is spans, logs or metrics.
        """
        if signal in ("spans", "logs"):
            table, rows = ("red", "calls") if signal == "spans" else ("log_counts", "lines")
            return self.query(
                f"SELECT service, toDateTime64(max(bucket) + {BUCKET_S}, 0, 'UTC') AS newest, toInt64(sum({rows})) AS rows FROM {table} "
                f"WHERE {_BETWEEN} GROUP BY service",
                _seconds(window),
            )
        kinds = " UNION ALL ".join(
            f"SELECT ServiceName, TimeUnix FROM otel_metrics_{kind} WHERE {_TIME.format(column='TimeUnix')}"
            for kind in ("gauge", "sum", "histogram", "exponential_histogram")
        )
        return self.query(
            f"SELECT ServiceName AS service, toDateTime64(max(TimeUnix), 0, 'UTC') AS newest, toInt64(count()) AS rows FROM ({kinds}) GROUP BY service",
            _nanos(window),
        )

    def call_offsets(self, window: Window, sampled: int = 20_000) -> pa.Table:
        """How far callees' clocks are ahead of callers': caller, callee, offset_s (float64), calls (int64).

        Of about `sampled` calls: the median distance of the two sides' middles where they do not overlap by more than
        a second, 0 where most do.
        """
        within = _TIME.format(column="Timestamp")

        def side(kind: str, key: str) -> str:
            return (
                f"SELECT TraceId, {key} AS id, ServiceName AS service, toInt64(Duration) AS duration, "
                "toUnixTimestamp64Nano(Timestamp) + intDiv(toInt64(Duration), 2) AS middle FROM otel_traces "
                f"WHERE {within} AND SpanKind = '{kind}' AND cityHash64(TraceId) % (SELECT "
                f"greatest(1, intDiv(count(), {{sampled:UInt32}})) FROM otel_traces WHERE {within} AND SpanKind = 'Client') = 0"
            )

        return self.query(
            "SELECT caller, callee, toInt64(count()) AS calls, "
            "if(countIf(apart > 1e9) * 2 > count(), median(off) / 1e9, 0.) AS offset_s FROM ("
            "SELECT c.service AS caller, s.service AS callee, s.middle - c.middle AS off, "
            f"abs(off) - (s.duration + c.duration) / 2 AS apart FROM ({side('Client', 'SpanId')}) AS c "
            f"INNER JOIN ({side('Server', 'ParentSpanId')}) AS s ON c.TraceId = s.TraceId AND c.id = s.id "
            "WHERE caller != callee) GROUP BY caller, callee ORDER BY caller, callee",
            _nanos(window) | {"sampled": sampled},
        )

    def services(self, window: Window) -> pa.Table:
        """Every service that served a request: service, calls, errors, mean_ms, p95_ms, first_seen, last_seen."""
        return self.query(
            "SELECT service, toInt64(sum(calls)) AS calls, toInt64(sum(errors)) AS errors, "
            "sum(duration_ns_sum) / sum(r.calls) / 1e6 AS mean_ms, "
            "quantilesTDigestMerge(0.5, 0.9, 0.95, 0.99)(latency)[3] / 1e6 AS p95_ms, toDateTime64(min(bucket), 0, 'UTC') AS first_seen, "
            f"toDateTime64(max(bucket), 0, 'UTC') AS last_seen FROM red AS r WHERE {_BETWEEN} AND {_SERVES} GROUP BY service ORDER BY service",
            _seconds(window),
        )

    def log_counts(self, window: Window, step_s: int = 5) -> pa.Table:
        """Log lines: bucket, service, severity, lines (int64)."""
        return self.query(
            f"SELECT {_STEP} AS step, service, severity, toInt64(sum(lines)) AS lines FROM log_counts "
            f"WHERE {_BETWEEN} GROUP BY step, service, severity ORDER BY step, service, severity",
            _seconds(window, step_s),
        ).rename_columns({"step": "bucket"})

    def log_bodies(self, window: Window, step_s: int = 10, limit: int = 20_000) -> pa.Table:
        """Log lines that differ in more than their numbers: bucket, service, severity, body, lines (int64).

        `body` is one of the similar `lines`, cut after 1,000 characters. The most frequent come first; over `limit` the
        rest is left out.
        """
        return self.query(
            "SELECT toDateTime64(intDiv(toUnixTimestamp(TimestampTime), {step:UInt32}) * {step:UInt32}, 0, 'UTC') AS bucket, "
            f"ServiceName AS service, {SEVERITY_SQL} AS severity, any(toValidUTF8(substring(Body, 1, 1000))) AS body, "
            "toInt64(count()) AS lines FROM otel_logs "
            "WHERE TimestampTime >= toDateTime({start:Float64}, 'UTC') AND TimestampTime < toDateTime({end:Float64}, 'UTC') "
            "GROUP BY bucket, service, severity, replaceRegexpAll(substring(Body, 1, 1000), '[0-9]+', '0') "
            "ORDER BY lines DESC, service, body LIMIT {limit:UInt32}",
            _seconds(window, step_s) | {"limit": limit},
        )

    def logs(
        self, window: Window, service: str | None = None, severity_at_least: int = 0, limit: int = 1000
    ) -> pa.Table:
        """The newest log lines: timestamp, service, severity, severity_number, body, trace_id, span_id."""
        return self.query(
            f"SELECT Timestamp AS timestamp, ServiceName AS service, {SEVERITY_SQL} AS severity, "
            "SeverityNumber AS severity_number, Body AS body, TraceId AS trace_id, SpanId AS span_id FROM otel_logs "
            "WHERE TimestampTime >= toDateTime({start:Float64} - 1) AND TimestampTime <= toDateTime({end:Float64} + 1) "
            f"AND {_TIME.format(column='Timestamp')} AND SeverityNumber >= {{least:UInt8}} "
            "AND ({service:String} = '' OR ServiceName = {service:String}) ORDER BY timestamp DESC LIMIT {limit:UInt32}",
            _seconds(window) | _nanos(window) | {"least": severity_at_least, "service": service or "", "limit": limit},
        )

    def metric_series(self, window: Window, step_s: int = 5, service: str | None = None) -> pa.Table:
        """Metric points by `step_s`, in units that a detector can compare.

        Columns: bucket, service, metric, attributes (sorted JSON text), value (float64), unit (as it was sent), kind:
        `gauge` (mean of the values; also a sum that may fall), `rate` (a growing counter's increase per second; resets
        count from zero) and `mean` (a histogram's mean observation, explicit or exponential).
        """
        # Flag 1: the point says that there is no value.
        where = (
            f"{_TIME.format(column='TimeUnix')} AND ({{service:String}} = '' OR ServiceName = {{service:String}}) "
            "AND bitAnd(Flags, 1) = 0"
        )
        bucket = "toDateTime64(intDiv(toUnixTimestamp(toDateTime(TimeUnix, 'UTC')), {step:UInt32}) * {step:UInt32}, 0, 'UTC')"
        names = "ServiceName AS service, MetricName AS metric, replaceAll(toJSONString(mapSort(Attributes)), '\\\\/', '/') AS attributes"
        by_series = "PARTITION BY ServiceName, MetricName, Attributes, ResourceAttributes ORDER BY TimeUnix"
        frame = "ROWS BETWEEN 1 PRECEDING AND 1 PRECEDING"

        def growth(column: str, what: str) -> str:
            before = f"first_value({column}) OVER ({by_series} {frame})"
            rows = f"count() OVER ({by_series} {frame})"
            cumulative = f"if({rows} = 0, 0, if({column} >= {before}, {column} - {before}, {column}))"
            return f"if(AggregationTemporality = 1, {column}, {cumulative}) AS {what}"

        def means(kind: str) -> str:
            return (
                "SELECT bucket, service, metric, attributes, sum(summed) / sum(counted) AS value, any(unit) AS unit, 'mean' AS kind FROM ("
                f"SELECT {bucket} AS bucket, {names}, MetricUnit AS unit, {growth('Sum', 'summed')}, {growth('toFloat64(Count)', 'counted')} "
                f"FROM otel_metrics_{kind} WHERE {where} AND isFinite(Sum)) "
                "GROUP BY bucket, service, metric, attributes HAVING sum(counted) > 0"
            )

        return self.query(
            f"SELECT * FROM (SELECT {bucket} AS bucket, {names}, avg(Value) AS value, any(MetricUnit) AS unit, 'gauge' AS kind "
            f"FROM otel_metrics_gauge WHERE {where} AND isFinite(Value) GROUP BY bucket, service, metric, attributes UNION ALL "
            f"SELECT {bucket} AS bucket, {names}, avg(Value) AS value, any(MetricUnit) AS unit, 'gauge' AS kind "
            f"FROM otel_metrics_sum WHERE {where} AND NOT IsMonotonic AND isFinite(Value) GROUP BY bucket, service, metric, attributes UNION ALL "
            "SELECT bucket, service, metric, attributes, sum(grown) / {step:UInt32} AS value, concat(any(unit), '/s') AS unit, 'rate' AS kind FROM ("
            f"SELECT {bucket} AS bucket, {names}, MetricUnit AS unit, {growth('Value', 'grown')} FROM otel_metrics_sum "
            f"WHERE {where} AND IsMonotonic AND isFinite(Value)) GROUP BY bucket, service, metric, attributes UNION ALL "
            f"{means('histogram')} UNION ALL {means('exponential_histogram')}) ORDER BY service, metric, attributes, bucket",
            _nanos(window) | {"step": step_s, "service": service or ""},
        )

    def spans(self, window: Window, service: str | None = None, limit: int = 1000) -> pa.Table:
        """The newest spans: timestamp, trace_id, span_id, parent_span_id, service, operation, kind, duration_ns, status."""
        return self.query(
            f"{_SPAN_COLUMNS} WHERE {_TIME.format(column='Timestamp')} "
            "AND ({service:String} = '' OR ServiceName = {service:String}) ORDER BY timestamp DESC LIMIT {limit:UInt32}",
            _nanos(window) | {"service": service or "", "limit": limit},
        )

    def span_count(self) -> int:
        """How many spans are stored."""
        return int(self.query("SELECT count() AS spans FROM otel_traces").column(0)[0].as_py())

    def trace(self, trace_id: str) -> pa.Table:
        """Every span of one trace, by start; the columns of `spans`."""
        return self.query(f"{_SPAN_COLUMNS} WHERE TraceId = {{trace:String}} ORDER BY timestamp", {"trace": trace_id})


_SPAN_COLUMNS = (
    "SELECT Timestamp AS timestamp, TraceId AS trace_id, SpanId AS span_id, ParentSpanId AS parent_span_id, "
    "ServiceName AS service, SpanName AS operation, SpanKind AS kind, toInt64(Duration) AS duration_ns, "
    "StatusCode AS status, StatusMessage AS message, replaceAll(toJSONString(SpanAttributes), '\\\\/', '/') AS attributes FROM otel_traces"
)


def _as_stored(value: Any) -> Any:
    """Half a surrogate pair, such as in the name that an alert gives, as collectors store it: U+FFFD."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, dict):
        return {name: _as_stored(item) for name, item in value.items()}
    return [_as_stored(item) for item in value] if isinstance(value, (list, tuple)) else value


def _seconds(window: Window, step_s: int = 5) -> dict[str, Any]:
    return {"start": window.start.timestamp(), "end": window.end.timestamp(), "step": step_s}


def _nanos(window: Window) -> dict[str, Any]:
    return {
        "start": window.start.timestamp(),
        "end": window.end.timestamp(),
        "start_ns": int(window.start.timestamp() * 1e6) * 1000,
        "end_ns": int(window.end.timestamp() * 1e6) * 1000,
    }


def connect(url: str, database: str, user: str, password: str, timeout_s: float = 60.0) -> Any:
    """A ClickHouse client that threads may share; `timeout_s` is how long it waits for an answer."""
    parts = urlsplit(url)
    return clickhouse_connect.get_client(
        interface=parts.scheme,
        host=parts.hostname or "127.0.0.1",
        port=parts.port or (8443 if parts.scheme == "https" else 8123),
        username=user,
        password=password,
        database=database,
        connect_timeout=5,
        send_receive_timeout=timeout_s,
        autogenerate_session_id=False,  # a session would make threads wait for each other
        compress=False,
    )
