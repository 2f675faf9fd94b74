"""Service level objectives: what is left of each error budget, how fast it burns, and when it will be gone."""

from __future__ import annotations

from typing import Final

from dash import dcc, html

from dashboard.components.budgets import burn_words, forecast_words, left_words, promise, state_pill
from dashboard.components.elements import Part, card, empty, note, table
from dashboard.components.wording import NOTHING, count
from dashboard.page import Page, PageRequest
from dashboard.urls import objective_path
from dashboard.viewer import Viewer
from detectors.slo.budget import BURNS_S, burns, left
from detectors.slo.minutes import Minutes
from detectors.slo.openslo import Slo
from watchkeeper.durations import duration

HEADS: Final = [f"Burns, {duration(seconds)}" for seconds in BURNS_S]


def render(request: PageRequest) -> Part:
    """Each objective with its budget, burn rates and forecast, the least that is left first."""
    objectives = request.sources.objectives.all()
    shown = [(slo, request.sources.objectives.minutes(slo)) for slo in objectives.by_name.values()]
    shown.sort(key=lambda pair: (_left(*pair), pair[0].name))
    notes = [note(f"Not read: {problem}") for problem in objectives.problems]
    if not shown:
        return [html.H1("SLOs"), *notes, card("No objective", _nothing())]
    rows = [_row(slo, minutes, request.viewer) for slo, minutes in shown]
    body = table(
        ["Objective", "State", "Budget left", *HEADS, "Forecast"],
        rows,
        caption="Objectives, the least left first",
        kind="objectives",
        numbers=("Budget left", *HEADS),
    )
    return [html.H1("SLOs"), *notes, card("Error budgets", body, aside=count(len(shown), "objective"))]


def _left(slo: Slo, minutes: Minutes) -> float:
    share = left(slo, minutes)
    return 2.0 if share is None else share


def _nothing() -> Part:
    return empty(
        "No service level objective is configured",
        [
            "Name OpenSLO files under ",
            html.Code("slo:"),
            " in the configuration, such as ",
            html.Code("slo: [slo.yaml]"),
            ".",
        ],
        "docs/configuration.md describes the files. An objective watches its error budget from the next start on.",
    )


def _row(slo: Slo, minutes: Minutes, viewer: Viewer) -> Part:
    rates = {burn.seconds: burn_words(burn) for burn in burns(slo, minutes)}
    return html.Tr(
        [
            html.Th(
                [
                    dcc.Link(slo.title, href=objective_path(slo.name)),
                    html.Div(promise(slo), className="reason"),
                ],
                scope="row",
            ),
            html.Td(state_pill(slo, minutes, viewer)),
            html.Td(left_words(slo, minutes), className="number nowrap"),
            *[html.Td(rates.get(seconds, NOTHING), className="number burn") for seconds in BURNS_S],
            html.Td(forecast_words(slo, minutes, viewer), className="forecast"),
        ],
        tabIndex=0,
        **{"data-row": ""},
    )


PAGE = Page(path="/slos", title="SLOs", render=render, order=36, section="Explore", key="b")
