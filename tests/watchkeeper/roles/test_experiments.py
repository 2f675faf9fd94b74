"""Experiments become labels of the incidents that they caused, or misses, on SQLite and on PostgreSQL."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import update

from alerting.incidents.commands import Incidents
from alerting.incidents.human_labels import Judgement
from chaos.fault import Truth
from chaos.journal import ExperimentTruth, outcomes, record_experiment
from chaos.truth import OPENS_WITHIN, control_window, settle, truth_of
from watchkeeper.clock import FrozenClock
from watchkeeper.config import OnCallConfig
from watchkeeper.problems import Problems
from watchkeeper.state.database import Database
from watchkeeper.state.labels import labels
from watchkeeper.state.schema import experiments
from watchkeeper.vocabulary import Actor, Finding

SERVICES = ("cart", "orders", "payments", "web")
SHOP = "/shop"
BEGAN = datetime(2026, 3, 1, 3, 0, tzinfo=UTC)


class Scene:
    """One installation with a clock of its own."""

    def __init__(self, db: Database) -> None:
        self.db = db
        self.clock = FrozenClock(BEGAN)
        self.incidents = Incidents(db, self.clock, OnCallConfig())
        self.problems = Problems(None)

    def at(self, seconds: float) -> datetime:
        return BEGAN + timedelta(seconds=seconds)

    def opens(self, service: str, seconds: float) -> str:
        self.clock.advance((self.at(seconds) - self.clock.now()).total_seconds())
        one = Finding(
            detector="test",
            detector_version="1",
            kind="errors",
            service=service,
            summary=f"{service} fails",
            onset=self.at(seconds - 1),
            seen_at=self.at(seconds),
            score=0.99,
            severity="page",
        )
        (incident_id,) = self.incidents.observe([one], judged=lambda _: False)
        return incident_id

    def settle(self, seconds: float) -> None:
        settle(self.db, self.at(seconds), self.problems)

    def labelled(self) -> list[tuple[str, bool | None, str | None]]:
        return [(one.incident_id, one.warranted, one.cause) for one in labels(self.db, "chaos")]


@pytest.fixture
def scene(db: Database) -> Scene:
    """Nothing happened yet."""
    return Scene(db)


def truth(
    number: int = 1, *, began: float = 0, ended: float = 60, proved: bool = True, cut_short: bool = False
) -> ExperimentTruth:
    start = BEGAN.timestamp()
    row = Truth(
        id=f"e{number}",
        fault="latency",
        target="payments",
        mechanism="latency",
        injected_at=start + began,
        effect_at=start + began + 1,
        took_effect=proved,
        ended_at=start + ended,
        detail="slow",
        cut_short=cut_short,
    )
    return truth_of(row, SHOP, SERVICES)


def test_an_experiment_labels_the_incidents_that_it_caused(scene: Scene) -> None:
    """Those about its target, opened while it held or soon after; no other system's, and none of before or later."""
    scene.opens("web", -30)
    record_experiment(scene.db, truth())
    own = scene.opens("orders", 20)
    scene.opens("blog", 30)
    scene.settle(59)
    assert scene.labelled() == []
    scene.settle(61)
    assert (scene.labelled(), outcomes(scene.db)) == ([(own, True, "payments")], {"e1": None})
    late = scene.opens("payments", 100)
    scene.settle(61 + OPENS_WITHIN.total_seconds())
    scene.opens("cart", 62 + OPENS_WITHIN.total_seconds())
    scene.settle(9000)
    assert scene.labelled() == [(own, True, "payments"), (late, True, "payments")]
    assert outcomes(scene.db) == {"e1": "found"}


def test_settling_again_changes_nothing(scene: Scene) -> None:
    """Also where the end is recorded twice, and beside a human's other opinion."""
    record_experiment(scene.db, truth())
    own = scene.opens("payments", 20)
    scene.incidents.judge(own, Actor(name="Ana", via="cli"), "1", Judgement(warranted=False))
    scene.settle(61)
    before = labels(scene.db)
    record_experiment(scene.db, truth())
    for seconds in (62, 9000, 9001):
        scene.settle(seconds)
    assert labels(scene.db) == before
    assert [(one.source, one.warranted) for one in sorted(before, key=lambda one: one.source)] == [
        ("chaos", True),
        ("human", False),
    ]


def test_one_that_nobody_noticed_is_a_miss(scene: Scene) -> None:
    """Only when its time is over; one that shows in an incident of before is none."""
    record_experiment(scene.db, truth())
    scene.settle(61)
    assert outcomes(scene.db) == {"e1": None}
    scene.settle(61 + OPENS_WITHIN.total_seconds())
    assert (outcomes(scene.db), scene.labelled()) == ({"e1": "missed"}, [])
    record_experiment(scene.db, truth(2, began=1000, ended=1060))
    scene.opens("payments", 990)
    later = Finding(
        detector="test",
        detector_version="1",
        kind="latency",
        service="payments",
        summary="payments is slow",
        onset=scene.at(1010),
        seen_at=scene.at(1015),
        score=0.9,
        severity="page",
    )
    scene.clock.advance(25)
    assert scene.incidents.observe([later], judged=lambda _: False) == ()
    scene.settle(9000)
    assert outcomes(scene.db)["e2"] == "joined"


def test_a_killed_injector_loses_nothing(scene: Scene) -> None:
    """Proved, then killed: its fault ended by itself, and its row says so. Not proved: nothing is claimed."""
    record_experiment(scene.db, truth(cut_short=True, proved=False))
    record_experiment(scene.db, truth(cut_short=True))
    own = scene.opens("payments", 20)
    record_experiment(scene.db, truth(2, began=1000, ended=1060, cut_short=True, proved=False))
    scene.opens("web", 1020)
    record_experiment(scene.db, truth(3, began=2000, ended=2060, proved=False))
    scene.opens("orders", 2020)
    scene.settle(9000)
    assert scene.labelled() == [(own, True, "payments")]
    assert outcomes(scene.db) == {"e1": "found", "e2": "unknown", "e3": "no effect"}


def test_the_next_experiment_ends_the_time_of_the_one_before(scene: Scene) -> None:
    """An incident has the cause of the experiment that began last."""
    record_experiment(scene.db, truth())
    record_experiment(scene.db, replace(truth(2, began=90, ended=150), service="web"))
    own = scene.opens("payments", 100)
    scene.settle(9000)
    assert scene.labelled() == [(own, True, "web")]
    assert outcomes(scene.db) == {"e1": "missed", "e2": "found"}


def test_a_page_in_a_control_window_is_a_false_one(scene: Scene) -> None:
    """And one without a page is quiet."""
    start = BEGAN.timestamp()
    first = control_window(SHOP, SERVICES, start, start + 100, "no fault was injected")
    second = control_window(SHOP, SERVICES, start + 200, start + 300, "no fault was injected")
    for window in (first, second, first):
        record_experiment(scene.db, window)
    own = scene.opens("web", 20)
    scene.opens("orders", 110)
    scene.settle(9000)
    assert scene.labelled() == [(own, False, None)]
    assert outcomes(scene.db) == {first.id: "false page", second.id: "quiet"}


def test_a_record_that_cannot_be_read_holds_up_no_other(scene: Scene) -> None:
    """It is set aside and named."""
    for number in (1, 2):
        record_experiment(scene.db, truth(number, began=number * 1000, ended=number * 1000 + 60))
    own = scene.opens("payments", 2020)
    with scene.db.write() as connection:
        connection.execute(update(experiments).where(experiments.c.id == "e1").values(body="{"))
    scene.settle(9000)
    assert scene.labelled() == [(own, True, "payments")]
    assert [problem.subject for problem in scene.problems.current()] == ["e1"]
