"""The SQL of the dashboard's pages, over roll-ups and the exporter's tables. Times are Unix seconds."""

from __future__ import annotations

from typing import Final

from watchkeeper.store.schema import BUCKET_S, INSTANCE_SQL, SEVERITY_SQL

_BUCKETS: Final = (
    "bucket >= toDateTime({start:Float64}, 'UTC') AND bucket < toDateTime({end:Float64}, 'UTC') "
    "AND kind IN ('Server', 'Consumer')"
)

# Every service that served anything: service. Takes `start` and `end` in seconds, as those below.
SERVICES: Final = f"SELECT DISTINCT service FROM red WHERE {_BUCKETS} LIMIT 20000"

# When each service served last: service, last (the end of that bucket, in Unix seconds).
LAST_SERVED: Final = (
    f"SELECT service, toFloat64(toUnixTimestamp(max(bucket)) + {BUCKET_S}) AS last FROM red "
    f"WHERE {_BUCKETS} AND calls > 0 GROUP BY service LIMIT 20000"
)

# RED of every service: step, service, calls, direct (of them without a parent span), errors, p50_ms, p95_ms. Takes `start`, `end` and `step` in seconds.
_RED: Final = (
    "SELECT toDateTime64(intDiv(toUnixTimestamp(bucket), {step:UInt32}) * {step:UInt32}, 0, 'UTC') AS step, service, "
    "toInt64(sum(calls)) AS calls, toInt64(sum(direct)) AS direct, toInt64(sum(errors)) AS errors, "
    "quantilesTDigestMerge(0.5, 0.9, 0.95, 0.99)(latency) AS q, q[1] / 1e6 AS p50_ms, q[3] / 1e6 AS p95_ms "
    f"FROM red WHERE {_BUCKETS}"
)
_BY_STEP: Final = "GROUP BY step, service ORDER BY step, service"
SERVICE_RED: Final = f"{_RED} {_BY_STEP}"
RED_OF_SERVICE: Final = f"{_RED} AND service = {{service:String}} {_BY_STEP}"

# The operations of one service, busiest first: operation, calls, errors, p50_ms, p95_ms, max_ms.
OPERATIONS: Final = (
    "SELECT operation, toInt64(sum(calls)) AS calls, toInt64(sum(errors)) AS errors, "
    "quantilesTDigestMerge(0.5, 0.9, 0.95, 0.99)(latency) AS q, q[1] / 1e6 AS p50_ms, q[3] / 1e6 AS p95_ms, "
    "max(duration_ns_max) / 1e6 AS max_ms "
    f"FROM red WHERE {_BUCKETS} AND service = {{service:String}} "
    "GROUP BY operation ORDER BY calls DESC LIMIT 50"
)

_OF_SERVICE: Final = (
    "ServiceName = {service:String} "
    "AND Timestamp >= fromUnixTimestamp64Milli(toInt64({start:Float64} * 1000)) "
    "AND Timestamp < fromUnixTimestamp64Milli(toInt64({end:Float64} * 1000))"
)

# The instances and versions of one service, busiest first: instance, version, calls, errors, p50_ms, p95_ms, first, last.
INSTANCES: Final = (
    f"SELECT {INSTANCE_SQL} AS instance, ResourceAttributes['service.version'] AS version, toInt64(count()) AS calls, "
    "toInt64(countIf(StatusCode = 'Error')) AS errors, quantilesTDigest(0.5, 0.95)(Duration) AS q, "
    "q[1] / 1e6 AS p50_ms, q[2] / 1e6 AS p95_ms, min(Timestamp) AS first, max(Timestamp) AS last "
    f"FROM otel_traces WHERE {_OF_SERVICE} AND SpanKind IN ('Server', 'Consumer') "
    "GROUP BY instance, version ORDER BY calls DESC, instance, version LIMIT 50"
)

# Of the newest log lines of one service, those that differ in more than numbers: severity, body (one of them), lines,
# newest. Takes `newest`, how many lines are looked at.
LOG_PATTERNS: Final = (
    "SELECT severity, any(line) AS body, toInt64(count()) AS lines, max(at) AS newest FROM ("
    f"SELECT {SEVERITY_SQL} AS severity, toValidUTF8(substring(Body, 1, 400)) AS line, Timestamp AS at FROM otel_logs "
    "WHERE TimestampTime >= toDateTime({start:Float64} - 1) AND TimestampTime <= toDateTime({end:Float64} + 1) "
    f"AND {_OF_SERVICE} ORDER BY TimestampTime DESC LIMIT {{newest:UInt32}}) "
    "GROUP BY severity, replaceRegexpAll(line, '[0-9a-fA-F]{8,}|[0-9]+', '#') "
    "ORDER BY lines DESC, severity, body LIMIT 30"
)

# The failed requests of one service, then the slowest: trace_id, at, operation, duration_ms, failed.
NOTABLE_REQUESTS: Final = (
    "SELECT TraceId AS trace_id, Timestamp AS at, SpanName AS operation, Duration / 1e6 AS duration_ms, "
    f"StatusCode = 'Error' AS failed FROM otel_traces WHERE {_OF_SERVICE} "
    "AND SpanKind IN ('Server', 'Consumer') ORDER BY failed DESC, Duration DESC LIMIT 8"
)

# The newest trace, log and metric since `start`: signal, newest.
NEWEST: Final = (
    "SELECT 'traces' AS signal, toDateTime64(max(bucket), 0, 'UTC') AS newest FROM red "
    "WHERE bucket >= toDateTime({start:Float64}, 'UTC') "
    "UNION ALL SELECT 'logs' AS signal, toDateTime64(max(bucket), 0, 'UTC') AS newest FROM log_counts "
    "WHERE bucket >= toDateTime({start:Float64}, 'UTC') "
    "UNION ALL SELECT 'metrics' AS signal, toDateTime64(max(newest), 0, 'UTC') AS newest FROM ("
    "SELECT max(TimeUnix) AS newest FROM otel_metrics_gauge WHERE TimeUnix >= toDateTime({start:Float64}, 'UTC') "
    "UNION ALL SELECT max(TimeUnix) FROM otel_metrics_sum WHERE TimeUnix >= toDateTime({start:Float64}, 'UTC'))"
)
