"""Chaos: what runs now, what experiments have shown, what is untested, and what to test next."""

from __future__ import annotations

from functools import partial

from dash import dcc, html

from chaos.assessment import Assessment
from chaos.report import suspect_text
from chaos.scorecard import trend
from chaos.scored import ScoredExperiment
from dashboard.components.approvals import approval_cards
from dashboard.components.attempts import attempt
from dashboard.components.coverage_map import coverage_card, proposals_card
from dashboard.components.elements import Part, card, empty, moment, note, pill, plot, table
from dashboard.components.experiment_record import OUTCOMES, timeline_card
from dashboard.components.launches import launches_card
from dashboard.components.resilience import resilience_card
from dashboard.components.scorecard import groups_card, scorecard_card
from dashboard.components.wording import count
from dashboard.dialogs.experiment import start_button, stop_button
from dashboard.figures.trend import trend_figure
from dashboard.page import Page, PageRequest
from dashboard.urls import experiment_path
from dashboard.viewer import Viewer

SHOWN = 40
MOST_RUNNING = 4


def render(request: PageRequest) -> Part:
    """Chaos: running experiments, the scorecard, the coverage map, what to test next, and every experiment."""
    return [
        html.Div([html.H1("Chaos"), _actions(request)], className="page-head"),
        attempt("What experiments have shown", lambda: _page(request)),
    ]


def _actions(request: PageRequest) -> Part:
    """Buttons where they can act; elsewhere, what to do instead."""
    if request.sources.launches is None:
        return html.P([html.Code("watchkeeper chaos run"), " starts an experiment"], className="muted")
    return html.Div([start_button("", "", "Start an experiment", quiet=False), stop_button()], className="actions")


def _page(request: PageRequest) -> Part:
    known, viewer = request.sources.experiments.assessment(), request.viewer
    return [
        *(note(f"Not complete: {gap}.") for gap in known.gaps),
        attempt("What waits for approval", lambda: html.Div(approval_cards(request))),
        attempt("What was started here", lambda: launches_card(request, known)),
        *(attempt("What runs now", partial(timeline_card, request, one)) for one in _running(known, viewer)),
        html.Div(
            [
                html.Div(
                    [
                        coverage_card(known, viewer),
                        scorecard_card(known),
                        groups_card(known),
                        attempt("What the system bears", lambda: resilience_card(request)),
                        _experiments(known, viewer),
                    ],
                    className="wide",
                ),
                html.Div([_next(request, known), _trend(known, viewer)], className="narrow"),
            ],
            className="columns",
        ),
    ]


def _next(request: PageRequest, known: Assessment) -> Part:
    proposed = known.next_experiments()
    cells = [
        (one.cell.service, one.cell.fault) for one in proposed if (one.cell.service, one.cell.fault) in known.possible
    ]
    return proposals_card(proposed, {cell: start_button(*cell) for cell in cells} if request.sources.launches else {})


def _running(known: Assessment, viewer: Viewer) -> list[ScoredExperiment]:
    running = [one for one in known.known if one.truth.fault and one.truth.began <= viewer.now < one.truth.ended]
    return running[-MOST_RUNNING:]


def _trend(known: Assessment, viewer: Viewer) -> Part:
    steps = trend(known.known)
    if len([card for card in steps.values() if card.recall.count]) < 2:
        return None
    return card(
        "Trend",
        plot(
            "trend",
            trend_figure(steps, viewer),
            "Recall and the median time to the page over time",
            reads=("experiments",),
        ),
    )


def _experiments(known: Assessment, viewer: Viewer) -> Part:
    newest = list(reversed(known.known))
    if not newest:
        return card(
            "Experiments",
            empty(
                "No experiment yet",
                ["Run the first: ", html.Code("watchkeeper chaos run FAULT SERVICE --config watchkeeper.yaml"), "."],
                ["Keep a control window: ", html.Code("watchkeeper chaos control --config watchkeeper.yaml"), "."],
            ),
        )
    rows = [_row(one, viewer) for one in newest[:SHOWN]]
    heads = ["Began", "Experiment", "Outcome", "Page after", "First suspect"]
    shown = table(heads, rows, caption="Experiments, newest first", numbers=("Page after",))
    return card(
        "Experiments",
        shown,
        aside=count(len(newest), "experiment and control window", "experiments and control windows"),
    )


def _row(one: ScoredExperiment, viewer: Viewer) -> Part:
    truth = one.truth
    title = f"{truth.fault} in {truth.service}" if truth.fault else "control window"
    paged = "–" if one.paged_s is None else f"{one.paged_s:.0f} s"
    outcome = OUTCOMES[one.outcome or "unsettled"]
    return html.Tr(
        [
            html.Th(moment(truth.began, viewer), scope="row"),
            html.Td(dcc.Link(title, href=experiment_path(truth.id))),
            html.Td(pill(*outcome)),
            html.Td(paged, className="number"),
            html.Td(suspect_text(one)),
        ]
    )


PAGE = Page(path="/chaos", title="Chaos", render=render, order=60, section="Improve", key="x")
