"""On call in every zone whose clock is set, with hours, days and holidays, against a slow model of a wall clock."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from functools import cache
from itertools import pairwise
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from icalendar import Calendar

from alerting.oncall.chain import Called, default_chain, whom
from alerting.oncall.ical import to_ical
from alerting.oncall.schedule import final_schedule, shadows_at, who_has_it
from watchkeeper.config import EscalationStep, LayerConfig, OnCallConfig, PersonConfig, ScheduleConfig
from watchkeeper.vocabulary import Window

NAMES = ("ana", "ben", "eve", "kim")
PEOPLE = tuple(PersonConfig(id=name, name=name.title(), addresses={"slack": f"U{name}"}) for name in NAMES)
STEP = timedelta(minutes=5)
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


@cache
def changes() -> tuple[tuple[str, datetime], ...]:
    """A zone and an instant at which its clock is set: each way of each zone's, from 2010 to 2030.

    Of zones that change alike one stands for all.
    """
    found: dict[tuple[object, ...], str] = {}
    for name in sorted(available_timezones()):
        if "/" not in name or name.startswith(("posix/", "right/", "Etc/")):
            continue
        zone, at = ZoneInfo(name), datetime(2010, 1, 1, tzinfo=UTC)
        set_at = []
        while at.year < 2030:
            following = at + timedelta(days=14)
            if offset(at, zone) != offset(following, zone):
                early, late = at, following
                while late - early > timedelta(seconds=1):
                    middle = early + (late - early) / 2
                    early, late = (middle, late) if offset(middle, zone) == offset(at, zone) else (early, middle)
                set_at.append((late.replace(microsecond=0), offset(late, zone) - offset(at, zone)))
            at = following
        if set_at:
            found.setdefault(tuple(set_at), name)
    cases = []
    for times, name in found.items():
        ways = {by: instant for instant, by in times}  # type: ignore[misc]
        cases += [(name, instant) for instant in ways.values()]
    return tuple(cases)


def offset(at: datetime, zone: ZoneInfo) -> timedelta:
    return at.astimezone(zone).utcoffset() or timedelta(0)


class WallClock:
    """Somebody who looks at a clock on the wall, and knows the latest time that it ever showed."""

    def __init__(self, zone: str) -> None:
        self.zone = ZoneInfo(zone)
        self.latest = datetime.min  # noqa: DTZ901 - a local time

    def look(self, at: datetime) -> datetime:
        self.latest = max(self.latest, at.astimezone(self.zone).replace(tzinfo=None))
        return self.latest


def holder(layer: LayerConfig, latest: datetime) -> str | None:
    """Whom a layer has on call once the wall clock showed a time: read off the configuration, word for word."""
    start = datetime.fromisoformat(layer.start)
    if latest < start or (layer.end and latest >= datetime.fromisoformat(layer.end)):
        return None
    first, last = (int(text[:2]) * 60 + int(text[3:]) for text in layer.hours.split("-"))
    last += 1440 if last <= first else 0
    for day in (latest.date(), latest.date() - timedelta(days=1)):
        away = any(day.isoformat() in (one, one.partition("..")[0]) or spans(one, day) for one in layer.holidays)
        minutes = (latest - datetime(day.year, day.month, day.day)) / timedelta(minutes=1)  # noqa: DTZ001 - local
        if DAYS[day.weekday()] in layer.days and not away and first <= minutes < last:
            number = int((latest - start) / timedelta(hours=layer.turn_hours))
            return layer.people[number % len(layer.people)]
    return None


def spans(text: str, day: date) -> bool:
    first, _, last = text.partition("..")
    return bool(last) and first <= day.isoformat() <= last


def expected(schedule: ScheduleConfig, window: Window) -> dict[datetime, str]:
    """Who is on call, each five minutes, by the wall clocks of the layers' zones."""
    zones = {layer.timezone or schedule.timezone for layer in schedule.layers}
    clocks = {zone: WallClock(zone) for zone in zones}
    at, holders = window.start - timedelta(days=2), {}
    while at < window.end:
        latest = {zone: clock.look(at) for zone, clock in clocks.items()}
        if at >= window.start:
            names = [holder(layer, latest[layer.timezone or schedule.timezone]) for layer in schedule.layers]
            holders[at] = next((name for name in reversed(names) if name), schedule.fallback or "")
        at += STEP
    return holders


def computed(oncall: OnCallConfig, window: Window) -> dict[datetime, str]:
    """The same by the final schedule."""
    shifts = final_schedule(oncall, "primary", window)
    assert (shifts[0].start, shifts[-1].end) == (window.start, window.end)
    assert all(one.end == two.start and one.start < one.end for one, two in pairwise(shifts))
    holders, at = {}, window.start
    for shift in shifts:
        while at < shift.end:
            holders[at] = shift.person.id if shift.person else ""
            at += STEP
    return holders


def first_called(oncall: OnCallConfig, at: datetime) -> Called:
    """Whom the first step of the escalation pages."""
    (called,) = whom(oncall, default_chain(oncall).steps[0], at, ())
    return called


def rota(zone: str, layers: Sequence[LayerConfig], fallback: str | None = None) -> OnCallConfig:
    return OnCallConfig(
        people=PEOPLE,
        schedules=(ScheduleConfig(id="primary", timezone=zone, layers=tuple(layers), fallback=fallback),),
        escalation=(EscalationStep(after_s=0, notify="primary"),),
    )


def check_everywhere(oncall: OnCallConfig, window: Window) -> None:
    """In the schedule, in who, in a page's first step and in the calendar."""
    wanted = expected(oncall.schedules[0], window)
    assert computed(oncall, window) == wanted
    entries = [
        (event["dtstart"].dt, event["dtend"].dt, str(event["summary"]).split()[0].lower())
        for event in Calendar.from_ical(to_ical(oncall, "primary", window, now=window.start)).walk("VEVENT")
    ]
    assert len(
        {
            event["uid"]
            for event in Calendar.from_ical(to_ical(oncall, "primary", window, now=window.start)).walk("VEVENT")
        }
    ) == len(entries)
    for at in list(wanted)[::13]:
        found = who_has_it(oncall, "primary", at, ())[0]
        assert (found.id if found else "") == wanted[at]
        assert [name for start, end, name in entries if start <= at < end] == ([wanted[at]] if wanted[at] else [])
        assert first_called(oncall, at).id == (wanted[at] or "ana")


@pytest.mark.slow
def test_every_zone_hands_over_by_its_wall_clock() -> None:
    """A day before and after each way in which any zone's clock is set, in rotations that hand over around it."""
    cases = changes()
    ways = {abs(offset(at, ZoneInfo(zone)) - offset(at - timedelta(hours=1), ZoneInfo(zone))) for zone, at in cases}
    assert {timedelta(minutes=30), timedelta(hours=1), timedelta(hours=2), timedelta(days=1)} <= ways
    assert len(cases) > 150
    for number, (zone, at) in enumerate(cases):
        chance = random.Random(number)
        window = Window(start=rounded(at) - timedelta(days=1), end=rounded(at) + timedelta(days=1))
        local = at.astimezone(ZoneInfo(zone)).replace(tzinfo=None, microsecond=0, second=0)
        start = rounded(
            local - timedelta(days=chance.randrange(9, 30)) + 5 * timedelta(minutes=chance.randrange(-30, 30))
        )
        hours = chance.choice((0.5, 1, 1.5, 7, 8, 12, 24, 168))
        first = (60 * local.hour + local.minute) // 5 * 5
        a, b = (first + 5 * chance.randrange(-20, 0)) % 1440, (first + 5 * chance.randrange(1, 30)) % 1440
        duty = f"{a // 60:02}:{a % 60:02}-{b // 60:02}:{b % 60:02}"
        layers = (
            LayerConfig(people=NAMES[:2], start=start.isoformat(), turn_hours=hours),
            LayerConfig(people=NAMES[2:], start=start.isoformat(), turn_hours=chance.choice((1, 24)), hours=duty),
        )
        oncall = rota(zone, layers)
        assert computed(oncall, window) == expected(oncall.schedules[0], window), (zone, at, layers)


def rounded(at: datetime) -> datetime:
    return at - timedelta(minutes=at.minute % 5, seconds=at.second, microseconds=at.microsecond)


def clock_time(number: int) -> str:
    return f"{number // 60:02}:{number % 60:02}"


@st.composite
def a_layer(draw: st.DrawFn, around: datetime) -> LayerConfig:
    """A rotation with hours, days, holidays and an end near a time, in the schedule's zone or in another one."""
    begin, end = draw(st.tuples(st.integers(0, 287), st.integers(0, 287)).filter(lambda two: two[0] != two[1]))
    start = rounded(around.replace(tzinfo=None)) - timedelta(hours=draw(st.integers(-30, 900)))
    ends = draw(st.none() | st.integers(1, 1000))
    free = draw(st.lists(st.integers(-3, 3), max_size=2))
    dates = [(around + timedelta(days=number)).date() for number in free]
    return LayerConfig(
        people=draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=3)),
        start=start.isoformat(),
        end=None if ends is None else (start + timedelta(hours=ends)).isoformat(),
        turn_hours=draw(st.sampled_from((0.5, 1, 2, 8, 12, 24, 36, 168, 336))),
        timezone=draw(st.none() | st.sampled_from(("Asia/Tokyo", "America/New_York", "Europe/Berlin"))),
        hours=draw(st.sampled_from(("00:00-24:00", f"{clock_time(5 * begin)}-{clock_time(5 * end)}"))),
        days=draw(st.lists(st.sampled_from(DAYS), min_size=1, unique=True)),
        holidays=[f"{day}..{day + timedelta(days=1)}" if number % 2 else str(day) for number, day in enumerate(dates)],
    )


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_layers_are_who_their_words_say(data: st.DataObject) -> None:
    """Hours, days, holidays, ends and zones of up to three layers, where a clock is set."""
    zone, at = data.draw(st.sampled_from(changes()))
    layers = data.draw(st.lists(a_layer(at), min_size=1, max_size=3))
    fallback = data.draw(st.none() | st.sampled_from(NAMES))
    window = Window(start=rounded(at) - timedelta(days=3), end=rounded(at) + timedelta(days=3))
    check_everywhere(rota(zone, layers, fallback), window)


def at_utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_a_schedule_follows_the_sun() -> None:
    """Each office is on call during its own day; the turn of the night belongs to nobody but the fallback."""
    office = {"start": "2026-01-05T00:00", "hours": "08:00-20:00"}
    oncall = rota(
        "UTC",
        (
            LayerConfig(people=("ana",), timezone="America/Los_Angeles", **office),
            LayerConfig(people=("ben",), timezone="Europe/Berlin", **office),
            LayerConfig(people=("eve",), timezone="Asia/Tokyo", **office),
        ),
        fallback="kim",
    )
    names = {hour: who_has_it(oncall, "primary", at_utc(f"2026-07-01T{hour:02}:30"))[0] for hour in range(24)}
    by_hour = "".join(person.id[0] for person in names.values() if person)
    # Tokyo 23-11 UTC, Berlin 6-18 UTC below it, Los Angeles 15-03 UTC below both.
    assert by_hour == "eeeeeeeeeeebbbbbbbaaaaae"


def test_a_holiday_is_left_out_with_the_night_that_begins_on_it() -> None:
    """Hours belong to the day on which they begin."""
    night = LayerConfig(
        people=("ana",), start="2026-12-01T00:00", hours="22:00-06:00", holidays=("2026-12-24..2026-12-25",)
    )
    oncall = rota("UTC", (night,), fallback="kim")
    answers = {
        text: found.id
        for text in ("2026-12-24T05:59", "2026-12-24T22:00", "2026-12-26T05:00", "2026-12-26T22:00")
        if (found := who_has_it(oncall, "primary", at_utc(text))[0])
    }
    assert list(answers.values()) == ["ana", "kim", "kim", "ana"]


def test_a_shadow_is_never_on_call() -> None:
    """They learn: `shadows_at` names them, and no page does."""
    shadow = LayerConfig(people=("eve", "kim"), start="2026-01-05T00:00", turn_hours=24, days=("mon", "tue"))
    layer = LayerConfig(people=("ana",), start="2026-06-01T00:00")
    schedule = ScheduleConfig(id="primary", layers=(layer,), shadows=(shadow,))
    oncall = OnCallConfig(people=PEOPLE, schedules=(schedule,), escalation=())
    monday = at_utc("2026-01-05T12:00")
    assert [person.id for person in shadows_at(oncall, "primary", monday)] == ["eve"]
    assert [person.id for person in shadows_at(oncall, "primary", monday + timedelta(days=1))] == ["kim"]
    assert shadows_at(oncall, "primary", monday + timedelta(days=2)) == ()
    assert who_has_it(oncall, "primary", monday) == (None, "gap")
