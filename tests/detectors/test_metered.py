"""Services that report request metrics and no spans."""

from __future__ import annotations

import pyarrow as pa
import pytest
from seeing import seen

from detectors.detector import Setup
from detectors.history import History
from detectors.live import Live
from detectors.red.metered import MeteredRequests
from detectors.simulated import ARRIVES_S, START, Simulated
from watchkeeper.request_metrics import role_of
from watchkeeper.vocabulary import Finding, utc

FAULT_S = 1000


@pytest.mark.parametrize(
    ("metric", "role"),
    [
        ("http.server.request.duration", "duration"),
        ("rpc.server.call.duration", "duration"),
        ("http_server_request_duration_seconds", "duration"),
        ("http_server_request_duration_seconds_count", "calls"),
        ("http_server_requests_seconds_count", "calls"),
        ("http_requests_total", "calls"),
        ("http.server.requests", "calls"),
        ("http_server_request_duration_seconds_sum", None),
        ("http.server.request.duration.max", None),
        ("http.client.request.duration", None),
        ("http.server.active_requests", None),
        ("http_request_errors_total", "errors"),
    ],
)
def test_a_metric_is_what_its_name_means(metric: str, role: str | None) -> None:
    """A histogram's duration is no count of requests, whatever word stands before it."""
    assert role_of(metric) == role


def found(duration_ms: float) -> list[Finding]:
    """What is said within a minute and a half of a mean that rises from 20 ms, by OpenTelemetry's conventions."""
    metrics = {
        ("maps", "http.server.request.duration"): lambda t: 0.001 * (duration_ms if t >= FAULT_S else 20.0 + t % 3),
        ("maps", "http.server.requests"): lambda t: 12.0 + t % 2,
    }
    telemetry, live = Simulated(seconds=1200, metrics=metrics), Live(history_s=1800)
    every = [live.tick(telemetry, utc(START + at + ARRIVES_S)) for at in range(900, FAULT_S + 90, 5)]
    return [finding for findings in every for finding in findings if finding.detector.startswith("metered.")]


def test_a_mean_of_a_histogram_that_rises_is_latency() -> None:
    first, *_ = found(900.0)
    assert (first.detector, first.severity, first.service) == ("metered.latency", "page", "maps")
    assert first.value == pytest.approx(900.0)
    assert found(21.0) == []


def judged(series: dict[tuple[str, str], list[float]]) -> list[Finding]:
    """What is said of the newest of some buckets, given the values of (metric, attributes), one a bucket of 10 s."""
    buckets = len(next(iter(series.values())))
    keys, values = ("service", "metric", "attributes"), {"value": float("nan")}
    history = History("metrics", keys=keys, values=values, buckets=buckets, step_s=10)
    history.advance(utc(float(START + 10 * (buckets - 1))))
    for (metric, attributes), column in series.items():
        bucket = pa.array([START + 10 * at for at in range(buckets)], pa.timestamp("s", "UTC"))
        names = {"service": ["maps"] * buckets, "metric": [metric] * buckets, "attributes": [attributes] * buckets}
        history.place(pa.table({"bucket": bucket, **names, "value": column}))
    detector, found = MeteredRequests(Setup()), []
    for complete in range(buckets - 12, buckets + 1):
        found = detector.judge(seen(float(START + 10 * buckets), complete, metrics=history))
    return found


def test_a_metric_has_one_unit_whatever_its_attributes() -> None:
    """Requests that are refused take two milliseconds, not two seconds."""
    ok, refused = '{"http.route":"/tables","status_code":"200"}', '{"http.route":"/tables","status_code":"404"}'
    nothing = float("nan")
    series = {
        ("http.server.request.duration", ok): [8.0 + at % 3 for at in range(120)],
        ("http.server.request.duration", refused): [2.2 if at >= 110 or at in (3, 9) else nothing for at in range(120)],
        ("http.server.requests", ok): [150.0] * 120,
    }
    assert judged(series) == []


def test_requests_whose_duration_was_not_reported_say_nothing_of_it() -> None:
    """A stream that always takes ten seconds is all that was measured, among requests of which only the count came."""
    stream, others = '{"http.route":"/stream"}', '{"http.route":"/teams"}'
    series = {
        ("http.server.duration", stream): [10_000.0 + at % 7 for at in range(120)],
        ("http.server.duration", others): [20.0 if at < 110 else float("nan") for at in range(120)],
        ("http.server.requests", stream): [0.2] * 120,
        ("http.server.requests", others): [9.0] * 120,
    }
    assert judged(series) == []


@pytest.mark.parametrize(("operation", "severity"), [("process orders", "ticket"), ("GET orders", "page")])
def test_who_handles_messages_alone_wakes_nobody(operation: str, severity: str) -> None:
    """Nobody waits for messages; of requests, nobody knows who waits."""
    verb, _, route = operation.partition(" ")
    attributes = f'{{"http.request.method":"{verb}","http.route":"{route}"'
    served = ("http.server.requests", f'{attributes},"http.response.status_code":"200"}}')
    failed = ("http.server.requests", f'{attributes},"http.response.status_code":"500"}}')
    findings = judged({served: [9.0] * 100 + [4.0] * 12, failed: [0.0] * 100 + [5.0] * 12})
    assert {finding.severity for finding in findings if finding.kind == "errors"} == {severity}
