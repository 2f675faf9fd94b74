"""The dialog that lets somebody take over a schedule for a while: from a drag over the calendar, a turn, or empty.

Times stand in it as the reader's wall clock. What would have begun before now begins now.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import uuid4

import dash_mantine_components as dmc
from dash import ALL, Input, Output, State, ctx, html, no_update

from alerting.oncall.schedule import Override, record_override
from dashboard.commands import NOT_SIGNED_IN, Notice
from dashboard.dialogs.pressed import closing, notices, pressed_id, refresh
from dashboard.reads.oncall import HORIZON, shifts
from dashboard.reads.sources import Sources
from dashboard.viewer import Viewer, viewer
from dashboard.wiring import Wiring
from watchkeeper.config import OnCallConfig
from watchkeeper.errors import WatchkeeperError
from watchkeeper.text import one_line, seen_name
from watchkeeper.vocabulary import Window

HOUR: Final = timedelta(hours=1)
WRITTEN: Final = "%Y-%m-%d %H:%M"
EXAMPLE: Final = "2026-12-24 18:00"
YEARS: Final = range(2000, 3000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """The part of a schedule that is to be overridden; `end` is None where that is still to be typed."""

    schedule: str
    start: datetime
    end: datetime | None


def dialog() -> Any:
    """Its choices are read when it is opened."""
    return dmc.Modal(
        id="override-dialog",
        title="Override a schedule",
        closeOnClickOutside=False,
        closeButtonProps={"aria-label": "Close"},
        children=[
            dmc.Select(id="override-schedule", label="Schedule", data=[], allowDeselect=False),
            dmc.Select(id="override-person", label="Who takes over?", data=[], searchable=True, mt="md"),
            dmc.TextInput(id="override-from", label="From", placeholder=EXAMPLE, mt="md"),
            dmc.TextInput(id="override-until", label="Until", placeholder=EXAMPLE, mt="md"),
            html.P(id="override-zone", className="muted"),
            closing("override", "Override"),
        ],
    )


def connect(wiring: Wiring) -> None:
    """Add the callbacks of the calendar, of the buttons and of the dialog."""
    wiring.client("turn", Output("dragged", "data"), Input({"plot": "handoffs"}, "selectedData"))
    _connect_opening(wiring)
    _connect_saving(wiring)


def _connect_opening(wiring: Wiring) -> None:
    sources = wiring.sources

    def opened(dragged: Any, clicks: list[int | None], stored: Any) -> Any:
        is_drag = ctx.triggered_id == "dragged" and isinstance(dragged, dict)
        button = None if is_drag else pressed_id(clicks)
        if not is_drag and button is None:
            return (no_update,) * 9  # the page was only drawn again
        reader, oncall = viewer(stored or {}, sources.now()), sources.config.oncall
        if wiring.who() is None:
            return NOT_SIGNED_IN.shown(), *(no_update,) * 8
        try:
            turn = _of_button(sources, button, reader) if button else of_drag(oncall, dragged, reader)
        except ValueError as error:
            return _refused(str(error)).shown(), *(no_update,) * 8
        schedules = [{"value": each.id, "label": seen_name(each.id)} for each in oncall.schedules]
        people = [{"value": each.id, "label": seen_name(each.name)} for each in oncall.people]
        until = _written(turn.end, reader) if turn.end else ""
        zone = f"Times in {reader.zone_label}. An override replaces every rotation for its time."
        return no_update, True, schedules, turn.schedule, people, None, _written(turn.start, reader), until, zone

    wiring.server(
        opened,
        notices(),
        Output("override-dialog", "opened"),
        Output("override-schedule", "data"),
        Output("override-schedule", "value"),
        Output("override-person", "data"),
        Output("override-person", "value"),
        Output("override-from", "value"),
        Output("override-until", "value"),
        Output("override-zone", "children"),
        Input("dragged", "data"),
        Input({"override_open": ALL, "at": ALL}, "n_clicks"),
        State("viewer", "data"),
    )


def _connect_saving(wiring: Wiring) -> None:
    sources = wiring.sources

    def submitted(clicks: int, schedule: Any, person: Any, start: Any, end: Any, stored: Any) -> Any:
        if not clicks:
            return (no_update,) * 3
        actor = wiring.who()
        if actor is None:
            return NOT_SIGNED_IN.shown(), no_update, no_update
        reader, oncall = viewer(stored or {}, sources.now()), sources.config.oncall
        try:
            made = typed(schedule, person, start, end, reader)
            _, is_new = record_override(sources.db, oncall, made, reader.now, actor)
        except (ValueError, WatchkeeperError) as error:
            return _refused(str(error)).shown(), no_update, no_update  # what was typed stays
        sources.forget()
        name = seen_name(sources.people.get(made.person, made.person))
        span = f"{_written(max(made.start, reader.now), reader)} to {_written(made.end, reader)} {reader.zone_label}"
        words = f"{name} is on call for {seen_name(made.schedule)} from {span}."
        title = "Override kept" if is_new else "It was so already"
        return Notice(title=title, message=words, good=True).shown(), False, uuid4().hex

    wiring.server(
        submitted,
        notices(),
        Output("override-dialog", "opened", allow_duplicate=True),
        refresh(),
        Input("override-submit", "n_clicks"),
        State("override-schedule", "value"),
        State("override-person", "value"),
        State("override-from", "value"),
        State("override-until", "value"),
        State("viewer", "data"),
    )


def of_drag(oncall: OnCallConfig, dragged: Mapping[str, Any], reader: Viewer) -> Turn:
    """What was dragged over, in whole hours; from now on where it began before.

    Raises:
        ValueError: it is over already, or no row of the calendar.
    """
    row = dragged.get("row")
    if not isinstance(row, int) or not 0 <= row < len(oncall.schedules):
        raise ValueError("Drag over the row of a schedule.")
    edges = [_wall(dragged.get(key), key.capitalize()) for key in ("from", "until")]
    # Whole hours of the reader's clock, in zones with half an hour, too.
    hours = [(edge + HOUR / 2).replace(minute=0, second=0, microsecond=0) for edge in edges]
    start, end = sorted(each.replace(tzinfo=reader.zone).astimezone(UTC) for each in hours)
    end = max(end, start + HOUR)
    if end <= reader.now:
        raise ValueError("These hours have passed, and who was on call does not change any more. Drag over later ones.")
    return Turn(schedule=oncall.schedules[row].id, start=max(start, reader.now), end=end)


def _of_button(sources: Sources, button: Mapping[str, Any], reader: Viewer) -> Turn:
    """The turn of a row of the handoffs, until its end; for the button without one, from now on."""
    known = [each.id for each in sources.config.oncall.schedules]
    name, at = str(button["override_open"]), str(button["at"])
    if not known:
        raise ValueError("There is no schedule any more. The page shows the rota as it is.")
    if not name:
        return Turn(schedule=known[0], start=reader.now, end=None)
    if name not in known:
        raise ValueError(f"There is no schedule {seen_name(name)} any more. The page shows the rota as it is.")
    start = max(_instant(at, "The turn", reader), reader.now)
    turn = shifts(sources, name, Window(start=start, end=start + HORIZON), reader.now)[0]
    return Turn(schedule=name, start=start, end=turn.end)


def typed(schedule: Any, person: Any, start: Any, end: Any, reader: Viewer) -> Override:
    """The override as the dialog is filled in.

    Raises:
        ValueError: something is missing or cannot be read; says what.
    """
    if not isinstance(schedule, str) or not schedule:
        raise ValueError("Choose a schedule first.")
    if not isinstance(person, str) or not person:
        raise ValueError("Choose who takes over first.")
    first, last = _instant(start, "From", reader), _instant(end, "Until", reader)
    if last <= first:
        raise ValueError("The override ends before it begins. Write a later time into Until.")
    return Override(schedule=schedule, person=person, start=first, end=last)


def _instant(text: Any, field: str, reader: Viewer) -> datetime:
    """A time that somebody typed, in the reader's zone unless it names its offset."""
    at = _wall(text, field)
    return (at if at.tzinfo else at.replace(tzinfo=reader.zone)).astimezone(UTC)


def _wall(text: Any, field: str) -> datetime:
    written = text.strip() if isinstance(text, str) else ""
    try:
        at = datetime.fromisoformat(written)
    except ValueError:
        at = None
    if at is None or at.year not in YEARS:
        what = f"{one_line(written, 40)!r} is no time" if written else "there is no time"
        raise ValueError(f"{field}: {what}. Write it as {EXAMPLE}.")
    return at


def _written(at: datetime, reader: Viewer) -> str:
    return at.astimezone(reader.zone).strftime(WRITTEN)


def _refused(why: str) -> Notice:
    return Notice(title="Nothing was overridden", message=why, good=False)
