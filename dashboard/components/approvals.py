"""Scheduled experiments for which people were asked: what, on what, when, and the buttons that decide."""

from __future__ import annotations

from typing import Any, Literal

import dash_mantine_components as dmc
from dash import html

from chaos.schedules.requests import Announcement
from dashboard.components.elements import Part, card, facts, moment, pill
from dashboard.page import PageRequest

Decision = Literal["approve", "refuse", "postpone", "stop"]
LABELS: dict[Decision, str] = {"approve": "Approve", "refuse": "Refuse", "postpone": "Postpone", "stop": "Stop"}


def approval_cards(request: PageRequest) -> list[Part]:
    """A card for each run that waits for a decision, or runs."""
    shown = request.sources.experiments.announced(request.viewer.now, request.sources.people)
    return [_card(request, one) for one in shown if one.may_decide or one.may_stop]


def _card(request: PageRequest, shown: Announcement) -> Part:
    asked = shown.request
    people = request.sources.people
    rows: list[tuple[str, Part]] = [
        ("Due", moment(shown.due_at, request.viewer)),
        ("Blast radius", asked.radius),
        ("Lasts", asked.bound),
        ("Approval", f"{asked.count} of {', '.join(people.get(person, person) for person in asked.by)}"),
    ]
    if asked.file:
        rows.append(("File", html.Code(asked.file)))
    decisions: tuple[Decision, ...] = ("approve", "refuse", "postpone") if shown.may_decide else ("stop",)
    return card(
        shown.title,
        html.P(html.Strong(asked.title)),
        html.P(shown.status, className="muted"),
        html.Ul([html.Li(line) for line in asked.does], className="steps") if asked.does else None,
        facts(*rows),
        html.Div([decision_button(one, shown) for one in decisions], className="actions"),
        aside=pill("asks for approval", "degraded") if shown.may_decide else pill("runs", "accent", "◐"),
        kind="proposal",
    )


def decision_button(decision: Decision, shown: Announcement) -> Any:
    """A button that decides about what the page shows."""
    return dmc.Button(
        LABELS[decision],
        id={"decide": decision, "run": shown.token, "seen": shown.request.digest},
        n_clicks=0,
        size="sm",
        variant="filled" if decision == "approve" else "outline" if decision == "stop" else "default",
        className="danger" if decision == "stop" else "",
    )
