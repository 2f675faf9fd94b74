"""Searches among spans in a real store: each condition finds what it says, whatever names and values hold."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow.compute as pc
import pytest

from bench.own_roles import OwnRoles
from tests.hostile import EVERY
from watchkeeper.store.span_search import (
    BANDS,
    AttributeCondition,
    Operator,
    SpanSearch,
    duration_map,
    matching,
    operations,
    traces_of,
)
from watchkeeper.store.statements import Statements
from watchkeeper.vocabulary import Window

pytestmark = pytest.mark.xdist_group("store")
START = datetime.now(UTC).replace(microsecond=0, second=0) - timedelta(minutes=20)
WINDOW = Window(start=START, end=START + timedelta(minutes=5))


def span(service: str, **changes: Any) -> dict[str, Any]:
    """A root of 10 ms that went well, a second after the window's begin; `ms` and `after_s` are its times."""
    at = START + timedelta(seconds=changes.pop("after_s", 1.0))
    row = {
        "Timestamp": f"{at.timestamp():.6f}",
        "TraceId": secrets.token_hex(16),
        "SpanId": secrets.token_hex(8),
        "ParentSpanId": "",
        "SpanName": "GET /",
        "SpanKind": "Server",
        "ServiceName": service,
        "Duration": int(changes.pop("ms", 10) * 1e6),
        "StatusCode": "Unset",
        "StatusMessage": "",
        "SpanAttributes": {},
        "ResourceAttributes": {},
    }
    return row | changes


def store(loader: Statements, *rows: Mapping[str, Any]) -> None:
    """Insert spans as they are."""
    names = ", ".join(f"`{name}`" for name in rows[0])
    body = "\n".join(json.dumps(row) for row in rows).encode()
    loader.run(f"INSERT INTO otel.otel_traces ({names}) FORMAT JSONEachRow", body)


def found(roles: OwnRoles, **conditions: Any) -> list[str]:
    """The names of the spans that match, slowest first."""
    search = SpanSearch(**({"scope": "all"} | conditions))
    rows = matching(roles.telemetry, WINDOW, search, newest=False, limit=100).to_pylist()
    mapped = duration_map(roles.telemetry, WINDOW, search, step_s=60)
    assert (pc.sum(mapped["spans"]).as_py() or 0) == len(rows)
    return [row["operation"] for row in rows]


def test_each_scope_finds_its_spans(roles: OwnRoles, loader: Statements) -> None:
    """Roots have no parent; served requests are roots, servers and consumers; a client span is none of them."""
    service = f"scope-{secrets.token_hex(3)}"
    store(
        loader,
        span(service, SpanName="root", ms=4),
        span(service, SpanName="served", ms=3, ParentSpanId="1" * 16),
        span(service, SpanName="taken", ms=2, ParentSpanId="1" * 16, SpanKind="Consumer"),
        span(service, SpanName="called", ms=1, ParentSpanId="1" * 16, SpanKind="Client"),
    )
    assert found(roles, service=service, scope="roots") == ["root"]
    assert found(roles, service=service, scope="served") == ["root", "served", "taken"]
    assert found(roles, service=service, scope="all") == ["root", "served", "taken", "called"]


def test_result_duration_operation_and_time_narrow_a_search(roles: OwnRoles, loader: Statements) -> None:
    """The lower bound is within, the upper one is not; a span belongs to the window in which it began."""
    service = f"narrow-{secrets.token_hex(3)}"
    store(
        loader,
        span(service, SpanName="a", ms=5),
        span(service, SpanName="b", ms=50, StatusCode="Error"),
        span(service, SpanName="c", ms=500),
        span(service, SpanName="late", after_s=300),
        span(service, SpanName="early", after_s=-1, ms=60_000),
    )
    assert found(roles, service=service) == ["c", "b", "a"]
    assert found(roles, service=service, failed=True) == ["b"]
    assert found(roles, service=service, failed=False) == ["c", "a"]
    assert found(roles, service=service, least_ms=5, most_ms=50) == ["a"]
    assert found(roles, service=service, least_ms=50.0) == ["c", "b"]
    assert found(roles, service=service, operation="a") == ["a"]
    assert found(roles, service=service, least_ms=1e300) == []


@pytest.mark.parametrize(
    ("key", "operator", "value", "names"),
    [
        ("http.route", "=", "/pay", ["pay"]),
        ("service.version", "=", "2.1", ["pay", "cart"]),
        ("http.route", "!=", "/pay", ["cart", "plain"]),
        ("http.route", "exists", "", ["pay", "cart"]),
        ("code", ">=", "500", ["pay"]),
        ("code", "<", "500", ["cart"]),
        ("nothing", "=", "x", []),
    ],
)
def test_attributes_of_span_and_resource_are_searched(
    roles: OwnRoles, loader: Statements, key: str, operator: Operator, value: str, names: list[str]
) -> None:
    """A number is compared as one; what is no number is in no order."""
    service = f"attributes-{secrets.token_hex(3)}"
    version = {"ResourceAttributes": {"service.version": "2.1"}}
    store(
        loader,
        span(service, SpanName="pay", ms=9, SpanAttributes={"http.route": "/pay", "code": "1503"}) | version,
        span(service, SpanName="cart", ms=8, SpanAttributes={"http.route": "/cart", "code": "99"}) | version,
        span(service, SpanName="plain", ms=7, SpanAttributes={"code": "unknown"}),
    )
    condition = AttributeCondition(key=key, operator=operator, value=value)
    assert found(roles, service=service, attributes=(condition,)) == names


def test_text_is_found_in_names_messages_and_exceptions(roles: OwnRoles, loader: Statements) -> None:
    """In any case, and as it is written: a percent sign stands for itself."""
    service = f"text-{secrets.token_hex(3)}"
    exception = {
        "Events.Timestamp": [f"{START.timestamp():.6f}"],
        "Events.Name": ["exception"],
        "Events.Attributes": [{"exception.message": "Disk of host-7 is full"}],
    }
    nothing = {name: [] for name in exception}
    store(
        loader,
        span(service, SpanName="GET /Diskette", ms=3) | nothing,
        span(service, SpanName="b", ms=2, StatusMessage="the disk is 100% full") | nothing,
        span(service, SpanName="c", ms=1) | exception,
    )
    assert found(roles, service=service, text="DISK") == ["GET /Diskette", "b", "c"]
    assert found(roles, service=service, text="host-7") == ["c"]
    assert found(roles, service=service, text="0% f") == ["b"]
    assert found(roles, service=service, text="0_%") == []


@pytest.mark.parametrize("which", sorted(EVERY))
def test_hostile_names_are_found_as_they_are(roles: OwnRoles, loader: Statements, which: str) -> None:
    """Service, operation, key, value and trace id may hold anything, in the length that an address allows."""
    name = f"{EVERY[which][:500]}{secrets.token_hex(3)}".encode("utf-8", "replace").decode()
    stored = span(name, SpanName=name, SpanAttributes={name: name}, TraceId=name)
    store(loader, stored)
    condition = AttributeCondition(key=name, value=name)
    search = SpanSearch(service=name, operation=name, attributes=(condition,))
    (row,) = matching(roles.telemetry, WINDOW, search, newest=True, limit=5).to_pylist()
    assert (row["service"], row["operation"], row["trace_id"]) == (name, name, name)
    (trace,) = traces_of(roles.telemetry, WINDOW, [name, "other"]).to_pylist()
    assert (trace["service"], trace["spans"]) == (name, 1)
    assert operations(roles.telemetry, WINDOW, name) == [name]


def test_the_map_counts_spans_by_start_and_duration(roles: OwnRoles, loader: Statements) -> None:
    """A band is an eighth of a power of ten of milliseconds; what takes less than a microsecond counts as one."""
    service = f"map-{secrets.token_hex(3)}"
    store(
        loader,
        span(service, ms=100),
        span(service, ms=130, StatusCode="Error"),
        span(service, ms=135),
        span(service, ms=1, after_s=61),
        span(service, ms=0, after_s=61),
    )
    rows = duration_map(roles.telemetry, WINDOW, SpanSearch(service=service), step_s=60).to_pylist()
    first, second = int(START.timestamp()), int(START.timestamp()) + 60
    assert [(row["step"], row["band"], row["spans"], row["failed"]) for row in rows] == [
        (first, 2 * BANDS, 2, 1),
        (first, 2 * BANDS + 1, 1, 0),
        (second, -3 * BANDS, 1, 0),
        (second, 0, 1, 0),
    ]


def test_a_trace_is_summed_up_with_the_spans_beside_the_window(roles: OwnRoles, loader: Statements) -> None:
    """Root, services by their first span, and failed spans."""
    key, trace = secrets.token_hex(3), secrets.token_hex(16)
    store(
        loader,
        span(f"web-{key}", TraceId=trace, SpanName="GET /buy", ms=200, after_s=-30),
        span(f"pay-{key}", TraceId=trace, ParentSpanId="2" * 16, ms=50, after_s=1),
        span(f"cart-{key}", TraceId=trace, ParentSpanId="2" * 16, ms=50, after_s=-29, StatusCode="Error"),
    )
    (row,) = traces_of(roles.telemetry, WINDOW, [trace]).to_pylist()
    assert (row["service"], row["operation"], row["spans"], row["failed"]) == (f"web-{key}", "GET /buy", 3, 1)
    assert row["services"] == [f"web-{key}", f"cart-{key}", f"pay-{key}"]


def test_watchkeepers_own_spans_are_found_only_by_name(roles: OwnRoles, loader: Statements) -> None:
    """They would fill every list."""
    own, key = "watchkeeper-watch", secrets.token_hex(6)
    store(loader, span(own, SpanName=key))
    assert found(roles, text=key) == []
    assert found(roles, text=key, service=own) == [key]
