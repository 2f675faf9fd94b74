"""The live detectors on a shop made of numbers: early on faults, quiet otherwise."""

from __future__ import annotations

import numpy as np
import pytest
from shop_of_numbers import SERIES, STEP, Shop

from detectors.live import Live
from tests.waiting import calls_of
from watchkeeper.vocabulary import Finding

FAULT_AT = 301  # inside a bucket, as faults are


def test_it_is_quiet_on_a_wave(shop: Shop) -> None:
    """Half an hour of traffic that swings as a day does wakes nobody."""
    assert shop.ticks(Live(history_s=1800), 20, 1800, every_s=5) == {}


@pytest.mark.parametrize("seed", range(4))
def test_it_is_quiet_right_after_the_start(seed: int) -> None:
    """Two minutes after a warm-up of one minute, with no fault, wake nobody."""
    assert Shop(seed=seed, seconds=300).ticks(Live(history_s=3600), 5, 190) == {}


@pytest.mark.parametrize("service", sorted({name for name, *_ in SERIES}))
@pytest.mark.parametrize(
    ("name", "kind"), [("three_times", "latency"), ("more", "latency"), ("errors", "errors"), ("killed", "silence")]
)
def test_it_notices_a_fault_early(service: str, name: str, kind: str) -> None:
    """Slower by 3x (and by 100 ms that one can feel) or 300 ms, one request in five failing, or silence: in 20 s."""
    shop = Shop(seed=7, seconds=400)
    usual = min(ms for one, _, _, ms in SERIES if one == service)
    match name:
        case "three_times":
            shop.slow(service, 300, 400, times=max(3.0, 130 / usual))
        case "more":
            shop.slow(service, 300, 400, more_ms=300)
        case "errors":
            shop.fail(service, 300, 400, 0.5 if service == "parcels" else 0.2)
        case _:
            shop.stop(service, 300, 400)
    opened = shop.ticks(Live(history_s=3600), 5, 340)
    # One request a second cannot tell silence from chance as soon as ten can.
    patience = {"parcels": 45 if name == "killed" else 30, "money": 30, "orders": 30}.get(service, 20)
    assert [key for key, at in opened.items() if min(at) <= 300 + patience] == [f"red:{kind}:{service}"]


def test_it_notices_a_fault_after_little_warm_up() -> None:
    """A fault eighty seconds after the start is noticed."""
    shop = Shop(seed=3, seconds=200)
    shop.slow("orders", 100, 200, more_ms=300)
    opened = shop.ticks(Live(history_s=3600), 5, 130)
    assert list(opened) == ["red:latency:orders"]


def test_a_recovery_is_no_finding(shop: Shop) -> None:
    """A fault opens one finding, which ends; the way back to normal opens none, and the next fault is seen again."""
    shop.slow("orders", 300, 400, more_ms=400)
    shop.fail("goods", 600, 660, 0.5)
    shop.slow("orders", 900, 1000, more_ms=400)
    opened = shop.ticks(Live(history_s=1800), 5, 1200)
    assert {key: len(times) for key, times in opened.items()} == {"red:latency:orders": 2, "red:errors:goods": 1}
    assert all(300 <= at <= 330 or 900 <= at <= 930 for at in opened["red:latency:orders"])


def test_a_finding_keeps_its_key_and_onset(shop: Shop) -> None:
    """While it lasts, a finding is the same one; its onset is near the first bad second."""
    shop.slow("orders", 300, 500, more_ms=400)
    live = Live(history_s=1800)
    shop.ticks(live, 5, 320)
    seen = {(f.key, f.onset) for at in range(320, 480, 10) for f in shop.tick(live, at) if f.severity == "page"}
    assert len(seen) == 1
    ((key, onset),) = seen
    assert key == "red:latency:orders"
    assert abs(onset.timestamp() % 1_800_000_000 - 300) <= STEP


def test_a_finding_tells_the_value_that_raised_it(shop: Shop) -> None:
    """A slow quarter of a minute is told by how slow it was, also when the newest bucket is normal again."""
    shop.slow("orders", 300, 315, more_ms=900)
    live = Live(history_s=1800)
    shop.ticks(live, 5, 300)
    told = [f.value for at in range(300, 340, 2) for f in shop.tick(live, at) if f.key == "red:latency:orders"]
    assert told
    assert min(value or 0.0 for value in told) > 600


def test_a_slowdown_that_all_services_share_pages_at_once(shop: Shop) -> None:
    """When every service is far slower at once, users feel it: somebody is paged as soon as for a single service."""
    for service in {name for name, *_ in SERIES}:
        shop.slow(service, 300, 400, times=6, more_ms=100)
    opened = shop.ticks(Live(history_s=1800), 5, 400, every_s=5)
    assert 300 < opened["red:latency:front"][0] <= 320
    assert {len(times) for times in opened.values()} == {1}


def test_a_lasting_shift_is_told_once(shop: Shop) -> None:
    """A service that stays slow is told once, then that is its new level."""
    shop.slow("orders", 300, 1800, more_ms=300)
    live = Live(history_s=1800)
    opened = shop.ticks(live, 5, 1800, every_s=5)
    assert {key: len(times) for key, times in opened.items()} == {"red:latency:orders": 1}
    assert not [f for f in shop.tick(live, 1799) if f.severity == "page"]


def test_a_restart_forgets_nothing(shop: Shop) -> None:
    """A new process in the middle of a fault reads the history and reports the same finding at its first tick."""
    shop.slow("orders", 300, 500, more_ms=400)
    assert [f.key for f in shop.tick(Live(history_s=1800), 330) if f.severity == "page"] == ["red:latency:orders"]


def test_a_collector_that_stops_is_not_eight_silent_services(shop: Shop) -> None:
    """When nothing arrives at all, no service is called silent: the pipeline is what failed."""
    shop.calls[:, 300 // STEP :] = 0
    assert shop.ticks(Live(history_s=1800), 5, 420) == {}


def test_fifty_of_a_thousand_services_break_and_are_found() -> None:
    """Twenty thousand series: a tick's work grows with their number, and no faster."""
    calls = {}
    for services, broken in ((250, 12), (1000, 50)):
        series = tuple((f"s{i}", f"op{j}", 1.0, 20.0) for i in range(services) for j in range(20))
        shop = Shop(seed=5, seconds=200, series=series)
        for i in range(broken):
            shop.slow(f"s{i}", 150, 200, more_ms=400)
        live = Live(history_s=200)
        shop.tick(live, 150)
        found: list[Finding] = []
        calls[services] = calls_of(lambda shop=shop, live=live, found=found: found.extend(shop.tick(live, 183)))
        assert {f.service for f in found if f.severity == "page"} == {f"s{i}" for i in range(broken)}
    assert calls[1000] < 8 * calls[250]


def test_series_that_are_gone_make_room_for_new_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """Services that were replaced under other names do not stop the new ones from being followed."""
    monkeypatch.setattr("detectors.histories.MOST_SERIES", 12)
    pods = tuple((f"pod-{generation}-{i}", "GET /", 8.0, 10.0) for generation in range(3) for i in range(6))
    shop = Shop(seed=5, seconds=1500, series=pods)
    for row, (service, *_) in enumerate(pods):
        generation = int(service.split("-")[1])
        shop.calls[row, : generation * 500 // STEP] = 0
        shop.calls[row, (generation + 1) * 500 // STEP :] = 0
    live = Live(history_s=180)
    shop.ticks(live, 5, 1400, every_s=10)
    assert {service for service, one in live.readiness().items() if one.stage == "ready"} == {
        f"pod-2-{i}" for i in range(6)
    }


@pytest.mark.parametrize("seed", range(3))
def test_an_error_rate_that_swings_by_itself_wakes_nobody_and_an_outage_does(seed: int) -> None:
    """Errors that come in bunches are this service's habit; most requests failing is not."""
    shop = Shop(seed=seed, seconds=1500)
    (row,) = shop.rows("basket")
    swing = np.exp(0.8 * np.repeat(shop.dice.normal(size=shop.buckets // 6 + 1), 6)[: shop.buckets])
    shop.calls[row] = shop.dice.poisson(40.0, shop.buckets)
    shop.errors[row] = shop.dice.binomial(shop.calls[row].astype(int), np.minimum(0.03 * swing, 0.3))
    shop.fail("basket", 1300, 1400, 0.9)
    opened = shop.ticks(Live(history_s=1800), 5, 1400, every_s=5)
    assert list(opened) == ["red:errors:basket"]
    assert 1300 <= min(opened["red:errors:basket"]) <= 1330
