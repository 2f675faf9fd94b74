"""What a service's page asks the store: its instances by version, and the lines that it logs."""

from __future__ import annotations

import json
import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bench.own_roles import OwnRoles
from dashboard.reads.cache import Cache
from dashboard.reads.traffic import TrafficReads
from watchkeeper.clock import SystemClock
from watchkeeper.store.statements import Statements
from watchkeeper.vocabulary import Window

pytestmark = pytest.mark.xdist_group("store")
START = datetime.now(UTC).replace(microsecond=0, second=0) - timedelta(minutes=5)
WINDOW = Window(start=START, end=START + timedelta(minutes=4))


def insert(loader: Statements, table: str, rows: list[dict[str, Any]]) -> None:
    body = "\n".join(json.dumps(row) for row in rows).encode()
    loader.run(f"INSERT INTO otel.{table} ({', '.join(rows[0])}) FORMAT JSONEachRow", body)


def span(
    service: str, number: int, *, ms: int, failed: bool = False, kind: str = "Server", **resource: str
) -> dict[str, Any]:
    return {
        "Timestamp": int(START.timestamp()) + number,
        "TraceId": secrets.token_hex(16),
        "SpanId": secrets.token_hex(8),
        "SpanName": "GET /",
        "SpanKind": kind,
        "ServiceName": service,
        "Duration": ms * 1_000_000,
        "StatusCode": "Error" if failed else "Unset",
        "ResourceAttributes": {name.replace("_", "."): value for name, value in resource.items()},
    }


def test_instances_are_told_apart_by_version_and_named_by_what_the_resource_has(
    roles: OwnRoles, loader: Statements
) -> None:
    """An instance id before a pod before a host; requests that it makes are not counted, nor is another service."""
    service = "instances-" + secrets.token_hex(3)
    pod = {"service_version": "2.0", "k8s_pod_name": "pod-1"}
    rows = [span(service, n, ms=20, service_instance_id="i-1", host_name="h", service_version="1.0") for n in range(4)]
    rows += [span(service, 10 + n, ms=400, failed=n == 0, **pod) for n in range(3)]
    rows += [span(service, 20, ms=20, host_name="h-9"), span(service, 21, ms=9, kind="Client"), span("other", 1, ms=1)]
    insert(loader, "otel_traces", rows)
    reads = TrafficReads(roles.telemetry, SystemClock(), Cache(0.0))
    found = reads.instances(WINDOW, service)
    assert [(one.name, one.version, one.calls) for one in found] == [
        ("i-1", "1.0", 4),
        ("pod-1", "2.0", 3),
        ("h-9", "", 1),
    ]
    assert found[1].error_ratio == pytest.approx(1 / 3)
    assert (found[1].p50_ms, found[1].p95_ms) == (400.0, 400.0)
    assert found[0].last == START + timedelta(seconds=3)
    outside = Window(start=WINDOW.end, end=WINDOW.end + timedelta(minutes=1))
    assert reads.instances(outside, service) == []


def test_lines_that_differ_in_numbers_are_one_pattern(roles: OwnRoles, loader: Statements) -> None:
    """Numbers and hexadecimal ids vary; a word does not; only the newest lines are looked at."""
    service = "patterns-" + secrets.token_hex(3)
    bodies = [f"order {n} of {secrets.token_hex(8)} refused" for n in range(5)] + ["order failed"] * 2
    rows = [
        {"Timestamp": int(START.timestamp()) + n, "ServiceName": service, "SeverityNumber": 17, "Body": body}
        for n, body in enumerate(bodies)
    ]
    insert(loader, "otel_logs", rows)
    reads = TrafficReads(roles.telemetry, SystemClock(), Cache(0.0))
    first, second = reads.log_patterns(WINDOW, service)
    assert (first.severity, first.lines, first.newest) == ("ERROR", 5, START + timedelta(seconds=4))
    assert first.body in bodies
    assert (second.body, second.lines) == ("order failed", 2)
    (newest,) = reads.log_patterns(WINDOW, service, newest=2)
    assert newest.lines == 2
