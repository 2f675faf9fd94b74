"""Texts, arrays and key-value lists: what the store gets of them, wherever they stand."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from collectors.receivers.otlp_canonical import Canonical, canonical
from collectors.receivers.otlp_limits import Limits
from collectors.receivers.otlp_texts import repair
from collectors.receivers.rejections import MalformedError, TooLargeError

NOW = 1_800_000_000_000_000_000
LIMITS = Limits(value_bytes=1024)


def take(signal: str, payload: bytes) -> Canonical:
    """The request as it is stored."""
    return canonical(signal, payload, LIMITS, NOW)


def request() -> tuple[ExportTraceServiceRequest, dict[str, Any]]:
    """A request, and every list of attributes in it."""
    whole = ExportTraceServiceRequest()
    resource = whole.resource_spans.add()
    scope = resource.scope_spans.add()
    span = scope.spans.add(name="GET /", trace_id=b"\x2a" * 16, span_id=b"\x12\x05\x2a\x03\x0a\x01\x61\x32")
    span.start_time_unix_nano = span.end_time_unix_nano = NOW
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
        held.add(key="empty").value.SetInParent()
    return whole, lists


def by_key(message: Any) -> Any:
    """The request with its attributes sorted by key: they come out in any order."""
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        items = value if field.is_repeated else [value]
        for item in items:
            by_key(item)
        if field.message_type.name == "KeyValue":
            value.sort(key=lambda pair: pair.key)
    return message


def test_a_request_without_nesting_passes_as_it_is() -> None:
    """Nothing is changed, even where text looks like an array on the wire."""
    whole, _ = request()
    taken = take("traces", whole.SerializeToString())
    assert by_key(ExportTraceServiceRequest.FromString(taken.body)) == by_key(whole)
    assert (taken.rejected, taken.message) == (0, "")


@pytest.mark.parametrize("place", ["resource", "scope", "span", "event", "link"])
def test_an_array_becomes_json_text_in_every_place(place: str) -> None:
    """An array in any list of attributes is JSON text afterwards; its neighbours stay."""
    whole, lists = request()
    values = lists[place].add(key="list").value.array_value.values
    values.add(string_value="é")
    values.add(int_value=2)
    inner = values.add().kvlist_value.values.add(key="k").value
    inner.double_value = 0.5
    taken = take("traces", whole.SerializeToString())
    lists[place][3].value.string_value = json.dumps(["é", 2, {"k": 0.5}], ensure_ascii=False)
    assert by_key(ExportTraceServiceRequest.FromString(taken.body)) == by_key(whole)


def test_metric_points_are_looked_into() -> None:
    """An array on a point's attributes is found in every kind of metric."""
    whole = ExportMetricsServiceRequest()
    metric = whole.resource_metrics.add().scope_metrics.add().metrics.add(name="m")
    metric.histogram.data_points.add(time_unix_nano=NOW).attributes.add(key="a").value.array_value.SetInParent()
    taken = ExportMetricsServiceRequest.FromString(take("metrics", whole.SerializeToString()).body)
    point = taken.resource_metrics[0].scope_metrics[0].metrics[0].histogram.data_points[0]
    assert point.attributes[0].value.string_value == "[]"


@pytest.mark.parametrize("payload", [b"\x0a\xff", b"junk", b"\x0a\x02\x12\x09"])
def test_malformed_bytes_are_refused(payload: bytes) -> None:
    """What is no request raises, before anything is kept."""
    with pytest.raises(MalformedError):
        take("traces", payload)
    with pytest.raises(DecodeError):
        repair("traces", payload, LIMITS)


def test_an_array_without_end_is_refused() -> None:
    """Each value of an array becomes text on its own, so there may be only so many."""
    whole, lists = request()
    lists["span"].add(key="list").value.array_value.values.extend([lists["span"][2].value] * 100_001)
    with pytest.raises(TooLargeError, match="100,000 values"):
        take("traces", whole.SerializeToString())


@pytest.mark.parametrize("place", ["resource", "scope", "span", "event", "link"])
@pytest.mark.parametrize("bad", [b"caf\xe9!", b"\xc0\x80", b"\xed\xa0\xbd", b"\xff" * 5, b"ok\xe2\x82"])
def test_what_is_not_utf8_is_replaced_in_every_place(place: str, bad: bytes) -> None:
    """A key or a value with bytes that are not UTF-8 gets U+FFFD for them, and everything else stays as it is."""
    whole, lists = request()
    mark = "#" * len(bad)
    lists[place].add(key=f"key{mark}").value.string_value = mark
    payload = whole.SerializeToString().replace(mark.encode(), bad)
    taken = take("traces", payload)
    lists[place][3].key = "key" + bad.decode("utf-8", "replace")
    lists[place][3].value.string_value = bad.decode("utf-8", "replace")
    assert by_key(ExportTraceServiceRequest.FromString(taken.body)) == by_key(whole)
    assert "in 2 texts" in taken.message


def test_ten_lines_with_one_latin_byte_are_ten_lines() -> None:
    """One log line in Latin-1 costs neither itself nor the others."""
    whole = ExportLogsServiceRequest()
    records = whole.resource_logs.add().scope_logs.add().log_records
    for number in range(10):
        records.add(time_unix_nano=NOW).body.string_value = f"line {number} caf# {number}"
    payload = whole.SerializeToString().replace(b"caf# 4", b"caf\xe9 4")
    stored = ExportLogsServiceRequest.FromString(take("logs", payload).body)
    lines = [record.body.string_value for record in stored.resource_logs[0].scope_logs[0].log_records]
    assert lines == [f"line {n} caf{'�' if n == 4 else '#'} {n}" for n in range(10)]


@pytest.mark.parametrize("place", ["resource", "scope", "span", "event", "link"])
def test_a_text_without_end_is_shortened(place: str) -> None:
    """A value over the limit keeps its beginning, and says at its end how long it was."""
    whole, lists = request()
    lists[place].add(key="long").value.string_value = "é" * 5000
    taken = take("traces", whole.SerializeToString())
    stored = ExportTraceServiceRequest.FromString(taken.body)
    assert "shortened from 10,000 bytes" in str(stored)
    assert len(taken.body) < 3000
    assert "1 texts were over ingest.max_value_kib" in taken.message


def test_a_long_name_or_body_is_shortened() -> None:
    """So are names of metrics and spans, descriptions, and bodies of logs."""
    whole = ExportMetricsServiceRequest()
    metric = whole.resource_metrics.add().scope_metrics.add().metrics.add(name="n" * 4000, description="d" * 4000)
    metric.gauge.data_points.add(time_unix_nano=NOW, as_int=1)
    assert len(take("metrics", whole.SerializeToString()).body) < 2500
    logs = ExportLogsServiceRequest()
    logs.resource_logs.add().scope_logs.add().log_records.add(time_unix_nano=NOW).body.string_value = "b" * 100_000
    assert len(take("logs", logs.SerializeToString()).body) < 1500


def test_of_equal_keys_the_last_wins() -> None:
    """OpenTelemetry's attributes are a map: what is written last counts, and stands there once."""
    whole, lists = request()
    for place in lists.values():
        for value in ("first", "second"):
            place.add(key="mode").value.string_value = value
    stored = ExportTraceServiceRequest.FromString(take("traces", whole.SerializeToString()).body)
    resource = stored.resource_spans[0]
    span = resource.scope_spans[0].spans[0]
    for held in (
        resource.resource.attributes,
        resource.scope_spans[0].scope.attributes,
        span.attributes,
        span.events[0].attributes,
        span.links[0].attributes,
    ):
        assert [pair.value.string_value for pair in held if pair.key == "mode"] == ["second"]


def test_the_same_request_is_the_same_bytes_in_any_process() -> None:
    """A batch that is sent again after a restart is known by its bytes, so they may depend on nothing else."""
    whole, lists = request()
    for place in lists.values():
        for number in range(20):
            place.add(key=f"key {number}").value.int_value = number
    payload = whole.SerializeToString()
    script = (
        "import sys; from collectors.receivers.otlp_canonical import canonical\n"
        "from collectors.receivers.otlp_limits import Limits\n"
        f"sys.stdout.buffer.write(canonical('traces', sys.stdin.buffer.read(), Limits(), {NOW}).body)"
    )
    runs = [
        subprocess.run([sys.executable, "-c", script], input=payload, capture_output=True, check=True) for _ in "123"
    ]
    assert {run.stdout for run in runs} == {canonical("traces", payload, Limits(), NOW).body}


def test_points_whose_attributes_come_in_another_order_are_of_one_series() -> None:
    """The store compares maps with their order: what is stored has one, whichever the sender's was."""
    bodies = set()
    for keys in (("zone", "host", "app", "job"), ("job", "app", "host", "zone"), ("host", "zone", "job", "app")):
        whole = ExportMetricsServiceRequest()
        metric = whole.resource_metrics.add().scope_metrics.add().metrics.add(name="heat")
        point = metric.gauge.data_points.add(as_double=1.0, time_unix_nano=NOW)
        for key in keys:
            point.attributes.add(key=key).value.string_value = key.upper()
        bodies.add(take("metrics", whole.SerializeToString()).body)
    assert len(bodies) == 1
