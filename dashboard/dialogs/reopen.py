"""The dialog that reopens a suppressed finding: no version may suppress its detector on its service again."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import dash_mantine_components as dmc
import structlog
from dash import ALL, Input, Output, State, html, no_update

from dashboard.commands import NOT_SIGNED_IN, Notice, failed
from dashboard.components.elements import Part
from dashboard.components.escaping import inert
from dashboard.dialogs.pressed import closing, notices, pressed_id, refresh
from dashboard.reads.sources import Sources
from dashboard.wiring import Wiring
from detectors.learning.suppression import find, reopen
from watchkeeper.errors import WatchkeeperError
from watchkeeper.vocabulary import Actor


def dialog() -> Any:
    return dmc.Modal(
        id="reopen-dialog",
        title="Should this finding have paged?",
        size="lg",
        children=[
            html.Div(id="reopen-plan", className="stack"),
            dmc.Textarea(id="reopen-note", label="Reason", autosize=True, minRows=2, maxRows=6, mt="md"),
            closing("reopen", "Never suppress it again"),
        ],
    )


def consequences(sources: Sources, key: str) -> Part:
    """What reopening a finding does, for the person who is to confirm it."""
    suppressed = find(sources.db, key)
    if suppressed is None:
        return html.P("This finding is not suppressed now.")
    finding = suppressed.finding
    fires = suppressed.cleared_at is None
    return html.Div(
        [
            html.P(html.Strong(finding.summary)),
            html.P(f"Version {suppressed.version} suppressed it: {suppressed.reason}."),
            html.P(
                f"From now on no version suppresses {finding.detector} on {finding.service}. "
                + ("It is still firing, so it pages now." if fires else "This one has cleared. The next one pages.")
            ),
        ],
        className="stack",
    )


def reopened(sources: Sources, actor: Actor | None, key: str, note: str | None) -> Notice:
    """Reopen one finding, by the person of this browser's session."""
    if actor is None:
        return NOT_SIGNED_IN
    try:
        changed, message = reopen(sources.db, key, actor, sources.now(), (note or "").strip())
    except WatchkeeperError as error:
        return failed(error)
    structlog.get_logger().info("dashboard.reopened", finding=key, actor=actor.name, changed=changed)
    title = "Reopened" if changed else "Nothing changed"
    return Notice(title=title, message=message[:1].upper() + message[1:], good=True)


def connect(wiring: Wiring) -> None:
    """Add the callbacks of the button and of the dialog."""

    def opened(clicks: list[int | None]) -> Any:
        button = pressed_id(clicks)
        if button is None or not isinstance(button["reopen"], str):
            return (no_update,) * 4  # the page was drawn again; nobody pressed anything
        if wiring.who() is None:
            return NOT_SIGNED_IN.shown(), no_update, no_update, no_update
        return no_update, {"finding": button["reopen"]}, True, inert(consequences(wiring.sources, button["reopen"]))

    wiring.server(
        opened,
        notices(),
        Output("asked", "data", allow_duplicate=True),
        Output("reopen-dialog", "opened"),
        Output("reopen-plan", "children"),
        Input({"reopen": ALL}, "n_clicks"),
    )

    def confirmed(clicks: int, asked: Any, note: str | None) -> Any:
        if not clicks or not isinstance(asked, dict) or not isinstance(asked.get("finding"), str):
            return (no_update,) * 4
        notice = reopened(wiring.sources, wiring.who(), asked["finding"], note)
        wiring.sources.forget()
        return notice.shown(), False, uuid4().hex, ""

    wiring.server(
        confirmed,
        notices(),
        Output("reopen-dialog", "opened", allow_duplicate=True),
        refresh(),
        Output("reopen-note", "value"),
        Input("reopen-submit", "n_clicks"),
        State("asked", "data"),
        State("reopen-note", "value"),
    )
