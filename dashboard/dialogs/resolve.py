"""The dialog that resolves an incident, with a label."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import dash_mantine_components as dmc
from dash import Input, Output, State, html, no_update

from alerting.incidents.human_labels import read_form
from dashboard.commands import NOT_SIGNED_IN, Command, give
from dashboard.dialogs.judgement_fields import causes, judgement_fields
from dashboard.dialogs.pressed import buttons, closing, is_for, notices, pressed, refresh
from dashboard.wiring import Wiring


def dialog() -> Any:
    """Nothing in the form is chosen beforehand: a default would be no judgement."""
    return dmc.Modal(
        id="resolve-dialog",
        title="Resolve this incident",
        size="lg",
        children=[
            html.P(
                "Your answers become a label. Labels train the detectors and the diagnosis. "
                "Leave a field empty if you do not know.",
                className="muted",
            ),
            dmc.Stack([*judgement_fields("label"), closing("resolve", "Resolve")], gap="md"),
        ],
    )


def connect(wiring: Wiring) -> None:
    """Add the callbacks of the button and of the dialog."""

    def opened(clicks: list[int | None]) -> Any:
        button = pressed("resolve", clicks)
        if button is None:
            return (no_update,) * 8
        actor = wiring.who()
        if actor is None:
            return (NOT_SIGNED_IN.shown(), *(no_update,) * 7)
        choices = causes(wiring.sources.records.incident(button.incident_id))
        return no_update, button.asked(actor), True, choices, None, None, None, ""

    wiring.server(
        opened,
        notices(),
        Output("asked", "data", allow_duplicate=True),
        Output("resolve-dialog", "opened"),
        Output("label-cause", "data"),
        Output("label-cause", "value"),
        Output("label-mechanism", "value"),
        Output("label-warranted", "value"),
        Output("label-note", "value", allow_duplicate=True),
        buttons("resolve"),
    )

    def submitted(
        clicks: int, asked: Any, cause: str | None, mechanism: str | None, warranted: str | None, note: str | None
    ) -> Any:
        if not clicks or not is_for("resolve", asked):
            return (no_update,) * 4
        judgement = read_form(warranted, cause, mechanism, note)
        command = Command(name="resolve", incident_id=asked["incident"], key=asked["key"], judgement=judgement)
        actor = wiring.who()
        notice = give(wiring.sources.incidents, actor, command)
        if actor is None:
            return notice.shown(), no_update, no_update, no_update  # what was entered stays
        wiring.sources.forget()
        return notice.shown(), False, uuid4().hex, ""

    wiring.server(
        submitted,
        notices(),
        Output("resolve-dialog", "opened", allow_duplicate=True),
        refresh(),
        Output("label-note", "value"),
        Input("resolve-submit", "n_clicks"),
        State("asked", "data"),
        State("label-cause", "value"),
        State("label-mechanism", "value"),
        State("label-warranted", "value"),
        State("label-note", "value"),
    )
