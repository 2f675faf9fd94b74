"""Labels to versions: less noise, nothing lost, every step recorded, and a way back."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.learning import versions as registry
from detectors.learning.examples import Example, examples
from detectors.learning.loop import Learner, in_canary
from detectors.learning.model import FalsePage, Guard, LearnedModel
from detectors.learning.question import best_question
from detectors.learning.suppression import reopen, suppressed_findings
from detectors.learning.track_record import disagreements, track_record
from detectors.learning.train import train
from tests.detectors.learning.conftest import START, Scene, reason_of
from watchkeeper.config import GateConfig, LearningConfig
from watchkeeper.errors import StateError
from watchkeeper.state.audit import audit_trail
from watchkeeper.state.models import at_stage, promotion_records, put_model, stage, versions
from watchkeeper.vocabulary import Actor, Conditions, Finding, LabelSource

BOTH = ("human", "chaos")
ANA = Actor(name="Ana", via="cli")
# A gate for scenes of a few labels, without waiting.
QUICK = GateConfig(human_labels=4, chaos_labels=4, shadow_s=0, canary_s=0, canary_labels=0)
BY_HAND = LearningConfig(automatic=False, gate=QUICK)
BY_ITSELF = LearningConfig(gate=QUICK.model_copy(update={"human_labels": 10, "chaos_labels": 10, "canary_labels": 5}))


def promote(scene: Scene, version: int = 1, steps: int = 2, *, force: bool = False) -> None:
    """Ana moves a version on."""
    for _ in range(steps):
        registry.promote(scene.db, version, actor="ana", now=scene.clock.now(), rules=QUICK, force=force)


def careless(scene: Scene) -> LearnedModel:
    """A version that takes everything that it has seen, and whatever is milder, for false."""
    everywhere = [
        FalsePage(
            detector="red.latency",
            service=service,
            incident_id=f"inc-{i}",
            evidence=19.0,
            amount=3.0,
            load=-3.0,
            common=-3.0,
            deployed=False,
        )
        for i, service in enumerate(("batch", "shop", "other"))
    ]
    known = train(examples(scene.db))
    guard = replace(known.guard, similar=1.0, severe_extra_ms=1e6)
    return replace(known, bias=-30.0, false_pages=tuple(everywhere), guard=guard)


def taught(scene: Scene, *, noisy: int = 4, real: int = 3) -> None:
    """A service whose nightly batch slows it with nobody hurt, and a service whose findings were all real."""
    for _ in range(noisy):
        scene.incident(scene.finding("batch", 0.53, load=2.5), warranted=False, sources=BOTH)
    for _ in range(real):
        scene.incident(scene.finding("shop", 0.8), warranted=True, sources=BOTH)


def test_without_labels_everything_pages(scene: Scene) -> None:
    """The built-in version holds nothing back."""
    finding = scene.finding("batch", 0.51)
    (judged,) = Learner(scene.db, scene.clock, BY_HAND).judge([finding], scene.clock.now())
    assert judged.severity == "page"


def test_a_new_version_shadows_and_decides_nothing(scene: Scene) -> None:
    """Labels make a version; until it is promoted it only says what would have changed."""
    taught(scene)
    learner = Learner(scene.db, scene.clock, BY_HAND)
    learner.run(scene.clock.now())
    (version,) = versions(scene.db, registry.NAME)
    assert (version.stage, learner.version()) == ("shadow", "0")
    assert version.lineage["human labels"] == version.lineage["chaos labels"] == 7
    finding = scene.finding("batch", 0.53, load=2.5)
    assert [one.severity for one in learner.judge([finding], scene.clock.now())] == ["page"]


def test_a_promoted_version_suppresses_what_was_false_and_says_why(scene: Scene) -> None:
    """Once it serves, the noisy finding is a ticket with its reason, and the real ones still page."""
    taught(scene)
    learner = Learner(scene.db, scene.clock, BY_HAND)
    learner.run(scene.clock.now())
    promote(scene)
    learner.run(scene.clock.now())
    noisy, real = scene.finding("batch", 0.53, load=2.5), scene.finding("shop", 0.8)
    held, kept = learner.judge([noisy, real], scene.clock.now())
    assert (held.severity, kept.severity) == ("ticket", "page")
    assert "similar to findings of 4 incidents that were judged false (4 here" in reason_of(held)
    assert learner.version() == "1"


@pytest.mark.parametrize(("sources", "needed"), [(BOTH, 2), (("human",), 3)])
def test_a_service_without_labels_borrows(scene: Scene, sources: tuple[LabelSource, ...], needed: int) -> None:
    """Two false pages like it elsewhere do where a human and chaos agree, three where people alone said so."""
    for _ in range(3):
        scene.incident(scene.finding("shop", 0.8), warranted=True, sources=BOTH)
    for count in range(1, 4):
        scene.incident(scene.finding(f"batch-{count}", 0.53), warranted=False, sources=sources)
        learned = train(examples(scene.db))
        assert learned.decide(scene.finding("new", 0.53)).pages == (count < needed)
        assert learned.decide(scene.finding("new", 0.8)).pages


def test_one_wrong_label_silences_nothing(scene: Scene) -> None:
    """A real fault that was labelled false, by everybody, leaves its like paging, here and elsewhere."""
    taught(scene)
    scene.incident(scene.finding("shop", 0.8, extra_ms=600), warranted=False, sources=BOTH)
    learned = train(examples(scene.db))
    for service in ("shop", "batch", "new"):
        assert learned.decide(scene.finding(service, 0.8, extra_ms=600)).pages


def test_what_is_severe_takes_more_evidence(scene: Scene) -> None:
    """Silence, many errors and seconds of latency page although seven incidents like them were called false."""
    severe = {
        "red.latency": {"extra_ms": 1500.0},
        "red.errors": {"extra_ms": 0.5},
        "red.silence": {},
    }
    for _ in range(7):
        for detector, how in severe.items():
            scene.incident(grave_finding(scene, "shop", detector, how), warranted=False, sources=BOTH)
    for detector, how in severe.items():
        finding = grave_finding(scene, "shop", detector, how)
        assert train(examples(scene.db)).decide(finding).pages
        scene.incident(finding, warranted=False, sources=BOTH)
        assert not train(examples(scene.db)).decide(finding).pages


def grave_finding(scene: Scene, service: str, detector: str, how: dict[str, float]) -> Finding:
    """A finding that users feel for certain."""
    slow = scene.finding(service, 0.6, detector, **how)
    if detector == "red.latency":
        return slow
    if detector == "red.errors":
        return replace(slow, value=0.5, expected=0.0, unit="of requests")
    return replace(slow, kind="silence", value=0.0, expected=12.0, unit="requests/s")


def test_a_reopened_finding_is_never_suppressed_again(scene: Scene) -> None:
    """Whoever reopens bars every version from suppressing that detector on that service."""
    taught(scene)
    learner = Learner(scene.db, scene.clock, BY_HAND)
    learner.run(scene.clock.now())
    promote(scene)
    learner.run(scene.clock.now())
    finding = scene.finding("batch", 0.53, load=2.5)
    (held,) = learner.judge([finding], scene.clock.now())
    scene.incidents.observe([held], now=scene.clock.now())
    assert [(one.version, one.reopened) for one in suppressed_findings(scene.db)] == [("1", False)]
    assert reopen(scene.db, held.key, ANA, scene.clock.now(), "customers called")[0]
    assert reopen(scene.db, held.key, ANA, scene.clock.now())[1].startswith("already reopened by Ana")
    learner.run(scene.clock.now())
    (paged,) = learner.judge([finding], scene.clock.now())
    assert paged.severity == "page"
    assert scene.incidents.observe([paged], now=scene.clock.now())
    (entry,) = audit_trail(scene.db)
    assert (entry.actor, entry.action, entry.subject) == (ANA, "finding.reopened", "red.latency|batch")


def test_the_gate_needs_both_sources(scene: Scene) -> None:
    """With human labels alone nothing is promoted, and the message says what is missing."""
    for _ in range(4):
        scene.incident(scene.finding("batch", 0.53), warranted=False, sources=("human",))
    Learner(scene.db, scene.clock, BY_HAND).run(scene.clock.now())
    with pytest.raises(StateError, match="0 of the 4 incidents that it needs have a chaos label"):
        promote(scene, steps=1)


def test_a_promotion_is_recorded_with_both_sources(scene: Scene) -> None:
    """The record holds the scores by human and by chaos labels, before and after."""
    taught(scene)
    Learner(scene.db, scene.clock, BY_HAND).run(scene.clock.now())
    promote(scene, steps=1)
    record = promotion_records(scene.db, registry.NAME)[-1]
    assert (record.actor, record.stage) == ("ana", "canary")
    for source in BOTH:
        assert record.record["scores"]["candidate"][source]["paged_warranted"] == 3
        assert record.record["scores"]["serving"][source]["paged_unwarranted"] == 4


def test_rollback_restores_exactly(scene: Scene) -> None:
    """After a rollback the bytes that serve, and every judgement, are what they were before the promotion."""
    taught(scene)
    learner = Learner(scene.db, scene.clock, BY_HAND)
    learner.run(scene.clock.now())
    promote(scene)
    learner.run(scene.clock.now())
    probes = [scene.finding(name, score) for name in ("batch", "shop", "new") for score in (0.5, 0.6, 0.9)]
    before = learner.judge(probes, scene.clock.now())
    content = at_stage(scene.db, registry.NAME, "serving").content  # type: ignore[union-attr]
    other = put_model(scene.db, registry.NAME, careless(scene).to_bytes(), {}, scene.clock.now())
    promote(scene, other.version, force=True)
    assert registry.rollback(scene.db, actor="ana", now=scene.clock.now(), why="worse") == 1
    learner.run(scene.clock.now())
    assert at_stage(scene.db, registry.NAME, "serving").content == content  # type: ignore[union-attr]
    assert learner.judge(probes, scene.clock.now()) == before
    assert registry.rollback(scene.db, actor="ana", now=scene.clock.now()) == 0
    learner.run(scene.clock.now())
    assert all(one.severity == "page" for one in learner.judge(probes, scene.clock.now()))


def test_a_canary_decides_for_its_share_only(scene: Scene) -> None:
    """While a version is a canary, services outside its share are judged by the one that serves."""
    taught(scene)
    model = put_model(scene.db, registry.NAME, careless(scene).to_bytes(), {}, scene.clock.now())
    stage(scene.db, registry.NAME, model.version, "canary", actor="ana", now=scene.clock.now(), record={})
    learner = Learner(scene.db, scene.clock, BY_HAND)
    names = [f"service-{i}" for i in range(200)]
    inside = {name for name in names if in_canary(name)}
    assert 20 < len(inside) < 80
    judged = learner.judge([scene.finding(name, 0.6) for name in names], scene.clock.now())
    assert {finding.service for finding in judged if finding.severity == "ticket"} == inside


def test_a_model_file_runs_nothing_and_is_checked() -> None:
    """Content that is not a model of this format is refused."""
    with pytest.raises(StateError, match="not a detector model"):
        LearnedModel.from_bytes(b"not json")
    tree = json.loads(LearnedModel().to_bytes())
    with pytest.raises(StateError, match="not finite"):
        LearnedModel.from_bytes(json.dumps(tree | {"bias": 1e999}).encode())
    assert LearnedModel.from_bytes(LearnedModel().to_bytes()).to_bytes() == LearnedModel().to_bytes()


def test_a_model_of_the_format_before_is_read_as_it_was() -> None:
    """A version that was promoted before an upgrade decides as before."""
    guard = {"alike": 3.0, "alike_grave": 9.0, "grave_error_share": 0.3, "grave_extra_ms": 700.0}
    tree = json.loads(LearnedModel(bias=1.5).to_bytes()) | {"format": 2, "guard": guard}
    known = LearnedModel.from_bytes(json.dumps(tree).encode())
    assert known.bias == 1.5
    assert known.guard == Guard(similar=3.0, similar_severe=9.0, severe_error_share=0.3, severe_extra_ms=700.0)


def test_the_record_of_a_detector_is_told(scene: Scene) -> None:
    """How often it was right here; on all services where it was never judged on this one."""
    taught(scene)
    assert "was right 3 of 3 times here" in track_record(examples(scene.db), scene.finding("shop", 0.6)).sentence()
    assert (
        "was right 3 of 7 times on all services"
        in track_record(examples(scene.db), scene.finding("new", 0.6)).sentence()
    )


def test_it_asks_what_it_does_not_know(scene: Scene) -> None:
    """The question is about the finding that the version is unsure of; where all is known, nothing is asked."""
    taught(scene, noisy=2, real=2)
    learner = Learner(scene.db, scene.clock, BY_HAND)
    learner.run(scene.clock.now())
    promote(scene, force=True)
    unsure = scene.incident(scene.finding("batch", 0.6), warranted=True, sources=())
    question = best_question(scene.db, unsure)
    assert question is not None
    assert "Was this page warranted" in question.text


def test_human_error_is_measured(scene: Scene) -> None:
    """Where chaos knows better than the human, the incident is listed; neither label is changed."""
    wrong = scene.incident(scene.finding("shop", 0.8), warranted=True, sources=("chaos",))
    human = Example(incident_id=wrong, source="human", at=START, finding=scene.finding("shop", 0.8), warranted=False)
    assert disagreements([*examples(scene.db), human]) == (wrong,)


def test_twenty_faults_and_twenty_benign_changes(scene: Scene) -> None:
    """After ten labels at most half as many false pages as before, and every fault still pages."""
    dice = np.random.default_rng(6)
    services = ["cart", "orders", "pay", "stock"]
    faults = [(True, str(dice.choice(services)), float(dice.uniform(0.6, 0.9)), 1.0) for _ in range(20)]
    # Benign: load waves and batch jobs; a bit over the threshold, under more traffic than usual.
    benign = [(False, str(dice.choice(services[:2])), float(dice.uniform(0.5, 0.56)), 1.9) for _ in range(20)]
    order = [(*faults, *benign)[i] for i in dice.permutation(40)]
    learner = Learner(scene.db, scene.clock, BY_ITSELF)
    labelled = 0
    after: list[tuple[bool, bool]] = []
    for warranted, service, score, load in order:
        finding = scene.finding(service, score, load=load)
        (judged,) = learner.judge([finding], scene.clock.now())
        if labelled >= 10:
            after.append((warranted, judged.severity == "page"))
            continue
        scene.incident(finding, warranted=warranted, sources=BOTH)
        labelled += 1
        learner.run(scene.clock.now())
        if labelled == 10:  # it earned a canary by itself; a human lets it decide everywhere
            canary = at_stage(scene.db, registry.NAME, "canary")
            assert canary
            promote(scene, canary.version, steps=1)
            learner.run(scene.clock.now())
    false_pages = [paged for warranted, paged in after if not warranted]
    assert all(paged for warranted, paged in after if warranted)
    assert sum(false_pages) <= len(false_pages) / 2
    assert {record.stage for record in promotion_records(scene.db, registry.NAME)} >= {"canary", "serving"}


def test_a_canary_serves_after_more_labels(scene: Scene) -> None:
    """Ten labels of each source make a canary without being asked, and five more let it serve."""
    learner = Learner(scene.db, scene.clock, BY_ITSELF)
    for i in range(15):
        noisy = i % 2 == 0
        finding = scene.finding("batch" if noisy else "shop", 0.52 if noisy else 0.8, load=2.5 if noisy else 1.0)
        scene.incident(finding, warranted=not noisy, sources=BOTH)
        learner.run(scene.clock.now())
    stages = [record.stage for record in promotion_records(scene.db, registry.NAME) if record.stage != "retired"]
    assert stages == ["canary", "serving"]


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.floats(0, 1), st.booleans(), st.floats()),
        max_size=25,
    )
)
def test_training_never_breaks(rows: list[tuple[str, float, bool, float]]) -> None:
    """Whatever the labels, a version is finite, the same for the same labels, and never stricter than it may be."""

    known = [
        Example(
            incident_id=f"i{i}",
            source="human",
            at=START,
            warranted=warranted,
            finding=Finding(
                detector="red.latency",
                detector_version="0",
                kind="latency",
                service=service,
                summary="slow",
                onset=START,
                seen_at=START,
                score=score,
                conditions=Conditions(load=load),
            ),
        )
        for i, (service, score, warranted, load) in enumerate(rows)
    ]
    learned = train(known)
    assert train(known).to_bytes() == learned.to_bytes()
    assert LearnedModel.from_bytes(learned.to_bytes()) == learned
    assert all(1.0 < value <= 2.5 for value in learned.strictness.values())
