"""OTLP requests for tests, from a few words each."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from collectors.ingest_log.segments import varint

KINDS = {"internal": 1, "server": 2, "client": 3, "producer": 4, "consumer": 5}


def nanos(at: datetime, plus_ms: float = 0) -> int:
    """Unix nanoseconds."""
    return int(at.timestamp() * 1000) * 1_000_000 + int(plus_ms * 1e6)


def attributes(target: Any, values: Mapping[str, Any]) -> None:
    """Fill a list of KeyValue."""
    for key, value in values.items():
        held = target.add(key=key).value
        match value:
            case bool():
                held.bool_value = value
            case int():
                held.int_value = value
            case float():
                held.double_value = value
            case bytes():
                held.bytes_value = value
            case list():
                for item in value:
                    held.array_value.values.add().string_value = item
                if not value:
                    held.array_value.SetInParent()
            case dict():
                attributes(held.kvlist_value.values, value)
            case _:
                held.string_value = value


def traces(service: str, *spans: Mapping[str, Any]) -> ExportTraceServiceRequest:
    """Spans of one service: each a mapping of kind, name, at (its start), ms, and more."""
    request = ExportTraceServiceRequest()
    resource = request.resource_spans.add()
    if service:
        attributes(resource.resource.attributes, {"service.name": service})
    scope = resource.scope_spans.add()
    scope.scope.name = "tests"
    for given in spans:
        span = scope.spans.add(
            trace_id=given.get("trace") or secrets.token_bytes(16),
            span_id=given.get("id") or secrets.token_bytes(8),
            parent_span_id=given.get("parent", b""),
            name=given.get("name", "GET /"),
            kind=KINDS[given.get("kind", "server")],
            start_time_unix_nano=nanos(given["at"]),
            end_time_unix_nano=nanos(given["at"], given.get("ms", 1)),
        )
        span.status.code = 2 if given.get("error") else 0
        attributes(span.attributes, given.get("attributes", {}))
        for name, values in given.get("events", {}).items():
            event = span.events.add(name=name, time_unix_nano=nanos(given["at"]))
            attributes(event.attributes, values)
    return request


def logs(service: str, *records: Mapping[str, Any]) -> ExportLogsServiceRequest:
    """Log records of one service: each a mapping of at, body, severity (a number), and more."""
    request = ExportLogsServiceRequest()
    resource = request.resource_logs.add()
    attributes(resource.resource.attributes, {"service.name": service})
    scope = resource.scope_logs.add()
    for given in records:
        record = scope.log_records.add(
            time_unix_nano=nanos(given["at"]),
            severity_number=given.get("severity", 9),
            trace_id=given.get("trace", b""),
        )
        body = given.get("body", "")
        if isinstance(body, dict):
            attributes(record.body.kvlist_value.values, body)
        else:
            record.body.string_value = body
        attributes(record.attributes, given.get("attributes", {}))
    return request


def metrics(service: str) -> tuple[ExportMetricsServiceRequest, Any]:
    """An empty request of one service, and the list to add its metrics to."""
    request = ExportMetricsServiceRequest()
    resource = request.resource_metrics.add()
    attributes(resource.resource.attributes, {"service.name": service})
    return request, resource.scope_metrics.add().metrics


def segment(*requests: Any) -> bytes:
    """A sealed segment's bytes."""
    payloads = [request if isinstance(request, bytes) else request.SerializeToString() for request in requests]
    return b"".join(varint(len(payload)) + payload for payload in payloads)
