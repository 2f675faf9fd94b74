"""OTLP/JSON as real exporters write it: what can be read is kept, and what can't is reported."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from collectors.receivers.otlp_json import from_json, json_object
from collectors.receivers.rejections import MalformedError, TooLargeError

CASES = Path(__file__).resolve().parents[2].parent / "shared" / "cases"
MESSAGES: dict[str, Any] = {
    "traces": ExportTraceServiceRequest,
    "logs": ExportLogsServiceRequest,
    "metrics": ExportMetricsServiceRequest,
}


def case(path: str) -> bytes:
    """An input after a public report, with its times filled in."""
    file = CASES / path
    if not file.exists():
        pytest.skip(f"{file} is not here")
    now = time.time_ns()
    text = re.sub(r"@NOW(-\w+)?", str(now), file.read_text())
    return text.encode()


def span(**changes: Any) -> dict[str, Any]:
    """One span."""
    return {"traceId": "5b" * 16, "spanId": "5b" * 8, "name": "fine", "startTimeUnixNano": "7", **changes}


def traces(*spans: Any, **resource: Any) -> bytes:
    """A request."""
    return json.dumps({"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": spans}]}]}).encode()


def names(body: bytes) -> list[str]:
    """The spans in a serialised request."""
    whole = ExportTraceServiceRequest.FromString(body)
    return [each.name for resource in whole.resource_spans for scope in resource.scope_spans for each in scope.spans]


BAD_SPANS = [
    span(traceId="xyz"),
    span(spanId="Cvdlt9b1RaeOFd4IhN8xlg=="),
    span(attributes=[{"key": "n", "value": {"intValue": "9223372036854775808"}}]),
    span(attributes=[{"key": "n", "value": {"intValue": -(2**64)}}]),
    span(attributes=[{"key": "n", "value": {"bytesValue": "%"}}, 7]),
    span(attributes={"key": "value"}),
    span(startTimeUnixNano="soon"),
    span(startTimeUnixNano=-1),
    span(startTimeUnixNano=2**64),
    span(startTimeUnixNano=1e400),
    span(endTimeUnixNano=1.5),
    span(kind=2**31),
    span(kind=[]),
    span(name=5),
    span(name={"a": 1}),
    span(status="ok"),
    span(events=[{"timeUnixNano": "x"}]),
    span(droppedAttributesCount=-1),
    "span",
    7,
    None,
    [],
]


@pytest.mark.parametrize("bad", BAD_SPANS, ids=lambda bad: json.dumps(bad)[-60:])
def test_a_span_that_cannot_be_read_costs_only_itself(bad: Any) -> None:
    """It is counted with the reason; its neighbours are kept. Alone, it is a refusal with the reason."""
    taken = from_json("traces", traces(span(), bad, span(name="also fine")))
    assert names(taken.body) == ["fine", "also fine"]
    assert taken.rejected == 1
    assert len(taken.reason) > 5
    with pytest.raises(MalformedError, match="not OTLP/JSON"):
        from_json("traces", traces(bad))


def test_a_bad_resource_costs_only_its_own_rows() -> None:
    """All spans under it are counted."""
    good, bad = json.loads(traces(span())), json.loads(traces(span(), span(), attributes=7))
    taken = from_json("traces", json.dumps({"resourceSpans": good["resourceSpans"] + bad["resourceSpans"]}).encode())
    assert (names(taken.body), taken.rejected) == (["fine"], 2)


def test_a_bad_point_costs_only_itself() -> None:
    """In the same metric, the others are kept."""
    points = [{"asDouble": 1, "timeUnixNano": "5"}, {"asDouble": "x"}, {"asInt": "1e"}, {"asInt": "3"}]
    metrics = [{"name": "m", "gauge": {"dataPoints": points}}, {"name": 5, "sum": {"dataPoints": [{"asInt": 1}]}}]
    taken = from_json("metrics", json.dumps({"resourceMetrics": [{"scopeMetrics": [{"metrics": metrics}]}]}).encode())
    (metric,) = ExportMetricsServiceRequest.FromString(taken.body).resource_metrics[0].scope_metrics[0].metrics
    assert ([point.as_double or point.as_int for point in metric.gauge.data_points], taken.rejected) == ([1, 3], 3)


@pytest.mark.parametrize(
    "half", [b"\\ud83d", b"\\uDC00", b"\\ud83d\\ud83d", b"\xed\xa0\xbd", b"\xff", b"caf\xe9", b"\\ud83dx"]
)
@pytest.mark.parametrize("place", ["name", "key", "value", "state"])
def test_half_a_character_is_replaced(half: bytes, place: str) -> None:
    """Half a surrogate pair, as an escape or raw, and invalid UTF-8: U+FFFD instead, wherever it stands."""
    marked = span(attributes=[{"key": "#key", "value": {"stringValue": "#value"}}], traceState="#state")
    body = traces(span(), marked | {"name": "#name"}).replace(f"#{place}".encode(), half)
    taken = from_json("traces", body)
    assert (len(names(taken.body)), taken.rejected, taken.replaced) == (2, 0, True)
    assert "�".encode() in taken.body


def test_whole_pairs_stay() -> None:
    """A pair of escapes is one character, and an escaped backslash is none."""
    taken = from_json("traces", traces(span(name="😀 \\ud83d")))
    assert (names(taken.body), taken.replaced) == (["😀 \\ud83d"], False)


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"[]", b"null", b'"text"', b"5", b"[" * 100_000, b'{"a":' * 100_000, b"\xff\xfe", b"\x00", b"NaN",
        b'{"resourceSpans": 3}', b'{"resourceSpans": {}}', b'{"resourceSpans": [3]}', b'{"resourceSpans": [[]]}',
        b'{"resourceSpans": [{"scopeSpans": 3}]}', b'{"resourceSpans": [{"scopeSpans": [{"spans": {}}]}]}',
        b'{"resourceSpans": [{"scopeSpans": [{"spans": [3]}]}]}', b"1" * 5000,
    ],
)  # fmt: skip
def test_what_is_no_request_is_refused(body: bytes) -> None:
    """With a reason of one line."""
    with pytest.raises(MalformedError) as raised:
        from_json("traces", body)
    assert 10 < len(raised.value.message) < 500
    assert "\n" not in raised.value.message


def test_objects_without_end_are_refused() -> None:
    """They take tens of bytes in memory for each of two on the wire."""
    with pytest.raises(TooLargeError):
        from_json("traces", b'{"resourceSpans": [' + b"{}," * 1_100_000 + b"{}]}")


def test_an_object_is_an_object() -> None:
    """What is not one is refused; what is not Unicode in one is replaced."""
    assert json_object(b'{"a": "\\ud83d"}') == {"a": "\N{REPLACEMENT CHARACTER}"}
    for body in (b"[]", b"5", b"", b"\xff"):
        with pytest.raises(MalformedError):
            json_object(body)


def test_quirks_of_exporters_are_taken() -> None:
    """Ids in any case, enums by name, numbers as text, snake_case, unknown fields, a null for a NaN."""
    assert len(names(from_json("traces", case("04-otlp-json-quirks/good.json")).body)) >= 3
    assert names(from_json("traces", case("04-otlp-json-quirks/snake.json")).body) == ["snake"]
    assert names(from_json("traces", case("01-otlp-json-double-null/traces.json")).body) == ["GET /ok", "chat"]
    with pytest.raises(MalformedError, match="in hex"):
        from_json("traces", case("04-otlp-json-quirks/base64ids.json"))
    big = from_json("traces", case("04-otlp-json-quirks/bigint.json"))
    assert (names(big.body), big.rejected) == (["innocent"], 1)
    assert from_json("logs", case("02-otlp-json-lone-surrogate/logs.json")).rejected == 0


def test_a_double_null_is_no_reason_to_refuse() -> None:
    """An exporter in JavaScript makes null of NaN; both spans are kept."""
    odd = span(name="chat", attributes=[{"key": "tokens", "value": {"doubleValue": None}}])
    assert names(from_json("traces", traces(span(), odd)).body) == ["fine", "chat"]


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity"])
def test_numbers_that_json_lacks_are_read_without_their_quotes(value: str) -> None:
    """As Python's and other encoders write them; the rest of the batch is worth as much."""
    point = '{"timeUnixNano": "7", "asDouble": %s}' % value  # noqa: UP031 - braces
    body = '{"resourceMetrics": [{"scopeMetrics": [{"metrics": [{"name": "m", "gauge": {"dataPoints": [%s]}}]}]}]}'
    read = from_json("metrics", (body % point).encode())
    whole = ExportMetricsServiceRequest.FromString(read.body)
    (metric,) = whole.resource_metrics[0].scope_metrics[0].metrics
    assert (str(metric.gauge.data_points[0].as_double), read.rejected) == (str(float(value)), 0)


@pytest.mark.parametrize("signal", ["traces", "logs", "metrics"])
def test_a_request_of_another_signal_is_named(signal: str) -> None:
    """It would be taken for an empty one; what holds neither, or both, is read as OTLP says."""
    tops = {"traces": "resourceSpans", "logs": "resourceLogs", "metrics": "resource_metrics"}
    for other, key in tops.items():
        if other != signal:
            with pytest.raises(MalformedError, match=f"the body holds {other}, not {signal}; send it to /v1/{other}"):
                from_json(signal, json.dumps({key: [{}]}).encode())
    every = {key: [] for key in tops.values()}
    assert [from_json(signal, body).rejected for body in (b"{}", json.dumps(every).encode())] == [0, 0]


def test_reasons_are_words_and_no_python() -> None:
    """A time that is no number, and brackets without end."""
    with pytest.raises(MalformedError, match="startTimeUnixNano: 'soon' is not a whole number"):
        from_json("traces", traces(span(startTimeUnixNano="soon")))
    nested = '{"a":' * 5000 + "1" + "}" * 5000
    with pytest.raises(MalformedError, match="nested too deeply"):
        from_json("traces", nested.encode())
