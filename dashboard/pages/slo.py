"""One service level objective: its budget over the window, burn rates, forecast, and what used it up."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from dash import dcc, html

from dashboard.components.attempts import attempt
from dashboard.components.board_buttons import add_to_board
from dashboard.components.budgets import burn_card, eaten_card, forecast_words, left_words, promise, state_pill
from dashboard.components.elements import Part, card, empty, facts, moment, plot
from dashboard.components.wording import percent
from dashboard.figures.budget import budget_figure
from dashboard.figures.marks import Moment
from dashboard.page import Page, PageRequest
from dashboard.reads.happenings import READ, happenings
from dashboard.urls import View
from detectors.slo.budget import allowance, counted_since, course, forecast, left
from detectors.slo.minutes import STEP_S, Minutes
from detectors.slo.openslo import Slo
from watchkeeper.durations import duration
from watchkeeper.text import seen_name
from watchkeeper.vocabulary import Window, utc

AHEAD: Final = 0.25  # of the window, that a plot shows of the future at most


def render(request: PageRequest) -> Part:
    """One objective: its budget over the window, burn rates, forecast, and what used it up."""
    objectives = request.sources.objectives.all()
    slo = objectives.by_name.get(request.argument)
    if slo is None:
        return [
            html.H1("No such objective"),
            empty(
                f"No objective is named {seen_name(request.argument)}",
                html.Span(["It may have been renamed. ", dcc.Link("All objectives", href="/slos"), "."]),
            ),
        ]
    minutes = request.sources.objectives.minutes(slo)
    incidents = [
        incident
        for incident in request.sources.records.newest(READ)
        if (incident.recovered_at or incident.resolved_at or request.viewer.now) > utc(float(minutes.start))
    ]
    head = html.Div(
        [
            html.Div([html.H1(slo.title), html.P(promise(slo), className="muted")]),
            html.Div([state_pill(slo, minutes, request.viewer), add_to_board()], className="line"),
        ],
        className="page-head",
    )
    return [
        head,
        html.Div(
            [
                html.Div(
                    [
                        _budget(slo, minutes, request),
                        attempt("What used it up", lambda: eaten_card(slo, minutes, incidents, request.viewer)),
                    ],
                    className="wide",
                ),
                html.Div([_facts(slo, minutes, request), burn_card(slo, minutes)], className="narrow"),
            ],
            className="columns",
        ),
    ]


def _budget(slo: Slo, minutes: Minutes, request: PageRequest) -> Part:
    viewer = request.viewer
    share = left(slo, minutes)
    if share is None:
        return card(
            "Budget over its window",
            empty(
                f"No request of {slo.service} was counted in {duration(slo.window_s)}",
                "Check that the service sends traces, and that the objective names it as its traces do.",
            ),
        )
    times, shares = course(slo, minutes)
    end = times[-1]
    marks = happenings(request.sources, Window(start=times[0], end=end), slo.service)
    coming = forecast(slo, minutes, viewer.now)
    if coming and coming.gone and coming.gone > viewer.now:
        ahead = min(coming.gone - end, timedelta(seconds=AHEAD * slo.window_s))
        if end + ahead >= coming.gone:
            marks.append(Moment(at=coming.gone, text="gone at this pace", kind="page"))
            end += ahead * 1.04
    pace = forecast_words(slo, minutes, viewer)
    words = f"Error budget of {slo.title}: {percent(max(share, 0.0))} is left. {pace}"
    return card(
        "Budget over its window",
        plot("budget", budget_figure(times, shares, end, viewer, marks), words, reads=("minutes",)),
        html.P(pace),
    )


def _facts(slo: Slo, minutes: Minutes, request: PageRequest) -> Part:
    since = counted_since(minutes)
    rows: list[tuple[str, Part]] = [("Left", left_words(slo, minutes))]
    most = allowance(slo, minutes)
    rows += [
        ("Failed", f"{minutes.bad.sum():,.0f} of {minutes.total.sum():,.0f} requests; {most:,.0f} may"),
        ("Service", dcc.Link(slo.service, href=request.view.link("/services", service=slo.service))),
        ("Failures", dcc.Link("Log lines of the last hour", href=_logs(slo))),
    ]
    if slo.operation:
        rows.insert(3, ("Operation", html.Span(slo.operation, className="mono")))
    if since is not None and _is_short(since, minutes):
        kept = request.sources.config.store.retention_days
        rows.append(("Counted since", html.Span([moment(since, request.viewer), f"; the store keeps {kept:g} days"])))
    rows.append(("Name", html.Span(slo.name, className="mono")))
    return card("Objective", facts(*rows))


def _is_short(since: datetime, minutes: Minutes) -> bool:
    """Whether a part of the window, an hour at least, has no event at its beginning."""
    return (since - utc(float(minutes.start))).total_seconds() > 60 * STEP_S


def _logs(slo: Slo) -> str:
    return View(range="1h", service=slo.service, choices={"least": "warn"}, path="/logs").address()


PAGE = Page(path="/slos/{argument}", title="SLO {argument}", render=render, under="/slos")
