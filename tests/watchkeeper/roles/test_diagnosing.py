"""The role's `diagnose` job: explain, page, and go on whatever one kind of evidence does."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from alerting.incidents.commands import Incidents
from rca.case import Case
from rca.engine import Engine
from rca.evidence_kind import EvidenceKind
from rca.learning.causes import Causes
from rca.terms import Term
from tests.rca.empty_store import EmptyStore
from watchkeeper.clock import SystemClock
from watchkeeper.config import Config, LearningConfig
from watchkeeper.problems import Problems
from watchkeeper.roles.acting import Acting
from watchkeeper.roles.diagnosing import Diagnosing
from watchkeeper.state.database import Database
from watchkeeper.vocabulary import Finding

NOW = datetime.now(UTC)
ALERT = Finding(
    detector="alertmanager", detector_version="1", kind="alert", service="cart", summary="cart is slow", onset=NOW,
    seen_at=NOW, score=1.0,
)  # fmt: skip


def hours_later(hours: int) -> datetime:
    """Late enough for another round, whenever the incident was opened."""
    return NOW + timedelta(hours=hours)


def alarmed(case: Case) -> Sequence[Term]:
    """Whoever the alert is about."""
    return [Term(kind="alarmed", candidate=name, strength=1.0, sentence=f"{name} alerts") for name in case.alerts]


def failing(case: Case) -> Sequence[Term]:
    """Never works."""
    raise RuntimeError("it rains")


def kind(explain: Any) -> EvidenceKind:
    return EvidenceKind(explain=explain, weights={"alarmed": 3.0}, needs=frozenset({"alerts"}))


@pytest.fixture
def problems() -> Problems:
    return Problems(None)


@pytest.fixture
def job(tmp_path: Path, db: Database, problems: Problems) -> tuple[Diagnosing, Causes, Incidents]:
    """A job whose store answers, with nothing."""
    config = Config(data_dir=tmp_path / "data")
    incidents = Incidents(db, SystemClock(), config.oncall)
    causes = Causes(db, incidents, SystemClock(), LearningConfig(), problems)
    store: Any = EmptyStore()
    return (
        Diagnosing(store, db, incidents, Acting(config, db, incidents, problems), causes, problems),
        causes,
        incidents,
    )


def test_an_incident_is_explained_and_then_paged(job: tuple[Diagnosing, Causes, Incidents]) -> None:
    """The page goes out with the first diagnosis."""
    diagnosing, causes, incidents = job
    causes.engine = Engine({"alarmed": kind(alarmed)})
    (incident_id,) = incidents.observe([ALERT])
    diagnosing.run(NOW, settle_s=0)
    incident = incidents.get(incident_id)
    assert incident.diagnosis is not None
    assert [(e.kind, e.strength) for e in incident.diagnosis.suspects[0].evidence] == [("alarmed", 1.0)]
    assert incident.paged_at is not None


def test_evidence_that_fails_is_reported_and_the_incident_pages(
    job: tuple[Diagnosing, Causes, Incidents], problems: Problems
) -> None:
    """By name, once; when it works again, the problem is over."""
    diagnosing, causes, incidents = job
    causes.engine = Engine({"alarmed": kind(alarmed), "failing": kind(failing)})
    (incident_id,) = incidents.observe([ALERT])
    diagnosing.run(NOW, settle_s=0)
    (problem,) = problems.current()
    assert (problem.loop, problem.subject) == ("evidence", "the evidence failing failed")
    assert problem.reason == "RuntimeError: it rains"
    incident = incidents.get(incident_id)
    assert incident.diagnosis is not None
    assert incident.diagnosis.suspects[0].evidence[0].kind == "alarmed"
    assert incident.paged_at is not None
    causes.engine = Engine({"alarmed": kind(alarmed)})
    diagnosing.run(hours_later(1), settle_s=0)
    assert problems.current() == ()


def test_new_evidence_replaces_the_diagnosis_and_the_same_again_does_not(
    job: tuple[Diagnosing, Causes, Incidents],
) -> None:
    """What is no news is not recorded."""
    diagnosing, causes, incidents = job
    causes.engine = Engine({"alarmed": kind(alarmed)})
    (incident_id,) = incidents.observe([ALERT])
    diagnosing.run(hours_later(1), settle_s=0)
    first = _made_at(incidents, incident_id)
    diagnosing.run(hours_later(2), settle_s=0)
    assert _made_at(incidents, incident_id) == first
    surer = EvidenceKind(
        explain=lambda case: [
            Term(kind="seen", candidate=name, strength=0.5, sentence=f"{name} was seen") for name in case.alerts
        ],
        weights={"seen": 1.0},
        needs=frozenset({"alerts"}),
    )
    causes.engine = Engine({"alarmed": kind(alarmed), "seen": surer})
    diagnosing.run(hours_later(3), settle_s=0)
    assert _made_at(incidents, incident_id) == hours_later(3)


def _made_at(incidents: Incidents, incident_id: str) -> datetime | None:
    diagnosis = incidents.get(incident_id).diagnosis
    return diagnosis.made_at if diagnosis else None


def test_in_a_storm_everybody_is_paged_before_anything_is_explained_and_a_round_ends_soon(
    job: tuple[Diagnosing, Causes, Incidents], monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many wait, also more than are explained; each is explained in its turn, the others in later rounds."""
    diagnosing, causes, incidents = job
    slow = EvidenceKind(explain=_slowly, weights={"alarmed": 3.0}, needs=frozenset({"alerts"}))
    causes.engine = Engine({"alarmed": slow})
    monkeypatch.setattr("watchkeeper.roles.diagnosing.MOST_DIAGNOSED", 20)
    monkeypatch.setattr("watchkeeper.roles.diagnosing.EXPLAINS_FOR_S", 0.0)
    opened = incidents.observe([replace(ALERT, key=f"k{number}", service=f"s{number}") for number in range(60)])
    diagnosing.run(hours_later(1), settle_s=0)
    assert all(incidents.get(one).paged_at for one in opened)
    for explained in (1, 2, 3):
        assert sum(incidents.get(one).diagnosis is not None for one in opened) == explained
        diagnosing.run(hours_later(1), settle_s=0)


def test_who_waits_for_a_page_is_not_left_to_a_later_round(
    job: tuple[Diagnosing, Causes, Incidents], monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many newer incidents want to be explained, and however long that takes."""
    diagnosing, causes, incidents = job
    slow = EvidenceKind(explain=_slowly, weights={"alarmed": 3.0}, needs=frozenset({"alerts"}))
    causes.engine = Engine({"alarmed": slow})
    monkeypatch.setattr("watchkeeper.roles.diagnosing.EXPLAINS_FOR_S", 0.0)
    waiting = incidents.observe([replace(ALERT, key=f"w{number}", service=f"w{number}") for number in range(2)])
    told = incidents.observe(
        [replace(ALERT, key=key, service=key) for key in [*(f"w{n}" for n in range(2)), *(f"s{n}" for n in range(10))]]
    )
    incidents.page_all(told)
    diagnosing.run(hours_later(1), settle_s=0)
    assert len(told) == 10
    assert all(incidents.get(one).paged_at for one in waiting)
    assert not all(incidents.get(one).diagnosis for one in told)


def _slowly(case: Case) -> Sequence[Term]:
    time.sleep(0.01)
    return alarmed(case)
