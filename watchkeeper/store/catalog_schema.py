"""Roll-ups that say what there is: which metrics, with which labels, and what arrives from whom.

`metric_catalog`  each metric of each service by the hour: unit, description, points, how many series, values of its labels
`arrivals`        rows, bytes and lag of each signal of each service by the minute in which the store took them

Counts of series and of values are estimates (HyperLogLog, within 2 %): exact ones would keep every series in memory.
"""

from __future__ import annotations

from typing import Final

_LC: Final = "LowCardinality(String)"
_SUM: Final = "SimpleAggregateFunction(sum, UInt64)"
_LAST: Final = "SimpleAggregateFunction(anyLast, String)"
_BUCKET: Final = "DateTime('UTC') CODEC(DoubleDelta, ZSTD(1))"

METRIC_CATALOG: Final = {
    "bucket": _BUCKET,
    "metric": _LC,
    "service": _LC,
    "kind": _LC,  # gauge, up-down counter, counter, histogram, exponential histogram, summary
    "unit": _LAST,
    "description": _LAST,
    "scope": _LAST,
    "temporality": "SimpleAggregateFunction(anyLast, Int32)",  # OTLP's number: 1 delta, 2 cumulative, 0 has none
    "points": _SUM,
    "newest": "SimpleAggregateFunction(max, DateTime('UTC'))",
    "series": "AggregateFunction(uniqCombined(14), UInt64)",
    "labels": "AggregateFunction(uniqCombinedMap(12), Map(LowCardinality(String), String))",
}
ARRIVALS: Final = {
    "bucket": _BUCKET,
    "signal": _LC,  # traces, logs, metrics
    "service": _LC,
    "rows": _SUM,
    "bytes": _SUM,  # as they are in memory, before compression
    "lag_ms_sum": _SUM,  # from a row's own time to its arrival in the store; of what is from the future, 0
    "lag_ms_max": "SimpleAggregateFunction(max, UInt64)",
    "sdks": "AggregateFunction(groupUniqArray(8), String)",
    "scopes": "AggregateFunction(groupUniqArray(32), String)",
}
# The kind of a metric by the table that holds its points.
KINDS: Final = {
    "gauge": "'gauge'",
    "sum": "if(IsMonotonic, 'counter', 'up-down counter')",
    "histogram": "'histogram'",
    "exponential_histogram": "'exponential histogram'",
    "summary": "'summary'",
}
TABLE_OF: Final = {
    "gauge": "gauge",
    "counter": "sum",
    "up-down counter": "sum",
    "histogram": "histogram",
    "exponential histogram": "exponential_histogram",
    "summary": "summary",
}
_TEMPORAL: Final = ("sum", "histogram", "exponential_histogram")
# The columns that make up nearly all of a row.
_WEIGHTY: Final = {
    "traces": "TraceId|SpanId|ParentSpanId|SpanName|ResourceAttributes|SpanAttributes|Events.Attributes|Duration",
    "logs": "TraceId|SpanId|Body|ResourceAttributes|LogAttributes|Timestamp",
    "metrics": "MetricName|MetricDescription|ResourceAttributes|Attributes|TimeUnix|StartTimeUnix",
}
_TIME: Final = {
    "traces": "toUnixTimestamp64Milli(toDateTime64(Timestamp, 3)) + intDiv(toInt64(Duration), 1000000)",
    "logs": "toUnixTimestamp64Milli(toDateTime64(Timestamp, 3))",
    "metrics": "toUnixTimestamp64Milli(toDateTime64(TimeUnix, 3))",
}

TABLES: Final = (
    ("metric_catalog", METRIC_CATALOG, "AggregatingMergeTree", "metric, service, kind, bucket"),
    ("arrivals", ARRIVALS, "AggregatingMergeTree", "signal, service, bucket"),
)


def views(database: str) -> list[tuple[str, str, str]]:
    """The views that fill the two tables: each one's name, its target and its SELECT."""
    catalog = [
        (f"metric_catalog_{table}", "metric_catalog", _catalog(database, table, kind)) for table, kind in KINDS.items()
    ]
    arrivals = [
        (f"arrivals_{table}", "arrivals", _arrivals(database, table, signal))
        for table, signal in (
            ("traces", "traces"),
            ("logs", "logs"),
            *((f"metrics_{kind}", "metrics") for kind in KINDS),
        )
    ]
    return [*catalog, *arrivals]


def _catalog(database: str, table: str, kind: str) -> str:
    temporality = "AggregationTemporality" if table in _TEMPORAL else "toInt32(0)"
    return (
        f"SELECT toStartOfHour(toDateTime(TimeUnix, 'UTC')) AS bucket, MetricName AS metric, ServiceName AS service, "
        f"{kind} AS kind, anyLast({_optional('MetricUnit')}) AS unit, "
        f"anyLast({_optional('MetricDescription')}) AS description, "
        f"anyLast({_optional('ScopeName')}) AS scope, anyLast({temporality}) AS temporality, count() AS points, "
        "max(toDateTime(TimeUnix, 'UTC')) AS newest, "
        "uniqCombinedState(14)(cityHash64(ServiceName, Attributes, ResourceAttributes)) AS series, "
        "uniqCombinedMapState(12)(Attributes) AS labels "
        f"FROM {database}.otel_metrics_{table} GROUP BY bucket, metric, service, kind"
    )


def _arrivals(database: str, table: str, signal: str) -> str:
    lag = f"toUInt64(greatest(0, toUnixTimestamp64Milli(now64(3)) - ({_TIME[signal]})))"
    sdk = " ".join(f"ResourceAttributes['telemetry.sdk.{part}']," for part in ("name", "language", "version"))
    return (
        f"SELECT toStartOfMinute(now('UTC')) AS bucket, '{signal}' AS signal, ServiceName AS service, count() AS rows, "
        f"sum(byteSize(COLUMNS('^({_WEIGHTY[signal]})$'))) AS bytes, sum({lag}) AS lag_ms_sum, max({lag}) AS lag_ms_max, "
        f"groupUniqArrayState(8)(trimBoth(concatWithSeparator(' ', {sdk.removesuffix(',')}))) AS sdks, "
        f"groupUniqArrayState(32)(trimBoth(concatWithSeparator(' ', {_optional('ScopeName')}, "
        f"{_optional('ScopeVersion')}))) AS scopes "
        f"FROM {database}.otel_{table} GROUP BY bucket, signal, service"
    )


def _optional(column: str) -> str:
    """The value of a column; empty where a table that a Collector of another age made does not have it."""
    return f"[COLUMNS('^{column}$'), ''][1]"
