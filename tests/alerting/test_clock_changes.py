"""On call when the clocks change: one person at any instant, the same wherever it is asked for."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from icalendar import Calendar
from typer.testing import CliRunner

from alerting.commands.oncall import app
from alerting.oncall.chain import Called, default_chain, whom
from alerting.oncall.ical import feed_window, schedule_feed, to_ical
from alerting.oncall.schedule import (
    Override,
    final_schedule,
    record_override,
    remove_override,
    stored_overrides,
    who_has_it,
)
from alerting.oncall.versions import Part
from watchkeeper.config import EscalationStep, LayerConfig, OnCallConfig, PersonConfig, ScheduleConfig
from watchkeeper.state.database import Database
from watchkeeper.vocabulary import Actor, Window

CASES = Path(__file__).resolve().parents[3] / "shared" / "cases" / "30-oncall-dst"
PEOPLE = tuple(
    PersonConfig(id=name, name=name.title(), addresses={"slack": f"U{name}"}) for name in ("ana", "ben", "eve")
)
BOSS = Actor(name="Boss", via="cli")
# A zone, and a day (UTC) around which its clock changes: by an hour, half, two, three hours, a day; or never.
CHANGES = (
    ("Europe/Berlin", "2026-03-29"),
    ("Europe/Berlin", "2026-10-25"),
    ("America/New_York", "2026-11-01"),
    ("America/New_York", "2026-03-08"),
    ("Australia/Lord_Howe", "2026-04-04"),
    ("Australia/Lord_Howe", "2026-10-03"),
    ("Antarctica/Troll", "2026-03-29"),
    ("Antarctica/Troll", "2026-10-25"),
    ("Antarctica/Casey", "2018-03-10"),
    ("Africa/Casablanca", "2026-02-15"),
    ("America/St_Johns", "2006-10-29"),
    ("Pacific/Apia", "2011-12-30"),
    ("America/Caracas", "2007-12-09"),
    ("Asia/Pyongyang", "2018-05-04"),
    ("Asia/Kolkata", "2024-02-29"),
    ("Asia/Kathmandu", "1985-12-31"),
    ("Europe/Dublin", "2026-10-25"),
    ("America/Nuuk", "2026-03-29"),
    ("UTC", "2026-03-29"),
)


def first_called(oncall: OnCallConfig, at: datetime) -> Called:
    """Whom the first step of the escalation pages."""
    (called,) = whom(oncall, default_chain(oncall).steps[0], at, ())
    return called


def rota(zone: str, start: str, hours: float, people: tuple[str, ...] = ("ana", "ben", "eve")) -> OnCallConfig:
    layer = LayerConfig(people=people, start=start, turn_hours=hours)
    return OnCallConfig(
        people=PEOPLE,
        schedules=(ScheduleConfig(id="primary", timezone=zone, layers=(layer,)),),
        escalation=(EscalationStep(after_s=0, notify="primary"),),
    )


def by_a_clock_on_the_wall(zone: str, start: str, hours: float, window: Window) -> dict[datetime, str]:
    """The obvious model: somebody looks at the wall clock each minute, and hands over when it first shows the time."""
    begin, length = datetime.fromisoformat(start), timedelta(hours=hours)
    people = ("ana", "ben", "eve")
    furthest = datetime.min  # noqa: DTZ901 - a local time
    holders = {}
    at = window.start
    while at < window.end:
        furthest = max(furthest, at.astimezone(ZoneInfo(zone)).replace(tzinfo=None))
        holders[at] = people[(furthest - begin) // length % 3]
        at += timedelta(minutes=1)
    return holders


@settings(max_examples=20, deadline=None)
@given(
    st.sampled_from(CHANGES),
    st.integers(0, 24 * 60 - 1),
    st.sampled_from((0.25, 0.5, 0.75, 1, 1.5, 2, 8, 12, 24, 25, 168)),
)
def test_the_schedule_is_what_a_clock_on_the_wall_says(change: tuple[str, str], minute: int, hours: float) -> None:
    """Each minute of four days around a change, in who, in the schedule and in the calendar."""
    zone, day = change
    middle = datetime.fromisoformat(day).replace(tzinfo=UTC)
    window = Window(start=middle - timedelta(days=2), end=middle + timedelta(days=2))
    start = (middle.replace(tzinfo=None) - timedelta(days=400) + timedelta(minutes=minute)).isoformat()
    oncall = rota(zone, start, hours)
    expected = by_a_clock_on_the_wall(zone, start, hours, window)
    shifts = final_schedule(oncall, "primary", window)
    assert all(one.end == two.start for one, two in pairwise(shifts))
    by_shift = {
        at: shift.person.id for shift in shifts if shift.person for at in expected if shift.start <= at < shift.end
    }
    assert by_shift == expected
    for at in list(expected)[::37]:
        found = who_has_it(oncall, "primary", at, ())[0]
        assert found is not None
        assert found.id == expected[at]
        assert first_called(oncall, at).id == expected[at]
    assert in_calendar(to_ical(oncall, "primary", window, now=middle), expected) == expected


def in_calendar(file: bytes, moments: dict[datetime, str]) -> dict[datetime, str]:
    """Who a calendar says has it at some instants; an instant that two entries claim, or none, is left out."""
    entries = [
        (event["dtstart"].dt, event["dtend"].dt, str(event["summary"]).split()[0].lower())
        for event in Calendar.from_ical(file).walk("VEVENT")
    ]
    names = {at: [name for start, end, name in entries if start <= at < end] for at in moments}
    return {at: found[0] for at, found in names.items() if len(found) == 1}


@pytest.mark.parametrize(
    ("zone", "start", "hours", "around"),
    [
        ("Europe/Berlin", "2026-01-05T02:30", 24, "2026-10-25T00:00"),
        ("Australia/Lord_Howe", "2026-01-05T01:45", 24, "2026-04-04T14:00"),
        ("America/New_York", "2026-01-05T01:00", 0.5, "2026-11-01T05:00"),
    ],
)
def test_a_handoff_inside_the_repeated_hour_happens_once(zone: str, start: str, hours: float, around: str) -> None:
    """Not Ana, Ben, Ana, Ben."""
    begin = datetime.fromisoformat(around).replace(tzinfo=UTC)
    oncall = rota(zone, start, hours, ("ana", "ben"))
    minutes = [begin + timedelta(minutes=n) for n in range(150)]
    names = [found.id for at in minutes if (found := who_has_it(oncall, "primary", at, ())[0])]
    assert len(names) == 150
    handoffs = sum(one != two for one, two in pairwise(names))
    # The local clock shows an hour or half an hour twice: no handoff in the second.
    assert handoffs == (1 if hours == 24 else 2)


@pytest.mark.skipif(not CASES.is_dir(), reason="the recorded configurations are not here")
@pytest.mark.parametrize("name", ["eight-hours", "half-hours", "half-past-two", "kolkata-leap", "lord-howe", "nine"])
def test_who_and_schedule_agree_for_recorded_configurations(name: str, tmp_path: Path) -> None:
    """Asked by the commands, an hour around each change of the year and on the leap day."""
    tree = yaml.safe_load((CASES / f"{name}.yaml").read_text(encoding="utf-8"))
    tree["data_dir"] = str(tmp_path)
    for person in tree["oncall"]["people"]:  # recorded before people had addresses by channel
        person["addresses"] = {"slack": person.pop("slack_id")}
    path = tmp_path / "watchkeeper.yaml"
    path.write_text(yaml.safe_dump(tree), encoding="utf-8")
    oncall = OnCallConfig.model_validate(tree["oncall"])
    for text in ("2026-03-29T00:00", "2026-10-25T00:00", "2026-11-01T05:00", "2026-04-04T14:00", "2024-02-29T03:00"):
        begin = datetime.fromisoformat(text).replace(tzinfo=UTC)
        shifts = final_schedule(oncall, "primary", Window(start=begin, end=begin + timedelta(hours=3)))
        assert shifts
        for shift in shifts:
            for at in (shift.start, shift.end - timedelta(seconds=1)):
                answer = CliRunner().invoke(
                    app, ["who", "--config", str(path), "--at", at.isoformat(), "--json"], catch_exceptions=False
                )
                (step,) = json.load(io.StringIO(answer.stdout))["steps"]
                assert shift.person is not None
                assert step["person"] == shift.person.id


def feed(oncall: OnCallConfig, now: datetime, overrides: tuple[Override, ...] = ()) -> bytes:
    """What a calendar that subscribes gets."""
    return schedule_feed((Part(window=feed_window(now), oncall=oncall),), "primary", overrides, now)


def uids(file: bytes) -> dict[str, tuple[datetime, datetime]]:
    return {
        str(event["uid"]): (event["dtstart"].dt, event["dtend"].dt) for event in Calendar.from_ical(file).walk("VEVENT")
    }


@pytest.mark.parametrize("hours", [6, 24, 168, 1000])
@pytest.mark.parametrize("start", ["2026-01-05T09:00", "2026-06-01T00:00"])
def test_an_entry_of_the_calendar_is_the_same_tomorrow(hours: float, start: str) -> None:
    """Its uid, begin and end: whatever day the feed is asked for, overrides and the fallback included."""
    layer = LayerConfig(people=("ana", "ben"), start=start, turn_hours=hours)
    schedule = ScheduleConfig(id="primary", timezone="Europe/Berlin", layers=(layer,), fallback="eve")
    oncall = OnCallConfig(people=PEOPLE, schedules=(schedule,), escalation=())
    first = datetime(2026, 5, 20, 13, 37, tzinfo=UTC)
    cover = Override(
        schedule="primary", person="eve", start=first - timedelta(days=3), end=first + timedelta(days=2, hours=5)
    )
    seen: dict[str, tuple[datetime, datetime]] = {}
    for hour in range(0, 24 * 16, 31):
        now = first + timedelta(hours=hour)
        today = uids(feed(oncall, now, (cover,)))
        starts = [begin for begin, _ in today.values()]
        assert len(set(starts)) == len(starts)
        for uid, times in today.items():
            assert seen.setdefault(uid, times) == times
    # The same times have the same uid, too: nothing came twice under two names.
    assert len(set(seen.values())) == len(seen)


def test_an_entry_was_written_now(db: Database) -> None:
    """DTSTAMP is when the file was written, not when the shift begins."""
    del db
    now = datetime(2026, 5, 20, 13, 37, tzinfo=UTC)
    events = Calendar.from_ical(feed(rota("UTC", "2026-01-05T09:00", 24), now)).walk("VEVENT")
    assert {event["dtstamp"].dt for event in events} == {now}


def hour(number: float) -> datetime:
    return datetime(2026, 3, 24, tzinfo=UTC) + timedelta(hours=number)


def test_an_override_that_was_taken_back_and_made_again_takes_effect(db: Database) -> None:
    """From now on; what was before stays as it was."""
    oncall = rota("UTC", "2026-03-23T00:00", 168)
    override = Override(schedule="primary", person="eve", start=hour(0), end=hour(48))
    key, _ = record_override(db, oncall, override, hour(-1), BOSS)
    remove_override(db, key, hour(5), BOSS)
    again, new = record_override(db, oncall, override, hour(7), BOSS)
    assert new
    assert again != key
    assert record_override(db, oncall, override, hour(8), BOSS) == (again, False)
    kept = stored_overrides(db)
    names = {
        number: found.id
        for number in (1, 6, 7, 47, 48)
        if (found := who_has_it(oncall, "primary", hour(number), kept)[0])
    }
    assert names == {1: "eve", 6: "ana", 7: "eve", 47: "eve", 48: "ana"}
    remove_override(db, again, hour(9), BOSS)
    third, _ = record_override(db, oncall, override, hour(10), BOSS)
    found = who_has_it(oncall, "primary", hour(11), stored_overrides(db))[0]
    assert found is not None
    assert (found.id, third in {key, again}) == ("eve", False)


def test_of_overlapping_overrides_the_later_made_wins_whatever_the_clock_did(db: Database) -> None:
    """Also one that is made again after another was put over it, and one made after the clock went back."""
    oncall = rota("UTC", "2026-03-23T00:00", 168)
    eve = Override(schedule="primary", person="eve", start=hour(0), end=hour(48))
    ben = Override(schedule="primary", person="ben", start=hour(10), end=hour(20))

    def at_12() -> str:
        found = who_has_it(oncall, "primary", hour(12), stored_overrides(db))[0]
        return found.id if found else ""

    record_override(db, oncall, eve, hour(-2), BOSS)
    record_override(db, oncall, ben, hour(-5), BOSS)
    assert at_12() == "ben"
    assert record_override(db, oncall, eve, hour(-6), BOSS)[1]
    assert at_12() == "eve"
