"""What readers get back for what was loaded: every signal, through the real decoder and the roll-ups."""

from __future__ import annotations

import json
import math
import secrets
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from otlp_requests import logs, metrics, nanos, segment, traces

from bench.own_roles import OwnRoles
from collectors.receivers.otlp_canonical import canonical
from collectors.receivers.otlp_limits import Limits
from watchkeeper.store import edges
from watchkeeper.store.otlp import Destination, inserts
from watchkeeper.store.recent_traces import recent_traces
from watchkeeper.store.statements import Statements
from watchkeeper.vocabulary import Window

pytestmark = pytest.mark.xdist_group("store")
START = datetime.now(UTC).replace(microsecond=0, second=0) - timedelta(minutes=5)
WINDOW = Window(start=START, end=START + timedelta(minutes=4))


def load(loader: Statements, signal: str, *requests: Any, token: str | None = None) -> None:
    """Load requests as one segment, as the ingest role does."""
    limits = Limits(retention_s=100 * 365 * 86_400)
    taken = (canonical(signal, request.SerializeToString(), limits, time.time_ns()) for request in requests)
    insert(loader, signal, segment(*(request.body for request in taken)), token)


def insert(loader: Statements, signal: str, body: bytes, token: str | None = None) -> None:
    """Load a segment."""
    token = token or secrets.token_hex(8)
    for statement in inserts(Destination(database="otel", memory_mib=500), signal, token):
        loader.run(f"{statement} FORMAT Protobuf", body)


def of(table: Any, **values: str) -> list[dict[str, Any]]:
    """The rows in which each named column has its value."""
    return [row for row in table.to_pylist() if all(row[key] == value for key, value in values.items())]


def test_red_counts_requests_where_they_ended(roles: OwnRoles, loader: Statements) -> None:
    """Calls, errors and times are by the bucket of the span's end; client and inner spans are no requests."""
    service = "red-" + secrets.token_hex(3)
    spans = [{"at": START, "ms": ms, "error": ms == 40, "name": "GET /a"} for ms in (10, 20, 30, 40)]
    spans += [
        {"at": START, "ms": 6000, "name": "GET /a"},
        {"at": START, "kind": "client"},
        {"at": START, "kind": "internal"},
    ]
    load(loader, "traces", traces(service, *spans))
    first, second = of(roles.telemetry.red(WINDOW), service=service)
    assert (first["bucket"], first["operation"], first["calls"], first["errors"]) == (START, "GET /a", 4, 1)
    assert (first["mean_ms"], first["max_ms"]) == (25.0, 40.0)
    assert 10 <= first["p50_ms"] <= first["p95_ms"] <= first["p99_ms"] <= 40
    assert (START + timedelta(seconds=5), 1, 6000.0) == (second["bucket"], second["calls"], second["mean_ms"])


def test_services_lists_who_served(roles: OwnRoles, loader: Statements) -> None:
    """One row a service, with its first and last bucket."""
    service = "svc-" + secrets.token_hex(3)
    load(loader, "traces", traces(service, {"at": START}, {"at": START + timedelta(seconds=30), "error": True}))
    (row,) = of(roles.telemetry.services(WINDOW), service=service)
    assert (2, 1, START, START + timedelta(seconds=30)) == (
        row["calls"],
        row["errors"],
        row["first_seen"],
        row["last_seen"],
    )


def test_a_span_without_a_service_is_kept(roles: OwnRoles, loader: Statements) -> None:
    """A resource without service.name counts as unknown_service."""
    load(loader, "traces", traces("", {"at": START, "name": "orphan"}))
    assert of(roles.telemetry.red(WINDOW), service="unknown_service", operation="orphan")


def test_the_same_segment_twice_is_stored_once(roles: OwnRoles, loader: Statements) -> None:
    """A replayed segment changes neither the spans nor a roll-up."""
    service = "twice-" + secrets.token_hex(3)
    request = traces(service, {"at": START}, {"at": START, "kind": "client", "attributes": {"peer.service": "db"}})
    for _ in range(3):
        load(loader, "traces", request, token=f"token-{service}")
    window = Window(start=START, end=START + timedelta(seconds=5))
    assert roles.telemetry.spans(window, service).num_rows == 2
    assert [row["calls"] for row in of(roles.telemetry.red(window), service=service)] == [1]
    links = roles.telemetry.query("SELECT count() AS n FROM links WHERE service = {s:String}", {"s": service})
    assert links["n"][0].as_py() == 1


def test_segments_alike_are_both_stored(roles: OwnRoles, loader: Statements) -> None:
    """Equal bytes under another token are other telemetry."""
    service = "alike-" + secrets.token_hex(3)
    request = traces(service, {"at": START, "id": b"12345678", "trace": b"1" * 16})
    load(loader, "traces", request)
    load(loader, "traces", request)
    assert roles.telemetry.spans(WINDOW, service).num_rows == 2


def test_every_kind_of_attribute_becomes_text(roles: OwnRoles, loader: Statements) -> None:
    """Numbers, booleans and bytes are text; arrays and key-value lists are JSON text, in events too."""
    service = "attr-" + secrets.token_hex(3)
    values = {"text": "é", "int": -3, "float": 0.5, "yes": True, "raw": b"\x00\xff", "list": ["a", "b"], "none": []}
    values["map"] = {"k": ["v"], "deep": {"x": 1}}
    load(loader, "traces", traces(service, {"at": START, "attributes": values, "events": {"boom": {"where": ["x"]}}}))
    (row,) = roles.telemetry.query(
        "SELECT SpanAttributes AS a, Events.Name AS names, Events.Attributes AS ea FROM otel_traces "
        "WHERE ServiceName = {s:String}",
        {"s": service},
    ).to_pylist()
    found = dict(row["a"])
    assert tuple(found[key] for key in ("text", "int", "float", "yes", "raw")) == ("é", "-3", "0.5", "true", "AP8=")
    assert tuple(json.loads(found[key]) for key in ("list", "none", "map")) == (
        ["a", "b"],
        [],
        {"k": ["v"], "deep": {"x": 1}},
    )
    assert (row["names"], json.loads(dict(row["ea"][0])["where"])) == (["boom"], ["x"])


def test_senseless_times_hold_nothing_up(roles: OwnRoles, loader: Statements) -> None:
    """Spans from all over the calendar, and beyond it, load with the sensible ones."""
    service = "time-" + secrets.token_hex(3)
    request = traces(service, *({"at": START} for _ in range(150)))
    for index, span in enumerate(request.resource_spans[0].scope_spans[0].spans):
        if index:
            span.start_time_unix_nano = index * 86_400 * 10**9 * (1 if index % 2 else 300) % 2**64
            span.end_time_unix_nano = (2**64 - 1) if index % 3 else 0
    insert(loader, "traces", segment(request.SerializeToString()))  # as if no receiver had looked at it
    assert roles.telemetry.spans(WINDOW, service).num_rows == 1


def test_a_log_without_a_time_is_of_now(roles: OwnRoles, loader: Statements) -> None:
    """A record with neither time is kept under the time of its arrival."""
    service = "now-" + secrets.token_hex(3)
    request = logs(service, {"at": START, "body": "when?"})
    request.resource_logs[0].scope_logs[0].log_records[0].time_unix_nano = 0
    load(loader, "logs", request)
    window = Window.last(60, until=datetime.now(UTC) + timedelta(seconds=5))
    assert roles.telemetry.logs(window, service)["body"].to_pylist() == ["when?"]


def test_logs_and_their_counts(roles: OwnRoles, loader: Statements) -> None:
    """Lines come back newest first, filtered by severity, and are counted by severity."""
    service = "log-" + secrets.token_hex(3)
    later = START + timedelta(seconds=1)
    records = [
        {"at": START, "body": "fine", "trace": b"\x01" * 16},
        {"at": later, "body": "bad", "severity": 17},
        {"at": later, "body": {"why": ["x"]}, "severity": 18},
    ]
    load(loader, "logs", logs(service, *records))
    rows = roles.telemetry.logs(WINDOW, service).to_pylist()
    assert {"fine", "bad", '{"why": ["x"]}'} == {row["body"] for row in rows}
    assert (rows[-1]["body"], rows[-1]["severity"], rows[-1]["trace_id"]) == ("fine", "INFO", "01" * 16)
    assert roles.telemetry.logs(WINDOW, service, severity_at_least=17).num_rows == 2
    counts = of(roles.telemetry.log_counts(WINDOW), service=service)
    assert {("ERROR", 2), ("INFO", 1)} == {(row["severity"], row["lines"]) for row in counts}


def test_log_bodies_are_one_row_for_lines_that_differ_in_numbers(roles: OwnRoles, loader: Statements) -> None:
    """Ten lines that differ in a number are one row that counts ten; another text is another row; a limit holds."""
    service = "log-" + secrets.token_hex(3)
    records = [{"at": START, "body": f"took {number} ms"} for number in range(10)]
    load(loader, "logs", logs(service, *records, {"at": START, "body": "done", "severity": 17}))
    rows = of(roles.telemetry.log_bodies(WINDOW), service=service)
    assert {(row["severity"], row["lines"]) for row in rows} == {("INFO", 10), ("ERROR", 1)}
    assert {row["body"].split()[0] for row in rows} == {"took", "done"}
    assert roles.telemetry.log_bodies(WINDOW, limit=1).num_rows == 1


def test_metric_series_have_comparable_values(roles: OwnRoles, loader: Statements) -> None:
    """Gauges are means, counters rates per second (a reset counts from zero), histograms mean observations."""
    service = "met-" + secrets.token_hex(3)
    request, held = metrics(service)
    gauge, counter, times = held.add(name="temp"), held.add(name="hits"), held.add(name="seconds")
    counter.sum.is_monotonic, counter.sum.aggregation_temporality = True, 2
    times.histogram.aggregation_temporality = 2
    for index, total in enumerate((100, 110, 130, 5)):  # the last one after a restart
        at = nanos(START, index * 1000)
        gauge.gauge.data_points.add(time_unix_nano=at, as_int=index)
        counter.sum.data_points.add(time_unix_nano=at, as_double=total)
        point = times.histogram.data_points.add(time_unix_nano=at, count=index + 1, sum=2.0 * (index + 1))
        point.bucket_counts.extend([index + 1, 0])
        point.explicit_bounds.append(5)
    load(loader, "metrics", request)
    rows = {row["metric"]: row for row in of(roles.telemetry.metric_series(WINDOW, service=service), service=service)}
    assert (rows["temp"]["kind"], rows["temp"]["value"]) == ("gauge", 1.5)
    assert (rows["hits"]["kind"], rows["hits"]["value"]) == ("rate", (10 + 20 + 5) / 5)
    assert (rows["seconds"]["kind"], rows["seconds"]["value"]) == ("mean", 2.0)


def test_every_kind_of_metric_point_is_stored(roles: OwnRoles, loader: Statements) -> None:
    """Exponential histograms, summaries and exemplars are kept whole."""
    service = "kinds-" + secrets.token_hex(3)
    request, held = metrics(service)
    exponential = held.add(name="exp").exponential_histogram.data_points.add(
        time_unix_nano=nanos(START), count=3, sum=7, scale=2, zero_count=1
    )
    exponential.positive.offset = -1
    exponential.positive.bucket_counts.extend([1, 1])
    summary = held.add(name="sum").summary.data_points.add(time_unix_nano=nanos(START), count=2, sum=3)
    summary.quantile_values.add(quantile=0.5, value=1.5)
    point = held.add(name="g").gauge.data_points.add(time_unix_nano=nanos(START), as_double=1)
    point.exemplars.add(as_int=4, time_unix_nano=nanos(START), trace_id=b"\x02" * 16)
    load(loader, "metrics", request)

    def one(table: str, columns: str) -> dict[str, Any]:
        sql = f"SELECT {columns} FROM otel_metrics_{table} WHERE ServiceName = {{s:String}}"
        (row,) = roles.telemetry.query(sql, {"s": service}).to_pylist()
        return dict(row)

    assert one("exponential_histogram", "Count, Scale, ZeroCount, PositiveOffset, PositiveBucketCounts") == {
        "Count": 3,
        "Scale": 2,
        "ZeroCount": 1,
        "PositiveOffset": -1,
        "PositiveBucketCounts": [1, 1],
    }
    assert one("summary", "ValueAtQuantiles.Quantile AS q, ValueAtQuantiles.Value AS v") == {"q": [0.5], "v": [1.5]}
    assert one("gauge", "Exemplars.Value AS v, Exemplars.TraceId AS t") == {"v": [4.0], "t": ["02" * 16]}


def test_edges_join_both_sides_of_a_call(roles: OwnRoles, loader: Statements) -> None:
    """A call that both report has both times; a database has its caller's; an unanswered one its learned callee."""
    mark = secrets.token_hex(3)
    front, back = f"front-{mark}", f"back-{mark}"
    trace, call = secrets.token_bytes(16), secrets.token_bytes(8)
    address = {"server.address": f"{mark}.internal", "server.port": 7001}
    late = START + timedelta(seconds=7)
    load(
        loader,
        "traces",
        traces(
            front,
            {"at": START, "ms": 30, "kind": "client", "trace": trace, "id": call, "attributes": address},
            {"at": START, "ms": 4, "kind": "client", "attributes": {"db.system": "sqlite", "db.name": "a.db"}},
            {"at": late, "ms": 9, "kind": "client", "error": True, "attributes": address},
        ),
    )
    load(loader, "traces", traces(back, {"at": START, "ms": 20, "trace": trace, "parent": call}))
    refresh = edges.EdgeRefresh(loader, "otel")
    done = refresh.run(START.timestamp() + 20)
    assert done >= 2
    assert refresh.run(START.timestamp() + 20) == 0
    for _ in range(2):  # again, as after a crash: nothing doubles
        edges.EdgeRefresh(loader, "otel").run(START.timestamp() + 20)
    rows = {(row["callee"], row["source"]): row for row in of(roles.telemetry.edges(WINDOW), caller=front)}
    assert {(back, "span"), ("sqlite:a.db", "attribute"), (back, "peer")} == set(rows)
    answered, unanswered = rows[back, "span"], rows[back, "peer"]
    assert tuple(answered[k] for k in ("calls", "errors", "client_mean_ms", "server_mean_ms")) == (1, 0, 30.0, 20.0)
    assert tuple(unanswered[key] for key in ("calls", "errors", "client_mean_ms")) == (1, 1, 9.0)
    assert math.isnan(unanswered["server_mean_ms"])


def test_a_trace_is_found_by_its_id(roles: OwnRoles, loader: Statements) -> None:
    """All spans of a trace, by start, whichever service they are of."""
    trace = secrets.token_bytes(16)
    load(loader, "traces", traces("one", {"at": START + timedelta(seconds=1), "trace": trace}))
    load(loader, "traces", traces("two", {"at": START, "trace": trace, "kind": "client"}))
    assert roles.telemetry.trace(trace.hex())["service"].to_pylist() == ["two", "one"]


def test_the_newest_traces_are_of_services_not_of_watchkeeper_itself(roles: OwnRoles, loader: Statements) -> None:
    """The roles' own traces, one every few seconds, would push the first trace of a service out of sight."""
    now, key = datetime.now(UTC), secrets.token_hex(3)
    theirs, own = f"first-{key}", f"watchkeeper-{key}"
    load(loader, "traces", traces(theirs, {"at": now - timedelta(seconds=5), "ms": 3, "name": "GET /"}))
    load(loader, "traces", traces(own, {"at": now - timedelta(seconds=1), "ms": 3, "name": "tick"}))
    seen = [service for one in recent_traces(roles.telemetry, minutes=10, limit=1000) for service in one["services"]]
    assert (theirs in seen, own in seen) == (True, False)
    (asked,) = recent_traces(roles.telemetry, minutes=10, service=own)
    assert asked["services"] == [own]
