"""Who is on call: zones, layers, overrides, gaps and the calendar file."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from icalendar import Calendar

from alerting.oncall.chain import Called, default_chain, whom
from alerting.oncall.ical import to_ical
from alerting.oncall.schedule import (
    Override,
    final_schedule,
    record_override,
    remove_override,
    stored_overrides,
    who_has_it,
)
from watchkeeper.config import EscalationStep, LayerConfig, OnCallConfig, PersonConfig, ScheduleConfig
from watchkeeper.errors import NotFound, StateError
from watchkeeper.state.audit import audit_trail
from watchkeeper.state.database import Database
from watchkeeper.vocabulary import Actor, Window

PEOPLE = tuple(
    PersonConfig(id=name, name=name.title(), addresses={"slack": f"U{name}"}) for name in ("ana", "ben", "eve")
)
BOSS = Actor(name="Boss", via="cli")


def first_called(oncall: OnCallConfig, at: datetime) -> Called:
    """Whom the first step of the escalation pages."""
    (called,) = whom(oncall, default_chain(oncall).steps[0], at, ())
    return called


def rota(*, fallback: str | None = None, zone: str = "Europe/Berlin", start: str = "2026-03-23T09:00") -> OnCallConfig:
    """Ana and Ben take turns of a week from nine in the morning."""
    layer = LayerConfig(people=("ana", "ben"), start=start)
    return OnCallConfig(
        people=PEOPLE,
        schedules=(ScheduleConfig(id="primary", timezone=zone, layers=(layer,), fallback=fallback),),
        escalation=(EscalationStep(after_s=0, notify="primary"),),
    )


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def name(oncall: OnCallConfig, moment: datetime, *overrides: Override) -> str | None:
    found = who_has_it(oncall, "primary", moment, overrides)[0]
    return found.id if found else None


def test_a_handoff_at_nine_stays_at_nine_when_the_clocks_change() -> None:
    """In Berlin the 29th of March 2026 has 23 hours; Monday nine is 07:00 UTC afterwards."""
    assert name(rota(), at("2026-03-23T07:59")) is None
    assert name(rota(), at("2026-03-23T08:00")) == "ana"
    assert name(rota(), at("2026-03-30T06:59")) == "ana"
    assert name(rota(), at("2026-03-30T07:00")) == "ben"


def test_an_override_beats_the_rotation_and_a_later_one_an_earlier_one() -> None:
    """Wherever on-call is read."""
    first = Override(schedule="primary", person="ben", start=at("2026-03-24T00:00"), end=at("2026-03-25T00:00"))
    second = Override(schedule="primary", person="eve", start=at("2026-03-24T06:00"), end=at("2026-03-24T07:00"))
    assert name(rota(), at("2026-03-24T06:30"), first, second) == "eve"
    assert name(rota(), at("2026-03-24T07:00"), first, second) == "ben"
    assert name(rota(), at("2026-03-25T00:00"), first, second) == "ana"


def test_an_override_by_somebody_who_left_swallows_no_page() -> None:
    """The rotation holds where the override names nobody."""
    gone = Override(schedule="primary", person="zoe", start=at("2026-03-24T00:00"), end=at("2026-03-25T00:00"))
    assert name(rota(), at("2026-03-24T06:00"), gone) == "ana"


def test_a_higher_layer_covers_the_ones_below_once_it_begins() -> None:
    """Layers go from lowest to highest."""
    low = LayerConfig(people=("ana",), start="2026-01-01T00:00")
    high = LayerConfig(people=("eve",), start="2026-06-01T00:00")
    oncall = OnCallConfig(people=PEOPLE, schedules=(ScheduleConfig(id="primary", layers=(low, high)),), escalation=())
    assert name(oncall, at("2026-05-31T23:59")) == "ana"
    assert name(oncall, at("2026-06-01T00:00")) == "eve"


def test_a_page_in_a_gap_goes_to_the_fallback_never_nowhere() -> None:
    """And says so."""
    before = at("2026-03-01T00:00")
    called = first_called(rota(fallback="eve"), before)
    assert (called.id, called.why) == ("eve", "nobody is on call in 'primary': its fallback; step 1 of 1")
    assert first_called(rota(), before).id == "ana"


@given(
    st.integers(0, 366 * 24 * 60),
    st.sampled_from(("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu")),
    st.lists(st.tuples(st.integers(0, 900), st.integers(1, 300), st.sampled_from(("ana", "ben", "eve"))), max_size=4),
)
def test_the_final_schedule_covers_its_window_and_says_what_who_says(
    minute: int, zone: str, drafts: list[tuple[int, int, str]]
) -> None:
    """No hole, no overlap, and at every moment the same answer as asking who is on call."""
    oncall = rota(zone=zone)
    window = Window.last(40 * 86_400, until=at("2026-01-20T00:00") + timedelta(minutes=minute))
    overrides = tuple(
        Override(
            schedule="primary",
            person=person,
            start=window.start + timedelta(hours=start),
            end=window.start + timedelta(hours=start + length),
        )
        for start, length, person in drafts
    )
    shifts = final_schedule(oncall, "primary", window, overrides)
    assert shifts[0].start == window.start
    assert shifts[-1].end == window.end
    assert all(one.end == two.start for one, two in pairwise(shifts))
    for shift in shifts:
        middle = shift.start + (shift.end - shift.start) / 2
        for inside in (shift.start, middle, shift.end - timedelta(microseconds=1)):
            assert who_has_it(oncall, "primary", inside, overrides)[0] == shift.person


def test_the_calendar_holds_the_final_schedule() -> None:
    """Overrides included."""
    cover = Override(schedule="primary", person="eve", start=at("2026-03-25T00:00"), end=at("2026-03-26T00:00"))
    window = Window(start=at("2026-03-24T00:00"), end=at("2026-03-28T00:00"))
    calendar = Calendar.from_ical(to_ical(rota(), "primary", window, (cover,), now=window.start))
    assert [str(event["summary"]).split()[0] for event in calendar.walk("VEVENT")] == ["Ana", "Eve", "Ana"]


def test_overrides_are_kept_audited_and_end_without_rewriting_history(db: Database) -> None:
    """Taking one back after it began ends it now."""
    override = Override(schedule="primary", person="eve", start=at("2026-03-24T00:00"), end=at("2026-03-26T00:00"))
    assert record_override(db, rota(), override, at("2026-03-20T00:00"), BOSS) == (override.id, True)
    assert record_override(db, rota(), override, at("2026-03-20T00:00"), BOSS) == (override.id, False)
    remove_override(db, override.id, at("2026-03-25T00:00"), BOSS)
    (kept,) = stored_overrides(db)
    assert (kept.start, kept.end) == (override.start, at("2026-03-25T00:00"))
    assert [entry.action for entry in audit_trail(db)] == ["override.remove", "override.add"]
    with pytest.raises(StateError, match="ended"):
        remove_override(db, override.id, at("2026-03-25T00:00"), BOSS)


def test_an_override_for_nobody_we_know_is_refused(db: Database) -> None:
    """A page must find somebody."""
    override = Override(schedule="primary", person="zoe", start=at("2026-03-24T00:00"), end=at("2026-03-26T00:00"))
    with pytest.raises(NotFound, match="zoe"):
        record_override(db, rota(), override, at("2026-03-20T00:00"), BOSS)
