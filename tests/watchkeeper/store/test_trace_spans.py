"""One trace out of a real store: its spans, all that one of them carries, and its log lines."""

from __future__ import annotations

import json
import secrets
from datetime import UTC, datetime, timedelta

import pytest

from bench.own_roles import OwnRoles
from dashboard.reads.cache import Cache
from dashboard.reads.traces import TraceReads
from tests.hostile import EVERY
from watchkeeper.store.statements import Statements
from watchkeeper.store.trace_spans import span_detail, trace_lines, trace_spans

pytestmark = pytest.mark.xdist_group("store")
AT = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=20)


def store(loader: Statements, table: str, *rows: dict[str, object]) -> None:
    """Insert rows as they are."""
    names = ", ".join(f"`{name}`" for name in rows[0])
    loader.run(f"INSERT INTO otel.{table} ({names}) FORMAT JSONEachRow", "\n".join(map(json.dumps, rows)).encode())


def span(trace: str, span_id: str, **changes: object) -> dict[str, object]:
    """A root of 10 ms of service `web`."""
    row: dict[str, object] = {"Timestamp": f"{AT.timestamp():.9f}", "TraceId": trace, "SpanId": span_id}
    row |= {"SpanName": "GET /", "SpanKind": "Server", "ServiceName": "web", "Duration": 10_000_000}
    row |= {"ParentSpanId": "", "StatusCode": "Unset", "StatusMessage": ""}
    row |= {"SpanAttributes": {}, "ResourceAttributes": {}}
    row |= {f"Events.{name}": [] for name in ("Timestamp", "Name", "Attributes")}
    row |= {f"Links.{name}": [] for name in ("TraceId", "SpanId", "TraceState", "Attributes")}
    return row | changes


def event(message: str) -> dict[str, object]:
    """An exception a quarter of a second after the start."""
    return {
        "Events.Timestamp": [f"{AT.timestamp() + 0.25:.6f}"],
        "Events.Name": ["exception"],
        "Events.Attributes": [{"exception.message": message}],
    }


def test_spans_come_by_start_with_what_explains_a_failure(roles: OwnRoles, loader: Statements) -> None:
    """The status message, else an exception's; times to the nanosecond; no more than asked for."""
    trace = secrets.token_hex(16)
    later = f"{AT.timestamp() + 1:.0f}.000000001"
    store(
        loader,
        "otel_traces",
        span(trace, "b", Timestamp=later, ParentSpanId="a", StatusCode="Error", **event("disk full")),
        span(trace, "a", StatusCode="Error", StatusMessage="gave up", **event("disk full")),
    )
    first, second = trace_spans(roles.telemetry, trace, 10)
    assert (first["span_id"], first["message"], first["failed"], first["events"]) == ("a", "gave up", True, 1)
    assert (second["span_id"], second["message"]) == ("b", "disk full")
    assert second["start_ns"] - first["start_ns"] == 1_000_000_001
    assert len(trace_spans(roles.telemetry, trace, 1)) == 1
    assert trace_spans(roles.telemetry, "none", 10) == []
    assert span_detail(roles.telemetry, trace, "none") is None


@pytest.mark.parametrize("which", sorted(EVERY))
def test_a_span_carries_anything(roles: OwnRoles, loader: Statements, which: str) -> None:
    """Attributes, events and links come back as they were stored, whatever they hold."""
    trace = secrets.token_hex(16)
    text = EVERY[which].encode("utf-8", "replace").decode()
    store(
        loader,
        "otel_traces",
        span(
            trace,
            "a",
            SpanAttributes={text: text},
            ResourceAttributes={"host.name": text},
            **event(text),
            **{"Links.TraceId": ["f" * 32], "Links.SpanId": [text[:50]]},
            **{"Links.TraceState": [""], "Links.Attributes": [{text: text}]},
        ),
    )
    detail = TraceReads(roles.telemetry, Cache(2.0)).detail(trace, "a")
    assert detail is not None
    assert (detail.attributes, detail.resource) == ({text: text}, {"host.name": text})
    assert detail.events[0].attributes == {"exception.message": text}
    assert detail.events[0].at == AT + timedelta(seconds=0.25)
    assert (detail.links[0].span_id, detail.links[0].attributes) == (text[:50], {text: text})


def test_log_lines_are_of_the_trace_and_near_it(roles: OwnRoles, loader: Statements) -> None:
    """By time, with the span that wrote each."""
    trace = secrets.token_hex(16)
    line = {"TraceId": trace, "ServiceName": "web", "SeverityNumber": 17, "SeverityText": "ERROR"}
    store(
        loader,
        "otel_logs",
        line | {"Timestamp": AT.timestamp() + 2, "SpanId": "b", "Body": "second"},
        line | {"Timestamp": AT.timestamp() + 1, "SpanId": "a", "Body": "first"},
        line | {"Timestamp": AT.timestamp() - 9000, "SpanId": "a", "Body": "another day's"},
        line | {"Timestamp": AT.timestamp() + 1, "SpanId": "a", "Body": "other", "TraceId": secrets.token_hex(16)},
    )
    rows = trace_lines(roles.telemetry, trace, AT.timestamp() - 60, AT.timestamp() + 60, 10)
    assert [(row["span_id"], row["body"], row["severity"]) for row in rows] == [
        ("a", "first", "ERROR"),
        ("b", "second", "ERROR"),
    ]
