"""A ClickHouse query over the OpenTelemetry exporter's tables as a panel of log lines, of traces or of a metric.

Nothing of the statement is ever run. What is read of it are the table and the conditions that all must hold; a board
then asks its own bounded queries about them. What the statement counts or computes is lost, and is in the list. A
statement with anything else in it (a join, a subquery, OR, a function around a column) is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from dashboard.boards.board import Kind, Panel, usual_title
from dashboard.boards.grafana.refusals import NotTaken
from dashboard.boards.grafana.variables import ALL, Variables
from dashboard.reads.trace_query import condition_text
from watchkeeper.store.log_query import quoted
from watchkeeper.text import one_line

LONGEST: Final = 8000
_STATEMENT: Final = re.compile(
    r"SELECT\s(?P<columns>.*?)\sFROM\s+(?P<table>[\w.\"`]+)(?:\s+(?:AS\s+)?(?!WHERE|GROUP|ORDER|LIMIT)\w+)?"
    r"(?:\s+WHERE\s(?P<where>.*?))?(?:\s(?:GROUP\s+BY|ORDER\s+BY|LIMIT|HAVING|SETTINGS)\s(?P<rest>.*))?",
    re.IGNORECASE | re.DOTALL,
)
_TABLE: Final = re.compile(r"(?:\w+\.)?otel_(\w+)")
_ELSE: Final = re.compile(r"\b(JOIN|UNION|WITH|HAVING|PREWHERE)\b|\(\s*SELECT\b", re.IGNORECASE)
_TEXT: Final = r"'(?:[^'\\]|\\.|'')*'"
_COMMENT: Final = re.compile(rf"{_TEXT}|--[^\n]*|/\*.*?\*/", re.DOTALL)
_TIME: Final = re.compile(
    rf"{_TEXT}|"
    r"\$__(?:timeFilter(?:_ms)?|dateFilter|dateTimeFilter|dt)\([^()]*\)"
    r"|\w*Time\w*\s*(?:>=|<=|>|<)\s*(?:\$__(?:fromTime|toTime)(?:_ms)?|toDateTime(?:64)?\([^()]*\))",
    re.IGNORECASE,
)
_CONDITION: Final = re.compile(
    rf"(?P<column>\w+)(?:\[\s*(?P<key>{_TEXT})\s*\])?\s*"
    rf"(?P<operator>=|!=|<>|>=|<=|>|<|\bNOT\s+I?LIKE\b|\bI?LIKE\b|\bIN\b)\s*"
    rf"(?P<value>{_TEXT}|\(\s*{_TEXT}\s*\)|-?[\d.]+(?:e\d+)?)",
    re.IGNORECASE,
)
_AND: Final = re.compile(r"\s*\bAND\b\s*", re.IGNORECASE)
_ATTRIBUTES: Final = ("LogAttributes", "SpanAttributes", "ResourceAttributes", "Attributes")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Condition:
    """`column[key] operator value`; the operator in capitals, and the value without its quotes."""

    column: str
    key: str
    operator: str
    value: str

    @property
    def shown(self) -> str:
        return f"{self.column}{f'[{self.key}]' if self.key else ''} {self.operator} {one_line(self.value, 40)}"


def panel_of_clickhouse(
    targets: Sequence[Mapping[str, Any]], variables: Variables, *, logs: bool
) -> tuple[Panel, tuple[str, ...]]:
    """The panel of a panel's first query, and what is lost.

    Raises:
        NotTaken: it cannot be said as a search.
    """
    target = targets[0]
    statement = target.get("rawSql") or target.get("query")
    if not isinstance(statement, str) or not statement.strip():
        raise NotTaken("it has no SQL")
    table, conditions, lost = _read(statement, variables)
    if len(targets) > 1:
        lost.append(f"only the first of its {len(targets)} queries is taken")
    kind: Kind
    if table == "logs":
        kind, choices = "logs", _logs(conditions)
        if not logs:
            lost.append("shown are the log lines that it counts, by severity over time, not what it computes")
    elif table == "traces":
        kind, choices = "traces", _traces(conditions, lost)
        lost.append("shown are the spans that it reads, by duration over time, not what it computes")
    elif table.startswith("metrics_"):
        kind, choices = "metrics", _metric(conditions)
        lost.append("what it computes and groups by is left out; shown is the metric with its usual aggregation")
    else:
        raise NotTaken(f"the table otel_{one_line(table, 40)} is not one that boards read")
    return Panel(kind=kind, title=usual_title(kind, choices), choices=choices), tuple(lost)


def _read(statement: str, variables: Variables) -> tuple[str, list[_Condition], list[str]]:
    if len(statement) > LONGEST:
        raise NotTaken(f"the statement has {len(statement):,} characters, and at most {LONGEST:,} are read")
    # Texts come first in both patterns, so that what stands in one is left as it is.
    bare = _COMMENT.sub(lambda found: found[0] if found[0].startswith("'") else " ", statement)
    timeless = _TIME.sub(lambda found: found[0] if found[0].startswith("'") else " 1 ", bare)
    if found := _ELSE.search(timeless):
        raise NotTaken(f"a statement with {one_line(found[0].strip('( '), 20).upper()} cannot be shown as a search")
    match = _STATEMENT.fullmatch(timeless.strip().removesuffix(";").strip())
    if match is None:
        raise NotTaken("the statement is not one SELECT from one table")
    named = _TABLE.fullmatch(re.sub(r"[\"`]", "", match["table"]))
    if named is None:
        raise NotTaken(f"{one_line(match['table'], 60)} is not a table of OpenTelemetry's exporter")
    where, fixed = variables.filled(match["where"] or "")
    return named[1], list(_conditions(where)), list(fixed)


def _conditions(where: str) -> Iterable[_Condition]:
    """The conditions of a WHERE clause, in which all must hold."""
    at, end = 0, len(where)
    while where[at:].strip():
        at += len(where[at:]) - len(where[at:].lstrip())
        if where.startswith("1", at) and not where[at + 1 : at + 2].strip():  # where the time range stood
            at += 1
        else:
            match = _CONDITION.match(where, at)
            if match is None:
                raise NotTaken(f"the condition {one_line(where[at:], 60)} cannot be read")
            at = match.end()
            operator = " ".join(match["operator"].upper().split()).replace("<>", "!=")
            value = _unquoted(match["value"].strip("() \n\t"))
            if ALL not in value:
                key = _unquoted(match["key"]) if match["key"] else ""
                yield _Condition(
                    column=match["column"], key=key, operator="=" if operator == "IN" else operator, value=value
                )
            elif value != ALL or operator not in ("=", "IN"):
                raise NotTaken("a variable that stands for all values is a part of a text")
        rest = where[at:]
        joined = _AND.match(rest)
        if joined is None and rest.strip():
            raise NotTaken(f"only conditions that are joined by AND can be read, not {one_line(rest, 40)}")
        at = at + joined.end() if joined else end


def _unquoted(text: str) -> str:
    if not text.startswith("'"):
        return text
    return re.sub(r"\\(.)", r"\1", text[1:-1].replace("''", "'"))


def _logs(conditions: Sequence[_Condition]) -> dict[str, str]:
    terms = []
    fields = {"ServiceName": "service", "SeverityText": "severity", "TraceId": "trace", "SpanId": "span"}
    for one in conditions:
        negated = one.operator in ("!=", "NOT LIKE", "NOT ILIKE")
        if one.column == "Body" and one.operator.endswith("LIKE") and (text := _contains(one.value)) is not None:
            term = quoted(text)
        elif one.column in fields and one.operator in ("=", "!="):
            term = f"{fields[one.column]}:{quoted(one.value)}"
        elif one.column == "SeverityNumber" and one.operator in (">=", ">") and one.value.isdecimal():
            term = f"severity>={_severity(int(one.value) + (one.operator == '>'))}"
        elif one.column in _ATTRIBUTES and one.key and one.operator in ("=", "!="):
            term = f"{one.key}:{quoted(one.value)}"
        else:
            raise NotTaken(f"the condition {one.shown} cannot be said as a search of log lines")
        terms.append(f"-{term}" if negated else term)
    return {"query": " ".join(terms)} if terms else {}


def _contains(pattern: str) -> str | None:
    """The text of a pattern `%text%`; None for any other."""
    inner = pattern[1:-1]
    is_plain = pattern[:1] == pattern[-1:] == "%" and inner and not set("%_") & set(inner)
    return inner if is_plain else None


def _severity(number: int) -> str:
    """The least severity from a number of OpenTelemetry's on. Raises NotTaken for a number within one severity."""
    names = {1: "trace", 5: "debug", 9: "info", 13: "warn", 17: "error", 21: "fatal"}
    if number not in names:
        raise NotTaken(f"severity number {number} lies within a severity; there are {', '.join(map(str, names))}")
    return names[number]


def _traces(conditions: Sequence[_Condition], lost: list[str]) -> dict[str, str]:
    choices = {"scope": "all"}
    attributes = []
    for one in conditions:
        match one.column, one.operator, one.value:
            case "ServiceName", "=", value:
                choices["service"] = value
            case "SpanName", "=", value:
                choices["op"] = value
            case "StatusCode", "=", "Error" | "STATUS_CODE_ERROR":
                choices["status"] = "failed"
            case "ParentSpanId", "=", "":
                choices["scope"] = "roots"
            case "SpanKind", "=", "Server" | "SPAN_KIND_SERVER":
                choices["scope"] = "served"
                lost.append("spans of kind consumer are shown beside those of kind server")
            case "Duration", ">" | ">=", value if re.fullmatch(r"\d{1,18}", value):
                choices["min"] = f"{int(value) / 1e6:g}ms"
            case "Duration", "<" | "<=", value if re.fullmatch(r"\d{1,18}", value):
                choices["max"] = f"{int(value) / 1e6:g}ms"
            case column, "=", value if column in _ATTRIBUTES and re.fullmatch(r'[^\s=!<>"]+', one.key) and value:
                attributes.append(condition_text(one.key, value))
            case _:
                raise NotTaken(f"the condition {one.shown} cannot be said as a search of traces")
    return choices | ({"attr": " ".join(attributes)} if attributes else {})


def _metric(conditions: Sequence[_Condition]) -> dict[str, str]:
    choices: dict[str, str] = {}
    where = []
    for one in conditions:
        if one.column == "MetricName" and one.operator == "=":
            choices["metric"] = one.value
        elif one.column == "ServiceName" and one.operator == "=":
            choices["service"] = one.value
        elif (
            one.column in _ATTRIBUTES
            and one.operator in ("=", "!=")
            and re.fullmatch(r'[^\s=!,"]+', one.key)
            and not set('*"') & set(one.value)
        ):
            where.append(f'{one.key}{one.operator}"{one.value}"')
        else:
            raise NotTaken(f"the condition {one.shown} cannot be said as a query of a metric")
    if "metric" not in choices:
        raise NotTaken("it names no metric: it needs a condition such as MetricName = 'queue.length'")
    return choices | ({"where": ", ".join(where)} if where else {})
