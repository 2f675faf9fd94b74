"""The choices of the page Traces, read from the address: what is searched, in which order, and what is compared."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal, get_args

from dashboard.urls import View
from watchkeeper.store.span_comparison import Split
from watchkeeper.store.span_search import AttributeCondition, Operator, Scope, SpanSearch

Order = Literal["slowest", "newest"]
SCOPES: Final[tuple[Scope, ...]] = get_args(Scope)
MOST_CONDITIONS: Final = 8
_CONDITION: Final = re.compile(r'\s*([^\s=!<>"]+)(?:(>=|<=|!=|=|>|<)("(?:[^"\\]|\\.)*"|[^\s"]*))?(?=\s|$)')
_NUMBER: Final = re.compile(r"[+-]?\d{1,30}(\.\d{1,30})?(e[+-]?\d{1,2})?", re.IGNORECASE)
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(us|µs|ms|s|min|m|h)?")
_MS: Final = {"us": 1e-3, "µs": 1e-3, "ms": 1.0, "s": 1e3, "min": 6e4, "m": 6e4, "h": 3.6e6}
_LONGEST_MS: Final = 366 * 86_400_000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceQuery:
    """What the reader asks for. `problems` name what could not be read, and what is taken instead."""

    search: SpanSearch
    order: Order = "slowest"
    comparison: Split | None = None
    problems: tuple[str, ...] = ()


def trace_query(view: View) -> TraceQuery:
    """Read the address; what cannot be read is left out, and a problem says so."""
    problems = [view.problem] if view.problem else []
    service = view.service or ""
    bounds: dict[str, float | None] = {}
    for name in ("min", "max"):
        try:
            bounds[name] = duration_ms(view.choice(name))
        except ValueError as error:
            problems.append(f"{name}: {error}")
            bounds[name] = None
    least, most = bounds["min"], bounds["max"]
    if least is not None and most is not None and least >= most:
        problems.append("min must be less than max; max is left out")
        most = None
    try:
        attributes = attribute_conditions(view.choice("attr"))
    except ValueError as error:
        problems.append(f"attributes: {error}")
        attributes = ()
    scope = view.choice("scope")
    status = view.choice("status")
    compare = view.choice("compare")
    return TraceQuery(
        search=SpanSearch(
            scope=next((one for one in SCOPES if one == scope), "served" if service else "roots"),
            service=service,
            operation=view.choice("op"),
            attributes=attributes,
            failed={"failed": True, "ok": False}.get(status),
            least_ms=least,
            most_ms=most,
            text=view.words,
        ),
        order="newest" if view.choice("sort") == "newest" else "slowest",
        comparison=next((one for one in get_args(Split) if one == compare), None),
        problems=tuple(problems),
    )


def attribute_conditions(text: str) -> tuple[AttributeCondition, ...]:
    """Conditions as they are written: `http.route=/pay user.tier!="very gold" http.response.status_code>=500 retry`.

    A key alone holds where the attribute is there.

    Raises:
        ValueError: a condition cannot be read; the message says which, and how it is written.

    >>> attribute_conditions('peer="a b" retry')[0]
    AttributeCondition(key='peer', operator='=', value='a b')
    """
    conditions: list[AttributeCondition] = []
    at = 0
    while at < len(text) and text[at:].strip():
        match = _CONDITION.match(text, at)
        if match is None:
            raise ValueError(f'cannot read {text[at:].strip()[:60]!r}; write key=value, key!=value or key="two words"')
        conditions.append(_condition(match[1], match[2] or "", match[3] or ""))
        at = match.end()
    if len(conditions) > MOST_CONDITIONS:
        raise ValueError(f"at most {MOST_CONDITIONS} conditions are read, not {len(conditions)}")
    return tuple(conditions)


def _condition(key: str, operator: str, written: str) -> AttributeCondition:
    value = re.sub(r"\\(.)", r"\1", written[1:-1]) if written.startswith('"') else written
    if not operator or (operator == "=" and written == "*"):
        return AttributeCondition(key=key, operator="exists")
    if not value:
        raise ValueError(
            f"{key}{operator} has no value; write {key}{operator}value, or {key} alone where it may be any"
        )
    if operator in ("<", ">", "<=", ">=") and not _NUMBER.fullmatch(value):
        raise ValueError(f"{key}{operator} compares numbers, and {value[:60]!r} is none")
    return AttributeCondition(key=key, operator=_OPERATORS[operator], value=value)


_OPERATORS: Final[dict[str, Operator]] = {"=": "=", "!=": "!=", ">=": ">=", "<=": "<=", ">": ">", "<": "<"}


def condition_text(key: str, value: str) -> str:
    """A condition as `attribute_conditions` reads it.

    >>> condition_text("peer", 'a "b"')
    'peer="a \\\\"b\\\\""'
    """
    if re.fullmatch(r'[^\s"\\*][^\s"\\]*', value):
        return f"{key}={value}"
    quoted = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'{key}="{quoted}"'


def duration_ms(text: str) -> float | None:
    """A duration in milliseconds: `250`, `250 ms`, `1.5s`, `2 min`; None for an empty text.

    Raises:
        ValueError: it is none.
    """
    if not text.strip():
        return None
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text[:40]!r} is no duration; write 250ms, 1.5s or 2min")
    return min(float(match[1]) * _MS[match[2] or "ms"], _LONGEST_MS)
