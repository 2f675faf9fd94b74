"""Entry points, and what their users felt since an onset."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np

from dashboard.components.users_felt import harm
from dashboard.figures.topology import Call
from dashboard.reads.series import RedSeries
from dashboard.reads.users import entry_points, felt
from tests.dashboard.values import NOW

ONSET = NOW + timedelta(seconds=100)
END = NOW + timedelta(seconds=200)


def served(name: str, *, failed: float = 0.0, ms: float = 30.0, rate: float = 10.0, direct: float = 400.0) -> RedSeries:
    """Ten buckets of ten seconds as usual, then ten in which this share fails and requests take so long."""
    calls = np.array([100.0] * 10 + [rate * 10] * 10)
    errors = np.array([0.0] * 10 + [rate * 10 * failed] * 10)
    latency = np.array([30.0] * 10 + [ms] * 10)
    latency[calls == 0] = np.nan
    return RedSeries(
        service=name, start=NOW, step_s=10, calls=calls, errors=errors, p50_ms=latency, p95_ms=latency, direct=direct
    )


def calls_of(*pairs: tuple[str, str]) -> list[Call]:
    return [
        Call(caller=caller, callee=callee, per_second=1.0, error_ratio=0.0, mean_ms=1.0, instrumented=True)
        for caller, callee in pairs
    ]


def test_an_entry_point_serves_requests_that_nothing_traced_made() -> None:
    """A few lost parents make no entry point of an inner service; calls are not even asked for."""

    def never() -> list[Call]:
        raise AssertionError

    series = {"web": served("web"), "payments": served("payments", direct=3), "jobs": served("jobs", direct=0)}
    assert entry_points(series, never) == ("web",)


def test_where_browsers_begin_all_traces_nobody_calls_an_entry_point() -> None:
    """All requests have a parent; web is the one that no service calls."""
    series = {name: served(name, direct=0) for name in ("web", "payments")}
    assert entry_points(series, lambda: calls_of(("web", "payments"), ("payments", "payments"))) == ("web",)


def test_the_worst_hurt_come_first_with_before_and_since_in_words() -> None:
    """Failures before slowness, both before a shortage of requests; a healthy one is not hurt."""
    series = {
        "api": served("api", failed=0.3, ms=600.0),
        "shop": served("shop", ms=450.0),
        "site": served("site", rate=2.0),
        "well": served("well"),
    }
    found = felt(series, sorted(series), ONSET, END)
    assert [one.entry for one in found if one.is_hurt] == ["api", "shop", "site"]
    assert [harm(one) for one in found[:3]] == [
        "30 % of requests fail (0 % before), p95 600 ms (30 ms before)",
        "p95 450 ms (30 ms before)",
        "only 2.0/s arrive (10/s before)",
    ]


def test_a_recovery_ends_what_is_counted() -> None:
    """Healthy minutes after the end do not dilute the share that failed."""
    failing = served("api", failed=1.0)
    long = replace(
        failing,
        **{
            name: np.concatenate([getattr(failing, name), np.full(80, fill)])
            for name, fill in (("calls", 100.0), ("errors", 0.0), ("p50_ms", 30.0), ("p95_ms", 30.0))
        },
    )
    (one,) = felt({"api": long}, ["api"], ONSET, END)
    assert one.since.error_ratio == 1.0


def test_nothing_served_before_is_unknown_not_zero() -> None:
    """A service that began with the trouble has no before."""
    new = replace(served("api", failed=0.5), calls=np.array([0.0] * 10 + [100.0] * 10))
    (one,) = felt({"api": new}, ["api"], ONSET, END)
    assert harm(one).startswith("50 % of requests fail (before unknown)")
