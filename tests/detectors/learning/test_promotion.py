"""The way of a version, with a clock in hand: label, training, shadow, canary, serving, and exactly back."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from detectors.learning import versions as registry
from detectors.learning.commands.model import app
from detectors.learning.examples import examples
from detectors.learning.loop import Learner, in_canary
from detectors.learning.model import LearnedModel
from detectors.learning.question import best_question
from detectors.learning.suppression import reopen, suppressed_findings
from detectors.learning.train import train
from tests.detectors.learning.conftest import Scene, reason_of
from watchkeeper.config import GateConfig, LearningConfig
from watchkeeper.errors import StateError
from watchkeeper.state.codec import dump
from watchkeeper.state.models import at_stage, promotion_records, put_model, stage, versions
from watchkeeper.vocabulary import Actor, Finding

BOTH = ("human", "chaos")
SOON = GateConfig(shadow_s=20, canary_s=20, canary_labels=0)
ANA = Actor(name="Ana Sousa", via="cli")
QUICK = GateConfig(human_labels=4, chaos_labels=4, warranted=1, shadow_s=0, canary_s=0, canary_labels=0)


def label_ten(scene: Scene) -> None:
    """Five false pages on a service with a nightly batch, five that were warranted."""
    for number in range(10):
        noisy = number % 2 == 0
        finding = scene.finding("batch" if noisy else "shop", 0.52 if noisy else 0.85)
        scene.incident(finding, warranted=not noisy, sources=BOTH)


def decisions(scene: Scene, findings: Sequence[Finding], settings: LearningConfig) -> str:
    """What a watch role that starts now makes of each finding, as text."""
    learner = Learner(scene.db, scene.clock, settings)
    return "\n".join(dump(one) for one in learner.judge(findings, scene.clock.now()))


def probes(scene: Scene) -> list[Finding]:
    """Findings mild and severe, on services that were labelled and on one that never was."""
    kinds = ("red.latency", "red.errors")
    return [
        replace(scene.finding(service, score, detector), key=f"{detector}:{service}:{score}")
        for detector in kinds
        for service in ("batch", "shop", "new")
        for score in (0.5, 0.52, 0.6, 0.9)
    ]


def test_minutes_after_the_tenth_label_a_version_serves(scene: Scene) -> None:
    """With a gate that watches for twenty seconds a stage, the tenth label decides within a minute, by itself."""
    learner = Learner(scene.db, scene.clock, LearningConfig(gate=SOON))
    label_ten(scene)
    began = scene.clock.now()
    reached: dict[str, float] = {}
    for _ in range(30):
        learner.run(scene.clock.now())
        for one in versions(scene.db, registry.NAME):
            reached.setdefault(one.stage, (scene.clock.now() - began).total_seconds())
        scene.clock.advance(5)
    assert reached == {"shadow": 0, "canary": 20, "serving": 40}


def test_production_waits(scene: Scene) -> None:
    """By default a version is watched for an hour, then a day, and somebody must have judged what it did."""
    learner = Learner(scene.db, scene.clock)
    label_ten(scene)
    learner.run(scene.clock.now())
    with pytest.raises(StateError, match="it was observed in shadow for 0 of 3600 s"):
        registry.promote(scene.db, 1, actor="ana", now=scene.clock.now())
    scene.clock.advance(3600)
    learner.run(scene.clock.now())
    assert at_stage(scene.db, registry.NAME, "canary")
    scene.clock.advance(86_400)
    learner.run(scene.clock.now())
    assert at_stage(scene.db, registry.NAME, "serving") is None
    with pytest.raises(StateError, match="0 of 3 incidents were labelled while it was a canary"):
        registry.promote(scene.db, 1, actor="ana", now=scene.clock.now())


def test_new_labels_do_not_set_the_clock_back(scene: Scene) -> None:
    """A version that passes goes on being watched while newer ones are trained."""
    learner = Learner(scene.db, scene.clock)
    label_ten(scene)
    learner.run(scene.clock.now())
    for _ in range(4):  # a quarter of an hour each
        scene.incident(scene.finding("shop", 0.8), warranted=True, sources=BOTH)
        learner.run(scene.clock.now())
    canary = at_stage(scene.db, registry.NAME, "canary")
    assert canary is not None
    assert canary.version == 1
    assert [one.version for one in versions(scene.db, registry.NAME) if one.stage == "shadow"] == [5]


def test_without_warranted_pages_nothing_is_promoted(scene: Scene) -> None:
    """Recall cannot be known where no page was warranted: the gate waits, whatever the noise."""
    for _ in range(12):
        scene.incident(scene.finding("batch", 0.52), warranted=False, sources=BOTH)
    Learner(scene.db, scene.clock).run(scene.clock.now())
    with pytest.raises(StateError, match="only 0 of the 3 incidents with a warranted page"):
        registry.promote(scene.db, 1, actor="ana", now=scene.clock.now(), rules=SOON)


def test_the_record_names_labels_numbers_and_who(scene: Scene) -> None:
    """Counts by source, both versions' scores, the rules, how long it was watched, who and when."""
    label_ten(scene)
    Learner(scene.db, scene.clock, LearningConfig(automatic=False)).run(scene.clock.now())
    scene.clock.advance(25)
    registry.promote(scene.db, 1, actor="ana", now=scene.clock.now(), rules=SOON, why="quieter nights")
    record = promotion_records(scene.db, registry.NAME)[-1]
    assert (record.actor, record.at, record.record["why"]) == ("ana", scene.clock.now(), "quieter nights")
    for source in BOTH:
        assert record.record["labels"][source] == {"incidents": 10, "warranted": 5, "false": 5}
        assert record.record[f"{source}_before"] == "paged 5/5 warranted, 5/5 false"
        assert record.record[f"{source}_new"].startswith("paged 5/5 warranted, 0/5 false")
    assert record.record["rules"]["shadow_s"] == 20
    assert record.record["watched_s"] >= 20


SUPPRESSED = '"suppression":{'


def test_a_rollback_restores_every_decision_to_the_byte(scene: Scene) -> None:
    """The same findings through version n, n + 1, and n again after the rollback; then the built-in one."""
    settings = LearningConfig(automatic=False, gate=QUICK)
    built_in = decisions(scene, probes(scene), settings)
    label_ten(scene)
    Learner(scene.db, scene.clock, settings).run(scene.clock.now())
    for _ in range(2):
        registry.promote(scene.db, 1, actor="ana", now=scene.clock.now(), rules=QUICK)
    findings = probes(scene)  # of one moment, so that what is compared is the decision
    first = decisions(scene, findings, settings)
    assert first.count(SUPPRESSED) >= 2
    for _ in range(3):
        scene.incident(scene.finding("batch", 0.56), warranted=False, sources=BOTH)
    Learner(scene.db, scene.clock, settings).run(scene.clock.now())
    newest = versions(scene.db, registry.NAME)[-1].version
    for _ in range(2):
        registry.promote(scene.db, newest, actor="ana", now=scene.clock.now(), rules=QUICK)
    second = decisions(scene, findings, settings)
    assert f'"model_version":"{newest}"' in second
    assert second != first
    assert registry.rollback(scene.db, actor="ana", now=scene.clock.now(), why="too quiet") == 1
    assert decisions(scene, findings, settings) == first
    assert registry.rollback(scene.db, actor="ana", now=scene.clock.now()) == 0
    assert SUPPRESSED not in decisions(scene, findings, settings)
    assert SUPPRESSED not in built_in


def test_after_a_rollback_nothing_moves_by_itself(scene: Scene) -> None:
    """A human's word stands until a human promotes again."""
    settings = LearningConfig(gate=QUICK)
    label_ten(scene)
    learner = Learner(scene.db, scene.clock, settings)
    for _ in range(3):
        learner.run(scene.clock.now())
    assert learner.version() == "1"
    registry.rollback(scene.db, actor="ana", now=scene.clock.now(), why="too quiet")
    for _ in range(3):
        scene.incident(scene.finding("batch", 0.53), warranted=False, sources=BOTH)
        learner.run(scene.clock.now())
    assert learner.version() == "0"
    newest = versions(scene.db, registry.NAME)[-1].version
    registry.promote(scene.db, newest, actor="ana", now=scene.clock.now(), rules=QUICK)
    learner.run(scene.clock.now())
    assert learner.version() == str(newest)


def test_a_rollback_ends_a_canary_first(scene: Scene) -> None:
    """What serves stays; only the trial of the next version ends."""
    label_ten(scene)
    Learner(scene.db, scene.clock, LearningConfig(automatic=False)).run(scene.clock.now())
    for _ in range(2):
        registry.promote(scene.db, 1, actor="ana", now=scene.clock.now(), rules=QUICK)
    other = put_model(scene.db, registry.NAME, LearnedModel(bias=1.0).to_bytes(), {}, scene.clock.now())
    registry.promote(scene.db, other.version, actor="ana", now=scene.clock.now(), force=True, why="a trial")
    assert registry.rollback(scene.db, actor="ana", now=scene.clock.now()) == 1
    assert at_stage(scene.db, registry.NAME, "canary") is None
    assert at_stage(scene.db, registry.NAME, "serving").version == 1  # type: ignore[union-attr]


def test_a_canary_covers_thresholds_too(scene: Scene) -> None:
    """A learned threshold suppresses on the canary's services alone, and says what is missing."""
    label_ten(scene)
    known = train(examples(scene.db))
    strict = replace(known, false_pages=(), strictness={f"red.latency|service-{i}": 2.0 for i in range(40)})
    model = put_model(scene.db, registry.NAME, strict.to_bytes(), {}, scene.clock.now())
    registry.promote(scene.db, model.version, actor="ana", now=scene.clock.now(), force=True, why="a trial")
    learner = Learner(scene.db, scene.clock)
    findings = [scene.finding(f"service-{i}", 0.55, extra_ms=60) for i in range(40)]
    judged = learner.judge(findings, scene.clock.now())
    held = {one.service for one in judged if one.severity == "ticket"}
    assert held == {one.service for one in findings if in_canary(one.service)}
    assert 0 < len(held) < 40
    assert all("needs 2.0 times" in reason_of(one) for one in judged if one.severity == "ticket")
    grown = learner.judge([replace(one, score=0.7) for one in findings], scene.clock.now())
    assert all(one.severity == "page" for one in grown)


def test_a_version_that_cannot_be_read_decides_nothing(scene: Scene) -> None:
    """Everything pages, the watch role lives on, and says so."""
    model = put_model(scene.db, registry.NAME, b'{"format": 1}', {}, scene.clock.now())
    stage(scene.db, registry.NAME, model.version, "serving", actor="ana", now=scene.clock.now(), record={})
    learner = Learner(scene.db, scene.clock)
    learner.run(scene.clock.now())
    (judged,) = learner.judge([scene.finding("batch", 0.51)], scene.clock.now())
    assert (judged.severity, learner.version()) == ("page", "0")
    assert "version 1 cannot be read" in learner.unreadable
    label_ten(scene)
    learner.run(scene.clock.now())
    newest = versions(scene.db, registry.NAME)[-1].version
    assert registry.promote(scene.db, newest, actor="ana", now=scene.clock.now(), rules=QUICK)[0] == "canary"
    incident_id = scene.incident(scene.finding("batch", 0.6), warranted=True, sources=())
    best_question(scene.db, incident_id)  # whoever resolves it is still asked


def test_what_woke_somebody_is_not_suppressed_while_it_lasts(scene: Scene) -> None:
    """A promotion changes what comes, not what somebody is already awake for."""
    label_ten(scene)
    learner = Learner(scene.db, scene.clock, LearningConfig(automatic=False))
    learner.run(scene.clock.now())
    mild = scene.finding("batch", 0.52)
    assert learner.judge([mild], scene.clock.now())[0].severity == "page"
    for _ in range(2):
        registry.promote(scene.db, 1, actor="ana", now=scene.clock.now(), rules=QUICK)
    learner.run(scene.clock.now())
    assert learner.judge([mild], scene.clock.now())[0].severity == "page"
    learner.judge([], scene.clock.now())
    assert learner.judge([mild], scene.clock.now())[0].severity == "ticket"


def test_what_was_suppressed_pages_once_it_grows(scene: Scene) -> None:
    """Also where the incident that it joined as a ticket had recovered meanwhile."""
    label_ten(scene)
    Learner(scene.db, scene.clock, LearningConfig(automatic=False)).run(scene.clock.now())
    for _ in range(2):
        registry.promote(scene.db, 1, actor="ana", now=scene.clock.now(), rules=QUICK)
    learner = Learner(scene.db, scene.clock)
    real = scene.finding("shop", 0.9)
    mild = scene.finding("batch", 0.52)
    edges = (("batch", "shop"),)
    (incident_id,) = scene.incidents.observe(learner.judge([real, mild], scene.clock.now()), edges=edges)
    scene.clock.advance(30)
    scene.incidents.observe(learner.judge([mild], scene.clock.now()), edges=edges)
    assert scene.incidents.get(incident_id).system_state == "recovered"
    worse = replace(mild, value=900.0, seen_at=scene.clock.now() + timedelta(seconds=5))
    scene.incidents.observe(learner.judge([worse], scene.clock.now()), edges=edges)
    incident = scene.incidents.get(incident_id)
    assert incident.system_state == "firing"
    assert {one.key: one.severity for one in incident.findings}[mild.key] == "page"


def test_the_command_line_tells_and_undoes(scene: Scene, tmp_path: Path) -> None:
    """`list`, `show`, `record`, `rollback` by the same database; `--force` needs a reason."""
    label_ten(scene)
    Learner(scene.db, scene.clock, LearningConfig(automatic=False)).run(scene.clock.now())
    for _ in range(2):
        registry.promote(scene.db, 1, actor="ana", now=scene.clock.now(), rules=QUICK)
    path = tmp_path / "watchkeeper.yaml"
    path.write_text(f"state: {{url: '{scene.db.engine.url}'}}\ndata_dir: {tmp_path}/data\n")
    config = str(path)
    run = CliRunner().invoke
    listed = json.loads(run(app, ["list", "--json", "--config", config]).stdout)
    assert [(one["version"], one["stage"]) for one in listed] == [(1, "serving")]
    assert "right 0 of 5" in run(app, ["show", "1", "--config", config]).stdout
    told = run(app, ["record", "--config", config]).stdout
    assert "human labels: 10 incidents, 5 warranted, 5 false; paged 5/5 warranted, 0/5 false" in told
    assert run(app, ["promote", "1", "--force", "--config", config]).exit_code != 0
    assert "built-in" in run(app, ["rollback", "--config", config, "--why", "too quiet"]).stdout


@pytest.mark.parametrize(
    ("extra_ms", "later_s", "edges", "severity"),
    [
        (60.0, 0, (("web", "batch"),), "ticket"),
        (60.0, 0, (("batch", "web"),), "page"),  # it is called by what is slow: no excuse
        (60.0, 60, (("web", "batch"),), "page"),  # it began long before
        (200.0, 0, (("web", "batch"),), "page"),  # more than it waits for
    ],
)
def test_a_caller_is_suppressed_with_what_it_waits_for(
    scene: Scene, extra_ms: float, later_s: int, edges: tuple[tuple[str, str], ...], severity: str
) -> None:
    """As far as the held slowness explains it, with the reason; the caller of that caller, too."""
    label_ten(scene)
    Learner(scene.db, scene.clock, LearningConfig(automatic=False)).run(scene.clock.now())
    for _ in range(2):
        registry.promote(scene.db, 1, actor="ana", now=scene.clock.now(), rules=QUICK)
    learner = Learner(scene.db, scene.clock)
    web = scene.finding("web", 0.9, extra_ms=extra_ms)
    web = replace(web, onset=web.onset - timedelta(seconds=later_s))
    door = scene.finding("door", 0.9, extra_ms=extra_ms)
    batch = scene.finding("batch", 0.52)
    judged = learner.judge([door, web, batch], scene.clock.now(), (*edges, ("door", "web")))
    by_service = {one.service: one for one in judged}
    assert {name: one.severity for name, one in by_service.items()} == {
        "batch": "ticket",
        "web": severity,
        "door": severity,
    }
    if severity == "ticket":
        assert "it waits for batch" in reason_of(by_service["web"])


def test_a_suppression_is_kept_with_who_why_and_until_when(scene: Scene) -> None:
    """While it lasts it is open; it ends where the finding clears, pages after all, or is reopened."""
    settings = LearningConfig(automatic=False, gate=QUICK)
    label_ten(scene)
    Learner(scene.db, scene.clock, settings).run(scene.clock.now())
    for _ in range(2):
        registry.promote(scene.db, 1, actor="ana", now=scene.clock.now(), rules=QUICK)
    learner = Learner(scene.db, scene.clock, settings)

    def tick(*findings: Finding) -> list[Finding]:
        scene.clock.advance(10)
        judged = learner.judge([replace(one, seen_at=scene.clock.now()) for one in findings], scene.clock.now())
        scene.incidents.observe(judged, now=scene.clock.now())
        return judged

    mild = scene.finding("batch", 0.51)
    (judged,) = tick(mild)
    began = scene.clock.now()
    assert judged.suppression is not None
    (kept,) = suppressed_findings(scene.db)
    assert (kept.version, kept.reason, kept.began, kept.until) == ("1", reason_of(judged), began, None)
    tick(mild)
    tick()
    (kept,) = suppressed_findings(scene.db)
    assert (kept.began, kept.until) == (began, scene.clock.now())

    scene.clock.advance(600)
    again = scene.finding("batch", 0.51)
    tick(again)
    (grown,) = tick(replace(again, score=0.9, value=3000.0))
    assert (grown.severity, grown.suppression) == ("page", None)
    assert [one.began for one in suppressed_findings(scene.db)] == [began], "what paged after all is not listed"
    tick()

    scene.clock.advance(600)
    third = scene.finding("batch", 0.51)
    tick(third)
    assert reopen(scene.db, third.key, ANA, scene.clock.now())[0]
    (newest, _) = suppressed_findings(scene.db)
    assert (newest.until, newest.reopened) == (scene.clock.now(), True)
    learner.run(scene.clock.now())
    (paged,) = tick(third)
    assert paged.severity == "page"
