"""A schedule out of a calendar of another system: the rotation is recognised, and what does not fit is said."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from alerting.commands.oncall import app
from alerting.oncall.applying import bring_into_force, plan_file
from alerting.oncall.calendar_file import read_calendar
from alerting.oncall.ical import to_ical
from alerting.oncall.imported import recognise
from alerting.oncall.schedule import Override, final_schedule, stored_overrides
from alerting.oncall.versions import newest
from watchkeeper.clock import SystemClock
from watchkeeper.config import LayerConfig, OnCallConfig, PersonConfig, ScheduleConfig, load
from watchkeeper.errors import ConfigError
from watchkeeper.state.database import Database
from watchkeeper.vocabulary import Actor, Window

NAMES = ("ana", "ben", "eve", "kim")
PEOPLE = tuple(PersonConfig(id=n, name=n.title(), addresses={"slack": f"U{n}"}) for n in NAMES)
ONCALL = OnCallConfig(
    people=PEOPLE, schedules=(ScheduleConfig(id="other", layers=(LayerConfig(people=("ana",)),)),), escalation=()
)
MEANT = {person.name: person.id for person in PEOPLE}
# The night in which Berlin's clocks go forward is in it.
NOW = datetime(2026, 3, 11, 12, tzinfo=UTC)
WINDOW = Window(start=NOW - timedelta(days=84), end=NOW + timedelta(days=84))
AHEAD = Window(start=NOW, end=NOW + timedelta(days=70))


def schedule(**layer: object) -> ScheduleConfig:
    return ScheduleConfig(id="new", timezone="Europe/Berlin", layers=(LayerConfig.model_validate(layer),))


def exported(one: ScheduleConfig, *overrides: Override) -> bytes:
    """As another system would: here, our own calendar of it."""
    return to_ical(ONCALL.model_copy(update={"schedules": (one,)}), one.id, WINDOW, overrides, now=NOW)


def who(one: ScheduleConfig) -> list[tuple[datetime, datetime, str | None]]:
    shifts = final_schedule(ONCALL.model_copy(update={"schedules": (one,)}), one.id, AHEAD)
    return [(shift.start, shift.end, shift.person.id if shift.person else None) for shift in shifts]


@settings(max_examples=25, deadline=None)
@given(
    st.permutations(NAMES).flatmap(lambda names: st.integers(1, 4).map(lambda count: names[:count])),
    st.sampled_from((12, 24, 48, 168, 336)),
    st.sampled_from(("2025-01-06T09:00", "2025-01-08T00:00", "2025-01-05T18:30")),
    st.sampled_from((None, "09:00-17:00", "22:00-06:00")),
)
def test_a_rotation_is_recognised(names: list[str], turn_hours: int, start: str, hours: str | None) -> None:
    """Whoever takes turns, however long, all day or in hours of weekdays: the same people at the same times."""
    layer: dict[str, object] = {"people": names, "start": start, "turn_hours": turn_hours}
    if hours:
        layer |= {"hours": hours, "days": ("mon", "tue", "wed", "thu", "fri"), "start": "2025-01-06T00:00"}
        layer["turn_hours"] = max(turn_hours, 168 if hours.startswith("22") else 24)
    there = schedule(**layer)
    found = read_calendar(exported(there), MEANT, WINDOW)
    assert found.left_out == []
    imported = recognise(ONCALL, "new", "Europe/Berlin", found.shifts, AHEAD)
    assert (imported.agreement, imported.overrides, imported.unmatched) == (1.0, (), ())
    assert who(imported.schedule) == who(there)


def test_what_the_rotation_does_not_explain_becomes_overrides() -> None:
    """A week ahead that Kim has taken over, and one that is past and does not matter any more."""
    there = schedule(people=("ana", "ben"), start="2025-01-06T09:00")
    taken = Override(schedule="new", person="kim", start=NOW + timedelta(days=20), end=NOW + timedelta(days=22))
    past = Override(schedule="new", person="kim", start=NOW - timedelta(days=20), end=NOW - timedelta(days=19))
    found = read_calendar(exported(there, taken, past), MEANT, WINDOW)
    imported = recognise(ONCALL, "new", "Europe/Berlin", found.shifts, AHEAD)
    assert [(one.person, one.start, one.end) for one in imported.overrides] == [("kim", taken.start, taken.end)]
    assert who(imported.schedule) == who(there)
    assert 0.95 < imported.agreement < 1


def calendar(*events: str) -> bytes:
    body = "".join(f"BEGIN:VEVENT\r\n{event}\r\nEND:VEVENT\r\n" for event in events)
    return f"BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:x\r\n{body}END:VCALENDAR\r\n".encode()


WEEKLY = "RRULE:FREQ=WEEKLY;INTERVAL=2"
ANA = f"UID:a\r\nSUMMARY:On call: Ana\r\nDTSTART;TZID=Europe/Berlin:20260105T090000\r\nDURATION:P7D\r\n{WEEKLY}"
BEN = (
    "UID:b\r\nSUMMARY:Ben\r\nDTSTART;TZID=Europe/Berlin:20260112T090000\r\n"
    f"DTEND;TZID=Europe/Berlin:20260119T090000\r\n{WEEKLY}"
)


def test_repeated_events_keep_their_local_time() -> None:
    """Two events that come every second week: one rotation, with its handoff at nine in summer, too."""
    found = read_calendar(calendar(ANA, BEN), MEANT, WINDOW)
    imported = recognise(ONCALL, "new", "Europe/Berlin", found.shifts, AHEAD)
    assert set(imported.schedule.layers[0].people) == {"ana", "ben"}
    assert who(imported.schedule) == who(schedule(people=("ana", "ben"), start="2026-01-05T09:00"))


def test_what_is_left_out_is_said() -> None:
    """Titles of nobody, overlaps, cancelled and broken events, single further dates."""
    strange = "UID:c\r\nSUMMARY:Zoe\r\nDTSTART:20260401T000000Z\r\nDTEND:20260402T000000Z"
    second = "UID:d\r\nSUMMARY:Eve\r\nDTSTART:20260401T000000Z\r\nDTEND:20260402T000000Z"
    backwards = "UID:e\r\nSUMMARY:Kim\r\nDTSTART:20260402T000000Z\r\nDTEND:20260401T000000Z"
    gone = "UID:f\r\nSUMMARY:Kim\r\nSTATUS:CANCELLED\r\nDTSTART:20260402T000000Z\r\nDTEND:20260403T000000Z"
    found = read_calendar(calendar(ANA, BEN, strange, second, backwards, gone), MEANT, WINDOW)
    assert [line for line in found.left_out if "'Zoe' (1 times) names nobody" in line]
    assert [line for line in found.left_out if line.startswith("eve from 2026-04-01 00:00 to 2026-04-02 00:00 UTC")]
    assert [line for line in found.left_out if line == "'Kim': it does not end after it begins"]
    assert len(found.left_out) == 3


@pytest.mark.parametrize(
    "data", [b"", b"hello", b"\xff\xfe\x00", b"BEGIN:VCALENDAR\r\n", calendar("UID:x\r\nSUMMARY:Ana")]
)
def test_what_is_no_calendar_is_refused_or_left_out(data: bytes) -> None:
    try:
        found = read_calendar(data, MEANT, WINDOW)
    except ConfigError:
        return
    assert found.shifts == []
    with pytest.raises(ConfigError, match="has no shift of anybody"):
        recognise(ONCALL, "new", "UTC", found.shifts, AHEAD)


def test_the_command_prints_the_schedule_and_brings_it_into_force(tmp_path: Path) -> None:
    """With `--apply` beside what the file owns, as whoever gave the command."""
    file, ics, now = tmp_path / "watchkeeper.yaml", tmp_path / "a.ics", SystemClock().now()
    steps = [{"after_s": 0, "notify": "other"}]
    tree = ONCALL.model_dump(mode="json") | {"escalation": steps}
    file.write_text(yaml.safe_dump({"data_dir": str(tmp_path / "data"), "oncall": tree}))
    monday = (now - timedelta(days=now.weekday() + 14)).replace(hour=9, minute=0)
    weeks = [monday + timedelta(weeks=number) for number in range(11)]
    events = [
        f"UID:{n}\r\nSUMMARY:{'Anna S.' if n % 2 else 'Ben'}\r\n"
        f"DTSTART:{one:%Y%m%dT%H%M00Z}\r\nDTEND:{two:%Y%m%dT%H%M00Z}"
        for n, (one, two) in enumerate(pairwise(weeks))
    ]
    ics.write_bytes(calendar(*events))
    db = Database.open(load(file))
    bring_into_force(db, plan_file(db, load(file), str(file)), now, Actor(name="boss", via="cli"))

    def run(*more: str) -> tuple[int, str, str]:
        command = ["import", str(ics), "--schedule", "new", "--config", str(file), *more]
        done = CliRunner().invoke(app, command)
        return done.exit_code, done.stdout, done.stderr

    code, shown, told = run()
    assert "left out: 'Anna S.' (5 times) names nobody of the rota: --map 'NAME=id'" in told
    code, shown, told = run("--map", "Anna S.=ana")
    assert (code, yaml.safe_load(shown)["schedules"][0]["layers"][0]["people"]) == (0, ["ben", "ana"])
    assert "note: 100.0% of the calendar's time is in the rotation" in told
    assert run("--map", "Anna S.=ana", "--apply")[0] == 0
    version = newest(db)
    assert version is not None
    assert [one.id for one in version.oncall.schedules] == ["other", "new"]
    assert list(version.owners.others) == ["schedules/new"]
    assert stored_overrides(db) == ()
    assert run("--map", "Anna S.=zoe")[0] != 0
    db.close()


def test_single_occurrences_that_were_moved_excluded_or_repeat_without_end_are_known() -> None:
    """One of Ana's weeks was given to Eve, one was struck out; what repeats every second is left out and said."""
    moved = (
        "UID:a\r\nSUMMARY:Eve\r\nRECURRENCE-ID;TZID=Europe/Berlin:20260316T090000\r\n"
        "DTSTART;TZID=Europe/Berlin:20260316T090000\r\nDTEND;TZID=Europe/Berlin:20260323T090000"
    )
    struck = f"{ANA}\r\nEXDATE;TZID=Europe/Berlin:20260330T090000"
    bomb = "UID:z\r\nSUMMARY:Kim\r\nDTSTART:20100101T000000Z\r\nDURATION:PT1S\r\nRRULE:FREQ=SECONDLY"
    found = read_calendar(calendar(struck, BEN, moved, bomb), MEANT, WINDOW)
    assert found.left_out == ["'Kim': it repeats more than 20000 times"]
    imported = recognise(ONCALL, "new", "Europe/Berlin", found.shifts, AHEAD)
    nine = datetime(2026, 3, 16, 8, tzinfo=UTC)
    assert [(one.person, one.start) for one in imported.overrides] == [("eve", nine)]
    assert imported.unmatched == (
        "from 2026-03-30 07:00 to 2026-04-06 07:00 UTC the calendar has nobody, and the rotation ana",
    )
