"""What one detector dies of costs the others nothing, and clears nothing."""

from __future__ import annotations

import pyarrow as pa
import pytest
from shop_of_numbers import Shop

from detectors.live import Live
from watchkeeper.errors import StoreError
from watchkeeper.problems import Problems
from watchkeeper.vocabulary import Finding, Window, utc


class PoisonedShop(Shop):
    """A shop of which some kinds of telemetry cannot be read, or are not what a detector takes."""

    def poison(self, **reads: BaseException | pa.Table) -> None:
        for name, what in reads.items():

            def read(*_: object, what: BaseException | pa.Table = what, **__: object) -> pa.Table:
                if isinstance(what, BaseException):
                    raise what
                return what

            setattr(self, name, read)


def of(detector: str) -> Finding:
    at = utc(1_800_000_000)
    return Finding(
        detector=detector,
        detector_version="1",
        kind="metric",
        service="orders",
        summary="x",
        onset=at,
        seen_at=at,
        score=0.5,
    )


@pytest.fixture
def slow_shop() -> PoisonedShop:
    shop = PoisonedShop(seed=2, seconds=600)
    shop.slow("orders", 300, 600, times=6)
    return shop


@pytest.mark.parametrize(
    "poison",
    [
        {"metric_series": pa.table({"bucket": ["yesterday"], "service": [3]})},
        {"metric_series": StoreError("the store refused a query: memory limit exceeded")},
        {"metric_series": OverflowError("int too big"), "log_bodies": KeyError("body")},
        {"log_counts": ValueError("NaN"), "edges": TypeError("None")},
        {"red": ZeroDivisionError()},
    ],
)
def test_what_cannot_be_read_costs_only_who_reads_it(slow_shop: PoisonedShop, poison: dict[str, object]) -> None:
    """Requests are still judged, and what is missing is told and neither clears nor opens."""
    problems = Problems(None)
    live = Live(history_s=1800, problems=problems)
    slow_shop.tick(live, 250)
    sound = dict(slow_shop.__dict__)
    slow_shop.poison(**poison)  # type: ignore[arg-type]
    found = [finding for at in range(262, 340, 6) for finding in slow_shop.tick(live, at)]
    assert any(finding.service == "orders" and finding.severity == "page" for finding in found)
    assert {one.loop for one in problems.current()} == {"detectors"}
    assert live.judged(of("red.latency"))
    detector = {
        "metric_series": "metrics.level",
        "log_counts": "logs.errors",
        "edges": "topology.gone",
        "red": "latency.shape",
    }
    for read, name in detector.items():
        if read in poison:
            assert not live.judged(of(name)), "it would clear though nobody looked"
    slow_shop.__dict__.clear()
    slow_shop.__dict__.update(sound)
    slow_shop.tick(live, 352)
    assert all(live.judged(of(name)) for name in detector.values())
    assert problems.current() == ()


def test_a_detector_that_fails_clears_nothing_and_takes_nothing_away(
    slow_shop: PoisonedShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own findings stay as they are until it judges again."""
    problems = Problems(None)
    live = Live(history_s=1800, problems=problems)
    slow_shop.tick(live, 250)

    def dies(*_: object) -> list[Finding]:
        raise RuntimeError("a defect")

    with monkeypatch.context() as broken:
        broken.setattr(live._detectors["drift.service"], "judge", dies)
        found = [finding for at in range(262, 340, 6) for finding in slow_shop.tick(live, at)]
        assert any(finding.severity == "page" for finding in found)
        assert not live.judged(of("drift.service"))
        assert [(one.subject, one.reason) for one in problems.current()] == [
            ("detector drift.service", "RuntimeError: a defect")
        ]
    slow_shop.tick(live, 346)
    assert live.judged(of("drift.service"))
    assert problems.current() == ()


def test_findings_of_detectors_that_are_gone_can_clear() -> None:
    """Nobody judges what an earlier version's detector found: it must not fire for ever."""
    live = Live(history_s=1800)
    Shop(seed=1, seconds=300).tick(live, 200)
    assert live.judged(of("levels.of-old"))


def test_a_store_that_is_away_judges_nothing(slow_shop: PoisonedShop) -> None:
    """Unknown is not healthy: the tick says so, and no detector has judged."""
    live = Live(history_s=1800)
    slow_shop.tick(live, 250)
    for error in (StoreError("gone", retry=True), StoreError("wrong password")):
        slow_shop.poison(red_levels=error, log_counts=error)
        with pytest.raises(StoreError):
            slow_shop.tick(live, 300)
        assert not live.judged(of("red.latency"))
        assert not live.judged(of("slo.burn"))


def test_after_a_gap_everything_is_read_again(slow_shop: PoisonedShop) -> None:
    """A read that failed for minutes goes back as far as it missed, lest a hole look like silence."""
    asked: list[Window] = []
    original = slow_shop.edges

    def edges(window: Window, step_s: int = 5) -> pa.Table:
        asked.append(window)
        return original(window, step_s)

    live = Live(history_s=1800)
    slow_shop.edges = edges  # type: ignore[method-assign]
    slow_shop.tick(live, 100)
    slow_shop.edges = lambda *_: (_ for _ in ()).throw(ValueError("poison"))  # type: ignore[method-assign]
    slow_shop.tick(live, 200)
    slow_shop.edges = edges  # type: ignore[method-assign]
    slow_shop.tick(live, 500)
    assert asked[-1].seconds >= 400
