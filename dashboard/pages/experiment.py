"""One experiment: its time axis, what was true, what became of it, and how the system bore it."""

from __future__ import annotations

from dash import dcc, html

from dashboard.components.attempts import attempt
from dashboard.components.elements import Part, empty
from dashboard.components.experiment_record import borne_card, facts_card, timeline_card
from dashboard.page import Page, PageRequest


def render(request: PageRequest) -> Part:
    """One experiment: its time axis, the truth, what became of it, and how the system bore it."""
    one = request.sources.experiments.record(request.argument)
    if one is None:
        other = html.Span(["See ", dcc.Link("all experiments", href="/chaos"), "."])
        return [html.H1("No such experiment"), empty(f"There is no experiment {request.argument}", other)]
    truth = one.truth
    title = f"{truth.fault} in {truth.service}" if truth.fault else "Control window"
    return [
        html.H1(title),
        html.Div(
            [
                html.Div(
                    [
                        attempt("The time axis", lambda: timeline_card(request, one)),
                        attempt("How the system bore it", lambda: borne_card(request.sources.experiments.borne(one)))
                        if truth.fault and truth.took_effect
                        else None,
                    ],
                    className="wide",
                ),
                html.Div([facts_card(one, request.viewer)], className="narrow"),
            ],
            className="columns",
        ),
    ]


PAGE = Page(path="/chaos/{argument}", title="Experiment {argument}", render=render, under="/chaos")
