"""Series on a grid, and what makes a service well or ill."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from dashboard.reads.cache import Cache
from dashboard.reads.fleet import unjudged
from dashboard.reads.health import MARKS, SHAPES, WORST_FIRST, judge
from dashboard.reads.series import by_service
from tests.dashboard.values import NOW, finding
from watchkeeper.vocabulary import Readiness, Window

START = datetime(2026, 3, 1, 2, 50, tzinfo=UTC)


def table(*rows: tuple[int, str, int, int, float]) -> pa.Table:
    """Rows of (seconds after START, service, calls, errors, p95 in ms)."""
    return pa.table(
        {
            "bucket": pa.array([START + timedelta(seconds=r[0]) for r in rows], pa.timestamp("ms", "UTC")),
            "service": [r[1] for r in rows],
            "calls": pa.array([r[2] for r in rows], pa.int64()),
            "errors": pa.array([r[3] for r in rows], pa.int64()),
            "p50_ms": [r[4] / 2 for r in rows],
            "p95_ms": [r[4] for r in rows],
        }
    )


def test_gaps_are_zero_requests_and_unknown_latency() -> None:
    """A bucket without rows served nothing; how fast that was, nobody knows."""
    window = Window(start=START, end=START + timedelta(seconds=20))
    series = by_service(table((0, "cart", 10, 1, 40.0), (10, "cart", 20, 0, 50.0)), window, 5)["cart"]
    assert series.calls.tolist() == [10, 0, 20, 0]
    assert series.rate.tolist() == [2, 0, 4, 0]
    assert np.isnan(series.p95_ms).tolist() == [False, True, False, True]
    assert np.isnan(series.error_ratio).tolist() == [False, True, False, True]


def test_only_whole_buckets_are_shown() -> None:
    """Half a bucket would look like half the traffic."""
    window = Window(start=START + timedelta(seconds=3), end=START + timedelta(seconds=18))
    series = by_service(table((0, "cart", 1, 0, 1.0), (5, "cart", 2, 0, 1.0), (15, "cart", 9, 0, 1.0)), window, 5)[
        "cart"
    ]
    assert series.start == START + timedelta(seconds=5)
    assert series.calls.tolist() == [2, 0]


def test_the_present_is_what_the_last_minute_did() -> None:
    """Recent numbers come from the newest complete buckets, weighted by requests."""
    window = Window(start=START, end=START + timedelta(seconds=40))
    rows = [(s, "cart", 10, 5 if s >= 10 else 0, 100.0 if s >= 10 else 20.0) for s in range(0, 40, 10)]
    recent = by_service(table(*rows), window, 10)["cart"].recent(20)
    assert recent.per_second == 1.0
    assert recent.error_ratio == 0.5
    assert recent.p95_ms == 100.0


def test_a_page_worthy_finding_makes_a_service_failing() -> None:
    """The reason shown is the detector's own sentence."""
    health = judge("cart", last_served=NOW, findings=[finding("cart")], judged="", now=NOW)
    assert (health.state, health.reason) == ("failing", "cart: 41 % of requests fail, expected 0.4 %")


@pytest.mark.parametrize(
    ("served_ago_s", "judged", "state"),
    [(5, "", "ok"), (600, "", "silent"), (None, "", "unknown"), (5, "the watch role is not running", "unknown")],
)
def test_nothing_unknown_is_healthy(served_ago_s: int | None, judged: str, state: str) -> None:
    """Silence, absence and being unwatched are states of their own."""
    served = NOW - timedelta(seconds=served_ago_s) if served_ago_s is not None else None
    assert judge("cart", last_served=served, findings=[], judged=judged, now=NOW).state == state


def test_a_ticket_degrades_and_a_silence_silences() -> None:
    """Severity and kind decide, not the score alone."""
    ticket = finding("cart", severity="ticket", score=1.0)
    silence = finding("cart", kind="silence")
    assert judge("cart", last_served=NOW, findings=[ticket], judged="", now=NOW).state == "degraded"
    assert judge("cart", last_served=NOW, findings=[ticket, silence], judged="", now=NOW).state == "silent"


def test_states_differ_in_shape_and_mark_not_only_in_colour() -> None:
    """Nobody needs to see colours to distinguish two states."""
    assert len({MARKS[state] for state in WORST_FIRST}) == len(WORST_FIRST)
    assert len({SHAPES[state] for state in WORST_FIRST}) == len(WORST_FIRST)


def test_a_reading_is_shared_for_a_moment_and_then_read_anew() -> None:
    """Two viewers within the time to live cost one query; a command makes everybody read again."""
    now = [0.0]
    loads: list[int] = []
    cache = Cache(2.0, lambda: now[0])

    def read() -> int:
        return cache.get("key", lambda: loads.append(1) or len(loads))

    assert (read(), read()) == (1, 1)
    now[0] = 2.5
    assert read() == 2
    cache.clear()
    assert read() == 3


def test_a_failed_reading_is_not_remembered() -> None:
    """The next viewer tries again."""
    cache = Cache(2.0)

    def fail() -> int:
        raise LookupError

    with pytest.raises(LookupError):
        cache.get("key", fail)
    assert cache.get("key", lambda: 7) == 7


def test_silence_of_detectors_that_still_learn_is_not_health() -> None:
    """A service that no detector met, or whose level is not known, is unknown, with the reason."""
    learning = Readiness(service="cart", stage="learning", reason="requests seen in 5 of 35 s that a level needs")
    for why in (unjudged(None), unjudged(learning)):
        health = judge("cart", last_served=NOW, findings=[], judged=why, now=NOW)
        assert (health.state, health.reason) == ("unknown", why)
    assert "5 of 35 s" in unjudged(learning)
    assert unjudged(Readiness(service="cart", stage="level", reason="the shape of latency needs 240 s")) == ""
