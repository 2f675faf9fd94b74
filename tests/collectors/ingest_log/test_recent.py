"""A batch that an exporter sends twice is stored once; what only looks the same is stored twice."""

from __future__ import annotations

import json
import time
import urllib.request
from concurrent.futures import Future
from pathlib import Path

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from scripted_store import is_empty, open_log

from bench.own_roles import OwnRoles
from collectors.ingest_log.framing import records
from collectors.ingest_log.recent import REMEMBERED_S, RecentRequests
from tests.waiting import until


def spans(start: int = 5, count: int = 2) -> bytes:
    """Spans with or without times."""
    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    for index in range(count):
        scope.spans.add(name="x", trace_id=b"t" * 16, span_id=bytes([index]) * 8, start_time_unix_nano=start)
    return bytes(request.SerializeToString())


def line(time: int = 0, observed: int = 0) -> bytes:
    """One log line."""
    request = ExportLogsServiceRequest()
    record = (
        request.resource_logs.add()
        .scope_logs.add()
        .log_records.add(time_unix_nano=time, observed_time_unix_nano=observed)
    )
    record.body.string_value = "heartbeat"
    return bytes(request.SerializeToString())


def point(time: int) -> bytes:
    """One metric point."""
    request = ExportMetricsServiceRequest()
    metric = request.resource_metrics.add().scope_metrics.add().metrics.add(name="m")
    metric.gauge.data_points.add(as_int=1, time_unix_nano=time)
    return bytes(request.SerializeToString())


def append(folder: Path, *requests: tuple[str, bytes]) -> int:
    """Append by one process, and return how many records the log holds."""
    log = open_log(folder, segment_bytes=1 << 20)
    for done in [log.append(signal, payload) for signal, payload in requests]:
        done.result(60)
    log.close()
    return sum(len(records(segment.path.read_bytes())) for segment in log.sealed())


@pytest.mark.parametrize(
    "request_", [("traces", spans()), ("metrics", point(5)), ("logs", line(5)), ("logs", line(0, 5))]
)
def test_the_same_request_again_is_appended_once(tmp_path: Path, request_: tuple[str, bytes]) -> None:
    """Acked each time, written once."""
    assert append(tmp_path, request_, request_, request_) == 1


@pytest.mark.parametrize(
    "requests",
    [
        [("logs", line()), ("logs", line())],
        [("logs", line(1_700_000_000 * 10**9)), ("logs", line(1_700_000_000 * 10**9))],
        [("metrics", point(0)), ("metrics", point(0))],
        [("traces", spans(0)), ("traces", spans(0))],
        [("traces", spans()), ("traces", spans(count=3))],
        [("traces", b"xx"), ("traces", b"xx")],
        [("traces", b""), ("traces", b"")],
        [("logs", spans()), ("traces", spans())],
    ],
)
def test_what_only_looks_the_same_is_appended_each_time(tmp_path: Path, requests: list[tuple[str, bytes]]) -> None:
    """Items without a time, lines of whole seconds, other batches, other signals, and what cannot be read."""
    assert append(tmp_path, *requests) == len(requests)


def test_a_restart_does_not_forget(tmp_path: Path) -> None:
    """Neither when stopped, nor when killed, with a torn last row and without what was loaded meanwhile."""
    assert append(tmp_path, ("traces", spans())) == 1
    assert append(tmp_path, ("traces", spans())) == 1
    for path in tmp_path.glob("*.ready"):
        path.unlink()
    with (tmp_path / "recent").open("a") as file:
        file.write("17000")
    assert append(tmp_path, ("traces", spans())) == 0


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_batch_that_is_sent_again_is_counted_once(tmp_path: Path) -> None:
    """Protobuf or JSON, before and after the ingest role was killed: one request in RED, one span in the table."""
    start = time.time_ns() - 5_000_000
    request = ExportTraceServiceRequest()
    resource = request.resource_spans.add()
    for index in range(12):  # enough for another order in another process
        resource.resource.attributes.add(key=f"key {index}").value.int_value = index
    span = resource.scope_spans.add().spans.add(name="GET /", kind=2, trace_id=b"1" * 16, span_id=b"2" * 8)
    span.start_time_unix_nano, span.end_time_unix_nano = start, start + 1_000_000
    tree = {"traceId": "31" * 16, "spanId": "33" * 8, "name": "GET /", "kind": 2}
    tree |= {"startTimeUnixNano": str(start), "endTimeUnixNano": str(start + 1_000_000)}
    bodies = {
        "application/x-protobuf": request.SerializeToString(),
        "application/json": json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [tree]}]}]}).encode(),
    }
    with OwnRoles(tmp_path, {"ingest": {"segment_seconds": 0.1}}) as roles:
        roles.start("store", "ingest")

        def send() -> None:
            for kind, body in bodies.items():
                made = urllib.request.Request(f"{roles.otlp_url}/v1/traces", body, {"Content-Type": kind})
                urllib.request.urlopen(made, timeout=60).close()

        def counted() -> tuple[int, int]:
            sql = "SELECT (SELECT count() FROM otel_traces) AS spans, (SELECT sum(calls) FROM red) AS calls"
            (row,) = roles.telemetry.query(sql).to_pylist()
            return row["spans"], row["calls"]

        send()
        send()
        until(lambda: counted() == (2, 2))
        roles.kill("ingest")
        roles.start("ingest")
        send()
        assert roles.stop("ingest") == 0
        roles.start("ingest")
        until(lambda: is_empty(tmp_path / "data" / "ingest-log"))
        assert counted() == (2, 2)


def test_it_forgets_after_some_minutes() -> None:
    """Memory is bounded by time."""
    now = [0.0]
    recent = RecentRequests(clock=lambda: now[0])
    assert recent.remember("traces", spans(), Future())[1] is None
    now[0] = REMEMBERED_S + 1
    assert recent.remember("traces", spans(), Future())[1] is None


def test_the_second_waits_for_the_first() -> None:
    """An ack says that it is on disk; a failure is not remembered as a success."""
    recent = RecentRequests()
    first: Future[None] = Future()
    assert recent.remember("traces", spans(), first)[1] is None
    assert recent.remember("traces", spans(), Future())[1] is first
    first.set_exception(OSError("disk"))
    assert recent.remember("traces", spans(), Future())[1] is None


def test_what_was_not_written_is_not_remembered_after_a_kill(tmp_path: Path) -> None:
    """A request that was about to be written when the process died was never acked: it is taken again."""
    recent = RecentRequests(tmp_path / "recent")
    recent.remember("traces", spans(), Future())
    assert RecentRequests(tmp_path / "recent").remember("traces", spans(), Future())[1] is None


def test_a_request_is_known_as_it_came(tmp_path: Path) -> None:
    """What was made of it may differ from process to process, and times that were filled in tell nothing."""
    log = open_log(tmp_path, segment_bytes=1 << 20)
    for made in (spans(), spans(count=3)):
        log.append("traces", made, received=spans(count=1)).result(60)
    for arrived in (7, 8):
        log.append("logs", line(arrived), received=line()).result(60)
    log.close()
    stored = [record for segment in log.sealed() for record in records(segment.path.read_bytes())]
    assert sorted(stored) == sorted([spans(), line(7), line(8)])
