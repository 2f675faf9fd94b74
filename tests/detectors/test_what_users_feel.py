"""What pages and what is a ticket: by whether users, who come in at the entries, feel it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from test_whole_services import FAULT_S, from_then, steady, ticks, watch

from detectors.red.rows import Rows
from detectors.red.silence import SilenceBaseline
from detectors.simulated import Requests, Simulated

CALLS = {("web", "cart"): lambda _: 10.0, ("cart", "stock"): lambda _: 10.0}
WELL = {
    ("web", "GET /"): steady(10, 60),
    ("cart", "GET /cart"): steady(10, 30),
    ("stock", "GET /stock"): steady(10, 10),
}


def test_a_failure_that_callers_tolerate_is_a_ticket() -> None:
    """Half of a service's requests fail, and its callers answer as ever."""
    broken = WELL | {("stock", "GET /stock"): from_then(Requests(per_s=10, failing=0.5), Requests(per_s=10))}
    found = watch(Simulated(seconds=1200, requests=broken, calls=CALLS), ticks(1000))
    assert list(found) == ["ticket red:errors:stock"]


def test_a_failure_that_reaches_an_entry_pages_where_it_is_and_where_it_is_felt() -> None:
    """The ticket becomes a page when users feel it."""
    broken = WELL | {
        ("stock", "GET /stock"): from_then(Requests(per_s=10, failing=0.5), Requests(per_s=10)),
        ("web", "GET /"): from_then(Requests(per_s=10, failing=0.5), Requests(per_s=10), since_s=FAULT_S + 60),
    }
    found = watch(Simulated(seconds=1300, requests=broken, calls=CALLS), ticks(1100))
    assert found["ticket red:errors:stock"][0] <= FAULT_S + 15
    assert FAULT_S + 60 < found["page red:errors:web"][0] <= FAULT_S + 75
    assert FAULT_S + 60 < found["page red:errors:stock"][0] <= FAULT_S + 75


def test_few_failures_at_an_entry_are_enough_where_a_service_behind_it_surely_fails() -> None:
    """One user in five seconds, of whom every second fails: what others ask the service shows what it is."""

    def users(t: float) -> Requests:
        return Requests(per_s=0.2, mean_ms=60, failing=float(t >= FAULT_S and t % 10 == 0))

    broken = WELL | {
        ("stock", "GET /stock"): from_then(Requests(per_s=10, failing=0.5), Requests(per_s=10)),
        ("web", "GET /"): users,
        ("jobs", "run"): steady(10, 60),
    }
    calls = {("web", "cart"): lambda _: 0.2, ("jobs", "cart"): lambda _: 10.0, ("cart", "stock"): lambda _: 10.0}
    found = watch(Simulated(seconds=1200, requests=broken, calls=calls), ticks(1000))
    assert found["page red:errors:stock"][0] <= FAULT_S + 25


def test_probes_make_no_entry_of_a_service_that_others_call() -> None:
    """Requests that come as evenly as a clock, from nobody, are not users."""
    probed = WELL | {
        ("stock", "GET /stock"): from_then(Requests(per_s=10, failing=0.5), Requests(per_s=10)),
        ("stock", "GET /health"): steady(40, 1),
    }
    found = watch(Simulated(seconds=1200, requests=probed, calls=CALLS), ticks(1000))
    assert list(found) == ["ticket red:errors:stock"]


def test_who_is_called_by_others_that_report_no_calls_is_no_entry() -> None:
    """Its requests have a parent, those of the entry have none: users feel its trouble where they come in."""

    def direct(at: float) -> Requests:
        return Requests(per_s=10 + at // 60 % 7, direct=1.0)  # users do not come by the clock

    broken = from_then(Requests(per_s=10, failing=0.5), Requests(per_s=10))
    called = {("web", "GET /"): direct, ("stock", "GET /stock"): broken, ("mailer", "orders process"): broken}
    found = watch(Simulated(seconds=1200, requests=called), ticks(1000))
    assert set(found) == {"ticket red:errors:stock", "ticket red:errors:mailer"}

    def failing(at: float) -> Requests:
        return replace(direct(at), failing=0.5 if at >= FAULT_S + 60 else 0.0)

    found = watch(Simulated(seconds=1200, requests=called | {("web", "GET /"): failing}), ticks(1100))
    assert found["page red:errors:web"][0] <= FAULT_S + 75
    assert FAULT_S + 60 < found["page red:errors:stock"][0] <= FAULT_S + 75


def test_where_no_caller_is_known_trouble_pages() -> None:
    """Without calls between services, each may be the one that users call."""
    broken = WELL | {("stock", "GET /stock"): from_then(Requests(per_s=10, failing=0.5), Requests(per_s=10))}
    found = watch(Simulated(seconds=1200, requests=broken), ticks(1000))
    assert list(found) == ["page red:errors:stock"]


def test_everything_slow_at_once_pages_at_the_entry() -> None:
    """A dependency that all share answers late: users wait, whoever's fault it is."""
    names = ("web", "a", "b", "c", "d", "e", "f")
    requests = {
        (name, "GET /"): from_then(Requests(per_s=10, mean_ms=300), Requests(per_s=10, mean_ms=20)) for name in names
    }
    calls = {("web", name): lambda _: 10.0 for name in names[1:]}
    found = watch(Simulated(seconds=1200, requests=requests, calls=calls), ticks(960))
    assert found["page red:latency:web"][0] <= FAULT_S + 15


def test_a_service_that_runs_and_is_called_no_more_is_a_ticket() -> None:
    """It still exports its metrics: it is retired, or nobody can reach it."""
    retired = WELL | {("old", "GET /"): from_then(Requests(per_s=0), Requests(per_s=0.5))}
    telemetry = Simulated(
        seconds=1400, requests=retired, calls=CALLS, metrics={("old", "threads"): lambda t: 5 + t % 7}
    )
    found = watch(telemetry, ticks(1100))
    assert list(found) == ["ticket red:silence:old"]
    died = replace(telemetry, metrics={("old", "threads"): lambda t: 5 + t % 7 if t < FAULT_S else None})
    assert "page red:silence:old" in watch(died, ticks(1100))


def test_an_entry_that_dies_is_silent_and_not_the_pipeline() -> None:
    """No request comes any more, anywhere, and metrics do."""
    dead = {name: from_then(Requests(per_s=0), Requests(per_s=10)) for name in WELL}
    alive = {(name, "threads"): lambda t: 5 + t % 7 for name in ("cart", "stock")}
    found = watch(Simulated(seconds=1400, requests=dead, calls=CALLS, metrics=alive), ticks(1000))
    assert found["page red:silence:web"][0] <= FAULT_S + 60
    assert watch(Simulated(seconds=1400, requests=dead, calls=CALLS), ticks(1000)) == {}


def test_what_came_for_a_while_is_not_missed() -> None:
    """Failures that came under a name of their own for some minutes are over; a service that goes on is well."""

    def burst(t: float) -> Requests:
        return Requests(per_s=8 if 450 <= t < 650 else 0)

    telemetry = Simulated(seconds=1300, requests=WELL | {("web", "GET"): burst}, calls=CALLS)
    assert watch(telemetry, ticks(1200, since_s=920)) == {}


def test_telemetry_that_always_comes_some_seconds_late_is_not_silent() -> None:
    """Right after the start, too, when nobody knows yet that it is late."""

    class Late(Simulated):
        def red_levels(self, window):  # type: ignore[no-untyped-def]
            return replace(Simulated(seconds=self.seconds, requests=self.requests), now_s=self.now_s - 15).red_levels(
                window
            )

    found = watch(Late(seconds=1200, requests=WELL), ticks(1000))
    assert found == {}


def test_gaps_that_are_usual_are_known_from_what_was_calm() -> None:
    """Requests of every sixth bucket, of which trouble leaves a third of the past."""
    calls = np.where(np.arange(180) % 6 == 0, 50.0, 0.0)[None, :]
    calm = np.arange(180)[None, :] < 60
    rows = Rows(
        services=["orders"],
        operations=["GET /"],
        code=np.zeros(1, np.int64),
        calls=calls,
        errors=np.zeros_like(calls),
        mean_ms=np.where(calls > 0, 10.0, np.nan),
        calm=calm,
        recent_calls=np.repeat(calls, 2, axis=0),
        recent_errors=np.zeros((2, 180)),
    )
    assert SilenceBaseline.of(rows).gap.tolist() == [5.0, 5.0]
