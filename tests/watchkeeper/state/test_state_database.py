"""The state database: opened, migrated and shared; changes, findings, labels and models in it."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect

from alerting.incidents.findings import record_findings
from detectors.recorded_readiness import read_readiness, record_readiness
from tests.kept_findings import findings_between
from watchkeeper.errors import NotFound, StateError
from watchkeeper.state.changes import changes_between, record_change
from watchkeeper.state.database import Database, from_micros, to_micros
from watchkeeper.state.labels import labels, record_label
from watchkeeper.state.models import at_stage, promotion_records, put_model, serving, stage, versions
from watchkeeper.state.schema import metadata
from watchkeeper.vocabulary import (
    AlertDetails,
    ChangeEvent,
    Conditions,
    Episode,
    Finding,
    Label,
    Readiness,
    Suppression,
    Window,
)

NOW = datetime(2026, 3, 1, 3, tzinfo=UTC)


def finding(service: str, onset: datetime) -> Finding:
    return Finding(
        detector="test",
        detector_version="1",
        kind="errors",
        service=service,
        summary=service,
        onset=onset,
        seen_at=onset + timedelta(seconds=5),
        score=1.0,
        alert=AlertDetails(name="/ü"),
        conditions=Conditions(load=2.0),
        episode=Episode(peak_score=1.0, peak_value=3.5),
        suppression=Suppression(reason="as before", model_version="7"),
    )


def change(identity: str, at: datetime) -> ChangeEvent:
    return ChangeEvent(id=identity, at=at, kind="deploy", service="cart", title="cart 1.2", files=("a.py",))


def test_migrations_lead_to_the_schema(db: Database) -> None:
    """What the code expects is what the migrations make."""
    with db.read() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
        assert set(metadata.tables) <= set(inspect(connection).get_table_names())


def test_readiness_is_what_was_said_last(db: Database) -> None:
    """A new word replaces the old one, and a service that is no longer met is gone."""

    def said(**stages: str) -> dict[str, Readiness]:
        return {name: Readiness(service=name, stage=stage, reason="why") for name, stage in stages.items()}  # type: ignore[arg-type]

    for word in (said(cart="learning", orders="level"), said(cart="ready"), {}):
        record_readiness(db, word)
        assert read_readiness(db) == word


def test_roles_that_start_together_wait_for_each_other(tmp_path: Path) -> None:
    """Four processes open a database that does not exist yet."""
    code = "import sys; from watchkeeper.state.database import Database; Database.open(sys.argv[1])"
    url = f"sqlite:///{tmp_path / 'new' / 'state.db'}"
    runs = [subprocess.Popen([sys.executable, "-c", code, url]) for _ in range(3)]
    assert [run.wait(60) for run in runs] == [0, 0, 0]


def test_a_database_that_cannot_be_opened_is_a_clear_error_without_the_password() -> None:
    """It names the database, not the secret."""
    with pytest.raises(StateError, match="cannot be opened") as caught:
        Database.open("postgresql://watchkeeper:hunter2@127.0.0.1:1/state")
    assert "hunter2" not in str(caught.value)


def test_a_transaction_that_fails_leaves_nothing(db: Database) -> None:
    """All or nothing."""

    def half() -> None:
        with db.write() as connection:
            connection.execute(metadata.tables["readiness"].insert().values(service="k", body="{}"))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        half()
    assert read_readiness(db) == {}


def test_times_survive_to_the_microsecond() -> None:
    """No float in between."""
    at = datetime(2038, 1, 19, 3, 14, 7, 999_999, tzinfo=UTC)
    assert from_micros(to_micros(at)) == at


def test_a_change_event_is_kept_once_by_its_id(db: Database) -> None:
    """Whoever repeats it."""
    with ThreadPoolExecutor(4) as pool:
        new = list(pool.map(lambda _: record_change(db, change("c1", NOW)), range(8)))
    assert sum(new) == 1
    assert record_change(db, change("c2", NOW + timedelta(minutes=1)))
    both = Window(start=NOW, end=NOW + timedelta(minutes=2))
    assert [one.id for one in changes_between(db, both)] == ["c1", "c2"]
    assert changes_between(db, Window(start=NOW, end=NOW + timedelta(minutes=1))) == (change("c1", NOW),)


def test_findings_come_back_as_they_were(db: Database) -> None:
    """Values of the vocabulary, validated."""
    record_findings(db, [finding("cart", NOW), finding("web", NOW + timedelta(minutes=5))])
    found = findings_between(db, Window(start=NOW, end=NOW + timedelta(minutes=1)))
    assert found == (finding("cart", NOW),)


def test_labels_of_the_two_sources_never_mix(db: Database) -> None:
    """Chaos truth and human judgement are asked for apart."""
    for number, source in enumerate(("chaos", "human")):
        record_label(
            db,
            Label(
                id=f"l{number}",
                incident_id="inc-1",
                source=source,  # type: ignore[arg-type]
                author="x",
                at=NOW,
                warranted=True,
                cause=source,
            ),
        )
    assert [label.cause for label in labels(db, "chaos")] == ["chaos"]
    assert [label.cause for label in labels(db, "human")] == ["human"]
    assert len(labels(db, incident_id="inc-1")) == 2


def test_a_model_version_is_named_by_its_content(db: Database) -> None:
    """The same content again is the version that it already was."""
    one = put_model(db, "red", b'{"a": 1}', {"labels": 3}, NOW)
    again = put_model(db, "red", b'{"a": 1}', {"labels": 4}, NOW)
    two = put_model(db, "red", b'{"a": 2}', {}, NOW)
    assert (one.version, again.version, two.version) == (1, 1, 2)
    assert again.lineage == {"labels": 3}
    assert [version.stage for version in versions(db, "red")] == ["shadow", "shadow"]


def test_one_version_serves_and_every_change_of_stage_is_on_record(db: Database) -> None:
    """A rollback is one more line, not an erasure."""
    for content in (b"1", b"2"):
        put_model(db, "red", content, {}, NOW)
    for version in (1, 2, 1):
        stage(db, "red", version, "serving", actor="cli:ana", now=NOW, record={"why": "test"})
    current = serving(db, "red")
    assert current is not None
    assert (current.version, current.content) == (1, b"1")
    assert at_stage(db, "red", "retired") is not None
    assert [record.version for record in promotion_records(db, "red")] == [1, 2, 1]
    with pytest.raises(NotFound, match="watchkeeper model list"):
        stage(db, "red", 9, "serving", actor="cli:ana", now=NOW, record={})
