"""A batch that an exporter sends twice is stored once; what only looks the same is stored twice."""

from __future__ import annotations

from concurrent.futures import Future
from pathlib import Path

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from scripted_store import open_log

from watchkeeper.ingest_log.framing import records
from watchkeeper.ingest_log.recent import REMEMBERED_S, RecentRequests


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
        [("metrics", point(0)), ("metrics", point(0))],
        [("traces", spans(0)), ("traces", spans(0))],
        [("traces", spans()), ("traces", spans(count=3))],
        [("traces", b"xx"), ("traces", b"xx")],
        [("traces", b""), ("traces", b"")],
        [("logs", spans()), ("traces", spans())],
    ],
)
def test_what_only_looks_the_same_is_appended_each_time(tmp_path: Path, requests: list[tuple[str, bytes]]) -> None:
    """Items without a time, other batches, other signals, and what can't be read."""
    assert append(tmp_path, *requests) == len(requests)


def test_a_restart_does_not_forget(tmp_path: Path) -> None:
    """Neither when stopped, nor when killed while the segment waits."""
    assert append(tmp_path, ("traces", spans())) == 1
    assert append(tmp_path, ("traces", spans())) == 1
    (tmp_path / "recent").unlink()  # as a kill would leave it
    assert append(tmp_path, ("traces", spans())) == 1


def test_it_forgets_after_some_minutes() -> None:
    """Memory is bounded by time."""
    now = [0.0]
    recent = RecentRequests(lambda: now[0])
    assert recent.remember("traces", spans(), Future()) is None
    now[0] = REMEMBERED_S + 1
    assert recent.remember("traces", spans(), Future()) is None


def test_the_second_waits_for_the_first() -> None:
    """An ack says that it is on disk; a failure is not remembered as a success."""
    recent = RecentRequests()
    first: Future[None] = Future()
    assert recent.remember("traces", spans(), first) is None
    assert recent.remember("traces", spans(), Future()) is first
    first.set_exception(OSError("disk"))
    assert recent.remember("traces", spans(), Future()) is None
