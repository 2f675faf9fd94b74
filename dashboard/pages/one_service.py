"""One service: what it serves, its instances and versions, who depends on whom, its logs, metrics and detectors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from dash import dcc, html

from dashboard.components.attempts import attempt
from dashboard.components.burning_budgets import burning_budgets
from dashboard.components.choices import tabs
from dashboard.components.elements import Part, empty, health_pill, note
from dashboard.components.notable_requests import notable_requests
from dashboard.components.service_detectors import detectors_card
from dashboard.components.service_history import changes_card, concerning, incidents_card
from dashboard.components.service_instances import instances_cards
from dashboard.components.service_logs import log_lines_card, log_patterns_card
from dashboard.components.service_metrics import metrics_card
from dashboard.components.service_neighbours import dependencies
from dashboard.components.service_requests import marks_of, operations_card, requests_card
from dashboard.components.wording import milliseconds, per_second, percent
from dashboard.page import Page, PageRequest
from dashboard.reads.fleet import Member, fleet

FIRST_TAB: Final = "operations"
Tab = Callable[[PageRequest], list[Part]]


def render(request: PageRequest) -> Part:
    """One service: what it serves, its instances and versions, who depends on whom, its logs, metrics and detectors."""
    name, view = request.argument, request.view
    member = fleet(request.sources, view).get(name)
    if member is None:
        elsewhere = html.Span(
            ["Choose a longer time range above, or see ", dcc.Link("all services", href=view.link("/services")), "."]
        )
        return [html.H1("No such service"), empty(f"No service named {name} reported in this time range", elsewhere)]
    chosen = view.choice("tab", FIRST_TAB)
    tab = chosen if chosen in TABS else FIRST_TAB
    return [
        note(view.problem),
        _head(request, member),
        html.H2("Summary", className="unseen"),
        attempt("The summary", lambda: _summary(request, member)),
        _tabs(request, tab),
        html.H2(TABS[tab][0], className="unseen"),
        html.Div(
            attempt(f"The tab {TABS[tab][0]}", lambda: TABS[tab][1](request)), className="stack", id="service-tab"
        ),
    ]


def _head(request: PageRequest, member: Member) -> Part:
    recent, name = member.recent, request.argument
    numbers = (
        f"{per_second(recent.per_second)}, {percent(recent.error_ratio)} failed, p95 {milliseconds(recent.p95_ms)}"
    )
    return html.Div(
        [
            html.Div(
                [
                    html.Div([html.H1(name), health_pill(member.health), html.Span(numbers)], className="line"),
                    html.Div(member.health.reason, className="reason"),
                ]
            ),
            dcc.Link("On the map", href=request.view.link("/services", service=name)),
        ],
        className="page-head",
    )


def _summary(request: PageRequest, member: Member) -> Part:
    sources, viewer, name = request.sources, request.viewer, request.argument
    window = request.view.window(viewer.now)
    changes, incidents = concerning(sources, name, window)
    reported = sources.records.reported(name, window)
    series = sources.traffic.red_of(window, request.view.step_s(viewer.now), name)
    marks = [*marks_of(changes, incidents)]
    return html.Div(
        [
            html.Div(requests_card(series, member.recent, viewer, marks, reported), className="wide"),
            html.Div(
                [incidents_card(incidents), changes_card(changes, viewer), burning_budgets(sources, viewer, name)],
                className="narrow",
            ),
        ],
        className="columns",
    )


def _tabs(request: PageRequest, chosen: str) -> Part:
    links = [
        (words, request.view.link(tab="" if tab == FIRST_TAB else tab), tab == chosen)
        for tab, (words, _) in TABS.items()
    ]
    return tabs(links, "Everything about this service")


def _operations(request: PageRequest) -> list[Part]:
    sources, name, viewer = request.sources, request.argument, request.viewer
    window = request.view.window(viewer.now)
    return [
        operations_card(sources, name, window),
        attempt("The notable requests", lambda: notable_requests(sources, name, window, viewer, is_open=True)),
    ]


def _instances(request: PageRequest) -> list[Part]:
    viewer = request.viewer
    return instances_cards(request.sources, request.argument, request.view.window(viewer.now), viewer)


def _dependencies(request: PageRequest) -> list[Part]:
    return dependencies(request.sources, request.argument, request.view.window(request.viewer.now), request.view)


def _logs(request: PageRequest) -> list[Part]:
    sources, name, viewer = request.sources, request.argument, request.viewer
    window = request.view.window(viewer.now)
    return [
        log_patterns_card(sources, name, window, viewer),
        attempt("The log lines", lambda: log_lines_card(sources, name, window, viewer)),
    ]


def _metrics(request: PageRequest) -> list[Part]:
    viewer = request.viewer
    return [metrics_card(request.sources, request.argument, request.view.window(viewer.now), viewer)]


def _detectors(request: PageRequest) -> list[Part]:
    return [detectors_card(request.sources, request.argument)]


# The word in the address (`tab=logs`), the words of the link, and what stands below it.
TABS: Final[Mapping[str, tuple[str, Tab]]] = {
    FIRST_TAB: ("Operations", _operations),
    "instances": ("Instances and versions", _instances),
    "calls": ("Dependencies", _dependencies),
    "logs": ("Logs", _logs),
    "metrics": ("Metrics", _metrics),
    "detectors": ("Detectors", _detectors),
}

PAGE = Page(path="/services/{argument}", title="{argument}", render=render, under="/services")
