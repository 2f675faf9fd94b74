"""What the form of an override is filled in with, and what it is read as, in zones of different kinds."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from dashboard.dialogs.override import of_drag, typed
from dashboard.viewer import Viewer, viewer
from watchkeeper.config import LayerConfig, OnCallConfig, PersonConfig, ScheduleConfig

NOW = datetime(2026, 3, 27, 12, 20, tzinfo=UTC)
ONCALL = OnCallConfig(
    people=(PersonConfig(id="ana", name="Ana", addresses={"slack": "UANA"}),),
    schedules=tuple(ScheduleConfig(id=name, layers=(LayerConfig(people=("ana",)),)) for name in ("primary", "night")),
)


def reader(zone: str = "UTC") -> Viewer:
    return viewer({"zone": zone}, NOW)


def dragged(begin: str, end: str, row: Any = 1) -> Mapping[str, Any]:
    return {"row": row, "from": begin, "until": end, "at": 1}


@pytest.mark.parametrize(
    ("zone", "begin", "end"),
    [
        ("UTC", "2026-03-28T18:00", "2026-03-29T04:00"),
        ("Asia/Kolkata", "2026-03-28T12:30", "2026-03-28T22:30"),  # whole hours of the clock on the wall there
        ("Europe/Berlin", "2026-03-28T17:00", "2026-03-29T02:00"),  # the clock goes forward in between
    ],
)
def test_a_drag_means_whole_hours_of_the_reader(zone: str, begin: str, end: str) -> None:
    turn = of_drag(ONCALL, dragged("2026-03-28 17:48:12.3456", "2026-03-29 04:11"), reader(zone))
    assert (turn.schedule, turn.start) == ("night", datetime.fromisoformat(begin).replace(tzinfo=UTC))
    assert turn.end == datetime.fromisoformat(end).replace(tzinfo=UTC)


def test_a_drag_backwards_or_within_an_hour_or_from_the_past_is_understood() -> None:
    """From right to left is the same; a short one is an hour; what has begun begins now."""
    turn = of_drag(ONCALL, dragged("2026-03-28 09:10", "2026-03-28 09:02", 0), reader())
    assert (turn.start.hour, turn.end and turn.end.hour) == (9, 10)
    assert of_drag(ONCALL, dragged("2026-03-26", "2026-03-28", 0), reader()).start == NOW


@pytest.mark.parametrize(
    ("drag", "why"),
    [
        (dragged("2026-03-26 09:00", "2026-03-27 11:00"), "These hours have passed"),
        (dragged("2026-03-28", "2026-03-29", 2), "Drag over the row of a schedule"),
        (dragged("2026-03-28", "2026-03-29", None), "Drag over the row"),
        (dragged("soon", "2026-03-29"), "From: 'soon' is no time. Write it as"),
        (dragged("9999-12-31 23:59", "9999-12-31 23:59"), "is no time"),
        ({}, "Drag over the row"),
    ],
)
def test_a_drag_that_overrides_nothing_says_why(drag: Mapping[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        of_drag(ONCALL, drag, reader())


def test_times_are_read_in_the_readers_zone_unless_they_name_their_offset() -> None:
    override = typed("primary", "ana", " 2026-07-01 09:00 ", "2026-07-01T12:00+00:00", reader("Europe/Berlin"))
    assert override.start == datetime(2026, 7, 1, 7, tzinfo=UTC)
    assert override.end == datetime(2026, 7, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ((None, "ana", "2026-04-01", "2026-04-02"), "Choose a schedule"),
        (("primary", "", "2026-04-01", "2026-04-02"), "Choose who takes over"),
        (("primary", "ana", "", "2026-04-02"), "From: there is no time"),
        (("primary", "ana", "2026-04-01", "tomorrow"), "Until: 'tomorrow' is no time"),
        (("primary", "ana", "2026-04-02", "2026-04-02"), "ends before it begins"),
        (("primary", "ana", 7, ["x"]), "From: there is no time"),
    ],
)
def test_a_form_that_cannot_be_read_says_what_is_missing(fields: tuple[Any, ...], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        typed(*fields, reader())
