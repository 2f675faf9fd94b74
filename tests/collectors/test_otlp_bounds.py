"""What one request may become: rows, bytes, elements, days; and times that the store can't keep."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from collectors.ingest_log.segments import varint
from collectors.receivers.otlp_canonical import Canonical, canonical
from collectors.receivers.otlp_limits import DAY_S, Limits
from collectors.receivers.otlp_survey import all_within
from collectors.receivers.rejections import MalformedError, TooLargeError

NOW = 1_800_000_000_000_000_000
DAY = DAY_S * 10**9
LIMITS = Limits(rows=1000, expanded_bytes=1 << 20)


def take(signal: str, request: Any, limits: Limits = LIMITS) -> Canonical:
    """The request as it is stored."""
    return canonical(signal, request if isinstance(request, bytes) else request.SerializeToString(), limits, NOW)


def spans(*times: tuple[int, int], resource: str = "") -> ExportTraceServiceRequest:
    """Spans with these starts and ends, under a resource attribute."""
    request = ExportTraceServiceRequest()
    held = request.resource_spans.add()
    held.resource.attributes.add(key="a").value.string_value = resource
    scope = held.scope_spans.add()
    for number, (start, end) in enumerate(times):
        scope.spans.add(name=f"span {number}", start_time_unix_nano=start, end_time_unix_nano=end)
    return request


def kept(taken: Canonical) -> list[tuple[str, int, int]]:
    """Name, start and end of the spans that are stored."""
    whole = ExportTraceServiceRequest.FromString(taken.body)
    return [
        (span.name, span.start_time_unix_nano, span.end_time_unix_nano)
        for resource in whole.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]


def field(number: int, body: bytes) -> bytes:
    """A length-delimited field."""
    return varint(number << 3 | 2) + varint(len(body)) + body


def test_a_fat_resource_over_many_rows_is_refused() -> None:
    """A small request that repeats a large attribute on every row is rejected: which, and how much it would be."""
    fat = spans(*[(NOW, NOW)] * 500, resource="x" * 10_000)
    assert len(fat.SerializeToString()) < 50_000
    with pytest.raises(TooLargeError, match=r"max_expanded_mib.*10,0\d\d bytes .* 500 rows"):
        take("traces", fat)
    assert len(kept(take("traces", spans(*[(NOW, NOW)] * 50, resource="x" * 10_000)))) == 50


def test_a_fat_scope_and_a_fat_metric_are_refused_too() -> None:
    """What stands on a scope, or beside a metric's points, is repeated on rows as well."""
    logs = ExportLogsServiceRequest()
    scope = logs.resource_logs.add().scope_logs.add(schema_url="s" * 10_000)
    for _ in range(500):
        scope.log_records.add(time_unix_nano=NOW)
    with pytest.raises(TooLargeError, match="max_expanded_mib"):
        take("logs", logs)
    metrics = ExportMetricsServiceRequest()
    metric = metrics.resource_metrics.add().scope_metrics.add().metrics.add(name="m", description="d" * 10_000)
    for _ in range(500):
        metric.summary.data_points.add(time_unix_nano=NOW)
    with pytest.raises(TooLargeError, match="max_expanded_mib"):
        take("metrics", metrics)


def test_a_huge_resource_attribute_is_shortened_first() -> None:
    """256 KiB on twenty thousand spans is refused; on a few, it is shortened and reported."""
    limits = Limits()
    with pytest.raises(TooLargeError, match="max_expanded_mib"):
        take("traces", spans(*[(NOW, NOW)] * 20_000, resource="x" * (256 << 10)), limits)
    taken = take("traces", spans(*[(NOW, NOW)] * 20, resource="x" * (256 << 10)), limits)
    assert len(kept(taken)) == 20
    assert len(taken.body) < 70_000
    assert "shortened" in taken.message


def test_too_many_rows_are_refused() -> None:
    """The limit is named."""
    with pytest.raises(TooLargeError, match=r"1,001 spans.*max_rows"):
        take("traces", spans(*[(NOW, NOW)] * 1001))


@pytest.mark.parametrize(
    "wrap",
    [
        lambda body: body,
        lambda body: field(1, body.replace(b"\x0a", b"\x12")),
        lambda body: field(1, field(2, body.replace(b"\x0a", b"\x12"))),
        lambda body: field(1, field(2, field(2, body.replace(b"\x0a", b"\x4a")))),
        lambda body: field(1, field(2, field(2, field(11, body.replace(b"\x0a", b"\x1a"))))),
        lambda body: field(1, field(1, body)),
    ],
    ids=["resources", "scopes", "spans", "attributes", "attributes of an event", "attributes of the resource"],
)
def test_nothing_may_be_there_a_million_times(wrap: Callable[[bytes], bytes]) -> None:
    """Two bytes on the wire are many in memory: too many of anything are refused before they are decoded."""
    with pytest.raises(TooLargeError):
        take("traces", wrap(b"\x0a\x00" * 1_100_000), Limits())


def test_rows_on_too_many_days_are_refused() -> None:
    """Each day is a partition of the store."""
    limits = Limits(retention_s=400 * DAY_S)
    wide = spans(*[(NOW - day * DAY, NOW - day * DAY) for day in range(150)])
    with pytest.raises(TooLargeError, match="150 days, and 100 are allowed"):
        take("traces", wide, limits)
    assert len(kept(take("traces", spans((NOW - 200 * DAY, NOW - 200 * DAY), (NOW, NOW)), limits))) == 2


def test_rows_outside_the_time_that_is_kept_are_rejected_and_reported() -> None:
    """Back-dated beyond retention, in microseconds, in the year 2554: left out and counted; the others are kept."""
    micros = NOW // 1000
    taken = take(
        "traces",
        spans(
            (NOW - DAY, NOW - DAY), (NOW - 8 * DAY, NOW - 8 * DAY), (micros, micros), (2**64 - 1, 2**64 - 1), (NOW, NOW)
        ),
    )
    assert [name for name, *_ in kept(taken)] == ["span 0", "span 4"]
    assert taken.rejected == 3
    assert "3 spans lie outside the time that is kept" in taken.message
    with pytest.raises(MalformedError, match="outside the time that is kept"):
        take("traces", spans((micros, micros)))


@pytest.mark.parametrize("wrong", [0, 1, 2**63, 2**64 - 1])
def test_a_span_with_one_time_that_can_be_stands_there(wrong: int) -> None:
    """A start or an end that cannot be must give no duration of years."""
    assert kept(take("traces", spans((wrong, NOW), (NOW, wrong), (NOW - 5, NOW)))) in (
        [("span 0", NOW, NOW), ("span 1", NOW, NOW), ("span 2", NOW - 5, NOW)],
        [("span 0", NOW, NOW), ("span 1", NOW, 0), ("span 2", NOW - 5, NOW)],  # no end: it has not ended
    )


def test_a_clock_that_is_ahead_is_taken_up_to_a_bound() -> None:
    """A few hours ahead are kept; more than the limit is not."""
    taken = take("traces", spans((NOW + DAY // 2, NOW + DAY // 2), (NOW + 2 * DAY, NOW + 2 * DAY)))
    assert (len(kept(taken)), taken.rejected) == (1, 1)


def test_a_log_record_gets_the_best_time_that_there_is() -> None:
    """Its own, else when it was observed, else when it came; one with only senseless times is rejected."""
    request = ExportLogsServiceRequest()
    records = request.resource_logs.add().scope_logs.add().log_records
    for time, observed in ((NOW - 1, 5), (0, NOW - 2), (7, NOW - 3), (0, 0), (7, 0), (2**64 - 1, 9)):
        records.add(time_unix_nano=time, observed_time_unix_nano=observed)
    taken = take("logs", request)
    stored = ExportLogsServiceRequest.FromString(taken.body).resource_logs[0].scope_logs[0].log_records
    assert [record.time_unix_nano for record in stored] == [NOW - 1, NOW - 2, NOW - 3, NOW]
    assert taken.rejected == 2


def test_a_point_without_a_value_is_no_zero() -> None:
    """A number point that holds no value says so by its flag; the others stay as they are."""
    request = ExportMetricsServiceRequest()
    metrics = request.resource_metrics.add().scope_metrics.add().metrics
    for kind in ("gauge", "sum"):
        points = getattr(metrics.add(name=kind), kind).data_points
        points.add(time_unix_nano=NOW, as_double=0)
        points.add(time_unix_nano=NOW)
        points.add(time_unix_nano=NOW, as_int=0)
    taken = ExportMetricsServiceRequest.FromString(take("metrics", request).body)
    gauge, total = taken.resource_metrics[0].scope_metrics[0].metrics
    for points in (gauge.gauge.data_points, total.sum.data_points):
        assert [point.flags for point in points] == [0, 1, 0]


def test_a_point_without_a_time_is_rejected() -> None:
    """In every kind of metric."""
    request = ExportMetricsServiceRequest()
    metrics = request.resource_metrics.add().scope_metrics.add().metrics
    for kind in ("gauge", "sum", "histogram", "exponential_histogram", "summary"):
        points = getattr(metrics.add(name=kind), kind).data_points
        points.add(time_unix_nano=NOW)
        points.add(time_unix_nano=NOW // 10**9)
        points.add()
    assert take("metrics", request).rejected == 10


FIELDS = [
    ("start as varint", 7, 0, b"\x05"),
    ("start as fixed32", 7, 5, b"\x05\x00\x00\x00"),
    ("end as bytes", 8, 2, b"\x01x"),
    ("name as varint", 5, 0, b"\x05"),
    ("attributes as varint", 9, 0, b"\x05"),
    ("attributes as fixed64", 9, 1, b"\x05" * 8),
    ("kind as bytes", 6, 2, b"\x01x"),
    ("status as fixed32", 15, 5, b"\x05" * 4),
    ("events as a group", 11, 3, b"\x5c"),
    ("trace id as varint", 1, 0, b"\x05"),
    ("flags as varint", 16, 0, b"\x05"),
]
NAMES = {7: "start_time_unix_nano", 8: "end_time_unix_nano", 5: "name", 9: "attributes", 6: "kind", 15: "status"}


@pytest.mark.parametrize(("number", "wire", "value"), [each[1:] for each in FIELDS], ids=[each[0] for each in FIELDS])
def test_a_field_of_another_wire_type_is_refused_by_name(number: int, wire: int, value: bytes) -> None:
    """What the engine's decoder would fail on is refused, among however many good spans."""
    good = spans((NOW, NOW)).resource_spans[0].scope_spans[0].spans[0].SerializeToString()
    bad = good + varint(number << 3 | wire) + value
    body = field(1, field(2, field(2, good) * 50 + field(2, bad) + field(2, good) * 50))
    with pytest.raises(MalformedError, match=rf"resource_spans\.scope_spans\.spans\.{NAMES.get(number, '')}"):
        take("traces", body)


def test_wrong_wire_types_are_found_at_every_depth() -> None:
    """In the request, a resource, a key, a value, a status, a point, a bucket."""
    key = field(1, field(1, field(1, b"\x08\x01")))
    value = field(1, field(1, field(1, field(1, b"k") + field(2, b"\x0d\x01\x01\x01\x01"))))
    for body, name in (
        (b"\x08\x01", "resource_spans"),
        (field(1, b"\x08\x01"), "resource_spans.resource"),
        (key, "resource_spans.resource.attributes.key"),
        (value, "resource_spans.resource.attributes.value.string_value"),
    ):
        with pytest.raises(MalformedError, match=rf"the field {name} has"):
            take("traces", body)
    bucket = field(1, field(2, field(2, field(10, field(1, field(8, b"\x0a\x01x"))))))
    with pytest.raises(MalformedError, match=r"exponential_histogram\.data_points\.positive\.offset"):
        take("metrics", bucket)


def test_fields_that_are_not_known_are_left_out() -> None:
    """A newer exporter may send more than is known here, groups included: the rest is kept."""
    news = b"\x98\x06\x01" + field(2000, b"new") + b"\xa3\x06\x08\x01\xa4\x06" + b"\xfd\xff\xff\xff\x0f\x01\x00\x00\x00"
    span = spans((NOW, NOW)).resource_spans[0].scope_spans[0].spans[0].SerializeToString()
    plain = field(1, field(2, field(2, span) * 3))
    with_news = news + field(1, news + field(2, field(2, span + news) * 3 + news))
    assert take("traces", with_news).body == take("traces", plain).body


def test_one_form_is_stored_of_the_many_that_mean_the_same() -> None:
    """Long varints, messages in pieces and repeated values are merged as protobuf merges them."""
    name_twice, long_kind = field(5, b"x") + field(5, b"a"), b"\x30\x83\x80\x80\x00"
    start = b"\x39" + NOW.to_bytes(8, "little")
    status_in_pieces = field(15, field(2, b"why")) + field(15, b"\x18\x02")
    resource_in_pieces = b"".join(field(1, field(1, field(1, key))) for key in (b"k", b"l"))
    body = field(1, resource_in_pieces + field(2, field(2, name_twice + long_kind + start + status_in_pieces)))
    taken = take("traces", body).body
    (resource,) = ExportTraceServiceRequest.FromString(taken).resource_spans
    (span,) = resource.scope_spans[0].spans
    assert (span.name, span.kind, span.start_time_unix_nano) == ("a", 3, NOW)
    assert (span.status.message, span.status.code) == ("why", 2)
    assert {pair.key for pair in resource.resource.attributes} == {"k", "l"}
    assert long_kind not in taken
    assert taken.count(b"why") == 1


@pytest.mark.parametrize(
    ("times", "within"),
    [([], True), ([10], True), ([20], True), ([10, 20], True), ([9], False), ([21], False), ([15, 9], False)],
)
def test_both_ends_of_the_time_range_belong_to_it(times: list[int], within: bool) -> None:
    """One array of times, or several, of which each must fit."""
    array = np.array(times, dtype=np.uint64)
    assert all_within(array, 10, 20) is within
    assert all_within([np.array([15], dtype=np.uint64), array], 10, 20) is within
