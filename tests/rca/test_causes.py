"""Causes that people name become the weights by which the watch role ranks suspects."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from alerting.incidents.commands import Incidents
from rca.learning.causes import Causes
from watchkeeper.clock import FrozenClock
from watchkeeper.config import GateConfig, LearningConfig, OnCallConfig
from watchkeeper.problems import Problems
from watchkeeper.state.database import Database
from watchkeeper.state.diagnosis_verdicts import accuracy_by_version
from watchkeeper.state.labels import record_label
from watchkeeper.vocabulary import Diagnosis, Evidence, Finding, Label, Suspect

INCIDENTS = 12


def _labelled_incident(db: Database, incidents: Incidents, clock: FrozenClock, number: int) -> None:
    """The diagnosis blames the loud caller; somebody names the service that moved first."""
    caller, cause = f"web-{number}", f"db-{number}"
    now = clock.now()
    finding = Finding(
        detector="red", detector_version="1", kind="errors", service=caller, summary=f"{caller} fails", onset=now,
        seen_at=now, score=0.9,
    )  # fmt: skip
    (incident_id,) = incidents.observe([finding])
    suspects = (
        Suspect(service=caller, score=0.9, probability=0.6, evidence=(
            Evidence(kind="errors", weight=0.9, strength=0.3, sentence=f"{caller} fails"),)),
        Suspect(service=cause, score=0.1, probability=0.1, evidence=(
            Evidence(kind="onset_order", weight=0.1, strength=1.0, sentence=f"{cause} moved first"),)),
    )  # fmt: skip
    diagnosis = Diagnosis(
        onset=now, made_at=now, suspects=suspects, abstained=False, reason=f"{caller} fails", engine_version="2"
    )
    incidents.diagnosed(incident_id, diagnosis, None, "d")
    record_label(
        db,
        Label(
            id=f"l{number}", incident_id=incident_id, source="human", author="ana", at=clock.now(), warranted=True,
            cause=cause,
        ),
    )  # fmt: skip
    clock.advance(3600)


def test_named_causes_change_how_the_next_incident_is_ranked(db: Database, tmp_path: Path) -> None:
    """Through the gate: after its time in shadow the version serves, and the engine that diagnoses uses it."""
    clock = FrozenClock(datetime(2026, 3, 1, 3, 0, tzinfo=UTC))
    incidents = Incidents(db, clock, OnCallConfig())
    for number in range(INCIDENTS):
        _labelled_incident(db, incidents, clock, number)
    causes = Causes(db, incidents, clock, LearningConfig(gate=GateConfig(shadow_s=60)), Problems(tmp_path))
    shipped = dict(causes.engine.weights)
    causes.learn()
    assert causes.engine.weights == shipped
    clock.advance(61)
    causes.learn()
    assert causes.engine.weights["errors"] < 0.5 * shipped["errors"]
    assert causes.engine.weights["silence"] == shipped["silence"]
    assert accuracy_by_version(db) == {0: (0, INCIDENTS), 1: (INCIDENTS, INCIDENTS)}
    again = Causes(db, incidents, clock, LearningConfig(), Problems(tmp_path))
    assert again.engine.weights == causes.engine.weights


def test_an_incident_without_a_named_cause_teaches_nothing(db: Database, tmp_path: Path) -> None:
    """Whether a page was right is another question."""
    clock = FrozenClock(datetime(2026, 3, 1, 3, 0, tzinfo=UTC))
    incidents = Incidents(db, clock, OnCallConfig())
    label = Label(id="l", incident_id="gone", source="human", author="ana", at=clock.now(), warranted=False)
    record_label(db, label)
    record_label(
        db, Label(id="m", incident_id="gone", source="chaos", author="x", at=clock.now(), warranted=True, cause="a")
    )
    causes = Causes(db, incidents, clock, LearningConfig(), Problems(tmp_path))
    causes.learn()
    assert accuracy_by_version(db) == {}
