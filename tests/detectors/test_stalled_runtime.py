"""Requests that wait for a busy event loop before their span begins."""

from __future__ import annotations

import pytest

from detectors.live import Live
from detectors.simulated import ARRIVES_S, START, Requests, Simulated
from watchkeeper.vocabulary import Finding, utc

FAULT_S = 1200


def found(
    *, loop_s: float, spans_ms: float, metric: str = "nodejs.eventloop.delay.p50", calls: bool = False
) -> list[Finding]:
    """What is said of a stalled runtime within a minute, of a service whose latency always varies threefold."""
    spans = {0: 10.0, 1: 30.0, 2: 14.0}

    def desk(t: float) -> Requests:
        return Requests(per_s=8, mean_ms=spans[int(t / 5) % 3] + (spans_ms if t >= FAULT_S else 0.0))

    requests = {("desk", "GET /books"): desk, ("front", "GET /"): lambda _: Requests(per_s=8, mean_ms=60.0)}
    telemetry = Simulated(
        seconds=1300,
        requests=requests if calls else {("desk", "GET /books"): desk},
        calls={("front", "desk"): lambda _: 8.0} if calls else {},
        metrics={("desk", metric): lambda t: 0.0105 + (loop_s if t >= FAULT_S else 0.0)},
    )
    live = Live(history_s=1800)
    every = [live.tick(telemetry, utc(START + at + ARRIVES_S)) for at in range(1000, FAULT_S + 60, 5)]
    return [finding for findings in every for finding in findings if finding.detector == "latency.stalled"]


@pytest.mark.parametrize("metric", ["nodejs.eventloop.delay.mean", "nodejs_eventloop_lag_seconds"])
def test_what_requests_wait_for_at_an_entry_pages(metric: str) -> None:
    """Neither the spans nor the loop alone add a tenth of a second."""
    first, *_ = found(loop_s=0.07, spans_ms=50.0, metric=metric)
    assert (first.severity, first.service, first.kind) == ("page", "desk", "latency")
    assert "its event loop is 80 ms late (usually 10 ms)" in first.summary


def test_a_late_loop_alone_and_the_tail_of_its_turns_are_details() -> None:
    """Requests that take no longer have not waited."""
    assert found(loop_s=0.2, spans_ms=0.0) == []
    assert found(loop_s=0.2, spans_ms=50.0, metric="nodejs.eventloop.delay.p99") == []


def test_behind_an_entry_it_is_a_ticket() -> None:
    assert {one.severity for one in found(loop_s=0.07, spans_ms=50.0, calls=True)} == {"ticket"}
