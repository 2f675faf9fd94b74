"""Which failures and gaps of the past are usual."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from detectors.detector import Setup
from detectors.history import History
from detectors.live import Live
from detectors.red.errors import ErrorBaseline
from detectors.red.rows import Rows
from detectors.simulated import ARRIVES_S, START, Requests, Simulated
from watchkeeper.vocabulary import utc

RESTART_S, FAULT_S = 1500, 1560  # of Watchkeeper, which remembers nothing then, and of a fault


def failing(t: float, usually: float, outage: tuple[float, float], swing_s: float = 0.0) -> Requests:
    """Four in ten during an outage of the past and from the fault on, and where it swings for 30 s in `swing_s`."""
    swings = swing_s > 0 and t % swing_s < 30
    return Requests(per_s=3, failing=0.4 if outage[0] <= t < outage[1] or t >= FAULT_S or swings else usually)


def paged(usually: float = 0.0, outage: tuple[float, float] = (0, 0), swing_s: float = 0.0) -> list[float]:
    """When errors page after a restart, seconds after the fault; the first one only."""
    requests = {
        ("desk", "POST /loans"): lambda t: failing(t, usually, outage, swing_s),
        ("desk", "GET /find"): lambda t: Requests(per_s=2 + t % 2),
    }
    telemetry, live = Simulated(seconds=1800, requests=requests), Live(history_s=1800, setup=Setup(clear_s=20))
    for at in range(RESTART_S, FAULT_S + 60, 5):
        found = live.tick(telemetry, utc(START + at + ARRIVES_S))
        if any(finding.kind == "errors" and finding.severity == "page" for finding in found):
            return [at - FAULT_S]
    return []


def test_an_outage_of_the_past_is_not_usual() -> None:
    """After a restart nobody knows that it was one, but that it came once."""
    (seconds,) = paged(outage=(700, 900))
    assert 0 < seconds <= 15
    (seconds,) = paged(usually=0.02, outage=(300, 420))
    assert 0 < seconds <= 15


def test_what_always_fails_or_fails_every_few_minutes_is_usual() -> None:
    """Neither is found before the fault; an operation that fails four in ten by itself has no news."""
    assert all(seconds > 0 for seconds in paged(usually=0.1))
    assert paged(usually=0.4) == []
    assert all(seconds > 0 for seconds in paged(swing_s=240))


@pytest.mark.parametrize(("outages", "found"), [((700,), True), ((300, 700, 1100, 1400), False)])
def test_an_outage_of_the_past_is_no_usual_gap(outages: tuple[int, ...], found: bool) -> None:
    """A gap that comes again in most of the past is: there, requests come in bursts."""

    def desk(t: float) -> Requests:
        return Requests(per_s=0 if t >= FAULT_S or any(since <= t < since + 60 for since in outages) else 5)

    requests = {("desk", "POST /loans"): desk, ("front", "GET /"): lambda _: Requests(per_s=9)}
    telemetry, live = Simulated(seconds=1800, requests=requests), Live(history_s=1800, setup=Setup(clear_s=20))
    every = [live.tick(telemetry, utc(START + at + ARRIVES_S)) for at in range(RESTART_S, FAULT_S + 40, 5)]
    assert any(one.kind == "silence" for findings in every for one in findings) is found


def test_an_operation_that_always_fails_is_no_news_when_others_are_asked_no_more() -> None:
    """A retired service still gets the requests of its self-test, which fail as they always did."""
    requests = {
        ("old", "GET /"): lambda t: Requests(per_s=20 if t < FAULT_S else 0),
        ("old", "POST /selftest"): lambda _: Requests(per_s=1, failing=1.0),
        ("front", "GET /"): lambda _: Requests(per_s=9),
    }
    telemetry, live = Simulated(seconds=1800, requests=requests), Live(history_s=1800, setup=Setup(clear_s=20))
    every = [live.tick(telemetry, utc(START + at + ARRIVES_S)) for at in range(RESTART_S, FAULT_S + 60, 5)]
    assert not any(one.kind == "errors" for findings in every for one in findings)


def test_more_failures_under_a_name_that_only_failures_have_are_news() -> None:
    """Some SDKs name a request that fails by its verb alone: that name always fails, and now it comes more often."""

    def failures(t: float) -> Requests:
        return Requests(per_s=1.6 if t >= FAULT_S else 0.2 if t % 30 < 5 else 0.0, failing=1.0)

    requests = {("desk", "DELETE /v2/loans"): lambda _: Requests(per_s=6), ("desk", "DELETE"): failures}
    telemetry, live = Simulated(seconds=1800, requests=requests), Live(history_s=1800, setup=Setup(clear_s=20))
    every = [live.tick(telemetry, utc(START + at + ARRIVES_S)) for at in range(RESTART_S, FAULT_S + 20, 5)]
    assert any(one.kind == "errors" and one.severity == "page" for findings in every for one in findings)


def test_a_service_of_rare_operations_does_not_learn_the_fault_that_lasts() -> None:
    """None of its operations has a past of its own, but the service has."""
    names = [("desk", f"GET /{number}") for number in range(40)]
    history = History(
        "red", keys=("service", "operation"), values={"calls": 0, "errors": 0, "mean_ms": 9.0}, buckets=300, step_s=5
    )
    history.advance(utc(float(START + 5 * 299)))
    # One request in a bucket, of each operation in its turn; of the newest forty, every fourth fails.
    rows = [(START + 5 * at, *names[at % 40], 1, int(at >= 260 and at % 4 == 0), 9.0) for at in range(300)]
    columns = list(zip(*rows, strict=True))
    bucket = pa.array(columns[0], pa.timestamp("s", "UTC"))
    texts = {"service": list(columns[1]), "operation": list(columns[2])}
    counts = {"calls": list(columns[3]), "errors": list(columns[4]), "mean_ms": list(columns[5])}
    history.place(pa.table({"bucket": bucket, **texts, **counts}))
    baseline = ErrorBaseline.of(Rows.of(history, 300, np.zeros((40, 300), np.bool_)))
    assert baseline.before.usual[-1] == 0.0
