"""The dialog that judges an incident, open or resolved: was the page warranted, and what was the cause?

What somebody answered before stands in the form: a person has one judgement of an incident, the newest, and a
correction of one answer keeps the others.
"""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import dash_mantine_components as dmc
from dash import Input, Output, State, html, no_update

from alerting.incidents.human_labels import read_form
from alerting.incidents.machine import Incident
from dashboard.commands import NOT_SIGNED_IN, Command, Notice, give
from dashboard.dialogs.judgement_fields import causes, judgement_fields
from dashboard.dialogs.pressed import buttons, closing, is_for, notices, pressed, refresh
from dashboard.wiring import Wiring
from watchkeeper.vocabulary import Actor, Label, content_key

NOTHING = Notice(title="Nothing was judged", message="Answer at least one question first.", good=False)


def dialog() -> Any:
    """Besides what is pressed, nothing is chosen beforehand that the person has not answered."""
    return dmc.Modal(
        id="judge-dialog",
        title="Judge this incident",
        size="lg",
        children=[
            html.P(
                "Your answers become your label, in place of your earlier one. Labels train the detectors and the "
                "diagnosis. The incident stays as it is.",
                className="muted",
            ),
            dmc.Stack([*judgement_fields("judge"), closing("judge", "Keep the judgement")], gap="md"),
        ],
    )


def answered(incident: Incident, actor: Actor) -> Label | None:
    """The label that this person gave the incident before."""
    own = (label for label in incident.labels if label.source == "human" and label.author == actor.name)
    return max(own, key=lambda label: label.at, default=None)


def first_answers(incident: Incident, actor: Actor, seen: str) -> tuple[str | None, str | None, str | None, str]:
    """Cause, mechanism, warranted and note as the form opens; `seen` is `no` for a false page, or `cause`."""
    before = answered(incident, actor)
    warranted = {True: "yes", False: "no"}.get(before.warranted) if before and before.warranted is not None else None
    cause, mechanism = (before.cause, before.mechanism) if before else (None, None)
    if seen == "no":
        warranted = "no"
    if seen == "cause" and incident.diagnosis and incident.diagnosis.suspects:
        refuted = cause == incident.diagnosis.suspects[0].service
        cause, mechanism = (None, None) if refuted else (cause, mechanism)
    return cause, mechanism, warranted, before.note if before else ""


def connect(wiring: Wiring) -> None:
    """Add the callbacks of the buttons and of the dialog."""

    def opened(clicks: list[int | None]) -> Any:
        button = pressed("label", clicks)
        if button is None:
            return (no_update,) * 8
        actor = wiring.who()
        if actor is None:
            return (NOT_SIGNED_IN.shown(), *(no_update,) * 7)
        incident = wiring.sources.records.incident(button.incident_id)
        answers = first_answers(incident, actor, button.seen)
        return no_update, button.asked(actor), True, causes(incident), *answers

    wiring.server(
        opened,
        notices(),
        Output("asked", "data", allow_duplicate=True),
        Output("judge-dialog", "opened"),
        Output("judge-cause", "data"),
        Output("judge-cause", "value"),
        Output("judge-mechanism", "value"),
        Output("judge-warranted", "value"),
        Output("judge-note", "value"),
        buttons("label"),
    )

    def submitted(
        clicks: int, asked: Any, cause: str | None, mechanism: str | None, warranted: str | None, note: str | None
    ) -> Any:
        if not clicks or not is_for("label", asked):
            return no_update, no_update, no_update
        judgement = read_form(warranted, cause, mechanism, note)
        if judgement is None:
            return NOTHING.shown(), no_update, no_update
        # Other answers from one dialog are another judgement; the same ones again are a double click.
        key = f"{asked['key']}:{content_key(warranted or '', cause or '', mechanism or '', note or '')}"
        command = Command(name="label", incident_id=asked["incident"], key=key, judgement=judgement)
        notice = give(wiring.sources.incidents, wiring.who(), command)
        wiring.sources.forget()
        return notice.shown(), not notice.good, uuid4().hex

    wiring.server(
        submitted,
        notices(),
        Output("judge-dialog", "opened", allow_duplicate=True),
        refresh(),
        Input("judge-submit", "n_clicks"),
        State("asked", "data"),
        State("judge-cause", "value"),
        State("judge-mechanism", "value"),
        State("judge-warranted", "value"),
        State("judge-note", "value"),
    )
