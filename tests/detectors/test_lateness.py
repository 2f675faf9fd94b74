"""Telemetry that comes late, or from a clock that is off, is judged all the same, and named."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest
from shop_of_numbers import START, Shop

from detectors.arrivals.clock_skew import Offset, skews
from detectors.arrivals.lateness import Lateness
from detectors.live import Live
from detectors.red.silence import Lag
from watchkeeper.problems import Problems
from watchkeeper.vocabulary import Finding, utc


def pages(shop: Shop, live: Live, since_s: float, until_s: float) -> dict[str, tuple[float, Finding]]:
    """When each page first fired, and as what."""
    found: dict[str, tuple[float, Finding]] = {}
    at = since_s
    while at < until_s:
        for finding in shop.tick(live, at):
            if finding.severity == "page":
                found.setdefault(finding.key, (at, finding))
        at += 2.0
    return found


@pytest.mark.parametrize("late_s", [35.0, 90.0, 200.0, 480.0])
def test_a_failure_in_late_telemetry_is_found_with_its_own_onset(late_s: float) -> None:
    """A service whose exporter queues is judged that much later, and is not called silent meanwhile."""
    shop = Shop(seed=3, seconds=1800)
    shop.late["money"] = late_s
    shop.fail("money", 1000, 1060, 0.5)
    found = pages(shop, Live(history_s=1800), 700, 1780)
    assert set(found) == {"red:errors:money"}
    at, finding = found["red:errors:money"]
    assert 1000 + late_s <= at <= 1000 + late_s + 75
    assert abs(finding.onset.timestamp() - START - 1000) <= 15


def test_tail_sampling_makes_everybody_late_and_nobody_unwatched() -> None:
    """All spans come 45 seconds late: a slowdown is found, and calm is calm."""
    shop = Shop(seed=4, seconds=1500)
    shop.late = dict.fromkeys({name for name, *_ in shop.series}, 45.0)
    shop.slow("orders", 900, 960, more_ms=500)
    found = pages(shop, Live(history_s=1800), 500, 1400)
    assert "red:latency:orders" in found
    assert all(key.startswith("red:latency") for key in found)


def test_a_service_that_stops_is_silent_and_not_late() -> None:
    """Its newest data does not advance: silence is found as soon as ever."""
    shop = Shop(seed=5, seconds=1200)
    shop.stop("stock", 900, 1200)
    found = pages(shop, Live(history_s=1800), 600, 1100)
    assert found["red:silence:stock"][0] <= 940


def test_a_late_service_that_stops_is_silent_that_much_later() -> None:
    """Nothing is judged sooner than it can be known."""
    shop = Shop(seed=5, seconds=1500)
    shop.late["stock"] = 90.0
    shop.stop("stock", 900, 1500)
    found = pages(shop, Live(history_s=1800), 600, 1400)
    assert 990 <= found["red:silence:stock"][0] <= 1090


def test_a_clock_ahead_is_judged_and_is_a_ticket() -> None:
    """Rows from five minutes in the future are judged as what they are, and somebody reads whose clock it is."""
    shop = Shop(seed=6, seconds=1500)
    shop.ahead["money"] = 300.0
    shop.fail("money", 1000, 1060, 0.5)
    live = Live(history_s=1800)
    found = pages(shop, live, 700, 1200)
    assert set(found) == {"red:errors:money"}
    (ticket,) = [finding for finding in shop.tick(live, 1202) if finding.signal == "clock"]
    assert (ticket.severity, ticket.service) == ("ticket", "money")
    assert ticket.summary.startswith("money's clock is 29")


@pytest.mark.parametrize("ahead_s", [60.0, 150.0, 300.0])
def test_a_clock_that_is_set_right_is_no_silence(ahead_s: float) -> None:
    """A service restarts with a right clock: its rows go on behind its newest, are judged, and the ticket ends."""
    shop = Shop(seed=11, seconds=2400)
    shop.ahead["money"], shop.set_right_at["money"] = ahead_s, 900.0
    live = Live(history_s=1800)
    assert pages(shop, live, 600, 1000 + ahead_s) == {}
    assert "judged so much later" not in live.readiness()["money"].reason
    shop.fail("money", 1200 + int(ahead_s), 1260 + int(ahead_s), 0.6)
    found = pages(shop, live, 1000 + ahead_s, 1500 + ahead_s)
    assert set(found) == {"red:errors:money"}
    assert found["red:errors:money"][0] <= 1245 + ahead_s
    assert [finding for finding in shop.tick(live, 1502 + ahead_s) if finding.signal == "clock"] == []


def test_a_service_with_a_wrong_clock_that_stops_is_silent() -> None:
    """Nothing of it comes any more: that is told apart from a clock that was set."""
    shop = Shop(seed=12, seconds=1500)
    shop.ahead["money"] = 300.0
    shop.stop("money", 900, 1500)
    assert pages(shop, Live(history_s=1800), 600, 1000)["red:silence:money"][0] <= 975


def test_the_ticket_of_a_clock_ends_with_its_service() -> None:
    """Whoever was ahead and is gone has no clock to look after."""
    shop = Shop(seed=13, seconds=3000)
    shop.ahead["money"] = 100.0
    shop.stop("money", 800, 3000)
    live = Live(history_s=1800)
    pages(shop, live, 600, 700)
    assert [finding.service for finding in shop.tick(live, 702) if finding.signal == "clock"] == ["money"]
    assert [finding for finding in shop.tick(live, 1800) if finding.signal == "clock"] == []


def test_delays_that_come_and_go_read_the_history_again_once_a_minute_at_most() -> None:
    """A thousand services at the edge of being late, each at another moment, for an hour."""
    lateness, at, moves = Lateness("spans", 600.0), float(START), 0
    dice = np.random.default_rng(1)
    for look in range(360):
        at += 10
        delays = np.where((np.arange(1000) + look) % 40 < 20, 14.0, 28.0) + dice.random(1000)
        newest = {f"s{number}": at - delay for number, delay in enumerate(delays)}
        moves += bool(lateness.observe(newest, at))
    assert 0 < moves <= 60


def test_services_that_vanish_cost_no_read() -> None:
    """What is gone from the reach of any read has nothing to be read again."""
    lateness, at = Lateness("spans", 600.0), float(START)
    for _ in range(8):
        at += 10
        lateness.observe({"a": at - 100}, at)
    assert lateness.delays == {"a": 120}
    assert lateness.observe({}, at + 1000) == frozenset()
    assert lateness.delays == {}


def test_a_flood_of_late_services_is_told_in_few_words() -> None:
    """Three hundred services beyond the bound do not push out what else was set aside."""
    series = tuple((f"s{number}", "GET /", 1.0, 5.0) for number in range(300))
    shop = Shop(seed=14, seconds=600, series=series)
    shop.late = {name: 150.0 for name, *_ in series}
    problems = Problems(None)
    problems.report("timers", "escalate of inc-1", "it cannot be read")
    live = Live(history_s=600, problems=problems, late_s=60)
    for at in range(400, 480, 5):
        shop.tick(live, at)
    subjects = [one.subject for one in problems.current()]
    assert "escalate of inc-1" in subjects
    assert "spans of others" in subjects
    assert len(subjects) <= 25


def test_later_than_the_bound_is_said_and_not_judged() -> None:
    """What is stored and not judged stands where an operator looks."""
    shop = Shop(seed=7, seconds=1500)
    shop.late["parcels"] = 150.0
    problems = Problems(None)
    live = Live(history_s=1800, problems=problems, late_s=60)
    pages(shop, live, 800, 1100)
    (problem,) = problems.current()
    assert (problem.loop, problem.subject) == ("late telemetry", "spans of parcels")
    assert "beyond watch.late_s: stored, not judged" in problem.reason
    shop.late.clear()
    pages(shop, live, 1100, 1300)
    assert problems.current() == ()


def test_a_delay_that_ends_is_forgotten() -> None:
    """Once the exporter keeps up again, the service is judged in time again."""
    shop = Shop(seed=8, seconds=1800)
    shop.late["money"] = 120.0
    live = Live(history_s=1800)
    assert pages(shop, live, 600, 900) == {}
    shop.late.clear()
    assert pages(shop, live, 900, 1100) == {}
    shop.fail("money", 1200, 1260, 0.6)
    at, _ = pages(shop, live, 1100, 1400)["red:errors:money"]
    assert at <= 1235


def test_readiness_says_who_is_judged_later() -> None:
    """A human who wonders why nothing came yet reads it beside the service."""
    shop = Shop(seed=9, seconds=1200)
    shop.late["advice"] = 90.0
    live = Live(history_s=1800)
    pages(shop, live, 600, 900)
    assert "come 90 s late, and judged so much later" in live.readiness()["advice"].reason
    assert "judged so much later" not in live.readiness()["front"].reason


def test_one_late_batch_is_no_late_service() -> None:
    """A queue that is flushed once moves nothing: delays must agree some times in a row."""
    lateness, at = Lateness("spans", 600.0), float(START)
    for delay in (5, 5, 250, 180, 90, 20, 5, 5, 5, 5):
        at += 10
        assert lateness.observe({"a": at - delay}, at) == frozenset()
    assert lateness.delays == {}


def offset(caller: str, callee: str, seconds: float = 0.0) -> Offset:
    """A pair with enough calls."""
    return Offset(caller=caller, callee=callee, seconds=seconds, calls=50)


def test_the_one_who_disagrees_with_all_is_skewed() -> None:
    """Callers and callees of one service all say the same of its clock."""
    pairs = [offset("web", "cart"), offset("web", "pay", 95), offset("pay", "bank", -95), offset("cart", "bank")]
    assert skews(pairs, {}) == {"pay": 95}


def test_two_hosts_that_share_a_wrong_clock_are_both_named() -> None:
    """The larger group is right; the offset goes on along calls within the smaller."""
    pairs = [offset("a", "b"), offset("b", "c"), offset("c", "x", -40), offset("x", "y")]
    assert skews(pairs, {}) == {"x": -40, "y": -40}


def test_of_two_who_disagree_the_one_out_of_time_is_off() -> None:
    """Arrival decides where there is no majority."""
    assert skews([offset("a", "b", 60)], {"a": 4.0, "b": -56.0}) == {"b": 60}
    assert skews([offset("a", "b", 60)], {"a": 64.0, "b": 4.0}) == {"a": -60}


def test_ordinary_differences_and_few_calls_are_no_skew() -> None:
    """Half a second is nothing; three calls are no evidence."""
    assert skews([offset("a", "b", 0.5), Offset(caller="b", callee="c", seconds=99, calls=3)], {}) == {}


def test_a_finding_keeps_its_key_when_its_service_becomes_late() -> None:
    """The onset moves, the finding is the same."""
    shop = Shop(seed=10, seconds=1500)
    shop.fail("money", 900, 1400, 0.5)
    live = Live(history_s=1800)
    pages(shop, live, 800, 960)
    before = {f.key: f for f in shop.tick(live, 960) if f.severity == "page"}
    shop.late["money"] = 60.0
    pages(shop, live, 962, 1200)
    after = {f.key: f for f in shop.tick(live, 1202) if f.severity == "page"}
    assert before.keys() == after.keys() == {"red:errors:money"}
    assert after["red:errors:money"].seen_at == utc(START + 1202)
    assert after["red:errors:money"].onset - before["red:errors:money"].onset < timedelta(seconds=40)


def test_the_lag_of_a_service_is_how_late_its_buckets_were_filled() -> None:
    """Batches and a constant delay are lags; rare requests and an outage that ended are none."""
    lag, starts = Lag(), np.arange(1200, 1800, 5)
    minutes = (starts // 60) % 2 == 0
    for now in range(1205, 1805, 5):
        on_time = starts + 5 <= now
        batched = starts + 5 <= now // 30 * 30
        late = starts + 20 <= now
        came = np.array([on_time, batched, late, on_time & (starts % 60 == 0), on_time & minutes], np.float64)
        lags = lag.of(("punctual", "batches", "late", "rare", "down at times"), came[:, on_time], starts[on_time])
    assert lags.tolist() == [0, 5, 3, 0, 0]
