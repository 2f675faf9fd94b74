"""Silences and overrides in the configuration file: in force with a version, the file's alone, and ended by it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from alerting.incidents.silences import end_silence, list_silences
from alerting.oncall.schedule import Override, record_override, remove_override, stored_overrides, who_has_it
from alerting.oncall.versions import newest, record_version
from tests.front_door import Run, front_door
from watchkeeper.config import OnCallConfig, PersonConfig, load
from watchkeeper.errors import ConfigError, Conflict
from watchkeeper.state.database import Database
from watchkeeper.vocabulary import Actor

ANA = Actor(name="Ana", via="cli")
NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
REINDEX = {"id": "reindex", "service": "search-*", "reason": "new"}
REINDEX |= {"start": "2026-03-02T10:00", "end": "2026-03-02T15:00"}
SWAP = {"id": "swap", "schedule": "primary", "person": "ben", "start": "2026-03-02T10:00", "end": "2026-03-03T10:00"}


def rota(**changes: Any) -> OnCallConfig:
    """Ana is on call, in Berlin."""
    people = [PersonConfig(id=name, name=name.title(), addresses={"slack": f"U{name}"}) for name in ("ana", "ben")]
    schedules = [{"id": "primary", "timezone": "Europe/Berlin", "layers": [{"people": ["ana"]}]}]
    return OnCallConfig.model_validate({"people": people, "schedules": schedules, **changes})


def apply(db: Database, now: datetime = NOW, **changes: Any) -> OnCallConfig:
    oncall = rota(**changes)
    record_version(db, oncall, now, ANA)
    return oncall


def on_call(db: Database, oncall: OnCallConfig, at: datetime) -> str:
    person, _ = who_has_it(oncall, "primary", at, stored_overrides(db))
    assert person is not None
    return person.id


def test_a_silence_is_in_force_with_its_version_and_ends_without_it(db: Database) -> None:
    """As it stands in the file; another version with the same one changes nothing of it."""
    apply(db, silences=[REINDEX])
    apply(db, NOW + timedelta(minutes=1), silences=[REINDEX], teams={"a": ["b"]})
    (silence,) = list_silences(db, NOW)
    assert (silence.service, silence.reason, silence.owner) == ("search-*", "new", "the configuration file")
    assert silence.end == datetime(2026, 3, 2, 15, tzinfo=UTC)
    later = NOW + timedelta(hours=1)
    apply(db, later)
    assert list_silences(db, later) == ()
    (ended,) = list_silences(db, later, ended=True)
    assert (ended.id, ended.end) == (silence.id, later)
    apply(db, later + timedelta(minutes=5), silences=[REINDEX])
    assert [one.end for one in list_silences(db, later + timedelta(minutes=5))] == [silence.end]


def test_a_changed_silence_ends_and_begins_in_its_new_form(db: Database) -> None:
    """Nothing is left of the old one."""
    apply(db, silences=[REINDEX])
    later = NOW + timedelta(minutes=1)
    apply(db, later, silences=[REINDEX | {"service": "find-*"}])
    assert [one.service for one in list_silences(db, later)] == ["find-*"]


def test_an_override_is_in_force_with_its_version_and_ends_without_it(db: Database) -> None:
    """Not before the version: who was on call then does not change. Its times are the schedule's own."""
    oncall = apply(db, overrides=[SWAP])
    (override,) = stored_overrides(db)
    assert (override.start, override.end) == (NOW, datetime(2026, 3, 3, 9, tzinfo=UTC))
    before, within, later = NOW - timedelta(minutes=1), NOW + timedelta(minutes=1), NOW + timedelta(hours=2)
    assert [on_call(db, oncall, at) for at in (before, within)] == ["ana", "ben"]
    apply(db, within, overrides=[SWAP], teams={"a": ["b"]})
    assert stored_overrides(db) == (override,)
    apply(db, later)
    assert [on_call(db, oncall, at) for at in (within, later)] == ["ben", "ana"]
    last = later + timedelta(hours=1)
    apply(db, last, overrides=[SWAP])
    assert [on_call(db, oncall, at) for at in (within, later, last)] == ["ben", "ana", "ben"]


def test_one_that_has_not_begun_leaves_no_trace(db: Database) -> None:
    """And one that is over already is none."""
    coming = SWAP | {"start": "2026-04-02T10:00", "end": "2026-04-03T10:00"}
    apply(db, overrides=[coming, SWAP | {"id": "old", "end": "2026-03-02T11:00"}])
    assert [one.start.month for one in stored_overrides(db)] == [4]
    apply(db, NOW + timedelta(minutes=1))
    assert stored_overrides(db) == ()


def test_nothing_but_the_file_ends_what_it_owns(db: Database) -> None:
    """The refusal says which key to change; what people made stays theirs, whatever the file says."""
    oncall = apply(db, silences=[REINDEX], overrides=[SWAP])
    ((silence,), (override,)) = list_silences(db, NOW), stored_overrides(db)
    with pytest.raises(Conflict, match=r"owned by the configuration file: change `oncall\.silences` there"):
        end_silence(db, silence.id, ANA, NOW)
    with pytest.raises(Conflict, match=r"change `oncall\.overrides` there"):
        remove_override(db, override.id, NOW, ANA)
    later = NOW + timedelta(minutes=1)
    mine = Override(schedule="primary", person="ana", start=later, end=NOW + timedelta(hours=1))
    record_override(db, oncall, mine, later, ANA)
    assert on_call(db, oncall, later) == "ana"
    apply(db, later + timedelta(minutes=1))
    assert on_call(db, oncall, later + timedelta(minutes=2)) == "ana"


def test_a_version_and_its_exceptions_are_one_transaction(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kill between them would else leave an override without its version, or a version without it."""

    def fails(*_: object) -> None:
        raise RuntimeError("killed here")

    monkeypatch.setattr("alerting.oncall.versions.record_audit", fails)
    with pytest.raises(RuntimeError):
        apply(db, silences=[REINDEX], overrides=[SWAP])
    assert (newest(db), list_silences(db, NOW), stored_overrides(db)) == (None, (), ())


@pytest.mark.parametrize(
    ("key", "given", "expected"),
    [
        ("silences", "{id: a, SPAN, reason: x}", "needs a service, a kind"),
        ("silences", "{id: a, service: s, start: '2026-03-02T10:00', end: '2026-03-02T10:00', reason: x}", "must end"),
        ("silences", "{id: a, service: s, start: '2026-03-02T10:00', end: '2026-09-02T10:00', reason: x}", "90 days"),
        ("silences", "{id: a, service: s, SPAN}", "reason"),
        ("silences", "{id: a, label: s, SPAN, reason: x}", "name=value"),
        ("silences", "{id: a, service: s, start: soon, end: '2026-03-02T11:00', reason: x}", "write it like"),
        ("overrides", "{id: a, schedule: x, person: ana, SPAN}", "primary"),
        ("overrides", "{id: a, schedule: primary, person: x, SPAN}", "ana"),
        ("overrides", "{id: a, schedule: primary, person: ana, start: '2026-03-02T10:00', end: '2026-03-01T11:00'}",
         "not after its start"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_its_line(tmp_path: Path, key: str, given: str, expected: str) -> None:
    """And with what to do."""
    path = tmp_path / "watchkeeper.yaml"
    given = given.replace("SPAN", "start: '2026-03-02T10:00', end: '2026-03-02T11:00'")
    people = "people: [{id: ana, name: Ana, addresses: {slack: UANA}}]"
    path.write_text(
        f"oncall:\n  {people}\n  schedules: [{{id: primary, layers: [{{people: [ana]}}]}}]\n  {key}: [{given}]\n"
    )
    with pytest.raises(ConfigError) as raised:
        load(path)
    assert f"{path}:4: oncall.{key}.0" in raised.value.message
    assert expected in raised.value.message


def test_they_go_round_through_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Shown by `diff`, in force by `apply`, refused to others, and what `export` writes is the file again."""
    path = tmp_path / "watchkeeper.yaml"
    soon, end = (f"{datetime.now(UTC) + timedelta(hours=hours):%Y-%m-%dT%H:%M}" for hours in (-1, 5))
    path.write_text(
        "data_dir: data\noncall:\n  people: [{id: ana, name: Ana, addresses: {slack: UANA}}]\n"
        "  schedules: [{id: primary, layers: [{people: [ana]}]}]\n"
        f"  silences: [{{id: move, service: shop, start: '{soon}', end: '{end}', reason: database move}}]\n"
        f"  overrides: [{{id: mine, schedule: primary, person: ana, start: '{soon}', end: '{end}'}}]\n"
    )
    monkeypatch.setenv("WATCHKEEPER_CONFIG", str(path))
    run: Run = front_door(monkeypatch, capsys)
    assert "database move" in run("oncall", "diff")[1]
    assert run("oncall", "apply", "--dry-run")[0] == 0
    assert run("silence", "list")[1] == "No silence.\n"
    assert run("oncall", "apply")[0] == 0
    shown = run("silence", "list")[1]
    assert "the configuration file" in shown
    silence_id = next(word for word in shown.split() if word.startswith("file-"))
    status, _, error = run("silence", "end", silence_id)
    assert (status, "change `oncall.silences` there" in error) == (4, True)
    exported = run("oncall", "export")[1]
    assert "# override" not in exported
    path.write_text("data_dir: data\n" + exported)
    assert run("oncall", "diff")[:2] == (0, "The file's rota is in force.\n")
