"""The dialog that raises or lowers an incident's severity, with the reason."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import dash_mantine_components as dmc
from dash import Input, Output, State, no_update

from alerting.incidents.levels import LONGEST_REASON, WHAT_EACH_IS
from dashboard.commands import NOT_SIGNED_IN, Command, Notice, give
from dashboard.dialogs.pressed import buttons, closing, is_for, notices, pressed, refresh
from dashboard.wiring import Wiring
from watchkeeper.vocabulary import LEVELS


def dialog() -> Any:
    """Whoever follows the incident in Slack reads the reason there, too."""
    return dmc.Modal(
        id="severity-dialog",
        title="Change the severity",
        closeOnClickOutside=False,
        children=[
            dmc.Select(
                id="severity-level",
                label="Severity",
                data=[{"value": value, "label": label} for value, label in WHAT_EACH_IS],
                value="SEV2",
                allowDeselect=False,
            ),
            dmc.Textarea(
                id="severity-reason",
                label="Why?",
                description="One that pages makes a page of a ticket. One that pages nobody ends the escalation.",
                autosize=True,
                minRows=2,
                maxRows=6,
                mt="md",
            ),
            closing("severity", "Change the severity"),
        ],
    )


def refused(level: object, reason: str) -> Notice | None:
    """Why nothing is changed as the dialog is filled in."""
    if level not in LEVELS:
        return Notice(title="Nothing was changed", message="Choose a severity first.", good=False)
    if not reason:
        words = "Write the reason: whoever reads the timeline will ask."
        return Notice(title="Nothing was changed", message=words, good=False)
    if len(reason) > LONGEST_REASON:
        words = f"The reason has {len(reason):,} characters; at most {LONGEST_REASON:,} are kept. Shorten it."
        return Notice(title="Nothing was changed", message=words, good=False)
    return None


def connect(wiring: Wiring) -> None:
    """Add the callbacks of the button and of the dialog."""

    def opened(clicks: list[int | None]) -> Any:
        button = pressed("severity", clicks)
        if button is None:
            return (no_update,) * 4
        actor = wiring.who()
        if actor is None:
            return NOT_SIGNED_IN.shown(), no_update, no_update, no_update
        incident = wiring.sources.incidents.get(button.incident_id)
        return no_update, button.asked(actor), True, incident.level

    wiring.server(
        opened,
        notices(),
        Output("asked", "data", allow_duplicate=True),
        Output("severity-dialog", "opened"),
        Output("severity-level", "value"),
        buttons("severity"),
    )

    def submitted(clicks: int, asked: Any, level: object, reason: object) -> Any:
        if not clicks or not is_for("severity", asked):
            return (no_update,) * 4
        written = reason.strip() if isinstance(reason, str) else ""
        if why := refused(level, written):
            return why.shown(), no_update, no_update, no_update  # what was written stays
        chosen = next(one for one in LEVELS if one == level)
        command = Command(
            name="severity",
            incident_id=asked["incident"],
            key=f"{asked['key']}:{chosen}",
            level=chosen,
            text=written,
        )
        notice = give(wiring.sources.incidents, wiring.who(), command)
        wiring.sources.forget()
        if not notice.good:
            return notice.shown(), no_update, no_update, no_update
        return notice.shown(), False, uuid4().hex, ""

    wiring.server(
        submitted,
        notices(),
        Output("severity-dialog", "opened", allow_duplicate=True),
        refresh(),
        Output("severity-reason", "value"),
        Input("severity-submit", "n_clicks"),
        State("asked", "data"),
        State("severity-level", "value"),
        State("severity-reason", "value"),
    )
