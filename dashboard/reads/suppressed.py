"""Findings that a version suppressed: why they did not page, and the button to reopen one."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any
from uuid import uuid4

import dash_mantine_components as dmc
import structlog
from dash import ALL, Input, Output, State, ctx, html, no_update

from dashboard.commands import NO_SESSION, Who, notice
from dashboard.components.elements import Part, pill
from dashboard.reads.sources import Sources
from detectors.learning.suppression import find, reopen
from watchkeeper.errors import WatchkeeperError
from watchkeeper.vocabulary import Actor, Finding


def reopen_button(finding: Finding) -> Any:
    """Opens the dialog that asks whether this finding should have paged."""
    return dmc.Button(
        "Reopen",
        id={"reopen": finding.key},
        n_clicks=0,
        size="compact-sm",
        variant="default",
    )


def suppression_note(finding: Finding, *, reopened: bool) -> Part:
    """The reason, the version, and a way to disagree; nothing for a finding that is not suppressed."""
    suppression = finding.suppression
    if suppression is None:
        return None
    return html.Div(
        [
            pill("suppressed", "degraded", "▽"),
            html.Span(f" by version {suppression.model_version}: {suppression.reason} "),
            pill("reopened", "accent", "↺") if reopened else reopen_button(finding),
        ],
        className="suppressed",
    )


def is_reopened(sources: Sources, finding: Finding) -> bool:
    """Whether somebody reopened findings of its detector on its service."""
    return (finding.detector, finding.service) in sources.barred()


def doubt(sources: Sources, key: str) -> Part:
    """What reopening a finding means, for the one who is to confirm it."""
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


def reopened(sources: Sources, actor: Actor | None, key: str, note: str | None, now: datetime) -> tuple[str, str, bool]:
    """Reopen one finding. Returns the notification: a title, a sentence, and whether it succeeded."""
    if actor is None:
        return "Not signed in", NO_SESSION, False
    try:
        changed, message = reopen(sources.db, key, actor, now, (note or "").strip())
    except WatchkeeperError as error:
        return "Command failed", error.message, False
    structlog.get_logger().info("dashboard.reopened", finding=key, actor=actor.name, changed=changed)
    return "Reopened" if changed else "Nothing changed", message[:1].upper() + message[1:], True


def register(dash: Any, sources: Sources, who: Who, off_loop: Callable[[Callable[..., Any]], Any]) -> None:
    """Add the callbacks of the button and its dialog."""
    once = {"prevent_initial_call": True}

    def pressed(clicks: list[int | None]) -> Any:
        button = ctx.triggered_id
        if not button or not any(clicks) or not ctx.triggered[0]["value"]:
            return (no_update,) * 4  # the page was drawn anew; nobody pressed anything
        if not isinstance(button["reopen"], str):
            return (no_update,) * 4  # no button of ours
        if who() is None:
            return notice("Not signed in", NO_SESSION, False), no_update, no_update, no_update
        return no_update, {"finding": button["reopen"]}, True, doubt(sources, button["reopen"])

    dash.callback(
        Output("notices", "sendNotifications", allow_duplicate=True),
        Output("asked", "data", allow_duplicate=True),
        Output("reopen-dialog", "opened"),
        Output("reopen-plan", "children"),
        Input({"reopen": ALL}, "n_clicks"),
        **once,
    )(off_loop(pressed))

    def confirmed(clicks: int, asked: Any, note: str | None) -> Any:
        if not clicks or not isinstance(asked, dict) or not isinstance(asked.get("finding"), str):
            return (no_update,) * 4
        result = reopened(sources, who(), asked["finding"], note, sources.now())
        sources.forget()
        return notice(*result), False, uuid4().hex, ""

    dash.callback(
        Output("notices", "sendNotifications", allow_duplicate=True),
        Output("reopen-dialog", "opened", allow_duplicate=True),
        Output("tick", "data", allow_duplicate=True),
        Output("reopen-note", "value"),
        Input("reopen-submit", "n_clicks"),
        State("asked", "data"),
        State("reopen-note", "value"),
        **once,
    )(off_loop(confirmed))
