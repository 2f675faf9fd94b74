"""OTLP to rows, decoded by the engine: the INSERT statements that load a segment of exports.

A segment is a run of length-delimited export requests. The engine reads it with the Protobuf format, OTLP's schema
(watchkeeper/store/otlp_schema.py) and the columns below, which are those of its fields that the tables hold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from watchkeeper.store.otlp_schema import EXEMPLAR_PRESENCE, NUMBER_PRESENCE, PROTO, VALUE_PRESENCE

Signal = Literal["traces", "logs", "metrics"]

_VALUE: Final = (
    f"Tuple(value {VALUE_PRESENCE}, string_value String, bool_value Bool, int_value Int64, double_value Float64, "
    "bytes_value String)"
)
_ATTRIBUTES: Final = f"Array(Tuple(key String, value {_VALUE}))"
_SCOPE: Final = f"Tuple(name String, version String, attributes {_ATTRIBUTES}, dropped_attributes_count UInt32)"
_RESOURCE: Final = f"Tuple(attributes {_ATTRIBUTES})"
_NUMBER: Final = "value {presence}, as_double Float64, as_int Int64"
_EXEMPLARS: Final = (
    f"Array(Tuple(filtered_attributes {_ATTRIBUTES}, time_unix_nano UInt64, {_NUMBER.format(presence=EXEMPLAR_PRESENCE)}, "
    "span_id String, trace_id String))"
)
_POINT: Final = f"attributes {_ATTRIBUTES}, start_time_unix_nano UInt64, time_unix_nano UInt64, flags UInt32, exemplars {_EXEMPLARS}"
_BUCKETS: Final = "Tuple(offset Int32, bucket_counts Array(UInt64))"

_SPANS: Final = (
    "Array(Tuple(trace_id String, span_id String, trace_state String, parent_span_id String, name String, kind Int32, "
    f"start_time_unix_nano UInt64, end_time_unix_nano UInt64, attributes {_ATTRIBUTES}, "
    f"events Array(Tuple(time_unix_nano UInt64, name String, attributes {_ATTRIBUTES})), "
    f"links Array(Tuple(trace_id String, span_id String, trace_state String, attributes {_ATTRIBUTES})), "
    "status Tuple(message String, code Int32)))"
)
_RECORDS: Final = (
    f"Array(Tuple(time_unix_nano UInt64, severity_number Int32, severity_text String, body {_VALUE}, "
    f"attributes {_ATTRIBUTES}, flags UInt32, trace_id String, span_id String, observed_time_unix_nano UInt64, "
    "event_name String))"
)
_NUMBER_POINTS: Final = f"Array(Tuple({_POINT}, {_NUMBER.format(presence=NUMBER_PRESENCE)}))"
_DATA: Final[Mapping[str, str]] = {
    "gauge": f"Tuple(data_points {_NUMBER_POINTS})",
    "sum": f"Tuple(data_points {_NUMBER_POINTS}, aggregation_temporality Int32, is_monotonic Bool)",
    "histogram": (
        f"Tuple(data_points Array(Tuple({_POINT}, count UInt64, sum Float64, bucket_counts Array(UInt64), "
        "explicit_bounds Array(Float64), min Float64, max Float64)), aggregation_temporality Int32)"
    ),
    "exponential_histogram": (
        f"Tuple(data_points Array(Tuple({_POINT}, count UInt64, sum Float64, scale Int32, zero_count UInt64, "
        f"positive {_BUCKETS}, negative {_BUCKETS}, min Float64, max Float64)), aggregation_temporality Int32)"
    ),
    "summary": (
        f"Tuple(data_points Array(Tuple(attributes {_ATTRIBUTES}, start_time_unix_nano UInt64, time_unix_nano UInt64, "
        "flags UInt32, count UInt64, sum Float64, quantile_values Array(Tuple(quantile Float64, value Float64)))))"
    ),
}
METRIC_KINDS: Final = tuple(_DATA)
DAY_NS: Final = 86_400 * 10**9
# The receivers decide what is kept; here is what has waited for the store, too.
EARLIER_DAYS: Final = 1.0


def _text(value: str) -> str:
    """An attribute's value as the exporter writes it: text, whatever its type."""
    return (
        f"multiIf({value}.value = 'string_value', {value}.string_value, {value}.value = 'int_value', "
        f"toString({value}.int_value), {value}.value = 'bool_value', if({value}.bool_value, 'true', 'false'), "
        f"{value}.value = 'double_value', toString({value}.double_value), {value}.value = 'bytes_value', "
        f"base64Encode({value}.bytes_value), '')"
    )


def _map(attributes: str) -> str:
    # The receivers leave each key once.
    return f"mapFromArrays({attributes}.key, arrayMap(v -> {_text('v')}, {attributes}.value))"


def _time(nanos: str) -> str:
    return f"fromUnixTimestamp64Nano(toInt64({nanos}))"


def _hex(value: str) -> str:
    return f"lower(hex({value}))"


def _id(value: str) -> str:
    """An id in hex; one of nothing but zeros is none, as OpenTelemetry defines it."""
    return f"if(replaceAll({value}, '\\0', '') = '', '', {_hex(value)})"


def kept_ns(received_ns: int, into: Destination) -> tuple[int, int]:
    """The oldest and the newest time that is stored of what came in at `received_ns`, all in Unix nanoseconds."""
    oldest = received_ns - int((into.retention_days + EARLIER_DAYS) * DAY_NS)
    return max(1, oldest), received_ns + int(into.ahead_days * DAY_NS)


@dataclass(frozen=True, slots=True)
class _Arrival:
    """When a segment came in: what has no time of its own has this one, and decides what is kept.

    `ns` is SQL for Unix nanoseconds.
    """

    ns: str
    first_ns: int = 0
    last_ns: int = (1 << 63) - 1

    @classmethod
    def of(cls, into: Destination, received_ns: int | None) -> _Arrival:
        if received_ns is None:
            return cls("toUnixTimestamp64Nano(now64(9))")
        if into.retention_days <= 0:
            return cls(str(received_ns))
        return cls(str(received_ns), *kept_ns(received_ns, into))

    def known(self, *nanos: str) -> str:
        """The first of these times that is there, else that of arrival."""
        return f"multiIf({', '.join(f'{each} > 0, {each}' for each in nanos)}, toUInt64({self.ns}))"

    def keeps(self, nanos: str) -> str:
        return f"{nanos} BETWEEN {self.first_ns} AND {self.last_ns}"


_SERVICE: Final = "if(ResourceAttributes['service.name'] = '', 'unknown_service', ResourceAttributes['service.name'])"


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """Where segments go.

    `columns` holds the columns of tables that somebody else may have made (the exporter has changed its own over
    time); what a table lacks is left out. A table that is not in it has them all. Rows that are a day older
    than `retention_days` (0: no limit), or lie more than `ahead_days` ahead of their arrival, are left out.
    """

    database: str
    memory_mib: int
    retention_days: float = 0
    ahead_days: float = 1
    columns: Mapping[str, frozenset[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rows:
    """What a segment of `signal` becomes in one table: SQL for each column over `source`, of the rows in `where`."""

    signal: Signal
    table: str
    columns: Mapping[str, str]
    source: str
    where: str


def _insert(into: Destination, rows: _Rows, token: str) -> str:
    existing, columns = into.columns.get(rows.table), rows.columns
    if existing is not None:
        columns = {name: value for name, value in columns.items() if name in existing}
    settings = {
        "format_schema_source": "string",
        "format_schema": PROTO[rows.signal],
        "format_schema_message_name": "Request",
        "insert_deduplication_token": token,
    }
    quoted = ", ".join(f"{name} = {text_literal(value)}" for name, value in settings.items())
    names = ", ".join(f"`{name}`" for name in columns)
    values = ", ".join(f"{value} AS `{name}`" if value != name else name for name, value in columns.items())
    return (
        f"INSERT INTO {into.database}.{rows.table} ({names}) SETTINGS {quoted}, input_format_protobuf_oneof_presence = 1, "
        f"deduplicate_blocks_in_dependent_materialized_views = 1, "
        # A segment is one block, which is read whole before any of it is stored.
        "max_block_size = 1000000, max_insert_block_size = 1000000, "
        # One request with times all over the calendar must not hold up the rest.
        "max_partitions_per_insert_block = 0, "
        # For a small segment, planning costs more than all the rest, and this step of it the most.
        "query_plan_merge_expressions = 0, "
        f"min_insert_block_size_rows = 0, min_insert_block_size_bytes = 0, max_threads = 1, max_insert_threads = 1, "
        f"max_memory_usage = {into.memory_mib << 20} SELECT {values} FROM ({rows.source}) WHERE {rows.where}"
    )


def text_literal(text: str) -> str:
    """Text as a literal of the store's SQL."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'").replace("\0", "\\0") + "'"


def insert_traces(into: Destination, token: str, received_ns: int | None = None) -> str:
    """The INSERT that loads a segment of ExportTraceServiceRequests."""
    arrival = _Arrival.of(into, received_ns)
    start, end = "s.start_time_unix_nano", "s.end_time_unix_nano"
    structure = (
        f"resource_spans Array(Tuple(resource {_RESOURCE}, scope_spans Array(Tuple(scope {_SCOPE}, spans {_SPANS}))))"
    )
    source = (
        f"SELECT ra, sn, sv, arrayJoin(spans) AS s FROM (SELECT ra, ss.scope.name AS sn, ss.scope.version AS sv, "
        f"ss.spans AS spans FROM (SELECT {_map('r.resource.attributes')} AS ra, arrayJoin(r.scope_spans) AS ss "
        f"FROM (SELECT arrayJoin(resource_spans) AS r FROM input({text_literal(structure)}))))"
    )
    kinds = "['Unspecified', 'Internal', 'Server', 'Client', 'Producer', 'Consumer']"
    columns = {
        # A span without a start stands at its end, one without any time at its arrival.
        "Timestamp": _time(arrival.known(start, end)),
        "TraceId": _hex("s.trace_id"),
        "SpanId": _hex("s.span_id"),
        "ParentSpanId": _id("s.parent_span_id"),
        "TraceState": "s.trace_state",
        "SpanName": "s.name",
        "SpanKind": f"if(s.kind BETWEEN 0 AND 5, {kinds}[s.kind + 1], 'Unspecified')",
        "ServiceName": _SERVICE,
        "ResourceAttributes": "ra",
        "ScopeName": "sn",
        "ScopeVersion": "sv",
        "SpanAttributes": _map("s.attributes"),
        # A clock that stepped back would give a span of 584 years, a missing start one of 56.
        "Duration": f"if({start} > 0 AND {end} > {start} AND {end} <= {arrival.last_ns}, {end} - {start}, 0)",
        "StatusCode": "multiIf(s.status.code = 2, 'Error', s.status.code = 1, 'Ok', 'Unset')",
        "StatusMessage": "s.status.message",
        "Events.Timestamp": f"arrayMap(e -> {_time('e.time_unix_nano')}, s.events)",
        "Events.Name": "s.events.name",
        "Events.Attributes": f"arrayMap(e -> {_map('e.attributes')}, s.events)",
        "Links.TraceId": f"arrayMap(l -> {_hex('l.trace_id')}, s.links)",
        "Links.SpanId": f"arrayMap(l -> {_hex('l.span_id')}, s.links)",
        "Links.TraceState": "s.links.trace_state",
        "Links.Attributes": f"arrayMap(l -> {_map('l.attributes')}, s.links)",
    }
    where = arrival.keeps(arrival.known(start, end))
    rows = _Rows(signal="traces", table="otel_traces", columns=columns, source=source, where=where)
    return _insert(into, rows, token)


def insert_logs(into: Destination, token: str, received_ns: int | None = None) -> str:
    """The INSERT that loads a segment of ExportLogsServiceRequests."""
    arrival = _Arrival.of(into, received_ns)
    at = arrival.known("l.time_unix_nano", "l.observed_time_unix_nano")
    structure = (
        f"resource_logs Array(Tuple(resource {_RESOURCE}, schema_url String, "
        f"scope_logs Array(Tuple(scope {_SCOPE}, schema_url String, log_records {_RECORDS}))))"
    )
    source = (
        "SELECT ra, ru, su, sn, sv, sa, arrayJoin(records) AS l FROM (SELECT ra, ru, ss.schema_url AS su, "
        f"ss.scope.name AS sn, ss.scope.version AS sv, {_map('ss.scope.attributes')} AS sa, ss.log_records AS records "
        f"FROM (SELECT {_map('r.resource.attributes')} AS ra, r.schema_url AS ru, arrayJoin(r.scope_logs) AS ss "
        f"FROM (SELECT arrayJoin(resource_logs) AS r FROM input({text_literal(structure)}))))"
    )
    columns = {
        # A record that knows no time at all is as old as its arrival.
        "Timestamp": _time(at),
        "TraceId": _id("l.trace_id"),
        "SpanId": _id("l.span_id"),
        "TraceFlags": "toUInt8(bitAnd(l.flags, 255))",
        "SeverityText": "l.severity_text",
        "SeverityNumber": "toUInt8(if(l.severity_number BETWEEN 0 AND 24, l.severity_number, 0))",
        "ServiceName": _SERVICE,
        "Body": _text("l.body"),
        "ResourceSchemaUrl": "ru",
        "ResourceAttributes": "ra",
        "ScopeSchemaUrl": "su",
        "ScopeName": "sn",
        "ScopeVersion": "sv",
        "ScopeAttributes": "sa",
        "LogAttributes": _map("l.attributes"),
        "EventName": "l.event_name",
    }
    rows = _Rows(signal="logs", table="otel_logs", columns=columns, source=source, where=arrival.keeps(at))
    return _insert(into, rows, token)


def insert_metrics(into: Destination, kind: str, token: str, received_ns: int | None = None) -> str:
    """The INSERT that loads one kind of metric point of a segment of ExportMetricsServiceRequests."""
    arrival = _Arrival.of(into, received_ns)
    at = arrival.known("p.time_unix_nano")
    structure = (
        f"resource_metrics Array(Tuple(resource {_RESOURCE}, schema_url String, scope_metrics Array(Tuple(scope {_SCOPE}, "
        f"schema_url String, metrics Array(Tuple(name String, description String, unit String, {kind} {_DATA[kind]}))))))"
    )
    source = (
        "SELECT ra, ru, su, sn, sv, sa, sd, name, description, unit, data, arrayJoin(points) AS p FROM (SELECT ra, ru, su, "
        "sn, sv, sa, sd, m.name AS name, m.description AS description, m.unit AS unit, "
        f"{_data_columns(kind)} AS data, m.{kind}.data_points AS points FROM (SELECT ra, ru, ss.schema_url AS su, "
        f"ss.scope.name AS sn, ss.scope.version AS sv, {_map('ss.scope.attributes')} AS sa, "
        "ss.scope.dropped_attributes_count AS sd, arrayJoin(ss.metrics) AS m FROM (SELECT "
        f"{_map('r.resource.attributes')} AS ra, r.schema_url AS ru, arrayJoin(r.scope_metrics) AS ss "
        f"FROM (SELECT arrayJoin(resource_metrics) AS r FROM input({text_literal(structure)})))))"
    )
    columns = {
        "ResourceAttributes": "ra",
        "ResourceSchemaUrl": "ru",
        "ScopeName": "sn",
        "ScopeVersion": "sv",
        "ScopeAttributes": "sa",
        "ScopeDroppedAttrCount": "sd",
        "ScopeSchemaUrl": "su",
        "ServiceName": _SERVICE,
        "MetricName": "name",
        "MetricDescription": "description",
        "MetricUnit": "unit",
        "Attributes": _map("p.attributes"),
        "StartTimeUnix": _time("p.start_time_unix_nano"),
        "TimeUnix": _time(at),
        "Flags": "p.flags",
        **_kind_columns(kind),
    }
    table = f"otel_metrics_{kind}"
    rows = _Rows(signal="metrics", table=table, columns=columns, source=source, where=arrival.keeps(at))
    return _insert(into, rows, f"{token}:{kind}")


def _data_columns(kind: str) -> str:
    """What stands beside the points and is copied onto each."""
    if kind == "sum":
        return "tuple(m.sum.aggregation_temporality, m.sum.is_monotonic)"
    if kind in ("histogram", "exponential_histogram"):
        return f"tuple(m.{kind}.aggregation_temporality)"
    return "tuple(0)"


_NUMBER_SQL: Final = "if({p}.value = 'as_int', toFloat64({p}.as_int), {p}.as_double)"
_EXEMPLAR_COLUMNS: Final = {
    "Exemplars.FilteredAttributes": f"arrayMap(x -> {_map('x.filtered_attributes')}, p.exemplars)",
    "Exemplars.TimeUnix": f"arrayMap(x -> {_time('x.time_unix_nano')}, p.exemplars)",
    "Exemplars.Value": f"arrayMap(x -> {_NUMBER_SQL.format(p='x')}, p.exemplars)",
    "Exemplars.SpanId": f"arrayMap(x -> {_hex('x.span_id')}, p.exemplars)",
    "Exemplars.TraceId": f"arrayMap(x -> {_hex('x.trace_id')}, p.exemplars)",
}
_COUNT_SUM: Final = {"Count": "p.count", "Sum": "p.sum"}
_RANGE: Final = {"Min": "p.min", "Max": "p.max"}


def _kind_columns(kind: str) -> dict[str, str]:
    # A point without a value says that there is none, as its flag would.
    number = {
        "Flags": "if(p.value = 'unset', bitOr(p.flags, 1), p.flags)",
        "Value": f"if(p.value = 'unset', nan, {_NUMBER_SQL.format(p='p')})",
    } | _EXEMPLAR_COLUMNS
    temporality = {"AggregationTemporality": "data.1"}
    match kind:
        case "gauge":
            return number
        case "sum":
            return number | temporality | {"IsMonotonic": "data.2"}
        case "histogram":
            buckets = {"BucketCounts": "p.bucket_counts", "ExplicitBounds": "p.explicit_bounds"}
            return _COUNT_SUM | buckets | _EXEMPLAR_COLUMNS | _RANGE | temporality
        case "exponential_histogram":
            buckets = {
                "Scale": "p.scale",
                "ZeroCount": "p.zero_count",
                "PositiveOffset": "p.positive.offset",
                "PositiveBucketCounts": "p.positive.bucket_counts",
                "NegativeOffset": "p.negative.offset",
                "NegativeBucketCounts": "p.negative.bucket_counts",
            }
            return _COUNT_SUM | buckets | _EXEMPLAR_COLUMNS | _RANGE | temporality
        case _:
            quantiles = {
                "ValueAtQuantiles.Quantile": "p.quantile_values.quantile",
                "ValueAtQuantiles.Value": "p.quantile_values.value",
            }
            return _COUNT_SUM | quantiles


def inserts(
    into: Destination, signal: str, token: str, kinds: Sequence[str] = METRIC_KINDS, *, received_ns: int | None = None
) -> list[str]:
    """Every INSERT that one segment of `signal` needs; each takes the segment's bytes as Protobuf.

    `kinds` are the kinds of metric that a segment of metrics may hold. `received_ns` is when it came in (Unix
    nanoseconds): the time of what has none, and the middle of what is kept; without it, both are now and everything.
    """
    match signal:
        case "traces":
            return [insert_traces(into, token, received_ns)]
        case "logs":
            return [insert_logs(into, token, received_ns)]
        case _:
            return [insert_metrics(into, kind, token, received_ns) for kind in kinds]
