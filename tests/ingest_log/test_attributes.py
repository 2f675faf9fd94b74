"""Nested attributes are found wherever they are, and nothing else is touched."""

from __future__ import annotations

import json
from typing import Any

import pytest
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from watchkeeper.ingest_log.attributes import parse_flat


def request() -> tuple[ExportTraceServiceRequest, dict[str, Any]]:
    """A request, and every list of attributes in it."""
    whole = ExportTraceServiceRequest()
    resource = whole.resource_spans.add()
    scope = resource.scope_spans.add()
    span = scope.spans.add(name="GET /", trace_id=b"\x2a" * 16, span_id=b"\x12\x05\x2a\x03\x0a\x01\x61\x32")
    lists = {
        "resource": resource.resource.attributes,
        "scope": scope.scope.attributes,
        "span": span.attributes,
        "event": span.events.add(name="e").attributes,
        "link": span.links.add(trace_id=b"\x01" * 16).attributes,
    }
    for held in lists.values():
        held.add(key="plain").value.string_value = "\x12\x05*\x03\n\x01a"
        held.add(key="bytes").value.bytes_value = b"\x12\x05\x2a\x03\x0a\x01\x61"
        held.add(key="empty")
    return whole, lists


def test_a_request_without_nesting_passes_as_it_is() -> None:
    """The very bytes are kept, even where text looks like an array on the wire."""
    payload = request()[0].SerializeToString()
    assert parse_flat("traces", payload)[1] is payload


@pytest.mark.parametrize("place", ["resource", "scope", "span", "event", "link"])
def test_an_array_becomes_json_text_in_every_place(place: str) -> None:
    """An array in any list of attributes is JSON text afterwards; its neighbours stay."""
    whole, lists = request()
    values = lists[place].add(key="list").value.array_value.values
    values.add(string_value="é")
    values.add(int_value=2)
    inner = values.add().kvlist_value.values.add(key="k").value
    inner.double_value = 0.5
    expected = ExportTraceServiceRequest()
    expected.CopyFrom(whole)
    _, payload = parse_flat("traces", whole.SerializeToString())
    lists[place][3].value.string_value = json.dumps(["é", 2, {"k": 0.5}], ensure_ascii=False)
    assert ExportTraceServiceRequest.FromString(payload) == whole != expected


def test_metric_points_are_looked_into() -> None:
    """An array on a point's attributes is found in every kind of metric."""
    whole = ExportMetricsServiceRequest()
    metric = whole.resource_metrics.add().scope_metrics.add().metrics.add(name="m")
    metric.histogram.data_points.add().attributes.add(key="a").value.array_value.SetInParent()
    message, _ = parse_flat("metrics", whole.SerializeToString())
    point = message.resource_metrics[0].scope_metrics[0].metrics[0].histogram.data_points[0]
    assert point.attributes[0].value.string_value == "[]"


@pytest.mark.parametrize("payload", [b"\x0a\xff", b"junk", b"\x0a\x02\x12\x09"])
def test_malformed_bytes_are_refused(payload: bytes) -> None:
    """What is no request raises, before anything is kept."""
    with pytest.raises(DecodeError):
        parse_flat("traces", payload)
