"""The rota as it was: an edit changes what lies ahead, and rewrites nothing of what is past."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from icalendar import Calendar
from sqlalchemy import insert
from typer.testing import CliRunner

from alerting.commands.oncall import app
from alerting.oncall.ical import feed_window, schedule_feed
from alerting.oncall.load import loads
from alerting.oncall.schedule import Override, record_override, stored_overrides, who_has_it
from alerting.oncall.versions import (
    RotaVersion,
    parts_of,
    record_version,
    rota_at,
    shifts_over,
    text_of,
    versions,
)
from watchkeeper.clock import SystemClock
from watchkeeper.config import LayerConfig, OnCallConfig, PersonConfig, ScheduleConfig, load
from watchkeeper.errors import StateError
from watchkeeper.state.audit import audit_trail
from watchkeeper.state.database import Database, to_micros
from watchkeeper.state.schema import rota_versions
from watchkeeper.vocabulary import Actor, Window

BOSS = Actor(name="Boss", via="cli")
NOW = datetime(2026, 3, 11, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def rota(*names: str, fallback: str | None = None) -> OnCallConfig:
    """Turns of a day, from midnight."""
    people = tuple(PersonConfig(id=name, name=name.title(), addresses={"slack": f"U{name}"}) for name in names)
    layer = LayerConfig(people=names, start="2026-03-02T00:00", turn_hours=24)
    schedule = ScheduleConfig(id="primary", layers=(layer,), fallback=fallback)
    return OnCallConfig(people=people, schedules=(schedule,), escalation=())


def version(number: int, since: datetime, oncall: OnCallConfig) -> RotaVersion:
    return RotaVersion(id=number, since=since, by="Boss", text=text_of(oncall))


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(-300, 100), st.sampled_from((("ana",), ("ben",), ("ana", "ben")))), max_size=4),
    st.integers(-400, 100),
    st.integers(1, 400),
)
def test_each_hour_has_the_rota_of_its_time(edits: list[tuple[int, tuple[str, ...]]], begin: int, length: int) -> None:
    """Whatever the window: the newest version that was in force, the first before all, the file from now on."""
    hours = sorted(dict(edits).items())
    known = [version(n, NOW + timedelta(hours=hour), rota(*names)) for n, (hour, names) in enumerate(hours)]
    file = rota("eve")
    window = Window(start=NOW + timedelta(hours=begin), end=NOW + timedelta(hours=begin + length))
    parts = parts_of(known, file, window, NOW)
    assert (parts[0].window.start, parts[-1].window.end) == (window.start, window.end)
    assert all(one.window.end == two.window.start for one, two in pairwise(parts))
    shifts = shifts_over(parts, "primary", ())
    past = [each for each in known if each.since < NOW]
    for hour in range(length):
        at = window.start + timedelta(hours=hour)
        then = [each.oncall for each in past if each.since <= at][-1:] or [each.oncall for each in past[:1]]
        wanted = file if at >= NOW or not then else then[0]
        (part,) = [part for part in parts if part.window.start <= at < part.window.end]
        assert part.oncall == wanted
        assert rota_at(known, file, at, NOW) == wanted
        (shift,) = [shift for shift in shifts if shift.start <= at < shift.end]
        holder = who_has_it(wanted, "primary", at)[0]
        assert (shift.person.id if shift.person else None) == (holder.id if holder else None)


def test_a_version_is_recorded_when_the_rota_changed_and_once(db: Database) -> None:
    """Two watch roles that start at once included; the audit log has who and when."""
    assert record_version(db, rota("ana"), NOW, BOSS)
    with ThreadPoolExecutor(4) as pool:
        new = list(pool.map(lambda _: record_version(db, rota("ben"), NOW + DAY, BOSS), range(4)))
    assert new.count(True) == 1
    assert not record_version(db, rota("ben"), NOW + 2 * DAY, BOSS)
    assert record_version(db, rota("ana"), NOW, BOSS)  # the clock went back, and so did the file
    known = versions(db)
    assert [each.oncall for each in known] == [rota("ana"), rota("ben"), rota("ana")]
    assert [each.since for each in known] == sorted(each.since for each in known)
    assert [entry.action for entry in audit_trail(db)] == ["rota.change"] * 3


def test_a_version_of_another_watchkeeper_stops_nothing(db: Database) -> None:
    """It is left out; the one before it answers for its time."""
    record_version(db, rota("ana"), NOW - 5 * DAY, BOSS)
    row = {"at": to_micros(NOW - 2 * DAY), "digest": "x", "actor": "Boss", "body": '{"people": 3}'}
    with db.write() as connection:
        connection.execute(insert(rota_versions).values(**row))
    known = versions(db)
    assert rota_at(known, rota("eve"), NOW - DAY, NOW) == rota("ana")
    with pytest.raises(StateError, match=r"version \d+ of the rota cannot be read"):
        _ = known[1].oncall


def events(file: bytes) -> dict[str, tuple[str, datetime, datetime]]:
    return {
        str(event["uid"]): (str(event["summary"]).split()[0], event["dtstart"].dt, event["dtend"].dt)
        for event in Calendar.from_ical(file).walk("VEVENT")
    }


def test_a_calendar_keeps_what_is_past_when_the_rota_is_edited() -> None:
    """Entries before the edit stay as they were, also the next day; the one in which it falls is cut there."""
    before, after = rota("ana", "ben"), rota("eve")
    known = [version(1, NOW - 8 * DAY, before)]
    old = events(schedule_feed(parts_of(known, before, feed_window(NOW), NOW), "primary", (), NOW))
    edited = NOW + timedelta(hours=1)
    known.append(version(2, edited, after))
    for later in (timedelta(hours=2), 2 * DAY):
        new = events(schedule_feed(parts_of(known, after, feed_window(NOW + later), NOW + later), "primary", (), NOW))
        past = {uid: entry for uid, entry in new.items() if entry[2] < edited and entry[1] > NOW - 4 * DAY}
        assert past
        assert all(old[uid] == entry for uid, entry in past.items())
        (cut,) = [entry for entry in new.values() if entry[2] == edited]
        assert cut[0] in ("Ana", "Ben")
        assert {entry[0] for entry in new.values() if entry[1] >= edited} == {"Eve"}


def test_an_entry_goes_on_over_an_edit_that_does_not_change_it() -> None:
    """Somebody else's name was corrected: calendars see the same entries as before."""
    before = rota("ana", "ben", fallback="ben")
    people = (before.people[0], before.people[1].model_copy(update={"timezone": "Europe/Berlin"}))
    after = before.model_copy(update={"people": people})
    known = [version(1, NOW - 9 * DAY, before), version(2, NOW - DAY / 3, after)]
    once = events(schedule_feed(parts_of(known[:1], before, feed_window(NOW), NOW), "primary", (), NOW))
    assert events(schedule_feed(parts_of(known, after, feed_window(NOW), NOW), "primary", (), NOW)) == once


def test_load_counts_who_was_on_call_then() -> None:
    """Also somebody who left since."""
    known = [version(1, NOW - 20 * DAY, rota("ana", "ben")), version(2, NOW - 2 * DAY, rota("ben"))]
    window = Window(start=NOW - 4 * DAY, end=NOW)
    shares = loads(parts_of(known, rota("ben"), window, NOW), window, (), ())
    assert {each.person: each.hours for each in shares} == {"ana": 24, "ben": 72}


def test_an_override_does_not_change_who_was_on_call(db: Database) -> None:
    """One that would begin earlier begins now; one that is over is refused."""
    oncall = rota("ana", "ben")
    late = Override(schedule="primary", person="ben", start=NOW - DAY, end=NOW + DAY)
    record_override(db, oncall, late, NOW, BOSS)
    (kept,) = stored_overrides(db)
    assert (kept.start, kept.end) == (NOW, NOW + DAY)
    over = Override(schedule="primary", person="ana", start=NOW - DAY, end=NOW)
    with pytest.raises(StateError, match="has passed"):
        record_override(db, oncall, over, NOW, BOSS)


def test_the_commands_show_the_rota_as_it_was(tmp_path: Path) -> None:
    """Who, the schedule, the history, what the file changes, and a version as a file that can be used."""
    file = tmp_path / "watchkeeper.yaml"
    ben = json.loads(text_of(rota("ben")))
    file.write_text(yaml.safe_dump({"data_dir": str(tmp_path / "data"), "oncall": ben | {"escalation": STEPS}}))
    now = SystemClock().now()
    db = Database.open(load(file))
    ana = OnCallConfig.model_validate(json.loads(text_of(rota("ana"))) | {"escalation": STEPS})
    record_version(db, ana, now - 9 * DAY, BOSS)

    def run(*arguments: str) -> tuple[int, str]:
        done = CliRunner().invoke(app, [*arguments, "--config", str(file)])
        return done.exit_code, done.stdout

    code, shown = run("diff")
    assert (code, "-    - ana" in shown or "-- addresses" in shown, "ben" in shown) == (1, True, True)
    record_version(db, load(file).oncall, now - 2 * DAY, BOSS)
    db.close()
    assert run("diff") == (0, "The file's rota is in force.\n")
    assert run("who", "--at", (now - 5 * DAY).isoformat())[1].startswith("Ana")
    assert run("who")[1].startswith("Ben")
    code, shown = run("schedule", "--from", (now - 5 * DAY).isoformat(), "--days", "8", "--json")
    assert [shift["person"] for shift in json.loads(shown)["shifts"]] == ["ana", "ben"]
    assert run("history")[1].count("version ") == 2
    exported = yaml.safe_load(run("export", "--at", (now - 5 * DAY).isoformat())[1])
    assert OnCallConfig.model_validate(exported["oncall"]) == ana


STEPS = [{"after_s": 0, "notify": ["primary"]}]
