"""What the store says of when telemetry arrives, and of clocks: asked of the real engine."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from otlp_requests import logs, metrics, nanos, segment, traces

from bench.own_roles import OwnRoles
from detectors.arrivals.clock_skew import ClockSkews
from detectors.arrivals.delays import Arrivals
from detectors.arrivals.lateness import Aligned
from detectors.detector import Seen, Setup
from watchkeeper.problems import Problems
from watchkeeper.store.otlp import Destination, inserts
from watchkeeper.store.statements import Statements
from watchkeeper.vocabulary import Window

pytestmark = pytest.mark.xdist_group("store")
NOW = datetime.now(UTC).replace(microsecond=0)
AROUND = Window(start=NOW - timedelta(minutes=12), end=NOW + timedelta(minutes=12))


def load(loader: Statements, signal: str, request: Any) -> None:
    """Load a request as the ingest role does."""
    body = segment(request)
    for statement in inserts(Destination(database="otel", memory_mib=500), signal, secrets.token_hex(8)):
        loader.run(f"{statement} FORMAT Protobuf", body)


def heat(service: str, at: datetime) -> Any:
    """One gauge's point."""
    request, into = metrics(service)
    into.add(name="heat").gauge.data_points.add(as_double=1.0, time_unix_nano=nanos(at))
    return request


def of(table: Any, service: str) -> Any:
    """A service's newest time."""
    (row,) = [row for row in table.to_pylist() if row["service"] == service]
    return row["newest"]


def test_the_newest_data_of_each_signal(roles: OwnRoles, loader: Statements) -> None:
    """The end of the newest bucket for spans and logs, the newest point for metrics, the future included."""
    service = "newest-" + secrets.token_hex(3)
    at, future = NOW - timedelta(minutes=3), NOW + timedelta(minutes=5)
    load(loader, "traces", traces(service, {"at": at - timedelta(minutes=2)}, {"at": at}))
    load(loader, "logs", logs(service, {"at": future, "body": "hello"}))
    load(loader, "metrics", heat(service, at))
    spans = of(roles.telemetry.newest("spans", AROUND), service)
    assert timedelta() < spans - at <= timedelta(seconds=10)
    assert timedelta() < of(roles.telemetry.newest("logs", AROUND), service) - future <= timedelta(seconds=5)
    assert of(roles.telemetry.newest("metrics", AROUND), service) == at


def test_a_skewed_clock_is_found_from_both_sides_of_calls(roles: OwnRoles, loader: Statements) -> None:
    """Web calls pay and cart; pay's clock is 95 seconds ahead, and only its name is said."""
    mark = secrets.token_hex(3)
    web, pay, cart = f"web-{mark}", f"pay-{mark}", f"cart-{mark}"
    clients: list[dict[str, Any]] = []
    servers: dict[str, list[dict[str, Any]]] = {pay: [], cart: []}
    for number in range(20):
        for callee, ahead in ((pay, 95), (cart, 0)):
            trace, client = secrets.token_bytes(16), secrets.token_bytes(8)
            at = NOW - timedelta(seconds=30 + number)
            clients.append({"kind": "client", "trace": trace, "id": client, "at": at, "ms": 40})
            begun = at + timedelta(seconds=ahead, milliseconds=10)
            servers[callee].append({"kind": "server", "trace": trace, "parent": client, "at": begun, "ms": 20})
    load(loader, "traces", traces(web, *clients))
    for service, spans in servers.items():
        load(loader, "traces", traces(service, *spans))
    rows = {row["callee"]: row for row in roles.telemetry.call_offsets(AROUND).to_pylist() if row["caller"] == web}
    assert rows[pay]["offset_s"] == pytest.approx(95, abs=0.1)
    assert (rows[cart]["offset_s"], rows[cart]["calls"]) == (0, 20)
    arrivals = Arrivals(600.0, Problems(None))
    arrivals.read(roles.telemetry, NOW)
    clocks = ClockSkews(Setup()).judge(Seen(now=NOW, clocks=arrivals.clocks_ahead()))
    skewed = {finding.service: finding for finding in clocks if mark in finding.service}
    assert set(skewed) == {pay}
    assert skewed[pay].severity == "ticket"


def test_late_rows_come_as_if_they_had_come_in_time(roles: OwnRoles, loader: Statements) -> None:
    """Each roll-up's own types survive the move: a late service's rows stand two minutes later, others' do not."""
    mark = secrets.token_hex(3)
    late, prompt = f"late-{mark}", f"prompt-{mark}"
    old, new = NOW - timedelta(seconds=150), NOW - timedelta(seconds=30)
    for service, at in ((late, old), (prompt, new)):
        load(loader, "traces", traces(service, {"at": at, "ms": 5}))
        load(loader, "logs", logs(service, {"at": at, "body": "hello"}))
        load(loader, "metrics", heat(service, at))
    moved = {late: 120}
    aligned = Aligned(roles.telemetry, moved, moved, moved)
    window = Window(start=NOW - timedelta(seconds=60), end=NOW)
    for table in (
        aligned.red_levels(window),
        aligned.red(window, 30),
        aligned.log_counts(window),
        aligned.log_bodies(window),
        aligned.metric_series(window),
    ):
        rows = {row["service"]: row["bucket"] for row in table.to_pylist() if mark in row["service"]}
        assert set(rows) == {late, prompt}
        assert abs(rows[late] - rows[prompt]) <= timedelta(seconds=30)
    assert aligned.edges(window).num_columns == roles.telemetry.edges(window).num_columns
