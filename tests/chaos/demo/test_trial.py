"""The trial's plan is fair to both halves, and its operator goes forth and back through the gate alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from alerting.incidents.commands import Incidents
from chaos.demo import promotion
from chaos.demo.processes import Patience
from chaos.demo.promotion import Operator
from chaos.demo.story import Plan
from chaos.demo.trial import PlannedChange, steps
from detectors.learning.loop import Learner
from watchkeeper.clock import FrozenClock
from watchkeeper.config import Config, GateConfig, LearningConfig
from watchkeeper.state.database import Database
from watchkeeper.state.labels import record_label
from watchkeeper.vocabulary import Finding, Label, LabelSource

SOURCES: tuple[LabelSource, ...] = ("human", "chaos")
RULES = GateConfig(human_labels=9, shadow_s=0, canary_s=0, canary_labels=0)
NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


@pytest.fixture
def db(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    """An empty state database; the operator does not wait for a watch role that is not there."""
    monkeypatch.setattr(promotion, "TAKEN_UP_S", 0.0)
    monkeypatch.setattr(promotion, "VERSION_WITHIN_S", 0.0)
    database = Database.open(f"sqlite:///{tmp_path / 'state.db'}")
    yield database
    database.close()


def _teach(db: Database, labels: list[tuple[str, float, bool]]) -> None:
    """Incidents of (service, score, warranted), each judged by both sources, and one round of learning."""
    clock = FrozenClock(NOW)
    incidents = Incidents(db, clock, Config().oncall)
    for service, score, warranted in labels:
        finding = Finding(
            detector="red.latency",
            detector_version="0",
            kind="latency",
            service=service,
            summary=f"{service} is slow",
            onset=clock.now() - timedelta(seconds=10),
            seen_at=clock.now(),
            score=score,
            value=600.0 if warranted else 100.0,
            expected=20.0,
            unit="ms",
            key=f"red:latency:{service}",
        )
        (incident,) = incidents.observe([finding], now=clock.now())
        clock.advance(60)
        incidents.observe([], now=clock.now())
        for source in SOURCES:
            judged = Label(
                id=f"{source}-{incident}",
                incident_id=incident,
                source=source,
                author=source,
                at=clock.now(),
                warranted=warranted,
            )
            record_label(db, judged)
        clock.advance(900)
    Learner(db, clock, LearningConfig(automatic=False)).run(clock.now())


def test_a_seed_is_a_plan() -> None:
    """The same seed gives the same trial, another one another."""
    assert steps(3, 20, 20) == steps(3, 20, 20)
    assert steps(3, 20, 20) != steps(4, 20, 20)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_both_halves_hold_the_same_kinds(seed: int) -> None:
    """A fault of each kind comes first; benign_changes are of the same kinds in both, each on another service."""
    before, after = steps(seed, 30, 20)
    assert [sum(isinstance(step, Plan) for step in half) for half in (before, after)] == [6, 24]
    kinds = [Counter(step.name for step in half if isinstance(step, PlannedChange)) for half in (before, after)]
    assert kinds[0] == kinds[1]
    for half in (before, after):
        changes = [step for step in half if isinstance(step, PlannedChange)]
        assert len(set(changes)) == len(changes) == 10


def test_the_operator_promotes_and_rolls_back_to_the_same_decisions(db: Database) -> None:
    """What was learned serves, then does not, and every finding is decided as it was before."""
    _teach(db, [("batch", 0.53, False)] * 5 + [("shop", 0.85, True)] * 4)
    messages: list[str] = []
    operator = Operator(db, Patience(), messages.append, RULES)
    operator.promote()
    done = operator.roll_back()
    assert (done.version, done.rolled_back_to, done.same_decisions) == (1, 0, True)
    assert [(record["stage"], record["actor"]) for record in done.records[:2]] == [
        ("canary", "operator"),
        ("serving", "operator"),
    ]
    assert all(set(SOURCES) == set(record["scores"]["candidate"]) for record in done.records[:2])


def test_the_operator_never_forces(db: Database) -> None:
    """Where the gate refuses, what is built in keeps serving, and the reason is kept."""
    operator = Operator(db, Patience(), lambda _: None, RULES)
    operator.promote()
    done = operator.roll_back()
    assert (done.version, done.reason, done.rolled_back_to) == (0, "nothing was learned", None)
