"""The buttons that answer a runbook's question, and the dialog for answers that are asked about once more."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import dash_mantine_components as dmc
from dash import Input, Output, State, html, no_update

from alerting.incidents.questions import named
from dashboard.commands import NOT_SIGNED_IN, Command, give
from dashboard.components.escaping import inert
from dashboard.dialogs.pressed import buttons, closing, is_for, notices, pressed, refresh
from dashboard.wiring import Wiring


def dialog() -> Any:
    return dmc.Modal(
        id="answer-dialog",
        title="Answer the runbook?",
        children=[html.Div(id="answer-question"), closing("answer", "Answer")],
    )


def connect(wiring: Wiring) -> None:
    """Add the callbacks of the buttons and of the dialog."""

    def acted(asked: dict[str, str]) -> Any:
        question_id, _, choice = asked["seen"].partition(" ")
        order = Command(name="answer", incident_id=asked["incident"], key=asked["key"], seen=question_id, answer=choice)
        notice = give(wiring.sources.incidents, wiring.who(), order)
        wiring.sources.forget()
        return notice.shown()

    def chosen(clicks: list[int | None]) -> Any:
        button = pressed("answer", clicks)
        if button is None:
            return (no_update,) * 5
        actor = wiring.who()
        if actor is None:
            return NOT_SIGNED_IN.shown(), no_update, no_update, no_update, no_update
        asked = button.asked(actor)
        asked["key"] += f":{button.seen}"  # another answer to the same question is another command
        question_id, _, choice = button.seen.partition(" ")
        incident = wiring.sources.records.incident(button.incident_id)
        known = named(incident.questions, question_id)
        if known is None or choice not in known.question.confirm:
            return acted(asked), no_update, no_update, no_update, uuid4().hex
        text = html.Div([html.P(known.question.text), html.P(["Your answer: ", html.Strong(choice)])])
        return no_update, asked, True, inert(text), no_update

    wiring.server(
        chosen,
        notices(),
        Output("asked", "data", allow_duplicate=True),
        Output("answer-dialog", "opened"),
        Output("answer-question", "children"),
        refresh(),
        buttons("answer"),
    )

    def submitted(clicks: int, asked: Any) -> Any:
        if not clicks or not is_for("answer", asked):
            return no_update, no_update, no_update
        return acted(asked), False, uuid4().hex

    wiring.server(
        submitted,
        notices(),
        Output("answer-dialog", "opened", allow_duplicate=True),
        refresh(),
        Input("answer-submit", "n_clicks"),
        State("asked", "data"),
    )
