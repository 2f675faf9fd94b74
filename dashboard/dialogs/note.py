"""The dialog that adds a line to an incident's timeline."""

from __future__ import annotations

from typing import Any, Final
from uuid import uuid4

import dash_mantine_components as dmc
from dash import Input, Output, State, no_update

from dashboard.commands import LONGEST_NOTE, NOT_SIGNED_IN, Command, Notice, give
from dashboard.dialogs.pressed import buttons, closing, is_for, notices, pressed, refresh
from dashboard.wiring import Wiring

EMPTY: Final = Notice(title="Nothing was added", message="Write what happened or what you did first.", good=False)


def dialog() -> Any:
    """Whoever follows the incident in Slack reads the note there, too."""
    return dmc.Modal(
        id="note-dialog",
        title="Add a note to the timeline",
        size="lg",
        closeOnClickOutside=False,
        children=[
            dmc.Textarea(
                id="note-text",
                label="What happened, or what did you do?",
                autosize=True,
                minRows=3,
                maxRows=10,
            ),
            closing("note", "Add the note"),
        ],
    )


def refused(written: str) -> Notice | None:
    """Why a note is not added as it is written."""
    if not written:
        return EMPTY
    if len(written) > LONGEST_NOTE:
        words = f"It has {len(written):,} characters; at most {LONGEST_NOTE:,} are kept. Shorten it, or add two notes."
        return Notice(title="Nothing was added", message=words, good=False)
    return None


def connect(wiring: Wiring) -> None:
    """Add the callbacks of the button and of the dialog."""

    def opened(clicks: list[int | None]) -> Any:
        button = pressed("note", clicks)
        if button is None:
            return no_update, no_update, no_update
        actor = wiring.who()
        if actor is None:
            return NOT_SIGNED_IN.shown(), no_update, no_update
        # Two notes of one person on one version are two notes: each opened dialog has a key of its own.
        return no_update, button.asked(actor) | {"key": f"dashboard:note:{uuid4().hex}"}, True

    wiring.server(
        opened,
        notices(),
        Output("asked", "data", allow_duplicate=True),
        Output("note-dialog", "opened"),
        buttons("note"),
    )

    def submitted(clicks: int, asked: Any, text: str | None) -> Any:
        if not clicks or not is_for("note", asked):
            return (no_update,) * 4
        written = (text or "").strip()
        if why := refused(written):
            return why.shown(), no_update, no_update, no_update  # what was written stays
        command = Command(name="note", incident_id=asked["incident"], key=asked["key"], text=written)
        notice = give(wiring.sources.incidents, wiring.who(), command)
        wiring.sources.forget()
        if not notice.good:
            return notice.shown(), no_update, no_update, no_update
        return notice.shown(), False, uuid4().hex, ""

    wiring.server(
        submitted,
        notices(),
        Output("note-dialog", "opened", allow_duplicate=True),
        refresh(),
        Output("note-text", "value"),
        Input("note-submit", "n_clicks"),
        State("asked", "data"),
        State("note-text", "value"),
    )
