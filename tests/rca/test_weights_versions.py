"""Trained weights shadow, serve once the gate lets them, and go back by one command."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from bench.rca_simulated import VARIANTS, incidents
from rca.learning.judged import JudgedCase, judged_case
from rca.learning.versions import BUILT_IN, NAME, WeightsLearner, promote, rollback
from rca.registry import read_engine
from watchkeeper.clock import FrozenClock
from watchkeeper.config import GateConfig, LearningConfig
from watchkeeper.errors import NotFound, StateError
from watchkeeper.state.database import Database
from watchkeeper.state.diagnosis_verdicts import accuracy_by_version
from watchkeeper.state.models import at_stage, put_model, version_of, versions

ENGINE = read_engine()
WRONG = {
    **ENGINE.weights,
    "cpu": 0.2,
    "memory": 0.2,
    "self_time": 1.0,
    "errors": 1.0,
    "outlier": 3.0,
    "onset_order": 3.0,
}
BEGAN = datetime(2026, 3, 1, tzinfo=UTC)
SHADOW_S = 3600


@pytest.fixture(scope="module")
def judged() -> tuple[JudgedCase, ...]:
    """Sixty labelled incidents of one hard system, a minute apart."""
    hard = next(variant for variant in VARIANTS if variant.name == "faint and noisy")
    cases = [judged_case(case, ENGINE, "human", culprit) for case, culprit in incidents(hard)]
    return tuple(replace(case, at=BEGAN + timedelta(minutes=n)) for n, case in enumerate(cases))


@pytest.fixture
def clock() -> FrozenClock:
    return FrozenClock(BEGAN + timedelta(hours=2))


def learner(db: Database, clock: FrozenClock, *, automatic: bool = True) -> WeightsLearner:
    settings = LearningConfig(automatic=automatic, gate=GateConfig(shadow_s=SHADOW_S))
    return WeightsLearner(db, clock, WRONG, settings)


def test_labels_become_weights_that_serve(db: Database, clock: FrozenClock, judged: Sequence[JudgedCase]) -> None:
    """They shadow for their time first; then they rank, and AC@1 by version says what that brings."""
    learning = learner(db, clock)
    assert learning.run(judged) == WRONG
    (model,) = versions(db, NAME)
    assert model.stage == "shadow"
    clock.advance(SHADOW_S - 1)
    assert learning.run(judged) == WRONG
    clock.advance(2)
    serving = learning.run(judged)
    assert serving["cpu"] > WRONG["cpu"]
    assert version_of(db, NAME, model.version).stage == "serving"
    accuracy = accuracy_by_version(db)
    assert accuracy[BUILT_IN] == (sum(case.right(WRONG) for case in judged), len(judged))
    assert accuracy[model.version][0] >= accuracy[BUILT_IN][0] + 2


def test_another_process_takes_over_what_serves(db: Database, clock: FrozenClock, judged: Sequence[JudgedCase]) -> None:
    """The weights are in the state database, not in memory."""
    learning = learner(db, clock)
    learning.run(judged)
    clock.advance(SHADOW_S + 1)
    assert learner(db, clock).serving() == WRONG
    serving = learning.run(judged)
    assert learner(db, clock).serving() == serving != WRONG


def test_few_labels_make_a_version_that_waits(db: Database, clock: FrozenClock, judged: Sequence[JudgedCase]) -> None:
    """However long it shadows."""
    learning = learner(db, clock)
    learning.run(judged[:5])
    clock.advance(10 * SHADOW_S)
    assert learning.run(judged[:5]) == WRONG
    (model,) = versions(db, NAME)
    verdict = learning.gate(model, judged[:5], clock.now())
    assert any("5 of 10 incidents" in why for why in verdict.waiting)


def test_without_automatic_a_version_waits_for_somebody(
    db: Database, clock: FrozenClock, judged: Sequence[JudgedCase]
) -> None:
    """Somebody promotes it, through the same gate."""
    learning = learner(db, clock, automatic=False)
    learning.run(judged)
    (model,) = versions(db, NAME)
    early = learning.gate(model, judged, clock.now())
    with pytest.raises(StateError, match="in shadow for 0 of 3600 s"):
        promote(db, model.version, verdict=early, actor="alice", now=clock.now())
    clock.advance(SHADOW_S)
    assert learning.run(judged) == WRONG
    promote(db, model.version, verdict=learning.gate(model, judged, clock.now()), actor="alice", now=clock.now())
    assert learning.serving() != WRONG


def test_rolled_back_weights_stay_so_until_somebody_promotes(
    db: Database, clock: FrozenClock, judged: Sequence[JudgedCase]
) -> None:
    """New labels train a new version, which shadows and does not serve by itself."""
    learning = learner(db, clock)
    learning.run(judged[:50])
    clock.advance(SHADOW_S)
    learning.run(judged[:50])
    assert at_stage(db, NAME, "serving") is not None
    assert rollback(db, actor="bob", now=clock.now(), why="blames the database") == BUILT_IN
    assert learning.serving() == WRONG
    learning.run(judged)
    clock.advance(10 * SHADOW_S)
    assert learning.run(judged) == WRONG
    with pytest.raises(StateError, match="nothing to roll back to"):
        rollback(db, actor="bob", now=clock.now())


def test_each_rollback_goes_one_promotion_further_back(db: Database, clock: FrozenClock) -> None:
    """The second serves what was there before the version that the first led to, not the shipped weights at once."""
    learning = learner(db, clock)
    for weight in (2, 3, 4):
        model = put_model(db, NAME, f'{{"weights": {{"errors": {weight}.0}}}}'.encode(), {}, clock.now())
        verdict = learning.gate(model, (), clock.now())
        promote(db, model.version, verdict=verdict, actor="x", now=clock.now(), why="a test")
    assert [rollback(db, actor="bob", now=clock.now()) for _ in range(3)] == [2, 1, BUILT_IN]
    assert learning.serving() == WRONG


def test_weights_that_cannot_be_read_do_not_serve(db: Database, clock: FrozenClock) -> None:
    """The shipped ones do, and the reason is there to report."""
    model = put_model(db, NAME, b"\xff{", {}, clock.now())
    learning = learner(db, clock)
    promote(db, model.version, verdict=learning.gate(model, (), clock.now()), actor="x", now=clock.now(), why="a test")
    assert learning.serving() == WRONG
    assert "cannot be read" in learning.unreadable


def test_a_weight_of_an_uninstalled_kind_is_nobodys(db: Database, clock: FrozenClock) -> None:
    """The others count."""
    model = put_model(db, NAME, b'{"weights": {"gone": 5.0, "errors": 2.0}}', {}, clock.now())
    learning = learner(db, clock)
    promote(db, model.version, verdict=learning.gate(model, (), clock.now()), actor="x", now=clock.now(), why="a test")
    assert learning.serving() == {**WRONG, "errors": 2.0}


def test_an_unknown_version_is_named(db: Database) -> None:
    """With where to look."""
    with pytest.raises(NotFound, match="no version 7"):
        version_of(db, NAME, 7)
