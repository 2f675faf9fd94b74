"""Scrapes: Prometheus' formats become OTLP, and a bad target or sample costs nobody else."""

from __future__ import annotations

import asyncio
import base64
import gzip
import http.server
import math
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs

from collectors.ingest_log.attributes import MESSAGES
from collectors.ingest_log.segments import IngestLog
from collectors.receivers.otlp import Intake, Taken
from collectors.receivers.otlp_limits import Limits
from collectors.scrape.exposition import LONGEST_LINE, Exposition, parts
from collectors.scrape.prometheus import Scraper, scrape
from tests.collectors.pages import Target, drip
from tests.waiting import until
from watchkeeper.config import ScrapeConfig
from watchkeeper.errors import CollectorError
from watchkeeper.problems import Problems

CASES = Path(__file__).resolve().parents[2].parent / "shared" / "cases"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
TEXT = """\
# HELP http_requests_total Requests.
# TYPE http_requests_total counter
http_requests_total{code="200",path="/a\\"b"} 1027
http_requests_total{code="500"} 3 1395066363000
# TYPE temperature gauge
temperature 21.5
# TYPE latency_seconds histogram
latency_seconds_bucket{le="0.1"} 5
latency_seconds_bucket{le="1"} 7
latency_seconds_bucket{le="+Inf"} 8
latency_seconds_sum 3.5
latency_seconds_count 8
# TYPE rpc_seconds summary
rpc_seconds{quantile="0.5"} 0.2
rpc_seconds_sum 9
rpc_seconds_count 40
untyped_thing 4
weird_value NaN
"""
FINE = "# TYPE fine gauge\nfine 7\n"


@pytest.fixture
def target() -> Iterator[Target]:
    """A target that serves the text format."""
    made = Target()
    made.page = TEXT
    yield made
    made.close()


def once(address: str, **changes: Any) -> Exposition:
    """One scrape."""
    job = ScrapeConfig(job="shop", targets=("a.invalid:1",), labels={"team": "blue"}, **changes)

    async def run() -> Exposition:
        with ThreadPoolExecutor(1) as readers:
            async with httpx.AsyncClient(trust_env=False) as client:
                return await scrape(job, address, client, readers, threading.Event())

    return asyncio.run(run())


def metrics_of(exposition: Exposition) -> dict[str, Any]:
    """Metric name → metric; a name that stands twice is a mistake."""
    metrics = exposition.request.resource_metrics[0].scope_metrics[0].metrics
    named = {metric.name: metric for metric in metrics}
    assert len(named) == len(metrics)
    return named


def read(target: Target, **changes: Any) -> dict[str, Any]:
    """The metrics of one scrape."""
    exposition = once(target.address, **changes)
    resource = {a.key: a.value.string_value for a in exposition.request.resource_metrics[0].resource.attributes}
    assert resource == {"service.name": "shop", "service.instance.id": target.address, "team": "blue"}
    return metrics_of(exposition)


def values(metric: Any) -> list[float]:
    """A gauge's or counter's values."""
    return [point.as_double for point in (metric.gauge.data_points or metric.sum.data_points)]


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
def test_a_bad_page_says_which_target(target: Target, status: int, page: str, kind: str, words: str) -> None:
    """An error status or another format raises, naming the URL and what it was."""
    target.status, target.page, target.kind = status, page, kind
    with pytest.raises(CollectorError, match=words) as raised:
        read(target)
    assert target.address in raised.value.message


def test_a_target_that_is_away_says_so() -> None:
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
    assert exposition.set_aside == {"of a series that came before": 1}


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


# How a page comes


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_on_the_same_server_is_followed(target: Target, status: int) -> None:
    """As Prometheus does; the credentials go along."""

    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        if handler.path != "/real?token=x":
            handler.send_response(status)
            handler.send_header("Location", "/real?token=x")
            handler.end_headers()
            return
        handler.send_response(200)
        handler.end_headers()
        handler.wfile.write(FINE.encode())

    target.answer = answer
    assert values(metrics_of(once(f"ana:secret@{target.address}"))["fine"]) == [7]
    sent = "Basic " + base64.b64encode(b"ana:secret").decode()
    assert [headers.get("authorization") for _, headers in target.asked] == [sent, sent]


def test_a_redirect_to_another_host_is_followed_only_where_configured(target: Target) -> None:
    """It says where it would lead, without what secrets the address holds; credentials stay at home."""
    other = Target()
    other.page = FINE
    target.status, target.headers = 302, {"Location": f"http://{other.address}/metrics?token=hunter2"}
    address = f"ana:secret@{target.address}"
    with pytest.raises(CollectorError, match="redirect_hosts") as raised:
        once(address)
    assert other.address in raised.value.message
    assert not any(word in raised.value.message for word in ("hunter2", "secret", "ana"))
    assert other.asked == []
    for allowed in (other.address, "127.0.0.1", "*"):
        assert values(metrics_of(once(address, redirect_hosts=(allowed,)))["fine"]) == [7]
    assert ["authorization" in headers for _, headers in other.asked] == [False] * 3
    other.close()


@pytest.mark.parametrize(
    ("location", "words"),
    [
        ("/metrics", "over 10 redirects"),
        (None, "without a Location"),
        ("file:///etc/passwd", "no http or https address"),
        ("javascript:alert(1)", "failed"),
        ("http://[::1", "failed"),
        ("//other.invalid/metrics", "another host"),
        ("http://127.0.0.1:1/metrics", "another host"),
    ],
)
def test_a_redirect_that_leads_nowhere_is_told(target: Target, location: str | None, words: str) -> None:
    """Loops, other schemes, no address at all."""
    target.status, target.headers = 302, {"Location": location} if location else {}
    with pytest.raises(CollectorError, match=words):
        read(target)


@pytest.mark.parametrize("members", [1, 3])
def test_a_zipped_page_is_unzipped(target: Target, members: int) -> None:
    """Every member of it."""
    pages = [f"m{number} 1\n".encode() for number in range(members)]
    target.page, target.headers = b"".join(map(gzip.compress, pages)), {"Content-Encoding": "gzip"}
    assert len(read(target)) == members + 1


@pytest.mark.parametrize(
    ("page", "encoding", "words"),
    [
        (b"fine 7\n", "gzip", "not gzip"),
        (gzip.compress(b"fine 7\n" * 100, mtime=0)[:-9], "gzip", "cut short"),
        (gzip.compress(b"#" * (64 << 20), mtime=0), "gzip", "max_mib"),
        (b"fine 7\n", "br", "not asked for"),
        (b"#" * (2 << 20), "identity", "max_mib"),
    ],
)
def test_a_page_that_is_too_large_or_badly_zipped_is_refused(
    target: Target, page: bytes, encoding: str, words: str
) -> None:
    """By the bytes after unzipping."""
    target.page, target.headers = page, {"Content-Encoding": encoding}
    with pytest.raises(CollectorError, match=words):
        read(target, max_mib=1, timeout_s=60)


@pytest.mark.parametrize("headers", [False, True])
def test_a_slow_drip_is_given_up_in_time(target: Target, headers: bool) -> None:
    """A byte now and then resets no clock, neither in the page nor in its head."""
    target.answer = drip(b"X: y\r\n" if headers else b"#", headers=headers)
    with pytest.raises(CollectorError, match="timeout_s"):
        read(target, timeout_s=0.5)


def test_a_target_of_ipv6_is_read() -> None:
    """In brackets."""
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            pass
    except OSError:
        pytest.skip("this machine has no IPv6")
    target = Target(socket.AF_INET6)
    target.page = FINE
    assert values(read(target)["fine"]) == [7]
    target.close()


# The loop


class Log:
    """An ingest log and what the scrapes put into it."""

    def __init__(self, folder: Path) -> None:
        self.log = IngestLog(folder, segment_bytes=1 << 20, max_backlog_bytes=1 << 30, open_scale=1000)
        self.kept: list[tuple[str, int, list[str]]] = []
        log = self

        class Kept(Intake):
            def take(self, signal: str, body: bytes, *, is_json: bool = False, sender: str = "") -> Taken:
                taken = super().take(signal, body, is_json=is_json, sender=sender)
                (resource,) = MESSAGES["metrics"].FromString(body).resource_metrics
                named = {a.key: a.value.string_value for a in resource.resource.attributes}
                metrics = resource.scope_metrics[0].metrics
                up = [metric.gauge.data_points[0].as_int for metric in metrics if metric.name == "up"]
                log.kept += [(named["service.instance.id"], one, [metric.name for metric in metrics]) for one in up]
                return taken

        self.intake = Kept(self.log, Limits())

    def up(self, target: Target) -> list[int]:
        """The target's `up`, scrape by scrape."""
        return [up for address, up, _ in self.kept if address == target.address]


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    made = Log(tmp_path)
    yield made
    made.log.close()


def test_one_bad_target_starves_no_neighbour(log: Log, target: Target) -> None:
    """Dead, dripping, silent or of HTML: each is `up` 0 with its reason, and the good one is read at its pace."""
    bad = {name: Target() for name in ("dead", "drip", "head", "silent", "html", "loop", "zip", "long")}
    bad["dead"].close()
    bad["drip"].answer = drip(b"#")
    bad["head"].answer = drip(b"X: y\r\n", headers=True)
    bad["silent"].answer = lambda _: time.sleep(300)
    bad["html"].page, bad["html"].kind = "<html>", "text/html"
    bad["loop"].status, bad["loop"].headers = 302, {"Location": "/"}
    bad["zip"].page, bad["zip"].headers = b"x", {"Content-Encoding": "gzip"}
    bad["long"].page = "x" * (LONGEST_LINE + 1)
    target.page = FINE
    problems = Problems(None)
    addresses = (*(one.address for one in bad.values()), target.address)
    scraper = Scraper([ScrapeConfig(job="all", targets=addresses, interval_s=0.05, timeout_s=1)], log.intake, problems)
    scraper.start()
    until(lambda: len(log.up(target)) >= 20 and all(len(log.up(one)) >= 2 for one in bad.values()))
    scraper.stop()
    assert set(log.up(target)) == {1}
    assert all(set(log.up(one)) == {0} for one in bad.values())
    assert {problem.subject: problem.loop for problem in problems.current()} == {
        f"all: {one.address}": "scrape" for one in bad.values()
    }
    for one in (*bad.values(), target):
        if one is not bad["dead"]:
            one.close()


def test_a_sample_left_out_is_told_until_it_comes_right(log: Log, target: Target) -> None:
    """Among the problems, with an example; as is a page without samples, and a target that comes back."""
    problems = Problems(None)
    target.page = "neg 1 -62135596800000\nfine 7\n"
    scraper = Scraper([ScrapeConfig(job="shop", targets=(target.address,), interval_s=0.05)], log.intake, problems)
    scraper.start()

    def reasons() -> list[str]:
        return [problem.reason for problem in problems.current()]

    until(lambda: any("such as neg" in reason for reason in reasons()))
    target.page = "old 1 1395066363000\nfine 7\n"
    until(lambda: any("samples left out" in reason and "neg" not in reason for reason in reasons()))
    target.page = ""
    until(lambda: reasons() == ["the page holds no sample"])
    target.status = 503
    until(lambda: any("HTTP 503" in reason for reason in reasons()))
    target.status, target.page = 200, FINE
    until(lambda: reasons() == [])
    scraper.stop()


def test_it_stops_while_targets_hang(log: Log) -> None:
    """Whatever they do; twice is harmless, and so is never having started."""
    hung = Target()
    hung.answer = drip(b"#")
    scraper = Scraper([ScrapeConfig(job="a", targets=(hung.address,), timeout_s=3600)], log.intake, Problems(None))
    scraper.start()
    until(lambda: bool(hung.asked))
    scraper.stop()
    assert not [thread for thread in threading.enumerate() if thread.name == "scrapes"]
    scraper.stop()
    Scraper([], log.intake, Problems(None)).stop()
    hung.close()


def test_credentials_of_an_address_stand_nowhere(log: Log, target: Target, caplog: pytest.LogCaptureFixture) -> None:
    """Neither in logs, problems nor attributes; they are sent."""
    problems = Problems(None)
    caplog.set_level("DEBUG")
    target.status = 500
    job = ScrapeConfig.model_construct(
        job="shop",
        targets=(f"http://ana:hunter2@{target.address}",),
        path="/metrics?key=hunter2",
        interval_s=0.05,
        timeout_s=5.0,
        max_mib=1,
        redirect_hosts=(),
        labels={},
    )
    scraper = Scraper([job], log.intake, problems)
    with capture_logs() as logs:
        scraper.start()
        until(lambda: bool(problems.current()))
        target.status = 200
        until(lambda: any(up for _, up, _ in log.kept))
        scraper.stop()
    assert target.asked[0][1]["authorization"].startswith("Basic ")
    output = f"{problems.current()}{logs}{log.kept}" + "".join(
        record.getMessage() for record in caplog.records if not record.name.startswith("httpcore")
    )
    assert "hunter2" not in output


# Recorded pages


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
