"""Scrapes: Prometheus' formats become OTLP, and a bad target stops nobody."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from collectors.prometheus import Scraper, scrape
from tests.waiting import until
from watchkeeper.config import ScrapeConfig
from watchkeeper.errors import CollectorError
from watchkeeper.ingest_log.attributes import MESSAGES
from watchkeeper.ingest_log.segments import IngestLog

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
OPEN = """\
# TYPE jobs counter
jobs_total 5
jobs_created 1.5e9
# EOF
"""


class Target:
    """A real HTTP server with one page; `status` and `page` may be changed."""

    def __init__(self) -> None:
        self.page, self.kind, self.status = TEXT, "text/plain; version=0.0.4", 200
        target = self

        class Page(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(target.status)
                self.send_header("Content-Type", target.kind)
                self.end_headers()
                self.wfile.write(target.page.encode())

            def log_message(self, *_: object) -> None:
                """Quiet."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
        self.address = f"127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def target() -> Iterator[Target]:
    """A target that serves the text format."""
    made = Target()
    yield made
    made.close()


def read(target: Target, **changes: Any) -> dict[str, Any]:
    """One scrape: metric name → metric."""
    job = ScrapeConfig(job="shop", targets=(target.address,), labels={"team": "blue"}, **changes)
    with httpx.Client(trust_env=False) as client:
        request = scrape(job, target.address, client)
    resource = {a.key: a.value.string_value for a in request.resource_metrics[0].resource.attributes}
    assert resource == {"service.name": "shop", "service.instance.id": target.address, "team": "blue"}
    return {metric.name: metric for metric in request.resource_metrics[0].scope_metrics[0].metrics}


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
    target.page, target.kind = OPEN, "application/openmetrics-text; version=1.0.0"
    metrics = read(target)
    assert list(metrics) == ["jobs_total", "up"]
    assert metrics["jobs_total"].sum.data_points[0].as_double == 5


@pytest.mark.parametrize(
    ("status", "page", "words"), [(500, TEXT, "HTTP 500"), (200, "<html>{broken", "not in a Prometheus format")]
)
def test_a_bad_page_says_which_target(target: Target, status: int, page: str, words: str) -> None:
    """An error status or another format raises, naming the URL."""
    target.status, target.page = status, page
    with pytest.raises(CollectorError, match=words) as told:
        read(target)
    assert target.address in told.value.message


def test_a_target_that_is_away_says_so() -> None:
    """A refused connection raises an error that is worth a retry."""
    gone = Target()
    gone.close()
    with pytest.raises(CollectorError, match=gone.address) as told:
        read(gone)
    assert told.value.retry


def test_a_bad_target_does_not_stop_the_others(target: Target, tmp_path: Path) -> None:
    """Of a job with one dead target the other still comes in; the dead one is stored as `up` = 0."""
    gone = Target()
    gone.close()
    log = IngestLog(tmp_path, segment_bytes=1 << 20, max_backlog_bytes=1 << 30, open_scale=1000)
    job = ScrapeConfig(job="pair", targets=(gone.address, target.address), interval_s=0.05, timeout_s=2)
    scraper = Scraper([job], log)
    scraper.start()
    until(lambda: log.complete_until("metrics", 9e9) != 9e9)
    scraper.stop()
    log.close()
    up = {}
    for record in records(log.sealed()[0].path.read_bytes()):
        (resource,) = MESSAGES["metrics"].FromString(record).resource_metrics
        address = next(a.value.string_value for a in resource.resource.attributes if a.key == "service.instance.id")
        up[address] = resource.scope_metrics[0].metrics[-1].gauge.data_points[0].as_int
    assert up == {gone.address: 0, target.address: 1}


def records(data: bytes) -> list[bytes]:
    """Length-delimited records."""
    found = []
    while data:
        length, shift, at = 0, 0, 0
        while True:
            byte = data[at]
            length |= (byte & 0x7F) << shift
            shift, at = shift + 7, at + 1
            if byte < 0x80:
                break
        found.append(data[at : at + length])
        data = data[at + length :]
    return found
