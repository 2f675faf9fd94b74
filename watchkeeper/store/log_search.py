"""Searches of log lines: a query's tree as a parametrised condition, and what is read with it.

Services and severities are counted by the roll-up; everything else is read from the lines themselves. Those searches
look at no more than `MOST_SCANNED` of the newest lines, by the roll-up's counts, and report where they began.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Protocol

import pyarrow as pa

from watchkeeper.store.log_query import MESSAGE, All, Either, Node, Not, Op, Pattern, Term, rank, ranks
from watchkeeper.store.schema import BUCKET_S, INSTANCE_SQL, SEVERITY_SQL
from watchkeeper.vocabulary import Window, utc

MOST_SCANNED: Final = 1_000_000  # lines that one search reads
SAMPLED: Final = 200_000  # lines of which kinds are made
MOST_KINDS: Final = 3_000  # lines that differ in more than their numbers
CONTEXT_S: Final = 3600  # how far from a line its neighbours may be

_COLUMNS: Final = {
    "service": "ServiceName",
    "severity": f"({SEVERITY_SQL})",
    "trace": "TraceId",
    "span": "SpanId",
    "instance": INSTANCE_SQL,
    "scope": "ScopeName",
    "event": "EventName",
    MESSAGE: "Body",
}
_COUNTED: Final = {"service": "service", "severity": "severity"}
_BUCKETS: Final = "bucket >= toDateTime({start:Float64}, 'UTC') AND bucket < toDateTime({end:Float64}, 'UTC')"
_BETWEEN: Final = (
    "TimestampTime >= toDateTime({start:Float64} - 1, 'UTC') AND TimestampTime <= toDateTime({end:Float64} + 1, 'UTC') "
    "AND Timestamp >= fromUnixTimestamp64Nano({start_ns:Int64}) AND Timestamp < fromUnixTimestamp64Nano({end_ns:Int64})"
)
_LINE: Final = (
    f"SELECT toUnixTimestamp64Nano(Timestamp) AS at_ns, ServiceName AS service, {SEVERITY_SQL} AS severity, "
    f"{INSTANCE_SQL} AS instance, Body AS body, TraceId AS trace_id, SpanId AS span_id, ScopeName AS scope, "
    "EventName AS event, mapSort(LogAttributes) AS attributes, mapSort(ResourceAttributes) AS resource, "
    "hex(cityHash64(ServiceName, Body, SpanId, LogAttributes)) AS line FROM otel_logs"
)


class Reader(Protocol):
    """Runs one SELECT: `Telemetry` does."""

    def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> pa.Table: ...


@dataclass(slots=True)
class _Values:
    """The values of a condition, as parameters of the query."""

    by_name: dict[str, Any] = field(default_factory=dict)

    def add(self, value: Any, kind: str = "String") -> str:
        """The place that a value takes in the SQL."""
        name = f"value_{len(self.by_name)}"
        self.by_name[name] = value
        return f"{{{name}:{kind}}}"


def is_counted(node: Node) -> bool:
    """Whether the roll-up alone answers how many lines a search finds: it names only services and severities."""
    match node:
        case Term():
            return node.field in _COUNTED
        case Not():
            return is_counted(node.of)
        case All() | Either():
            return all(is_counted(one) for one in node.of)


def histogram(telemetry: Reader, query: All, window: Window, step_s: int) -> pa.Table:
    """How many lines a search finds: bucket (timestamp, UTC), severity, lines (int64), sorted by bucket.

    The window must lie within what `searched` gives, or reading it costs what it costs.
    """
    values = _Values()
    if is_counted(query):
        sql = (
            f"SELECT {_step('bucket')} AS step, severity, toInt64(sum(lines)) AS lines FROM log_counts "
            f"WHERE {_BUCKETS} AND {_condition(query, _COUNTED, values)} GROUP BY step, severity ORDER BY step, severity"
        )
    else:
        sql = (
            f"SELECT {_step('TimestampTime')} AS step, {SEVERITY_SQL} AS severity, toInt64(count()) AS lines FROM otel_logs "
            f"WHERE {_BETWEEN} AND {_condition(query, _COLUMNS, values)} GROUP BY step, severity ORDER BY step, severity"
        )
    parameters = _bounds(window) | {"step": step_s} | values.by_name
    return telemetry.query(sql, parameters).rename_columns({"step": "bucket"})


def searched(telemetry: Reader, query: All, window: Window, most: int = MOST_SCANNED) -> Window:
    """The newest part of a window with at most about `most` lines to read; all of it for what the roll-up answers."""
    if is_counted(query):
        return window
    values = _Values()
    counted = All(tuple(one for one in query.of if is_counted(one)))
    # Of as many buckets as there are in a long window, a few hundred are precise enough.
    step = max(BUCKET_S, int(window.seconds / 500) // BUCKET_S * BUCKET_S)
    sql = (
        f"SELECT toUnixTimestamp({_step('bucket')}) AS step, toInt64(sum(lines)) AS lines FROM log_counts "
        f"WHERE {_BUCKETS} AND {_condition(counted, _COUNTED, values)} GROUP BY step ORDER BY step DESC"
    )
    total = 0
    later: int | None = None
    for row in telemetry.query(sql, _bounds(window) | {"step": step} | values.by_name).to_pylist():
        total += row["lines"]
        if total > most and later is not None:
            return Window(start=utc(float(later)), end=window.end)
        later = row["step"]
    return window


def newest_lines(telemetry: Reader, query: All, window: Window, limit: int, skip: int = 0) -> list[dict[str, Any]]:
    """The newest lines that a search finds, newest first; without the first `skip`.

    Columns: at_ns (Unix nanoseconds), service, severity, instance, body, trace_id, span_id, scope, event, attributes
    and resource (lists of pairs, sorted by name), line (what tells lines of the same nanosecond apart).
    """
    values = _Values()
    sql = (
        f"{_LINE} WHERE {_BETWEEN} AND {_condition(query, _COLUMNS, values)} "
        "ORDER BY at_ns DESC, line LIMIT {limit:UInt32} OFFSET {skip:UInt32}"
    )
    rows: list[dict[str, Any]] = telemetry.query(
        sql, _bounds(window) | {"limit": limit, "skip": skip} | values.by_name
    ).to_pylist()
    return rows


def lines_around(
    telemetry: Reader, service: str, instance: str, at_ns: int, each_way: int = 20
) -> list[dict[str, Any]]:
    """The lines of one instance of a service around a moment, oldest first: the columns of `newest_lines`.

    Up to `each_way` earlier and as many later ones, and all of the moment itself; within an hour.
    """
    parameters = {
        "service": service,
        "instance": instance,
        "at": at_ns,
        "from": at_ns // 1_000_000_000 - CONTEXT_S,
        "to": at_ns // 1_000_000_000 + CONTEXT_S,
        "limit": each_way,
    }
    own = (
        "WHERE ServiceName = {service:String} AND TimestampTime >= toDateTime({from:Int64}, 'UTC') "
        f"AND TimestampTime <= toDateTime({{to:Int64}}, 'UTC') AND {INSTANCE_SQL} = {{instance:String}}"
    )
    sql = (
        f"SELECT * FROM (SELECT * FROM ({_LINE} {own} AND toUnixTimestamp64Nano(Timestamp) < {{at:Int64}} "
        "ORDER BY at_ns DESC, line DESC LIMIT {limit:UInt32}) UNION ALL "
        f"SELECT * FROM ({_LINE} {own} AND toUnixTimestamp64Nano(Timestamp) = {{at:Int64}} LIMIT 100) UNION ALL "
        f"SELECT * FROM ({_LINE} {own} AND toUnixTimestamp64Nano(Timestamp) > {{at:Int64}} "
        "ORDER BY at_ns, line LIMIT {limit:UInt32})) ORDER BY at_ns, line"
    )
    rows: list[dict[str, Any]] = telemetry.query(sql, parameters).to_pylist()
    return rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Kinds:
    """Lines that differ in more than their numbers, in a window and before it.

    `rows` has service, severity, body (one of them, cut after 400 characters), now, before (int64: lines read),
    first_ns and last_ns (Unix nanoseconds, in the window; 0 where there is none). Each stands for `every` lines.
    """

    rows: pa.Table
    every: int


def kinds(telemetry: Reader, query: All, before: Window, window: Window) -> Kinds:
    """The kinds of lines that a search finds in a window and in an earlier one, the most frequent first."""
    values = _Values()
    condition = _condition(query, _COLUMNS, values)
    counted = All(tuple(one for one in query.of if is_counted(one)))
    every = 1
    for span in (before, window):
        few = _Values()
        sql = f"SELECT toInt64(sum(lines)) AS lines FROM log_counts WHERE {_BUCKETS} AND {_condition(counted, _COUNTED, few)}"
        total = telemetry.query(sql, _bounds(span) | few.by_name).column(0)[0].as_py() or 0
        every = max(every, -(-total // SAMPLED))
    halves = [
        f"({_BETWEEN.replace('{start', f'{{{name}_start').replace('{end', f'{{{name}_end')})" for name in ("was", "now")
    ]
    is_now = "Timestamp >= fromUnixTimestamp64Nano({now_start_ns:Int64})"
    sql = (
        f"SELECT ServiceName AS service, {SEVERITY_SQL} AS severity, min(toValidUTF8(substring(Body, 1, 400))) AS body, "
        f"toInt64(countIf({is_now})) AS now, toInt64(countIf(NOT {is_now})) AS before, "
        f"minIf(toUnixTimestamp64Nano(Timestamp), {is_now}) AS first_ns, "
        f"maxIf(toUnixTimestamp64Nano(Timestamp), {is_now}) AS last_ns FROM otel_logs "
        f"WHERE ({halves[0]} OR {halves[1]}) AND {condition} "
        "AND ({every:UInt32} = 1 OR cityHash64(Timestamp, SpanId) % {every:UInt32} = 0) "
        "GROUP BY service, severity, replaceRegexpAll(substring(Body, 1, 400), '[0-9]+', '0') "
        "ORDER BY now + before DESC, service, body LIMIT {limit:UInt32}"
    )
    parameters = (
        {f"was_{name}": value for name, value in _bounds(before).items()}
        | {f"now_{name}": value for name, value in _bounds(window).items()}
        | {"every": every, "limit": MOST_KINDS}
        | values.by_name
    )
    return Kinds(rows=telemetry.query(sql, parameters), every=every)


def _condition(node: Node, columns: Mapping[str, str], values: _Values) -> str:
    """A tree as SQL. Whatever somebody wrote becomes a parameter; only the language's own words are in the text."""
    match node:
        case Not():
            return f"NOT ({_condition(node.of, columns, values)})"
        case All():
            return "(" + (" AND ".join(_condition(one, columns, values) for one in node.of) or "1") + ")"
        case Either():
            return "(" + " OR ".join(_condition(one, columns, values) for one in node.of) + ")"
        case Term(field="severity"):
            return _severity(columns["severity"], node.op, node.pattern, values)
        case Term(field=name) if name in columns:
            return (
                _contains(columns[name], node.pattern, values)
                if name == MESSAGE
                else _is(columns[name], node.pattern, values)
            )
        case Term():
            key = values.add(node.field)
            column = f"if(LogAttributes[{key}] != '', LogAttributes[{key}], ResourceAttributes[{key}])"
            if node.op == ":":
                return _is(column, node.pattern, values)
            return f"ifNull(toFloat64OrNull({column}) {node.op} {values.add(float(node.text), 'Float64')}, 0)"


def _is(column: str, pattern: Pattern, values: _Values) -> str:
    if len(pattern) == 1:
        return f"{column} = {values.add(pattern[0])}"
    if not any(pattern):
        return f"{column} != ''"
    return f"{column} LIKE {values.add('%'.join(map(unlike, pattern)))}"


def _contains(column: str, pattern: Pattern, values: _Values) -> str:
    if len(pattern) == 1:
        return f"positionCaseInsensitiveUTF8({column}, {values.add(pattern[0])}) > 0"
    return f"{column} ILIKE {values.add('%' + '%'.join(map(unlike, pattern)) + '%')}"


def unlike(text: str) -> str:
    """A text in a pattern of LIKE, where it stands for itself."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def _severity(column: str, op: Op, pattern: Pattern, values: _Values) -> str:
    if len(pattern) > 1 or pattern == ("UNSET",):
        return _is(column, pattern, values)
    known = ranks()
    place = f"transform({column}, {values.add(list(known), 'Array(String)')}, {values.add(list(known.values()), 'Array(UInt8)')}, 0)"
    # What has no rank is neither above nor below anything.
    return f"({place} > 0 AND {place} {'=' if op == ':' else op} {values.add(rank(pattern[0]), 'UInt8')})"


def _step(column: str) -> str:
    return f"toDateTime64(intDiv(toUnixTimestamp({column}), {{step:UInt32}}) * {{step:UInt32}}, 0, 'UTC')"


def _bounds(window: Window) -> dict[str, Any]:
    return {
        "start": window.start.timestamp(),
        "end": window.end.timestamp(),
        "start_ns": nanos_of(window.start),
        "end_ns": nanos_of(window.end),
    }


def nanos_of(at: datetime) -> int:
    """A time in Unix nanoseconds, exact to the microsecond."""
    since = at - utc(0.0)
    return ((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds) * 1000
