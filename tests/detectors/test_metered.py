"""Services that report request metrics and no spans."""

from __future__ import annotations

import pytest

from detectors.live import Live
from detectors.red.metered import role_of
from detectors.simulated import ARRIVES_S, START, Simulated
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
