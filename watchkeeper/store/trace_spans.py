"""One trace: its spans, everything about one of them, and its log lines."""

from __future__ import annotations

from typing import Any, Final

from watchkeeper.store.schema import SEVERITY_SQL
from watchkeeper.store.telemetry import Telemetry

_TEXT: Final = "replaceAll(toJSONString({column}), '\\\\/', '/')"


def trace_spans(telemetry: Telemetry, trace_id: str, limit: int) -> list[dict[str, Any]]:
    """The first spans of a trace, by start.

    Columns: span_id, parent_id, service, operation, kind, start_ns (Unix), duration_ns (int), failed (bool), message
    (of the status, else of the first exception), events, links (int: how many).

    Raises:
        StoreError: the store rejected it, or could not be reached; as in every function here.
    """
    rows = telemetry.query(
        "SELECT SpanId AS span_id, ParentSpanId AS parent_id, ServiceName AS service, SpanName AS operation, "
        "SpanKind AS kind, toUnixTimestamp64Nano(Timestamp) AS start_ns, toInt64(least(Duration, 9000000000000000000)) "
        "AS duration_ns, StatusCode = 'Error' AS failed, substring(if(StatusMessage != '', StatusMessage, "
        "arrayFirst(m -> m != '', arrayMap(e -> e['exception.message'], `Events.Attributes`))), 1, 500) AS message, "
        "toInt64(length(`Events.Name`)) AS events, toInt64(length(`Links.TraceId`)) AS links FROM otel_traces "
        "WHERE TraceId = {trace:String} ORDER BY Timestamp, span_id LIMIT {limit:UInt32}",
        {"trace": trace_id, "limit": limit},
    ).to_pylist()
    return [row | {"failed": bool(row["failed"])} for row in rows]


def span_detail(telemetry: Telemetry, trace_id: str, span_id: str) -> dict[str, Any] | None:
    """What one span carries, None if there is no such span.

    Columns: attributes, resource, events, links (JSON text; events and links are lists of objects).
    """
    rows: list[dict[str, Any]] = telemetry.query(
        f"SELECT {_TEXT.format(column='SpanAttributes')} AS attributes, "
        f"{_TEXT.format(column='ResourceAttributes')} AS resource, "
        "toJSONString(arrayMap((at, name, values) -> map('at_ns', toString(toUnixTimestamp64Nano(at)), 'name', "
        "toString(name), 'attributes', toJSONString(values)), `Events.Timestamp`, `Events.Name`, `Events.Attributes`)) "
        "AS events, toJSONString(arrayMap((trace, span, values) -> map('trace_id', trace, 'span_id', span, "
        "'attributes', toJSONString(values)), `Links.TraceId`, `Links.SpanId`, `Links.Attributes`)) AS links "
        "FROM otel_traces WHERE TraceId = {trace:String} AND SpanId = {span:String} LIMIT 1",
        {"trace": trace_id, "span": span_id},
    ).to_pylist()
    return rows[0] if rows else None


def trace_lines(telemetry: Telemetry, trace_id: str, start_s: float, end_s: float, limit: int) -> list[dict[str, Any]]:
    """The first log lines of a trace between two times (Unix seconds).

    Columns: timestamp, span_id, service, severity, severity_number, body.
    """
    rows: list[dict[str, Any]] = telemetry.query(
        f"SELECT Timestamp AS timestamp, SpanId AS span_id, ServiceName AS service, {SEVERITY_SQL} AS severity, "
        "SeverityNumber AS severity_number, substring(Body, 1, 2000) AS body FROM otel_logs "
        "WHERE TraceId = {trace:String} AND TimestampTime >= toDateTime({start:Float64}, 'UTC') "
        "AND TimestampTime < toDateTime({end:Float64}, 'UTC') ORDER BY timestamp LIMIT {limit:UInt32}",
        {"trace": trace_id, "start": max(0.0, start_s), "end": min(end_s, 2.0**32 - 1), "limit": limit},
    ).to_pylist()
    return rows
