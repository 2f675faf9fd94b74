"""What a running runbook asks: a button for each answer while the question is open, then who answered what."""

from __future__ import annotations

from typing import Any

import dash_mantine_components as dmc
from dash import html

from alerting.incidents.machine import Incident
from alerting.incidents.questions import Asked, open_questions
from dashboard.components.elements import Part, card, facts, moment, pill
from dashboard.viewer import Viewer


def question_cards(incident: Incident, viewer: Viewer) -> list[Part]:
    """A card for each open question; the timeline has those that are over."""
    return [_card(incident, asked, viewer) for asked in open_questions(incident.questions)]


def _card(incident: Incident, asked: Asked, viewer: Viewer) -> Part:
    question = asked.question
    rows: list[tuple[str, Part]] = []
    if question.until:
        rows.append(("Waits until", html.Span([moment(question.until, viewer), f"; then {question.otherwise}"])))
    if question.answerers:
        rows.append(("May answer", ", ".join(question.answerers)))
    rows.append(("Run", html.Code(question.run)))
    return card(
        "The runbook asks",
        html.P(html.Strong(question.text)),
        facts(*rows),
        html.Div([_button(incident, asked, choice) for choice in question.choices], className="actions"),
        aside=pill("waits for you", "degraded"),
        kind="proposal",
    )


def _button(incident: Incident, asked: Asked, choice: str) -> Any:
    seen = f"{asked.question.id} {choice}"
    return dmc.Button(
        f"{choice}…" if choice in asked.question.confirm else choice,
        id={"command": "answer", "incident": incident.id, "version": incident.version, "seen": seen},
        n_clicks=0,
        size="sm",
        variant="default",
    )
