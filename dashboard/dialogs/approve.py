"""The dialog that shows what a runbook would do, and approves it."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import dash_mantine_components as dmc
from dash import Input, Output, State, html, no_update

from alerting.incidents.machine import Incident
from dashboard.commands import NOT_SIGNED_IN, Command, give, seen_proposal
from dashboard.components.elements import facts
from dashboard.components.escaping import inert
from dashboard.components.proposal import proposal_facts
from dashboard.dialogs.pressed import buttons, closing, is_for, notices, pressed, refresh
from dashboard.wiring import Wiring


def dialog() -> Any:
    return dmc.Modal(
        id="approve-dialog",
        title="Run this runbook?",
        size="lg",
        children=[html.Div(id="approve-plan"), closing("approve", "Approve and run")],
    )


def plan(incident: Incident) -> Any:
    """What a runbook would do, for the person who is to approve it."""
    proposal = incident.proposal
    if proposal is None:
        return html.P("No runbook is proposed now.")
    return html.Div(
        [
            html.P(html.Strong(proposal.title)),
            html.Ol([html.Li(step) for step in proposal.steps]),
            facts(*proposal_facts(incident)),
        ]
    )


def connect(wiring: Wiring) -> None:
    """Add the callbacks of the button and of the dialog."""

    def opened(clicks: list[int | None]) -> Any:
        button = pressed("approve", clicks)
        if button is None:
            return (no_update,) * 4
        actor = wiring.who()
        if actor is None:
            return NOT_SIGNED_IN.shown(), no_update, no_update, no_update
        incident = wiring.sources.records.incident(button.incident_id)
        # The dialog shows the present proposal, whatever the page showed: that one is approved.
        asked = button.asked(actor) | {"seen": seen_proposal(incident)}
        return no_update, asked, True, inert(plan(incident))

    wiring.server(
        opened,
        notices(),
        Output("asked", "data", allow_duplicate=True),
        Output("approve-dialog", "opened"),
        Output("approve-plan", "children"),
        buttons("approve"),
    )

    def submitted(clicks: int, asked: Any) -> Any:
        if not clicks or not is_for("approve", asked):
            return no_update, no_update, no_update
        command = Command(name="approve", incident_id=asked["incident"], key=asked["key"], seen=asked["seen"])
        notice = give(wiring.sources.incidents, wiring.who(), command)
        wiring.sources.forget()
        return notice.shown(), False, uuid4().hex

    wiring.server(
        submitted,
        notices(),
        Output("approve-dialog", "opened", allow_duplicate=True),
        refresh(),
        Input("approve-submit", "n_clicks"),
        State("asked", "data"),
    )
