"""Searches among spans: which match, when and how long they took, and the traces that they belong to.

Every query has a window. A search reads the exporter's table itself, because no roll-up has attributes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import pyarrow as pa

from watchkeeper.store.telemetry import Telemetry
from watchkeeper.vocabulary import Window

Scope = Literal["roots", "served", "all"]
Operator = Literal["=", "!=", ">=", "<=", ">", "<", "exists"]
OWN: Final = "watchkeeper-"  # Watchkeeper's own roles are searched only by name
BANDS: Final = 8  # of a duration map, for each power of ten
AROUND_S: Final = 900.0  # around a window, in which the other spans of its traces are looked for

_IN_WINDOW: Final = (
    "Timestamp >= fromUnixTimestamp64Nano({start_ns:Int64}) AND Timestamp < fromUnixTimestamp64Nano({end_ns:Int64})"
)
_SCOPES: Final[Mapping[Scope, str]] = {
    "roots": "ParentSpanId = ''",
    "served": "(SpanKind IN ('Server', 'Consumer') OR ParentSpanId = '')",
    "all": "",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class AttributeCondition:
    """What an attribute of the span or of its resource must be. `value` of an order is a number."""

    key: str
    operator: Operator = "="
    value: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanSearch:
    """Which spans match: all conditions must hold; empty ones hold for every span.

    Attributes:
        scope: `roots` are spans without a parent, `served` requests that a service answered, `all` every span.
        failed: None for both.
        least_ms, most_ms: bounds of the duration; the upper one is excluded.
        text: part of the span's name, its status message or an exception's message, in any case.
    """

    scope: Scope = "roots"
    service: str = ""
    operation: str = ""
    attributes: tuple[AttributeCondition, ...] = ()
    failed: bool | None = None
    least_ms: float | None = None
    most_ms: float | None = None
    text: str = ""


def condition(search: SpanSearch, window: Window) -> tuple[str, dict[str, Any]]:
    """The WHERE of a search, and its parameters."""
    parts, values = [_IN_WINDOW], nanos(window)
    if search.service:
        parts.append("ServiceName = {service:String}")
        values["service"] = search.service
    else:
        parts.append("NOT startsWith(ServiceName, {own:String})")
        values["own"] = OWN
    if search.operation:
        parts.append("SpanName = {operation:String}")
        values["operation"] = search.operation
    if _SCOPES[search.scope]:
        parts.append(_SCOPES[search.scope])
    if search.failed is not None:
        parts.append("StatusCode = 'Error'" if search.failed else "StatusCode != 'Error'")
    for bound, name, sign in ((search.least_ms, "least_ns", ">="), (search.most_ms, "most_ns", "<")):
        if bound is not None:
            parts.append(f"Duration {sign} {{{name}:UInt64}}")
            values[name] = min(int(bound * 1e6), 2**63)
    if search.text:
        contained = "positionCaseInsensitiveUTF8({where}, {{text:String}}) > 0"
        places = [contained.format(where=column) for column in ("SpanName", "StatusMessage", "e['exception.message']")]
        parts.append(f"({places[0]} OR {places[1]} OR arrayExists(e -> {places[2]}, `Events.Attributes`))")
        values["text"] = search.text
    for number, one in enumerate(search.attributes):
        parts.append(_attribute(one, number))
        values[f"key{number}"] = one.key
        values[f"value{number}"] = float(one.value) if one.operator in _ORDERS else one.value
    return " AND ".join(parts), values


_ORDERS: Final = (">=", "<=", ">", "<")


def _attribute(one: AttributeCondition, number: int) -> str:
    key = f"{{key{number}:String}}"
    if one.operator == "exists":
        return f"(mapContains(SpanAttributes, {key}) OR mapContains(ResourceAttributes, {key}))"
    if one.operator in _ORDERS:
        value = f"{{value{number}:Float64}}"
        return " OR ".join(
            f"toFloat64OrNull({column}[{key}]) {one.operator} {value}"
            for column in ("SpanAttributes", "ResourceAttributes")
        ).join("()")
    value = f"{{value{number}:String}}"
    equal = f"(SpanAttributes[{key}] = {value} OR ResourceAttributes[{key}] = {value})"
    return equal if one.operator == "=" else f"NOT {equal}"


def duration_map(telemetry: Telemetry, window: Window, search: SpanSearch, *, step_s: int) -> pa.Table:
    """Matching spans by start and duration.

    Columns: step (Unix seconds of its begin, int64), band (int64; band b holds durations from 10 ** (b / 8) ms),
    spans, failed (int64). All that match are counted: to sample them takes as long.

    Raises:
        StoreError: the store rejected it, or could not be reached; as in every function here.
    """
    where, values = condition(search, window)
    return telemetry.query(
        "SELECT toInt64(intDiv(toUnixTimestamp(toDateTime(Timestamp, 'UTC')), {step:UInt32}) * {step:UInt32}) AS step, "
        f"toInt64(floor(log10(greatest(Duration, 1000) / 1e6) * {BANDS})) AS band, toInt64(count()) AS spans, "
        f"toInt64(countIf(StatusCode = 'Error')) AS failed FROM otel_traces WHERE {where} "
        "GROUP BY step, band ORDER BY step, band",
        values | {"step": step_s},
    )


def matching(telemetry: Telemetry, window: Window, search: SpanSearch, *, newest: bool, limit: int) -> pa.Table:
    """The slowest matching spans, or the newest.

    Columns: trace_id, span_id, at (timestamp, UTC), service, operation, duration_ms (float64), failed (bool), message.
    """
    where, values = condition(search, window)
    order = "Timestamp DESC, SpanId" if newest else "Duration DESC, Timestamp DESC, SpanId"
    return telemetry.query(
        "SELECT TraceId AS trace_id, SpanId AS span_id, Timestamp AS at, ServiceName AS service, SpanName AS operation, "
        "Duration / 1e6 AS duration_ms, StatusCode = 'Error' AS failed, substring(StatusMessage, 1, 500) AS message "
        f"FROM otel_traces WHERE {where} ORDER BY {order} LIMIT {{limit:UInt32}}",
        values | {"limit": limit},
    )


def traces_of(telemetry: Telemetry, window: Window, trace_ids: Sequence[str]) -> pa.Table:
    """What is known of traces, of whose spans those are counted that began at most 15 minutes outside the window.

    Columns: trace_id, service, operation (of the root, or of the first span), services (at most 12: the root's,
    then by their first span), service_count, spans, failed (int64).
    """
    within = nanos(window, AROUND_S)
    return telemetry.query(
        "SELECT trace_id, argMin(service, root) AS service, argMin(operation, root) AS operation, "
        "arraySlice(arrayMap(each -> each.2, arraySort(groupArray((root, p.service)))), 1, 12) AS services, "
        "toInt64(count()) AS service_count, toInt64(sum(p.spans)) AS spans, toInt64(sum(p.failed)) AS failed FROM ("
        "SELECT TraceId AS trace_id, ServiceName AS service, count() AS spans, "
        "countIf(StatusCode = 'Error') AS failed, min((ParentSpanId != '', Timestamp)) AS root, "
        "argMin(SpanName, (ParentSpanId != '', Timestamp)) AS operation FROM otel_traces "
        f"WHERE {_IN_WINDOW} AND TraceId IN {{trace_ids:Array(String)}} GROUP BY trace_id, service) AS p GROUP BY trace_id",
        within | {"trace_ids": list(dict.fromkeys(trace_ids))},
    )


def operations(telemetry: Telemetry, window: Window, service: str, limit: int = 200) -> list[str]:
    """Names of operations of a service ("" for all), the most frequent first, of the roll-up."""
    rows = telemetry.query(
        "SELECT operation FROM red WHERE bucket >= toDateTime({start:Float64}, 'UTC') "
        "AND bucket < toDateTime({end:Float64}, 'UTC') AND ({service:String} = '' OR service = {service:String}) "
        "GROUP BY operation ORDER BY sum(calls) DESC, operation LIMIT {limit:UInt32}",
        {"start": window.start.timestamp(), "end": window.end.timestamp(), "service": service, "limit": limit},
    )
    return [str(name) for name in rows.column("operation").to_pylist()]


def nanos(window: Window, around_s: float = 0.0) -> dict[str, Any]:
    """The parameters of a window."""
    return {
        "start_ns": int((window.start.timestamp() - around_s) * 1e6) * 1000,
        "end_ns": int((window.end.timestamp() + around_s) * 1e6) * 1000,
    }
