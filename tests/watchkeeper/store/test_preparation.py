"""Tables that a Collector of another age made are written to as they are."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime

import pytest
from otlp_requests import logs, metrics, nanos, segment, traces

from bench.own_roles import OwnRoles
from watchkeeper.store.otlp import inserts
from watchkeeper.store.preparation import prepare
from watchkeeper.store.schema import statements
from watchkeeper.store.statements import Statements

pytestmark = pytest.mark.xdist_group("store")
NOW = datetime.now(UTC).replace(microsecond=0)
MAP = "Map(LowCardinality(String), String)"
OLDER_LOGS = (
    "Timestamp DateTime64(9), TimestampTime DateTime DEFAULT toDateTime(Timestamp), TraceId String, SpanId String, "
    "TraceFlags UInt8, SeverityText LowCardinality(String), SeverityNumber UInt8, ServiceName LowCardinality(String), "
    f"Body String, ResourceAttributes {MAP}, LogAttributes {MAP}"
)
NEWER_GAUGE = (
    f"ResourceAttributes {MAP}, ServiceName LowCardinality(String), MetricName LowCardinality(String), "
    f"Attributes {MAP}, StartTimeUnix DateTime, TimeUnix DateTime, Flags UInt32, Value Float64"
)


def test_foreign_tables_keep_their_columns(roles: OwnRoles, loader: Statements) -> None:
    """Columns that a table lacks are left out, times are cut to its precision, and the roll-ups are made beside it."""
    database = "foreign_" + secrets.token_hex(3)
    loader.run(f"CREATE DATABASE {database}")
    for table, columns in (("otel_logs", OLDER_LOGS), ("otel_metrics_gauge", NEWER_GAUGE)):
        loader.run(f"CREATE TABLE {database}.{table} ({columns}) ENGINE = MergeTree ORDER BY ServiceName")
    into = prepare(loader, database=database, memory_mib=500, schema=statements(database, 7))
    request, held = metrics("shop")
    held.add(name="g").gauge.data_points.add(time_unix_nano=nanos(NOW, 700), as_double=1.5)
    bodies = {
        "logs": segment(logs("shop", {"at": NOW, "body": "hello"})),
        "traces": segment(traces("shop", {"at": NOW})),
        "metrics": segment(request),
    }
    for signal, body in bodies.items():
        for statement in inserts(into, signal, secrets.token_hex(4)):
            loader.run(f"{statement} FORMAT Protobuf", body)
    counted = roles.telemetry.query(
        f"SELECT (SELECT any(Body) FROM {database}.otel_logs) AS body, "
        f"(SELECT sum(calls) FROM {database}.red) AS calls, (SELECT sum(lines) FROM {database}.log_counts) AS lines, "
        f"(SELECT any(toUnixTimestamp(TimeUnix)) FROM {database}.otel_metrics_gauge) AS at"
    )
    assert counted.to_pylist() == [{"body": "hello", "calls": 1, "lines": 1, "at": int(NOW.timestamp())}]


def test_a_store_that_an_earlier_version_made_counts_requests_without_a_parent(
    roles: OwnRoles, loader: Statements
) -> None:
    """The column is added to the roll-up, and filled from then on."""
    database = "older_" + secrets.token_hex(3)
    prepare(loader, database=database, memory_mib=500, schema=statements(database, 7))
    loader.run(f"DROP TABLE {database}.red_view")
    loader.run(f"ALTER TABLE {database}.red DROP COLUMN direct")
    into = prepare(loader, database=database, memory_mib=500, schema=statements(database, 7))
    called = {"at": NOW, "parent": b"12345678"}
    for statement in inserts(into, "traces", secrets.token_hex(4)):
        loader.run(f"{statement} FORMAT Protobuf", segment(traces("shop", {"at": NOW}, called)))
    counted = roles.telemetry.query(f"SELECT sum(calls) AS calls, sum(direct) AS direct FROM {database}.red")
    assert counted.to_pylist() == [{"calls": 2, "direct": 1}]


def test_preparing_again_changes_nothing(loader: Statements) -> None:
    """The statements are harmless on a store that is ready."""
    first, again = (prepare(loader, database="otel", memory_mib=1, schema=statements("otel", 7)) for _ in range(2))
    assert first == again
    assert {"otel_traces", "red", "edges"} <= set(first.columns)
