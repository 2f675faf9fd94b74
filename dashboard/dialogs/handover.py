"""The dialog that decides whom an incident pages, and when: snooze it, assign it, or merge it into another."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final
from uuid import uuid4

import dash_mantine_components as dmc
from dash import Input, Output, State, no_update

from dashboard.commands import NOT_SIGNED_IN, Command, Name, Notice, give
from dashboard.dialogs.pressed import buttons, closing, is_for, notices, pressed, refresh
from dashboard.wiring import Wiring
from watchkeeper.text import page_text

CHOICES: Final[tuple[tuple[Name, str], ...]] = (("snooze", "Snooze"), ("assign", "Assign"), ("merge", "Merge"))
SPANS: Final = (
    ("1800", "30 minutes"),
    ("3600", "1 hour"),
    ("14400", "4 hours"),
    ("28800", "8 hours"),
    ("86400", "1 day"),
)
HIDDEN: Final = {"display": "none"}
LISTED: Final = 100  # open incidents to merge into, the newest first


def dialog() -> Any:
    return dmc.Modal(
        id="handover-dialog",
        title="Snooze, assign or merge",
        children=[
            dmc.SegmentedControl(
                id="handover-what",
                data=[{"value": value, "label": label} for value, label in CHOICES],
                value="snooze",
                fullWidth=True,
            ),
            dmc.Select(
                id="handover-span",
                label="Page nobody for",
                data=[{"value": value, "label": label} for value, label in SPANS],
                value="3600",
                allowDeselect=False,
                mt="md",
            ),
            dmc.Select(id="handover-person", label="Assign it to", data=[], mt="md", style=HIDDEN),
            dmc.Select(id="handover-into", label="Merge it into", data=[], searchable=True, mt="md", style=HIDDEN),
            closing("handover", "Apply"),
        ],
    )


def connect(wiring: Wiring) -> None:
    """Add the callbacks of the button and of the dialog."""

    def opened(clicks: list[int | None]) -> Any:
        button = pressed("assign", clicks)
        if button is None:
            return (no_update,) * 5
        actor = wiring.who()
        if actor is None:
            return NOT_SIGNED_IN.shown(), no_update, no_update, no_update, no_update
        people = [{"value": key, "label": page_text(name, 100)} for key, name in wiring.sources.people.items()]
        others = [
            {"value": one.id, "label": page_text(f"{one.id}: {one.title}", 120)}
            for one in wiring.sources.incidents.list("open", LISTED)
            if one.id != button.incident_id
        ]
        return no_update, button.asked(actor), True, people, others

    wiring.server(
        opened,
        notices(),
        Output("asked", "data", allow_duplicate=True),
        Output("handover-dialog", "opened"),
        Output("handover-person", "data"),
        Output("handover-into", "data"),
        buttons("assign"),
    )

    def choose(what: object) -> Any:
        """Show the field of what was chosen."""
        return tuple({} if name == what else HIDDEN for name, _ in CHOICES)

    wiring.server(
        choose,
        Output("handover-span", "style"),
        Output("handover-person", "style"),
        Output("handover-into", "style"),
        Input("handover-what", "value"),
    )

    def submitted(clicks: int, asked: Any, what: object, span: object, person: object, into: object) -> Any:
        if not clicks or not is_for("assign", asked):
            return no_update, no_update, no_update
        notice = _give(wiring, asked, what, {"snooze": span, "assign": person, "merge": into})
        wiring.sources.forget()
        return notice.shown(), not notice.good, uuid4().hex  # it stays open after what changed nothing

    wiring.server(
        submitted,
        notices(),
        Output("handover-dialog", "opened", allow_duplicate=True),
        refresh(),
        Input("handover-submit", "n_clicks"),
        State("asked", "data"),
        State("handover-what", "value"),
        State("handover-span", "value"),
        State("handover-person", "value"),
        State("handover-into", "value"),
    )


def _give(wiring: Wiring, asked: Any, what: object, chosen: Mapping[str, object]) -> Notice:
    """Give the command that was chosen. The same choice of one opened dialog is the same command."""
    name = next((name for name, _ in CHOICES if name == what), None)
    value = chosen.get(name) if name else None
    if name is None or not isinstance(value, str) or not value or (name == "snooze" and value not in dict(SPANS)):
        return Notice(title="Nothing was changed", message="Choose how long, whom or what first.", good=False)
    until = wiring.sources.now() + timedelta(seconds=int(value)) if name == "snooze" else None
    command = Command(
        name=name,
        incident_id=asked["incident"],
        key=f"{asked['key']}:{name}:{value}",
        until=until,
        other="" if name == "snooze" else value,
    )
    return give(wiring.sources.incidents, wiring.who(), command)
