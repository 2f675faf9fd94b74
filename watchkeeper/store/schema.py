"""The telemetry store's tables, and the roll-ups that it keeps up to date at insert.

The `otel_*` tables are those of the OpenTelemetry Collector's ClickHouse exporter: same names, column
names and types (nanosecond times). Secondary indexes, codecs, TTL and everything else here are ours.

`red`         rate, errors, duration of each service's operations, 5 s a row; `direct` are requests without a parent span
`links`       one row a call seen from one side; joined by a periodic INSERT into `edges`
`edges`       who calls whom, 5 s a row
`peers`       which service answers at an address, so that a call which nobody answers still has a callee
`log_counts`  lines by service and severity, 5 s a row

What there is and what arrives (`metric_catalog`, `arrivals`) is in `catalog_schema`.

Each table that an insert reaches has a deduplication window, so that a segment that is sent twice is
stored once, roll-ups included.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from watchkeeper.store import catalog_schema

BUCKET_S: Final = 5  # of every roll-up; the shortest step that a detector uses
# Blocks whose tokens a table remembers: at one segment a second, over a quarter of an hour.
DEDUPLICATION_WINDOW: Final = 1000
# Small parts are merged so many at a time: each merge costs about the same, however small they are.
FEWEST_MERGED: Final = 8

MAP: Final = "Map(LowCardinality(String), String)"
LC: Final = "LowCardinality(String)"

EVENTS: Final = f"Nested (Timestamp DateTime64(9), Name {LC}, Attributes {MAP})"
LINKS: Final = f"Nested (TraceId String, SpanId String, TraceState String, Attributes {MAP})"
EXEMPLARS: Final = (
    f"Nested (FilteredAttributes {MAP}, TimeUnix DateTime64(9), Value Float64, SpanId String, TraceId String)"
)

TRACES: Final = {
    "Timestamp": "DateTime64(9) CODEC(Delta, ZSTD(1))",
    "TraceId": "String CODEC(ZSTD(1))",
    "SpanId": "String CODEC(ZSTD(1))",
    "ParentSpanId": "String CODEC(ZSTD(1))",
    "TraceState": "String CODEC(ZSTD(1))",
    "SpanName": LC,
    "SpanKind": LC,
    "ServiceName": LC,
    "ResourceAttributes": f"{MAP} CODEC(ZSTD(1))",
    "ScopeName": "String CODEC(ZSTD(1))",
    "ScopeVersion": "String CODEC(ZSTD(1))",
    "SpanAttributes": f"{MAP} CODEC(ZSTD(1))",
    "Duration": "UInt64 CODEC(ZSTD(1))",
    "StatusCode": LC,
    "StatusMessage": "String CODEC(ZSTD(1))",
    "Events": EVENTS,
    "Links": LINKS,
}

LOGS: Final = {
    "Timestamp": "DateTime64(9) CODEC(Delta, ZSTD(1))",
    "TimestampTime": "DateTime DEFAULT toDateTime(Timestamp)",
    "TraceId": "String CODEC(ZSTD(1))",
    "SpanId": "String CODEC(ZSTD(1))",
    "TraceFlags": "UInt8",
    "SeverityText": LC,
    "SeverityNumber": "UInt8",
    "ServiceName": LC,
    "Body": "String CODEC(ZSTD(1))",
    "ResourceSchemaUrl": LC,
    "ResourceAttributes": f"{MAP} CODEC(ZSTD(1))",
    "ScopeSchemaUrl": LC,
    "ScopeName": "String CODEC(ZSTD(1))",
    "ScopeVersion": LC,
    "ScopeAttributes": f"{MAP} CODEC(ZSTD(1))",
    "LogAttributes": f"{MAP} CODEC(ZSTD(1))",
    "EventName": "String CODEC(ZSTD(1))",
}

# What every kind of metric point carries.
POINT: Final = {
    "ResourceAttributes": f"{MAP} CODEC(ZSTD(1))",
    "ResourceSchemaUrl": "String CODEC(ZSTD(1))",
    "ScopeName": "String CODEC(ZSTD(1))",
    "ScopeVersion": "String CODEC(ZSTD(1))",
    "ScopeAttributes": f"{MAP} CODEC(ZSTD(1))",
    "ScopeDroppedAttrCount": "UInt32",
    "ScopeSchemaUrl": "String CODEC(ZSTD(1))",
    "ServiceName": LC,
    "MetricName": "String CODEC(ZSTD(1))",
    "MetricDescription": "String CODEC(ZSTD(1))",
    "MetricUnit": "String CODEC(ZSTD(1))",
    "Attributes": f"{MAP} CODEC(ZSTD(1))",
    "StartTimeUnix": "DateTime64(9) CODEC(Delta, ZSTD(1))",
    "TimeUnix": "DateTime64(9) CODEC(Delta, ZSTD(1))",
    "Flags": "UInt32",
}
_VALUE: Final = {"Value": "Float64 CODEC(ZSTD(1))", "Exemplars": EXEMPLARS}
_COUNT_SUM: Final = {"Count": "UInt64", "Sum": "Float64"}

METRICS: Final[dict[str, dict[str, str]]] = {
    "gauge": POINT | _VALUE,
    "sum": POINT | _VALUE | {"AggregationTemporality": "Int32", "IsMonotonic": "Boolean"},
    "histogram": POINT
    | _COUNT_SUM
    | {
        "BucketCounts": "Array(UInt64)",
        "ExplicitBounds": "Array(Float64)",
        "Exemplars": EXEMPLARS,
        "Min": "Float64",
        "Max": "Float64",
        "AggregationTemporality": "Int32",
    },
    "exponential_histogram": POINT
    | _COUNT_SUM
    | {
        "Scale": "Int32",
        "ZeroCount": "UInt64",
        "PositiveOffset": "Int32",
        "PositiveBucketCounts": "Array(UInt64)",
        "NegativeOffset": "Int32",
        "NegativeBucketCounts": "Array(UInt64)",
        "Exemplars": EXEMPLARS,
        "Min": "Float64",
        "Max": "Float64",
        "AggregationTemporality": "Int32",
    },
    "summary": POINT | _COUNT_SUM | {"ValueAtQuantiles": "Nested (Quantile Float64, Value Float64)"},
}

LATENCY_STATE: Final = "AggregateFunction(quantilesTDigest(0.5, 0.9, 0.95, 0.99), UInt64)"
SUM: Final = "SimpleAggregateFunction(sum, UInt64)"
MAX: Final = "SimpleAggregateFunction(max, UInt64)"

RED: Final = {
    "bucket": "DateTime('UTC') CODEC(DoubleDelta, ZSTD(1))",
    "service": LC,
    "operation": LC,
    "kind": LC,
    "calls": SUM,
    "direct": SUM,
    "errors": SUM,
    "duration_ns_sum": SUM,
    "duration_ns_max": MAX,
    "latency": LATENCY_STATE,
}
LINK: Final = {
    "bucket": "DateTime('UTC') CODEC(DoubleDelta, ZSTD(1))",
    "side": LC,
    "key": "UInt64",
    "service": LC,
    "peer": LC,
    "error": "UInt8",
    "duration_ns": "UInt64 CODEC(ZSTD(1))",
}
EDGE: Final = {
    "bucket": "DateTime('UTC') CODEC(DoubleDelta, ZSTD(1))",
    "caller": LC,
    "callee": LC,
    "source": LC,
    "calls": SUM,
    "errors": SUM,
    "client_ns_sum": SUM,
    "server_calls": SUM,
    "server_ns_sum": SUM,
}
# Which service answers at an address, learned from calls that both sides report.
PEER: Final = {"bucket": "DateTime('UTC')", "peer": LC, "service": LC}
LOG_COUNT: Final = {
    "bucket": "DateTime('UTC') CODEC(DoubleDelta, ZSTD(1))",
    "service": LC,
    "severity": LC,
    "lines": SUM,
}

# A log's severity in one word, by OpenTelemetry's number where there is one, else by its text.
SEVERITY_SQL: Final = (
    "multiIf(SeverityNumber >= 21, 'FATAL', SeverityNumber >= 17, 'ERROR', SeverityNumber >= 13, 'WARN', "
    "SeverityNumber >= 9, 'INFO', SeverityNumber >= 5, 'DEBUG', SeverityNumber >= 1, 'TRACE', "
    "SeverityText = '', 'UNSET', upper(SeverityText))"
)
# Which process a row came from, by what its resource names.
INSTANCE_SQL: Final = (
    "multiIf(ResourceAttributes['service.instance.id'] != '', ResourceAttributes['service.instance.id'], "
    "ResourceAttributes['k8s.pod.name'] != '', ResourceAttributes['k8s.pod.name'], ResourceAttributes['host.name'])"
)
# A span counts in the bucket in which it ended: that is when it could first be seen.
END_BUCKET_SQL: Final = (
    f"toDateTime(intDiv(toUnixTimestamp64Nano(Timestamp) + toInt64(Duration), {BUCKET_S}000000000) * {BUCKET_S}, 'UTC')"
)


def _first(*names: str) -> str:
    """The first of a span's attributes that is not empty."""
    *others, last = (f"SpanAttributes['{name}']" for name in names)
    chosen = "".join(f"{one} != '', {one}, " for one in others)
    return f"multiIf({chosen}{last})"


_HOST: Final = _first("server.address", "net.peer.name", "network.peer.address", "net.sock.peer.addr", "net.peer.ip")
_PORT: Final = _first("server.port", "net.peer.port", "network.peer.port", "net.sock.peer.port")
_SYSTEM: Final = _first("db.system.name", "db.system", "messaging.system")
_NAMESPACE: Final = _first("db.namespace", "db.name", "messaging.destination.name")
_ADDRESS: Final = f"if({_PORT} = '', {_HOST}, concat({_HOST}, ':', {_PORT}))"
# What a client span says of a peer that may report nothing itself, as a human would name it: a database or a queue
# (`redis (cache-1:6379)`, without a host `postgresql:orders`, `redis (port 6379)` or `redis`), a host with its port.
# A namespace that is a number (Redis has them) distinguishes nothing.
PEER_SQL: Final = (
    "multiIf("
    "SpanAttributes['peer.service'] != '', SpanAttributes['peer.service'], "
    f"{_SYSTEM} != '', concat({_SYSTEM}, multiIf({_HOST} != '', concat(' (', {_ADDRESS}, ')'), "
    f"match({_NAMESPACE}, '[^0-9]'), concat(':', {_NAMESPACE}), "
    f"{_PORT} != '', concat(' (port ', {_PORT}, ')'), '')), "
    f"{_HOST} != '', {_ADDRESS}, "
    f"extract({_first('url.full', 'http.url')}, '^[a-z]+://([^/?]+)'))"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Table:
    name: str
    columns: dict[str, str]
    engine: str
    partition: str
    order: str
    ttl: str
    extra: tuple[str, ...] = ()
    primary: str = ""  # the part of `order` that the index holds; all of it by default

    def ddl(self, database: str, retention_days: float) -> str:
        columns = [f"`{name}` {kind}" for name, kind in self.columns.items()] + list(self.extra)
        return (
            f"CREATE TABLE IF NOT EXISTS {database}.{self.name} ({', '.join(columns)}) ENGINE = {self.engine} "
            f"PARTITION BY {self.partition} {f'PRIMARY KEY ({self.primary}) ' if self.primary else ''}ORDER BY ({self.order}) "
            f"TTL {self.ttl} + toIntervalSecond({int(retention_days * 86400)}) "
            f"SETTINGS non_replicated_deduplication_window = {DEDUPLICATION_WINDOW}, ttl_only_drop_parts = 1, "
            f"min_parts_to_merge_at_once = {FEWEST_MERGED}, "
            "fsync_after_insert = 1, fsync_part_directory = 1"
        )


def _tables() -> list[_Table]:
    trace_index = "INDEX by_trace TraceId TYPE bloom_filter(0.001) GRANULARITY 1"
    metric_order = "ServiceName, MetricName, Attributes, toUnixTimestamp64Nano(TimeUnix)"
    tables = [
        _Table(
            name="otel_traces",
            columns=TRACES,
            engine="MergeTree",
            partition="toDate(Timestamp)",
            order="ServiceName, SpanName, toDateTime(Timestamp), Timestamp",
            ttl="toDateTime(Timestamp)",
            extra=(trace_index,),
        ),
        _Table(
            name="otel_logs",
            columns=LOGS,
            engine="MergeTree",
            partition="toDate(TimestampTime)",
            order="ServiceName, TimestampTime, Timestamp",
            ttl="TimestampTime",
            extra=(trace_index,),
        ),
    ]
    tables += [
        _Table(
            name=f"otel_metrics_{kind}",
            columns=columns,
            engine="MergeTree",
            partition="toDate(TimeUnix)",
            order=metric_order,
            ttl="toDateTime(TimeUnix)",
        )
        for kind, columns in METRICS.items()
    ]
    rollups = (
        ("red", RED, "AggregatingMergeTree", "toStartOfTenMinutes(bucket), service, operation, kind, bucket"),
        ("links", LINK, "MergeTree", "bucket, key"),
        ("edges", EDGE, "AggregatingMergeTree", "caller, callee, source, bucket"),
        ("peers", PEER, "ReplacingMergeTree(bucket)", "peer, service"),
        ("log_counts", LOG_COUNT, "AggregatingMergeTree", "service, severity, bucket"),
        *catalog_schema.TABLES,
    )
    tables += [
        # Every tick reads the last minutes of all series, a page an hour of one: where a roll-up is large, its index
        # has time first, but coarsely. `bucket` itself is left out of it: the index would look at nothing else.
        _Table(
            name=name,
            columns=columns,
            engine=engine,
            partition="toDate(bucket)",
            order=order,
            ttl="bucket",
            primary=order.removesuffix(", bucket") if order.startswith("toStart") else "",
        )
        for name, columns, engine, order in rollups
    ]
    return tables


def _views(database: str) -> list[str]:
    red = (
        f"SELECT {END_BUCKET_SQL} AS bucket, ServiceName AS service, SpanName AS operation, SpanKind AS kind, "
        "count() AS calls, countIf(SpanKind = 'Server' AND ParentSpanId = '') AS direct, "
        "countIf(StatusCode = 'Error') AS errors, sum(Duration) AS duration_ns_sum, "
        "max(Duration) AS duration_ns_max, quantilesTDigestState(0.5, 0.9, 0.95, 0.99)(Duration) AS latency "
        f"FROM {database}.otel_traces WHERE SpanKind != 'Internal' OR ParentSpanId = '' "
        "GROUP BY bucket, service, operation, kind"
    )
    # A call has one key on both sides: trace and the client's span, which is the server's parent.
    links = (
        f"SELECT {END_BUCKET_SQL} AS bucket, if(SpanKind IN ('Server', 'Consumer'), 'server', 'client') AS side, "
        "cityHash64(TraceId, if(side = 'server', ParentSpanId, SpanId)) AS key, ServiceName AS service, "
        f"if(side = 'client', {PEER_SQL}, '') AS peer, StatusCode = 'Error' AS error, Duration AS duration_ns "
        f"FROM {database}.otel_traces WHERE SpanKind IN ('Client', 'Producer') "
        "OR (SpanKind IN ('Server', 'Consumer') AND ParentSpanId != '')"
    )
    log_counts = (
        f"SELECT toDateTime(intDiv(toUnixTimestamp(TimestampTime), {BUCKET_S}) * {BUCKET_S}, 'UTC') AS bucket, "
        f"ServiceName AS service, {SEVERITY_SQL} AS severity, count() AS lines "
        f"FROM {database}.otel_logs GROUP BY bucket, service, severity"
    )
    views = (
        ("red", "red", red),
        ("links", "links", links),
        ("log_counts", "log_counts", log_counts),
        *catalog_schema.views(database),
    )
    # A store that an earlier version made keeps its views: only their queries are brought up to date.
    return [
        statement
        for name, target, select in views
        for statement in (
            f"CREATE MATERIALIZED VIEW IF NOT EXISTS {database}.{name}_view TO {database}.{target} AS {select}",
            f"ALTER TABLE {database}.{name}_view MODIFY QUERY {select}",
        )
    ]


def statements(database: str, retention_days: float) -> list[str]:
    """The DDL that makes an empty store ready, in order; harmless on one that is ready."""
    return [
        f"CREATE DATABASE IF NOT EXISTS {database}",
        *[table.ddl(database, retention_days) for table in _tables()],
        # A store that an earlier version made does not have it.
        f"ALTER TABLE {database}.red ADD COLUMN IF NOT EXISTS direct {RED['direct']} AFTER calls",
        *_views(database),
    ]
