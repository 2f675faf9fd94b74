"""Calls that fail as their callers see it."""

from __future__ import annotations

from test_what_users_feel import CALLS, WELL
from test_whole_services import FAULT_S, from_then, steady, ticks, watch

from detectors.simulated import Requests, Simulated

CACHED = CALLS | {("cart", "redis"): lambda _: 10.0, ("stock", "redis"): lambda _: 3.0}


def fails(at: float) -> float:
    return 0.7 if FAULT_S <= at < FAULT_S + 300 else 0.0


def test_a_dependency_that_fails_for_callers_that_do_without_is_one_ticket() -> None:
    """It reports nothing itself, and no request fails for it; the ticket names who is hit most, and ends."""
    failing = {call: fails for call in CACHED if call[1] == "redis"}
    broken = Simulated(seconds=1800, requests=WELL, calls=CACHED, failing=failing)
    found = watch(broken, ticks(1100))
    assert list(found) == ["ticket calls:redis"]
    at, finding = found["ticket calls:redis"]
    assert at <= FAULT_S + 40
    assert finding.summary.endswith("UTC, most of all those of cart")
    assert "ticket calls:redis" not in watch(broken, ticks(1700, since_s=1600))


def test_a_callee_that_is_not_called_any_more_is_over() -> None:
    """Only failed calls bear its address; those that are answered name who answers."""
    calls = CALLS | {("cart", "stock:80"): lambda t: 9.0 if FAULT_S <= t < FAULT_S + 200 else 0.0}
    lost = Simulated(seconds=1600, requests=WELL, calls=calls, failing={("cart", "stock:80"): lambda _: 1.0})
    assert "ticket calls:stock:80" in watch(lost, ticks(FAULT_S + 100))
    assert "ticket calls:stock:80" not in watch(lost, ticks(FAULT_S + 500, since_s=FAULT_S + 360))


def test_what_the_callee_reports_itself_is_said_once() -> None:
    """Its own requests fail, so that a second finding about the same would be too much."""
    half = from_then(Requests(per_s=10, failing=0.5), Requests(per_s=10))
    failing = {("cart", "stock"): fails}
    found = watch(
        Simulated(seconds=1200, requests=WELL | {("stock", "GET /stock"): half}, calls=CALLS, failing=failing),
        ticks(1100),
    )
    assert list(found) == ["ticket red:errors:stock"]


def test_calls_that_failed_all_along_are_no_news() -> None:
    """A third of them always does."""
    failing = {call: lambda _: 0.3 for call in CACHED}
    telemetry = Simulated(
        seconds=1200, requests=WELL | {("web", "GET /a"): steady(5, 30)}, calls=CACHED, failing=failing
    )
    assert watch(telemetry, ticks(1100)) == {}
