"""Telemetry as real exporters send it, oddly: what is stored of it, and what readers see."""

from __future__ import annotations

import math
import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from otlp_requests import logs, metrics, nanos, segment, traces

from bench.own_roles import OwnRoles
from watchkeeper.store.otlp import Destination, inserts
from watchkeeper.store.statements import Statements
from watchkeeper.vocabulary import Window

pytestmark = pytest.mark.xdist_group("store")
START = datetime.now(UTC).replace(microsecond=0, second=0) - timedelta(minutes=5)
WINDOW = Window(start=START - timedelta(minutes=1), end=START + timedelta(minutes=4))
ARRIVED = START + timedelta(seconds=17)
LAST_NS = (1 << 64) - 1


def load(loader: Statements, signal: str, request: Any) -> None:
    """Load a request that came in at `ARRIVED`, as the ingest role does with what waited for the store."""
    into = Destination(database="otel", memory_mib=500, retention_days=7, ahead_days=1)
    for statement in inserts(into, signal, secrets.token_hex(8), received_ns=nanos(ARRIVED)):
        loader.run(f"{statement} FORMAT Protobuf", segment(request))


def of(table: Any, **values: str) -> list[dict[str, Any]]:
    """The rows in which each named column has its value."""
    return [row for row in table.to_pylist() if all(row[key] == value for key, value in values.items())]


@pytest.mark.parametrize("parent", [b"", bytes(8), bytes(4), bytes(16)])
def test_a_parent_of_zeros_is_none(roles: OwnRoles, loader: Statements, parent: bytes) -> None:
    """An inner span without a parent is a root: counted by RED, and at the top of its trace."""
    service, trace = "zero-" + secrets.token_hex(3), secrets.token_bytes(16)
    load(loader, "traces", traces(service, {"at": START, "kind": "internal", "parent": parent, "trace": trace}))
    (row,) = roles.telemetry.trace(trace.hex()).to_pylist()
    assert row["parent_span_id"] == ""
    counted = roles.telemetry.query("SELECT sum(calls) AS n FROM red WHERE service = {s:String}", {"s": service})
    assert counted["n"][0].as_py() == 1


def test_a_parent_that_holds_zeros_is_one(roles: OwnRoles, loader: Statements) -> None:
    """Only nothing but zeros is no parent."""
    service, trace = "parent-" + secrets.token_hex(3), secrets.token_bytes(16)
    load(loader, "traces", traces(service, {"at": START, "parent": bytes(7) + b"\x01", "trace": trace}))
    assert roles.telemetry.trace(trace.hex())["parent_span_id"].to_pylist() == ["0000000000000001"]


def test_a_span_with_a_silly_time_hurts_nobody(roles: OwnRoles, loader: Statements) -> None:
    """Without a start, backwards, or ending in centuries: it counts, and no latency is above that of the good spans."""
    service = "silly-" + secrets.token_hex(3)
    request = traces(service, *({"at": START, "ms": 50} for _ in range(10)))
    found = request.resource_spans[0].scope_spans[0].spans
    found[0].start_time_unix_nano = 0
    found[1].start_time_unix_nano, found[1].end_time_unix_nano = nanos(START, 50), nanos(START)
    found[2].end_time_unix_nano = LAST_NS
    found[3].start_time_unix_nano = found[3].end_time_unix_nano = 0
    found[4].end_time_unix_nano = 0
    load(loader, "traces", request)
    rows = of(roles.telemetry.red(WINDOW), service=service)
    assert sum(row["calls"] for row in rows) == 10
    assert {START, ARRIVED - timedelta(seconds=2)} == {row["bucket"] for row in rows}
    assert max(row["max_ms"] for row in rows) == 50
    assert all(row["mean_ms"] <= 50 for row in rows)


@pytest.mark.parametrize(
    "start",
    [1, 10**15, LAST_NS, nanos(START) // 1000, nanos(START - timedelta(days=150))],
    ids=["1970", "microseconds", "2554", "microseconds of today", "half a year ago"],
)
def test_spans_outside_of_what_is_kept_cost_the_others_nothing(roles: OwnRoles, loader: Statements, start: int) -> None:
    """In microseconds, of last year, of the end of time: left out; those beside them are stored."""
    service = "far-" + secrets.token_hex(3)
    request = traces(service, *({"at": START} for _ in range(3)))
    far = request.resource_spans[0].scope_spans[0].spans[1]
    far.start_time_unix_nano = far.end_time_unix_nano = start
    load(loader, "traces", request)
    sql = "SELECT count() AS n FROM otel_traces WHERE ServiceName = {s:String}"
    counted = roles.telemetry.query(sql, {"s": service})
    assert counted["n"][0].as_py() == 2


def test_a_line_or_point_without_a_time_has_that_of_its_arrival(roles: OwnRoles, loader: Statements) -> None:
    """Not that of its load, which may be hours later; an observed time counts before it."""
    service = "when-" + secrets.token_hex(3)
    request = logs(service, *({"at": START, "body": body} for body in ("none", "observed")))
    none, observed = request.resource_logs[0].scope_logs[0].log_records
    none.time_unix_nano = observed.time_unix_nano = 0
    observed.observed_time_unix_nano = nanos(START, 3000)
    load(loader, "logs", request)
    rows = {row["body"]: row["timestamp"] for row in roles.telemetry.logs(WINDOW, service).to_pylist()}
    assert rows == {"none": ARRIVED, "observed": START + timedelta(seconds=3)}
    points, into = metrics(service)
    into.add(name="g").gauge.data_points.add(as_double=2)
    load(loader, "metrics", points)
    (row,) = of(roles.telemetry.metric_series(WINDOW, service=service), service=service)
    assert (row["bucket"], row["value"]) == (ARRIVED - timedelta(seconds=2), 2.0)


def test_a_point_without_a_value_is_a_gap(roles: OwnRoles, loader: Statements) -> None:
    """By its flag, by NaN or by an absent value: left out of means, and no reset of a counter."""
    service = "gap-" + secrets.token_hex(3)
    request, into = metrics(service)
    gauge, counter, times = into.add(name="depth"), into.add(name="done"), into.add(name="seconds")
    counter.sum.is_monotonic, counter.sum.aggregation_temporality = True, 2
    times.histogram.aggregation_temporality = 2
    for index in range(5):
        at = nanos(START, index * 500)
        points = [gauge.gauge.data_points.add(time_unix_nano=at), counter.sum.data_points.add(time_unix_nano=at)]
        match index:
            case 1:
                points[0].flags = points[1].flags = 1
            case 2:
                points[0].as_double = points[1].as_double = math.nan
            case 3:
                pass  # as `"asDouble": null` in JSON
            case _:
                points[0].as_double, points[1].as_double = 40, 100 + index
        times.histogram.data_points.add(
            time_unix_nano=at, count=index + 1, sum=math.nan if index == 2 else 3.0 * (index + 1)
        )
    load(loader, "metrics", request)
    rows = {row["metric"]: row for row in of(roles.telemetry.metric_series(WINDOW, service=service), service=service)}
    assert (rows["depth"]["value"], rows["done"]["value"], rows["seconds"]["value"]) == (40.0, 4 / 5, 3.0)


@pytest.mark.parametrize("temporality", [1, 2])
def test_an_exponential_histogram_is_used_as_an_explicit_one(
    roles: OwnRoles, loader: Statements, temporality: int
) -> None:
    """The mean observation of both is the same series but for its name; resets and gaps included."""
    service = "exp-" + secrets.token_hex(3)
    request, into = metrics(service)
    explicit, exponential = into.add(name="explicit").histogram, into.add(name="exponential").exponential_histogram
    explicit.aggregation_temporality = exponential.aggregation_temporality = temporality
    for index, count in enumerate((4, 10, 3, 3)):  # the third after a restart
        for points in (explicit.data_points, exponential.data_points):
            at, flags = nanos(START, index * 5000), int(index == 3)
            points.add(time_unix_nano=at, count=count, sum=2.5 * count, flags=flags)
    exponential.data_points[0].positive.bucket_counts.extend([1, 3])
    load(loader, "metrics", request)
    rows = of(roles.telemetry.metric_series(WINDOW, service=service), service=service)
    series = {
        name: [(row["bucket"], row["value"], row["kind"]) for row in rows if row["metric"] == name]
        for name in ("explicit", "exponential")
    }
    assert series["explicit"] == series["exponential"]
    assert {row["value"] for row in rows} == {2.5}
    assert len(series["exponential"]) == (3 if temporality == 1 else 2)
