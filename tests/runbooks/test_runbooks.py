"""Runbooks: proposed for a reason, refused where they may not act, run once, journalled, undone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from runbooks.execute import execute
from runbooks.journal import Entry, Journal
from runbooks.library import Library, load_runbooks
from runbooks.policy import Policy
from runbooks.propose import propose
from runbooks.runbook import read_runbook
from runbooks.target import ServiceStatus
from watchkeeper.clock import SystemClock
from watchkeeper.errors import RunbookError
from watchkeeper.state.database import Database
from watchkeeper.vocabulary import ChangeEvent, Diagnosis, Mechanism, Proposal, Suspect

ONSET = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.fixture
def db(tmp_path: Path) -> Database:
    return Database.open(f"sqlite:///{tmp_path / 'state.db'}")


@pytest.fixture
def library() -> Library:
    return replace(load_runbooks(), policy=Policy(services=("*",), free=frozenset()))


def _diagnosis(mechanism: Mechanism, *, abstained: bool = False) -> Diagnosis:
    suspect = Suspect(service="payments", score=3.0, probability=0.8, mechanism=mechanism)
    return Diagnosis(
        onset=ONSET, made_at=ONSET, suspects=(suspect,), abstained=abstained, reason="because", engine_version="1"
    )


def _deploy(minutes_before: float, **changes: Any) -> ChangeEvent:
    at = ONSET - timedelta(minutes=minutes_before)
    values = {"id": "d1", "at": at, "kind": "deploy", "service": "payments", "title": "Deploy 1.4.1"} | changes
    return ChangeEvent(**values)


class Recorder:
    """A target in memory that remembers keys as the real one does."""

    def __init__(self, *, fails: str = "") -> None:
        self.did: dict[str, str] = {}
        self._fails = fails

    def status(self, service: str) -> ServiceStatus:
        return ServiceStatus(state="running", version="1.4.1", previous_version="1.4.0", instance="payments-1")

    def act(self, service: str, verb: str, key: str, body: Mapping[str, Any] | None = None) -> str:
        if verb == self._fails:
            raise RunbookError(f"{verb} is broken")
        return self.did.setdefault(key, f"{verb} {service}")


@pytest.mark.parametrize(
    ("mechanism", "runbook"),
    [
        ("killed", "start-service"),
        ("hung", "replace-hung-instance"),
        ("database", "release-database"),
        ("network", "replace-network-path"),
        ("cpu", "restart-service"),
        ("latency", "restart-service"),
    ],
)
def test_the_mechanism_decides(library: Library, mechanism: Mechanism, runbook: str) -> None:
    """Without a change, each mechanism has its runbook."""
    proposal = propose(_diagnosis(mechanism), (), library)
    assert proposal is not None
    assert (proposal.runbook, proposal.service) == (runbook, "payments")
    assert all("payments" in step for step in proposal.steps)


def test_a_change_before_the_onset_is_rolled_back(library: Library) -> None:
    """Errors that begin after a deploy of the suspect propose its roll-back."""
    proposal = propose(_diagnosis("errors"), [_deploy(1)], library)
    assert proposal is not None
    assert (proposal.runbook, proposal.arguments["change"]) == ("roll-back-deploy", "d1")


@pytest.mark.parametrize(
    "change",
    [
        _deploy(60),
        _deploy(1, service="cart"),
        _deploy(1, attributes={"rollback": "true"}),
        _deploy(-2),
    ],
)
def test_a_change_that_explains_nothing_is_left_alone(library: Library, change: ChangeEvent) -> None:
    """An old change, another service's, a roll-back, or one after the onset does not lead to a roll-back."""
    proposal = propose(_diagnosis("errors"), [change], library)
    assert proposal is not None
    assert proposal.runbook == "restart-service"


def test_an_abstention_proposes_nothing(library: Library) -> None:
    """No cause, no action."""
    assert propose(_diagnosis("hung", abstained=True), (), library) is None
    assert propose(_diagnosis("traffic"), (), library) is None


def _proposal(runbook: str, service: str = "payments") -> Proposal:
    return Proposal(runbook=runbook, title="t", service=service, steps=("s",), blast_radius="b", undo="u")


def test_nothing_may_be_touched_by_default(db: Database) -> None:
    """The built-in policy names no service, so a run is refused in words, before anything happens."""
    target = Recorder()
    result = execute(_proposal("restart-service"), target, load_runbooks(), db, "inc-1", "k")
    assert not result.succeeded
    assert "policy.yaml" in result.text
    assert target.did == {}


def test_a_run_does_each_step_once(library: Library, db: Database) -> None:
    """The same key again reads the journal and touches nothing."""
    target = Recorder()
    first = execute(_proposal("start-service"), target, library, db, "inc-1", "k")
    did = dict(target.did)
    again = execute(_proposal("start-service"), target, library, db, "inc-1", "k")
    assert first.succeeded
    assert (again, target.did) == (first, did)


def test_a_run_that_was_killed_goes_on(library: Library, db: Database) -> None:
    """A step that was begun and not ended is asked for again under its own key, so the target can tell."""
    journal = Journal(db, "inc-1", SystemClock())
    journal.write(Entry(key="k:0:start", runbook="start-service", step="start", status="started", detail=""))
    target = Recorder()
    target.did["k:0:start"] = "start payments (before the kill)"
    result = execute(_proposal("start-service"), target, library, db, "inc-1", "k")
    assert result.succeeded
    assert result.sentences[0] == "start payments (before the kill)"


def test_a_failed_step_ends_the_run_and_says_what_stays(library: Library, db: Database) -> None:
    """The steps before it are undone where they can be; the sentences say which can't."""
    target = Recorder(fails="restart")
    result = execute(_proposal("restart-service"), target, library, db, "inc-1", "k")
    assert not result.succeeded
    assert result.sentences == (
        "reroute payments",
        "restart failed: restart is broken",
        "reroute stays as it is: it has no undo by machine",
    )
    entry = Journal(db, "inc-1", SystemClock()).read("k:1:restart")
    assert entry is not None
    assert entry.status == "failed"


def test_a_runbook_file_is_checked(tmp_path: Path) -> None:
    """An unknown step is an error that names the file and what there is."""
    path = tmp_path / "wrong.yaml"
    path.write_text("id: wrong\ntitle: t\nwhy: w\nmechanisms: [cpu]\nsteps: [explode]\nblast_radius: b\nundo: u\n")
    with pytest.raises(RunbookError, match=r"wrong\.yaml:5: steps\.0: no step 'explode'; there are start"):
        read_runbook(path)
