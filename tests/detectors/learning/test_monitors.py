"""The watcher watched: broken versions stay in shadow; drift and unfairness open tickets and wake nobody."""

from __future__ import annotations

from dataclasses import replace

import pytest

from detectors.learning import gate
from detectors.learning import versions as registry
from detectors.learning.examples import Example
from detectors.learning.fairness import by_service, by_team, pages, shares, troubles
from detectors.learning.loop import Learner
from detectors.learning.model import FalsePage, LearnedModel
from detectors.learning.monitors import watch_the_watcher
from detectors.learning.suppression import Reopening
from tests.detectors.learning.conftest import Scene
from watchkeeper.config import GateConfig, LearningConfig
from watchkeeper.errors import StateError
from watchkeeper.state.models import at_stage, promotion_records, put_model, versions
from watchkeeper.vocabulary import Actor

BOTH = ("human", "chaos")
QUICK = GateConfig(human_labels=4, chaos_labels=4, shadow_s=0, canary_s=0, canary_labels=0)


def label_seven(scene: Scene) -> None:
    """Four false pages, three that were warranted."""
    for _ in range(4):
        scene.incident(scene.finding("batch", 0.53), warranted=False, sources=BOTH)
    for _ in range(3):
        scene.incident(scene.finding("shop", 0.8), warranted=True, sources=BOTH)


def broken() -> LearnedModel:
    """An upgrade that takes everything on these services for false."""
    mild = FalsePage(
        detector="red.latency",
        service="batch",
        incident_id="inc-1",
        evidence=19.0,
        amount=3.0,
        load=-3.0,
        common=-3.0,
        deployed=False,
    )
    services = ("batch", "shop", "other")
    known = tuple(replace(mild, service=one, incident_id=f"inc-{one}") for one in services)
    return LearnedModel(bias=-30.0, false_pages=known, guard=replace(LearnedModel().guard, similar=1.0))


def test_a_broken_upgrade_is_caught_in_shadow(scene: Scene) -> None:
    """Both monitors name what it would do: miss pages by label, and suppress nearly all that was worth one."""
    label_seven(scene)
    model = put_model(scene.db, registry.NAME, broken().to_bytes(), {}, scene.clock.now())
    with pytest.raises(StateError, match=r"by chaos labels it would miss 3 warranted page\(s\).*suppresses 100%"):
        registry.promote(scene.db, model.version, actor="ana", now=scene.clock.now(), rules=QUICK)
    learner = Learner(scene.db, scene.clock, LearningConfig(gate=QUICK))
    for _ in range(3):
        learner.run(scene.clock.now())
    stages = {one.version: one.stage for one in versions(scene.db, registry.NAME)}
    assert stages[model.version] == "retired"
    assert learner.version() != str(model.version)
    real = scene.finding("shop", 0.8)
    assert learner.judge([real], scene.clock.now())[0].severity == "page"


@pytest.mark.parametrize("watched", ["labels", "share", "nothing"])
def test_each_monitor_catches_it_and_nothing_else_would(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, watched: str
) -> None:
    """Without the one monitor the other catches it; without both the broken version would decide."""
    label_seven(scene)
    model = put_model(scene.db, registry.NAME, broken().to_bytes(), {}, scene.clock.now())
    rules = QUICK if watched == "labels" else QUICK.model_copy(update={"missed": 1000})
    if watched != "share":
        monkeypatch.setattr(gate, "SUPPRESSED_AT_MOST", 1.0)

    def promote() -> None:
        for _ in range(2):
            registry.promote(scene.db, model.version, actor="ana", now=scene.clock.now(), rules=rules)

    if watched == "nothing":
        promote()
        assert at_stage(scene.db, registry.NAME, "serving") is not None
        return
    with pytest.raises(StateError, match="would miss" if watched == "labels" else "suppresses"):
        promote()
    assert at_stage(scene.db, registry.NAME, "canary") is None


def test_a_canary_that_turns_out_bad_retires_by_itself(scene: Scene) -> None:
    """Labels that come while it is a canary end it, also where promotion is by hand."""
    label_seven(scene)
    learner = Learner(scene.db, scene.clock, LearningConfig(automatic=False, gate=QUICK))
    model = put_model(scene.db, registry.NAME, broken().to_bytes(), {}, scene.clock.now())
    registry.promote(scene.db, model.version, actor="ana", now=scene.clock.now(), rules=QUICK, force=True, why="a try")
    learner.run(scene.clock.now())
    assert at_stage(scene.db, registry.NAME, "canary") is None
    assert "the gate refuses what it does as a canary" in str(promotion_records(scene.db)[-1].record["why"])


def test_content_that_is_no_model_is_caught_in_shadow(scene: Scene) -> None:
    """It retires with its reason, and the learner goes on."""
    label_seven(scene)
    model = put_model(scene.db, registry.NAME, b"\x80\x04 not a model", {}, scene.clock.now())
    learner = Learner(scene.db, scene.clock, LearningConfig(gate=QUICK))
    learner.run(scene.clock.now())
    learner.run(scene.clock.now())
    assert {one.version: one.stage for one in versions(scene.db, registry.NAME)}[model.version] == "retired"


def _known(scene: Scene, service: str, verdicts: list[bool]) -> list[Example]:
    return [
        Example(
            incident_id=f"{service}-{i}",
            source="human",
            at=scene.clock.now(),
            finding=scene.finding(service, 0.6),
            warranted=verdict,
        )
        for i, verdict in enumerate(verdicts)
    ]


def test_a_detector_that_got_worse_opens_a_ticket(scene: Scene) -> None:
    """Precision that fell between two windows of labels is a drift ticket; steady precision is none."""
    steady = _known(scene, "shop", [True, True, True, False] * 15)
    assert watch_the_watcher(steady, 0.0, scene.clock.now()) == []
    worse = _known(scene, "shop", [True] * 30 + [False] * 15 + [True] * 5)
    (finding,) = watch_the_watcher(worse, 0.0, scene.clock.now())
    assert (finding.kind, finding.severity) == ("drift", "ticket")


def test_an_unfairly_woken_service_opens_a_ticket(scene: Scene) -> None:
    """A service whose pages are false far more often than elsewhere is named."""
    known = _known(scene, "noisy", [False] * 12) + _known(scene, "calm", [True] * 20)
    assert [share.group for share in shares(pages(known), by_service)] == ["noisy", "calm"]
    assert any("noisy" in finding.summary for finding in watch_the_watcher(known, 0.0, scene.clock.now()))


def test_a_team_whose_trouble_is_missed_opens_a_ticket(scene: Scene) -> None:
    """Reopened findings are misses; by team, where the configuration names teams."""
    known = _known(scene, "calm", [True] * 40) + _known(scene, "late", [True] * 4)
    ana = Actor(name="Ana", via="cli")
    reopened = [
        Reopening(
            at=scene.clock.now(),
            actor=ana,
            detector="red.latency",
            service="late",
            key="k",
            note=f"customers called {i}",
        )
        for i in range(6)
    ]
    by = by_team({"fulfilment": ("late",)})
    worst = shares(troubles(known, reopened), by)[0]
    assert (worst.group, worst.wrong, worst.judged) == ("fulfilment", 6, 10)
    assert worst.low < 0.6 < worst.high
    found = watch_the_watcher(known, 0.0, scene.clock.now(), reopened=reopened, teams={"fulfilment": ("late",)})
    assert {"fairness of misses by service", "fairness of misses by team"} <= {one.signal for one in found}
    assert {one.severity for one in found} == {"ticket"}


def test_inputs_that_moved_open_a_ticket(scene: Scene) -> None:
    """What the model looks at is distributed otherwise than when it was trained."""
    before = [
        replace(one, finding=replace(one.finding, value=130.0 + number % 5))
        for number, one in enumerate(_known(scene, "shop", [True] * 30))
    ]
    assert watch_the_watcher(before, 0.0, scene.clock.now()) == []
    after = [
        replace(one, incident_id=f"new-{one.incident_id}", finding=replace(one.finding, value=130_000.0 + number))
        for number, one in enumerate(_known(scene, "shop", [True] * 20))
    ]
    signals = [one.signal for one in watch_the_watcher([*before, *after], 0.0, scene.clock.now())]
    assert signals == ["inputs of red.latency"]


def test_slow_and_unreadable_models_open_tickets(scene: Scene) -> None:
    """Prediction time, and a version that cannot be read."""
    found = watch_the_watcher([], 0.2, scene.clock.now(), unreadable="version 3 cannot be read")
    assert [one.summary for one in found] == [
        "the model takes 200 ms for a tick's findings",
        "version 3 cannot be read",
    ]
    assert {one.severity for one in found} == {"ticket"}
