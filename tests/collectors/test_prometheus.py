"""Prometheus' formats become OTLP, and what is wrong in a page costs only itself."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from collectors.scrape.exposition import LONGEST_LINE, parts
from tests.collectors.pages import Target
from tests.collectors.scrapes import FINE, TEXT, metrics_of, once, read, values
from watchkeeper.errors import CollectorError

CASES = Path(__file__).resolve().parents[2].parent / "shared" / "cases"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"


def test_every_type_becomes_its_kind(target: Target) -> None:
    """Counters are cumulative monotonic sums; histograms keep buckets, not running totals; the rest are gauges."""
    metrics = read(target)
    counter = metrics["http_requests_total"].sum
    assert (
        counter.is_monotonic,
        counter.aggregation_temporality,
        [point.as_double for point in counter.data_points],
    ) == (True, 2, [1027, 3])
    assert counter.data_points[1].time_unix_nano == 1395066363 * 10**9
    labels = {a.key: a.value.string_value for a in counter.data_points[0].attributes}
    assert labels == {"code": "200", "path": '/a"b'}
    (histogram,) = metrics["latency_seconds"].histogram.data_points
    assert (
        list(histogram.explicit_bounds),
        list(histogram.bucket_counts),
        histogram.count,
        histogram.sum,
    ) == ([0.1, 1.0], [5, 2, 1], 8, 3.5)
    (summary,) = metrics["rpc_seconds"].summary.data_points
    assert [(each.quantile, each.value) for each in summary.quantile_values] == [(0.5, 0.2)]
    assert metrics["temperature"].gauge.data_points[0].as_double == 21.5
    assert metrics["up"].gauge.data_points[0].as_int == 1
    assert metrics["untyped_thing"].gauge.data_points[0].as_double == 4


def test_openmetrics_is_read(target: Target) -> None:
    """The newer format has counters of the same name, and its creation times are no series."""
    target.page, target.kind = "# TYPE jobs counter\njobs_total 5\njobs_created 1.5e9\n# EOF\n", OPENMETRICS
    metrics = read(target)
    assert list(metrics) == ["jobs_total", "up"]
    assert metrics["jobs_total"].sum.data_points[0].as_double == 5


@pytest.mark.parametrize(
    ("status", "page", "kind", "words"),
    [
        (500, TEXT, "text/plain", "HTTP 500"),
        (404, TEXT, "text/plain", "HTTP 404"),
        (204, "", "text/plain", "HTTP 204"),
        (200, "<html>{broken", "text/html", "not in a Prometheus format .*text/html"),
        (200, "<!DOCTYPE html>\n<html><body>Sign in</body></html>", "text/html", "not in a Prometheus format"),
        (200, '{"data": [1, 2]}', "application/json", "not in a Prometheus format"),
        (200, FINE, OPENMETRICS, "Missing # EOF"),
        (200, "", OPENMETRICS, "Missing # EOF"),
        (200, b"\x89PNG\r\n\x1a\n\x00\x00", "image/png", "not in a Prometheus format"),
        (200, "fine 0xzz\n", "text/plain", "not in a Prometheus format"),
        (200, "a" * (LONGEST_LINE + 1) + " 1\n", "text/plain", "a line is over"),
        (200, "fine 1_0\n", "text/plain", "not in a Prometheus format"),
    ],
)
def test_the_error_of_a_bad_page_names_the_target(
    target: Target, status: int, page: str, kind: str, words: str
) -> None:
    """An error status or another format raises, naming the URL and what it was."""
    target.status, target.page, target.kind = status, page, kind
    with pytest.raises(CollectorError, match=words) as raised:
        read(target)
    assert target.address in raised.value.message


def test_an_unreachable_target_is_an_error_that_names_it() -> None:
    """A refused connection raises an error that is worth a retry."""
    gone = Target()
    gone.close()
    with pytest.raises(CollectorError, match=gone.address) as raised:
        read(gone)
    assert raised.value.retry


# Samples that cannot be kept


@pytest.mark.parametrize(
    "stamp", ["-62135596800000", "0", "-1", "1", "1e400", "NaN", "-Inf", "9" * 30, "253402300800000", "0.05"]
)
def test_a_sample_with_an_impossible_time_costs_only_itself(target: Target, stamp: str) -> None:
    """The zero time of Go, zero, numbers beyond any calendar: left out and counted; the page is read."""
    target.page = f'# TYPE rtt gauge\nrtt{{r="a"}} 1 {stamp}\nrtt{{r="b"}} 2\n{FINE}'
    exposition = once(target.address)
    metrics = metrics_of(exposition)
    assert (values(metrics["rtt"]), values(metrics["fine"])) == ([2], [7])
    assert sum(exposition.set_aside.values()) == 1
    assert "rtt{r=a}" in exposition.summary()


@pytest.mark.parametrize("count", ["NaN", "+Inf", "-1", "1e300", "9" * 400])
@pytest.mark.parametrize("kind", ["histogram", "summary"])
def test_a_count_that_is_no_number_costs_only_its_point(target: Target, count: str, kind: str) -> None:
    """Of a bucket or of a whole distribution; its neighbours stay."""
    part = 'x_bucket{q="1",le="+Inf"}' if kind == "histogram" else 'x{q="1",quantile="0.5"}'
    other = part.replace('q="1"', 'q="2"')
    target.page = (
        f"# TYPE x {kind}\n{part} {count if kind == 'histogram' else 1}\n"
        f'x_count{{q="1"}} {count}\nx_sum{{q="1"}} 1\n{other} 3\nx_count{{q="2"}} 3\nx_sum{{q="2"}} NaN\n{FINE}'
    )
    exposition = once(target.address)
    metrics = metrics_of(exposition)
    (point,) = (metrics["x"].histogram if kind == "histogram" else metrics["x"].summary).data_points
    assert (point.count, math.isnan(point.sum), values(metrics["fine"])) == (3, True, [7])
    assert sum(exposition.set_aside.values()) == 1


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e3", 1000),
        ("-2.5E-1", -0.25),
        ("0x1p4", 16),
        ("-0x1.8p1", -3),
        ("0X10", 16),
        ("+Inf", math.inf),
        ("9" * 30, float("9" * 30)),
    ],
)
def test_numbers_are_read_as_go_writes_them(target: Target, text: str, value: float) -> None:
    """Exponents, hexadecimal, infinity, more digits than fit."""
    target.page = f"a {text}\n{FINE}"
    assert values(read(target)["a"]) == [value]


def test_a_value_out_of_range_costs_only_itself(target: Target) -> None:
    """An integer of four hundred digits."""
    target.page = f"a {'9' * 400}\n{FINE}"
    metrics = read(target)
    assert values(metrics["fine"]) == [7]


def test_a_name_that_ends_in_created_is_kept(target: Target) -> None:
    """Unless it tells when a counter, histogram or summary of the page began."""
    target.page = """\
# TYPE kube_pod_created gauge
kube_pod_created{pod="web-1"} 1.7e+09
# TYPE things_created counter
things_created 300
# TYPE requests_total counter
requests_total 5
# TYPE requests_created gauge
requests_created 1.7e+09
untyped_created 3
"""
    metrics = read(target)
    assert values(metrics["kube_pod_created"]) == [1.7e9]
    assert values(metrics["untyped_created"]) == [3]
    assert values(metrics["things_created_total"]) == [300]
    assert "requests_created" not in metrics


EXEMPLARS = """\
# TYPE r histogram
r_bucket{le="0.1"} 6 # {trace_id="abc"} 0.05
r_bucket{le="+Inf",} 8 # {trace_id="a # } b"} 0.7 1668808476.294
r_count 8
r_sum 1.5
# TYPE c counter
c_total{a="x # {y} 1"} 3 # {} 1
plain_total 4 # {trace_id="abc"} 0.05
# TYPE fine gauge
fine 7
"""


@pytest.mark.parametrize("kind", ["text/plain; version=0.0.4", OPENMETRICS])
def test_exemplars_cost_no_sample(target: Target, kind: str) -> None:
    """In either format; a label that looks like one is a label."""
    page = EXEMPLARS.replace(",}", "}").replace("plain_total 4", "plain 4") if kind == OPENMETRICS else EXEMPLARS
    target.page, target.kind = page + ("# EOF\n" if kind == OPENMETRICS else ""), kind
    exposition = once(target.address)
    metrics = metrics_of(exposition)
    (point,) = metrics["r"].histogram.data_points
    assert (list(point.bucket_counts), point.count, point.sum) == ([6, 2], 8, 1.5)
    (counter,) = metrics["c_total"].sum.data_points or metrics["c_total"].gauge.data_points
    assert counter.as_double == 3
    assert counter.attributes[0].value.string_value == "x # {y} 1"
    assert (values(metrics["fine"]), exposition.set_aside) == ([7], {})


def test_the_types_of_openmetrics_keep_their_names(target: Target) -> None:
    """The sum and the count of a gauge histogram are series of their own."""
    target.kind = OPENMETRICS
    target.page = """\
# TYPE build info
build_info{v="1.2"} 1
# TYPE mode stateset
mode{mode="on"} 1
mode{mode="off"} 0
# TYPE q gaugehistogram
q_bucket{le="1.0"} 4
q_bucket{le="+Inf"} 9
q_gcount 9
q_gsum 123.0
# TYPE h histogram
h_bucket{le="+Inf"} 1
h_count 1
h_sum 2
h_created 1.7e9
# TYPE s summary
s_count 1
s_sum 2
s_created 1.7e9
# TYPE u unknown
u 5
# EOF
"""
    metrics = read(target)
    assert list(metrics) == ["build_info", "mode", "q_bucket", "q_gcount", "q_gsum", "h", "s", "u", "up"]
    assert [values(metrics[name]) for name in ("q_bucket", "q_gcount", "q_gsum")] == [[4, 9], [9], [123]]


@pytest.mark.parametrize(
    "page",
    [
        '# TYPE d gauge\nd{a="1"} 1\nd{a="1"} 2\n',
        'd{a="1"} 1\nd{a="1"} 2\n',
        '# TYPE d gauge\nd{a="1",b="2"} 1\nd{b="2",a="1"} 2\n',
    ],
)
@pytest.mark.parametrize("kind", ["text/plain", OPENMETRICS])
def test_of_a_series_that_comes_twice_the_first_is_kept_and_it_is_said(target: Target, page: str, kind: str) -> None:
    """Not both, as if they were two samples of one."""
    if kind == OPENMETRICS and "TYPE" not in page:
        pytest.skip("OpenMetrics refuses a family that comes twice")
    target.page, target.kind = page + FINE + ("# EOF\n" if kind == OPENMETRICS else ""), kind
    exposition = once(target.address)
    metrics = metrics_of(exposition)
    assert (values(metrics["d"]), values(metrics["fine"])) == ([1], [7])
    assert exposition.set_aside == {"of a repeated series": 1}


def test_buckets_in_any_order_and_without_the_last_are_a_histogram(target: Target) -> None:
    """Bounds rise, counts are those between them."""
    target.page = '# TYPE h histogram\nh_bucket{le="10"} 7\nh_bucket{le="0.1"} 5\nh_sum 3\nh_count 9\n'
    (point,) = read(target)["h"].histogram.data_points
    assert (list(point.explicit_bounds), list(point.bucket_counts), point.count) == ([0.1, 10], [5, 2, 2], 9)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("kind", ["text/plain", OPENMETRICS, "application/octet-stream", "text/html", None, ""])
def test_line_ends_marks_and_content_types_do_no_harm(target: Target, end: str, mark: str, kind: str | None) -> None:
    """A page is what its lines say."""
    lines = ["# TYPE fine gauge", "fine 7", *(["# EOF"] if kind == OPENMETRICS else []), ""]
    target.page, target.kind = mark + end.join(lines), kind
    assert values(read(target)["fine"]) == [7]


def test_names_and_labels_in_quotes_are_read(target: Target) -> None:
    """Of any letters; what is no UTF-8 becomes a replacement character."""
    target.page = (
        '# TYPE "http.server.hits" gauge\n{"http.server.hits","über.label"="x"} 3\n'.encode() + b'b{l="\xff"} 1\n'
    )
    metrics = read(target)
    (point,) = metrics["http.server.hits"].gauge.data_points
    assert (point.as_double, point.attributes[0].key) == (3, "über.label")
    assert metrics["b"].gauge.data_points[0].attributes[0].value.string_value == "\N{REPLACEMENT CHARACTER}"


def test_a_label_full_of_quotes_takes_no_longer_than_its_length(target: Target) -> None:
    """A line at the bound, of escapes alone, is read or refused; both in time."""
    target.page = 'a{l="' + '\\"' * (LONGEST_LINE // 2 - 10) + '"} 1\n' + 'b{l="' + "\\\\" * 1000 + "\n" + FINE
    with pytest.raises(CollectorError, match="not in a Prometheus format"):
        read(target, timeout_s=60)


def test_a_large_page_becomes_several_requests_of_the_same_points(target: Target) -> None:
    """Each with the resource, the kind and the names; none over the bound."""
    series = "".join(f'c_total{{n="{number}"}} {number}\n' for number in range(25))
    target.page = f"# TYPE c_total counter\n{series}{TEXT}"
    whole = once(target.address).request
    pieces = list(parts(whole, 10))
    assert len(pieces) == 4
    points = []
    for piece in pieces:
        (resource,) = piece.resource_metrics
        assert resource.resource == whole.resource_metrics[0].resource
        metrics = resource.scope_metrics[0].metrics
        assert {metric.sum.is_monotonic for metric in metrics if metric.WhichOneof("data") == "sum"} <= {True}
        points.append(sum(len(getattr(metric, metric.WhichOneof("data")).data_points) for metric in metrics))
    assert points == [10, 10, 10, 3]
    assert list(parts(whole)) == [whole]


@pytest.mark.parametrize(
    ("case", "names", "missing"),
    [
        ("15-prom-negative-timestamp/neg.txt", ["fine"], ["rtt_count"]),
        ("18-prom-lone-created/created.txt", ["kube_pod_created", "things_created_total", "fine"], []),
        ("20-prom-exemplars/exemplars.txt", ["r", "fine"], []),
        ("20-prom-exemplars/exemplarsclassic.txt", ["r", "fine"], []),
        ("21-prom-utf8-names/utf8.txt", ["http.server.hits", "fine"], []),
        ("21-prom-utf8-names/utf8om.txt", ["http.server.hits", "fine"], []),
        ("22-prom-om-types/omtypes.txt", ["build_info", "mode", "q_bucket", "q_gcount", "q_gsum", "u", "fine"], []),
        ("24-prom-duplicate-series/dup.txt", ["d", "fine"], []),
        ("19-prom-openmetrics-slips/noeof.txt", None, []),
    ],
)
def test_recorded_pages_of_other_programs_are_read(
    target: Target, case: str, names: list[str] | None, missing: list[str]
) -> None:
    """Each as public reports had it."""
    path = CASES / case
    if not path.exists():
        pytest.skip("the recorded pages are not beside this clone")
    head, _, target.page = path.read_text().partition("\n\n")
    target.kind = head.removeprefix("Content-Type: ")
    if names is None:
        with pytest.raises(CollectorError, match="Missing # EOF"):
            read(target)
        return
    metrics = read(target)
    assert set(names) <= metrics.keys()
    assert not set(missing) & metrics.keys()
