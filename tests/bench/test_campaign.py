"""A campaign spreads over faults and services, goes on past what is refused, and says what the gate lacks."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bench.campaign import Campaign
from bench.gate_reached import gate_reached
from chaos.assessment import Assessment
from detectors.learning.loop import Learner
from tests.detectors.learning.conftest import Scene
from watchkeeper.state.database import Database

CELLS = frozenset((service, fault) for service in ("desk", "cart", "till") for fault in ("kill", "hang", "latency"))
EDGES = (("desk", "cart"), ("desk", "till"))


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    db = Database.open(f"sqlite:///{tmp_path / 'state.db'}")
    yield Scene(db)
    db.close()


def campaign_of_three() -> Campaign:
    return Campaign(experiments=3, control_every=3, control_s=1.0, warm_up_s=1.0)


def known() -> Assessment:
    """Nothing was tested yet."""
    return Assessment(known=(), possible=CELLS, edges=EDGES, now=datetime(2026, 3, 2, tzinfo=UTC))


def test_what_is_run_next_differs_in_fault_and_service() -> None:
    """Three at once are of three faults in three services; no more are asked for than are to be run."""
    plans = [plan for plan, _ in campaign_of_three().next_plans(known(), 3)]
    assert {plan.service for plan in plans} == {"desk", "cart", "till"}
    assert len({plan.fault.name for plan in plans}) == len(plans) == 3


def test_what_was_refused_twice_is_not_proposed_again() -> None:
    """Once may be the moment; then others take its place."""
    campaign = campaign_of_three()
    first = campaign.next_plans(known(), 1)[0][0]
    campaign.refused[first.service, first.fault.name] = ["the target is not steady"]
    assert campaign.next_plans(known(), 1)[0][0] == first
    campaign.refused[first.service, first.fault.name].append("its port is taken")
    later = [(plan.service, plan.fault.name) for plan, _ in campaign.next_plans(known(), len(CELLS))]
    assert set(later) == CELLS - {(first.service, first.fault.name)}


def test_a_database_puts_at_risk_whoever_calls_it_by_its_address() -> None:
    """Two callers know it by two addresses; both depend on it."""
    edges = (("desk", "redis (10.0.0.7:6379)"), ("till", "redis (10.0.0.8:6379)"))
    cells = frozenset({("redis", "latency"), ("till", "kill")})
    reaches = Assessment(known=(), possible=cells, edges=edges, now=datetime(2026, 3, 2, tzinfo=UTC)).reaches
    assert reaches["redis"].services == ("desk", "redis", "till")
    assert (reaches["redis"].share, reaches["till"].services) == (1.0, ("till",))


def test_few_labels_do_not_reach_the_gate(scene: Scene) -> None:
    """It says how many there are of how many."""
    scene.incident(scene.finding("cart", 0.9), warranted=True, sources=("human", "chaos"))
    reached = gate_reached(scene.db, scene.clock.now())
    assert not reached.has_labels
    assert "NOT reached: 1 of 10 incidents with a human label" in reached.lines[0]
    assert reached.lines[1:] == ("No version is in shadow or canary.",)


def test_ten_labels_of_each_source_reach_it_and_only_time_is_missing(scene: Scene) -> None:
    """Half of them false pages, which the version would suppress: then nothing but the hour in shadow is left."""
    for number in range(10):
        noisy = number % 2 == 0
        finding = scene.finding("batch" if noisy else "shop", 0.52 if noisy else 0.85)
        scene.incident(finding, warranted=not noisy, sources=("human", "chaos"))
    Learner(scene.db, scene.clock).run(scene.clock.now())
    reached = gate_reached(scene.db, scene.clock.now())
    assert (reached.has_labels, reached.labelled, reached.warranted["human"]) == (True, {"human": 10, "chaos": 10}, 5)
    (candidate,) = reached.candidates
    assert candidate.passes_by_labels
    assert candidate.waiting == ("it was observed in shadow for 0 of 3600 s",)
    assert "(only time is missing)" in reached.lines[1]


def test_only_right_pages_leave_nothing_to_decide_better(scene: Scene) -> None:
    """The labels suffice, and the gate still asks what the version would do better: it says so."""
    for _ in range(10):
        scene.incident(scene.finding("shop", 0.85), warranted=True, sources=("human", "chaos"))
    Learner(scene.db, scene.clock).run(scene.clock.now())
    reached = gate_reached(scene.db, scene.clock.now())
    assert reached.has_labels
    assert not any(one.passes_by_labels for one in reached.candidates)
    assert "it would decide no labelled incident better" in reached.lines[1]
