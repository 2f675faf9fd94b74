"""OTLP over gRPC, as exporters use it."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc.error_details_pb2 import RetryInfo
from grpc_status import rpc_status
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2, logs_service_pb2_grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2, metrics_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

from bench.own_roles import OwnRoles

pytestmark = pytest.mark.xdist_group("collectors")
Rows = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def channel(roles: OwnRoles) -> Iterator[grpc.Channel]:
    """A channel to the ingest role."""
    with grpc.insecure_channel(f"127.0.0.1:{roles.config.ingest.otlp_grpc_port}") as opened:
        yield opened


def test_every_signal_arrives(channel: grpc.Channel, rows: Rows) -> None:
    """Traces, metrics and logs are acked and are in the store soon."""
    service = secrets.token_hex(4)
    traces = trace_service_pb2.ExportTraceServiceRequest()
    resource = traces.resource_spans.add()
    resource.resource.attributes.add(key="service.name").value.string_value = service
    resource.scope_spans.add().spans.add(name="a", start_time_unix_nano=time.time_ns())
    trace_service_pb2_grpc.TraceServiceStub(channel).Export(traces, timeout=30)
    logs = logs_service_pb2.ExportLogsServiceRequest()
    log_resource = logs.resource_logs.add(resource=resource.resource)
    log_resource.scope_logs.add().log_records.add(observed_time_unix_nano=time.time_ns()).body.string_value = "hello"
    logs_service_pb2_grpc.LogsServiceStub(channel).Export(logs, timeout=30)
    metrics = metrics_service_pb2.ExportMetricsServiceRequest()
    metric = metrics.resource_metrics.add(resource=resource.resource).scope_metrics.add().metrics.add(name="m")
    metric.gauge.data_points.add(as_double=2.5, time_unix_nano=time.time_ns())
    metrics_service_pb2_grpc.MetricsServiceStub(channel).Export(metrics, timeout=30)
    for sql in (
        "SELECT SpanName AS found FROM otel_traces WHERE ServiceName = {s:String}",
        "SELECT Body AS found FROM otel_logs WHERE ServiceName = {s:String}",
        "SELECT toString(Value) AS found FROM otel_metrics_gauge WHERE ServiceName = {s:String}",
    ):
        assert rows(sql, s=service)[0]["found"] in ("a", "hello", "2.5")


def test_malformed_bytes_are_an_invalid_argument(channel: grpc.Channel) -> None:
    """What is no request gets INVALID_ARGUMENT, so that an exporter does not try again."""
    call = channel.unary_unary("/opentelemetry.proto.collector.trace.v1.TraceService/Export")
    with pytest.raises(grpc.RpcError) as raised:
        call(b"junk", timeout=30)
    assert raised.value.code() == grpc.StatusCode.INVALID_ARGUMENT


def test_overload_is_resource_exhausted_with_retry_info(tmp_path: Path) -> None:
    """A full backlog asks the exporter to retry, and when."""
    changes = {"ingest": {"segment_seconds": 0.1, "max_backlog_mib": 16, "segment_mib": 4, "max_value_kib": 4096}}

    def traces() -> trace_service_pb2.ExportTraceServiceRequest:
        request = trace_service_pb2.ExportTraceServiceRequest()
        request.resource_spans.add().scope_spans.add().spans.add(
            name="x" * 2_000_000, start_time_unix_nano=time.time_ns(), end_time_unix_nano=time.time_ns()
        )
        return request

    with (
        OwnRoles(tmp_path, changes) as own,
        grpc.insecure_channel(f"127.0.0.1:{own.config.ingest.otlp_grpc_port}") as channel,
    ):
        own.start("ingest")
        stub = trace_service_pb2_grpc.TraceServiceStub(channel)
        acks = (stub.Export(traces(), timeout=30) for _ in range(20))
        with pytest.raises(grpc.RpcError) as raised:
            list(acks)
    assert raised.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    (detail,) = rpc_status.from_call(raised.value).details
    info = RetryInfo()
    assert detail.Unpack(info)
    assert info.retry_delay.seconds == 2
