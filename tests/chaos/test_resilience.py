"""The resilience report: what callers did while their dependency was broken, in made-up traffic of every kind."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from chaos.calls import Observed, Phases, Traffic
from chaos.journal import ExperimentTruth
from chaos.resilience import Resilience, resilience, spread

BEGAN = datetime(2026, 3, 1, 3, 0, tzinfo=UTC)
HELD_S = 40.0


def traffic(
    per_s: float, errors: float = 0.0, mean_s: float = 0.02, longest_s: float | None = None, *, seconds: float = HELD_S
) -> Traffic:
    calls = int(per_s * seconds)
    return Traffic(
        calls=calls, errors=int(calls * errors), busy_s=calls * mean_s, longest_s=longest_s or mean_s, seconds=seconds
    )


def phases(during: Traffic, after: Traffic | None = None, per_s: float = 10.0) -> Phases:
    return {"before": traffic(per_s), "during": during, "after": after or traffic(per_s, seconds=30)}


def seen(
    calls: Phases, orders: Phases, web: Phases | None = None, *, held_s: float = HELD_S, experiment: str = "e1"
) -> Observed:
    """web calls orders, orders calls payments, and payments is what was broken."""
    truth = ExperimentTruth(
        id=experiment, target="/shop", fault="hang", service="payments", mechanism="hung", services=("payments",),
        began=BEGAN, ended=BEGAN + timedelta(seconds=held_s), took_effect=True, effect_at=BEGAN,
    )  # fmt: skip
    return Observed(
        truth=truth,
        calls={("orders", "payments"): calls, ("web", "orders"): orders},
        served={"orders": orders, "web": web or phases(traffic(10)), "payments": calls},
    )


def kinds(report: Resilience, service: str = "orders") -> set[str]:
    return {one.kind for one in report.weaknesses if one.service == service}


WELL = phases(traffic(10))


def test_calls_that_wait_as_long_as_the_fault_have_no_time_out() -> None:
    """They end just after it, or took many seconds while it held."""
    stalled = seen(phases(traffic(0.2), traffic(10, mean_s=9, longest_s=31, seconds=30)), WELL)
    slow = seen(phases(traffic(10, mean_s=6, longest_s=6.5)), phases(traffic(10, mean_s=6)))
    for one in (stalled, slow):
        (weakness,) = [found for found in resilience([one]).weaknesses if found.kind == "no time-out"]
        assert (weakness.service, weakness.dependency) == ("orders", "payments")
        assert "about 0.2 s" in weakness.proposal
    assert "31.0 s" in resilience([stalled]).weaknesses[0].shown


def test_a_time_out_is_credited() -> None:
    """Calls fail after a second, whatever the dependency does."""
    report = resilience([seen(phases(traffic(10, errors=1, mean_s=1)), phases(traffic(10, errors=0.9)))])
    assert "no time-out" not in kinds(report)
    assert "gives up after about 1.0 s" in {good.shown for good in report.held}


def test_failures_that_are_passed_on_show_that_there_is_no_fallback() -> None:
    """And those that are not show one."""
    failing = phases(traffic(10, errors=0.7))
    assert "no fallback" in kinds(resilience([seen(failing, phases(traffic(10, errors=0.6)))]))
    tolerant = resilience([seen(failing, phases(traffic(10, errors=0.01)))])
    assert "no fallback" not in kinds(tolerant)
    assert [good.shown.split(":")[0] for good in tolerant.held] == ["answers without it"]


def test_a_service_that_seldom_calls_is_not_asked_for_more_than_it_passes_on() -> None:
    """One request in five needs the dependency: a fifth of them fails, and nothing hides it."""
    calls: Phases = {"before": traffic(2), "during": traffic(2, errors=1), "after": traffic(2)}
    passed_on = resilience([seen(calls, phases(traffic(10, errors=0.2)))])
    assert "no fallback" in kinds(passed_on)
    few = resilience([seen({**calls, "during": traffic(2, errors=0.3)}, phases(traffic(10, errors=0.06)))])
    assert "no fallback" in kinds(few)
    assert not any("answers without it" in good.shown for good in (*passed_on.held, *few.held))


def test_going_on_at_full_rate_shows_that_there_is_no_breaker() -> None:
    """Not in a fault of ten seconds, and not where the calls stop."""
    failing, own = phases(traffic(10, errors=0.9)), phases(traffic(10, errors=0.9))
    assert "no circuit breaker" in kinds(resilience([seen(failing, own)]))
    assert "no circuit breaker" not in kinds(resilience([seen(failing, own, held_s=10)]))
    opened = resilience([seen(phases(traffic(2, errors=0.9)), own)])
    assert "no circuit breaker" not in kinds(opened)
    assert any(good.shown.startswith("stops calling it") for good in opened.held)


def test_retries_are_counted_by_request() -> None:
    """Three calls for each request are a storm; twice the requests with twice the calls are none."""
    storm = seen(phases(traffic(30, errors=0.5)), phases(traffic(10)))
    (weakness,) = [one for one in resilience([storm]).weaknesses if one.kind == "retry storm"]
    assert "3.0 times as often" in weakness.shown
    busier = seen(phases(traffic(20, errors=0.5)), phases(traffic(20)))
    assert "retry storm" not in kinds(resilience([busier]))


def test_partial_failures_ask_for_a_retry() -> None:
    """Where half of the calls fail, one more try helps; where all fail, it does not."""
    own = phases(traffic(10, errors=0.5))
    assert "no retry" in kinds(resilience([seen(phases(traffic(10, errors=0.5)), own)]))
    assert "no retry" not in kinds(resilience([seen(phases(traffic(10, errors=1)), phases(traffic(10, errors=1)))]))


def test_what_takes_the_entry_down_is_a_single_point_of_failure() -> None:
    """And how far the trouble went is told service by service."""
    failing = phases(traffic(10, errors=1))
    down = seen(failing, failing, failing)
    assert dict(spread(down)) == {"orders": 1, "web": 2}
    report = resilience([down])
    assert kinds(report, "payments") == {"single point of failure", "cascade"}
    assert report.weaknesses[0].shown == "while it was broken, 100% more of the requests to web failed"
    stopped = seen(failing, WELL, WELL)
    assert dict(spread(stopped)) == {}
    assert kinds(resilience([stopped]), "payments") == set()


def test_the_same_weakness_shown_twice_is_one() -> None:
    """With both experiments, the clearer one first."""
    first = seen(phases(traffic(10, mean_s=6, longest_s=6)), WELL, experiment="short")
    second = seen(phases(traffic(10, mean_s=9, longest_s=30)), WELL, experiment="long")
    report = resilience([first, second])
    (weakness,) = [one for one in report.weaknesses if one.kind == "no time-out"]
    assert weakness.experiments == ("long", "short")
    assert report.seen == 2


@pytest.mark.parametrize("quiet", [0.0, 0.3])
def test_little_traffic_says_nothing(quiet: float) -> None:
    """A dozen calls prove neither a weakness nor a strength; telemetry that is gone is not a report."""
    calls: Phases = {"before": traffic(quiet), "during": traffic(quiet, errors=1), "after": traffic(quiet)}
    report = resilience([seen(calls, calls, calls)])
    assert (report.weaknesses, report.held) == ((), ())
    gone = resilience([Observed(truth=seen(WELL, WELL).truth)])
    assert (gone.seen, gone.weaknesses) == (0, ())
