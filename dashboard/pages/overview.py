"""What is wrong now: open incidents first, then what users feel, the services, and Watchkeeper itself."""

from __future__ import annotations

from functools import cache

from dash import dcc, html

from dashboard.components.attempts import attempt
from dashboard.components.burning_budgets import burning_budgets
from dashboard.components.elements import Part, card, facts, moment, note
from dashboard.components.entry_cards import entry_cards
from dashboard.components.glance_strips import glance_card
from dashboard.components.incident_words import lasted, link
from dashboard.components.open_incidents import open_incidents
from dashboard.components.own_state_cards import own_state, set_aside
from dashboard.components.services_table import services_table
from dashboard.components.wording import ago
from dashboard.page import Page, PageRequest
from dashboard.reads.fleet import fleet
from dashboard.reads.oncall import Duty, on_duty
from dashboard.urls import View
from dashboard.viewer import Viewer

SHOWN = 5
SERVICES = 12  # the others are on the page of services


def render(request: PageRequest) -> Part:
    """What is wrong now: open incidents, what users feel, services, the last week, changes, Watchkeeper itself."""
    sources, view, viewer = request.sources, request.view, request.viewer
    beside = [
        attempt("Who is on call", lambda: _duty(request)),
        attempt("The error budgets", lambda: burning_budgets(sources, viewer)),
        attempt("The last week", lambda: glance_card(sources, viewer)),
        attempt("The changes", lambda: _changes(request)),
        attempt("The recent incidents", lambda: _recent(request)),
        attempt("Watchkeeper’s own state", lambda: own_state(sources, viewer)),
    ]
    members = cache(lambda: fleet(sources, view))
    services = [
        attempt("What users feel", lambda: entry_cards(request, members())),
        attempt("The services", lambda: services_table(request, members(), most=SERVICES)),
    ]
    return [
        html.H1("Overview", className="unseen"),
        note(view.problem),
        attempt("The incidents", lambda: open_incidents(sources, viewer)),
        attempt("The items that were set aside", lambda: set_aside(sources, viewer)),
        html.Div([html.Div(services, className="wide"), html.Div(beside, className="narrow")], className="columns"),
    ]


def _duty(request: PageRequest) -> Part:
    duties = on_duty(request.sources, request.viewer.now)
    rows = [(duty.schedule, _person(duty, request.viewer)) for duty in duties]
    return card("On call now", facts(*rows), aside=dcc.Link("Schedule", href="/oncall"))


def _person(duty: Duty, viewer: Viewer) -> Part:
    if duty.until is None:
        return html.Strong(duty.name)
    return html.Span([html.Strong(duty.name), " until ", moment(duty.until, viewer, seconds=False)])


def _changes(request: PageRequest) -> Part:
    view, viewer = request.view, request.viewer
    changes = request.sources.records.changes(view.window(viewer.now))
    if not changes:
        return card("Changes", html.P(f"No deploy, flag or configuration change in {_span(view)}.", className="muted"))
    items = [
        html.Li([moment(c.at, viewer), html.Span([html.Strong(c.service), f" {c.kind}: {c.title}"])])
        for c in changes[:SHOWN]
    ]
    return card("Changes", html.Ul(items, className="events"), aside=f"{len(changes)} in {_span(view)}")


def _recent(request: PageRequest) -> Part:
    viewer = request.viewer
    incidents = request.sources.records.newest()
    resolved = sorted(((i.resolved_at, i) for i in incidents if i.resolved_at), key=lambda pair: pair[0], reverse=True)
    if not resolved:
        return None
    items = [
        html.Li(
            [html.Span(ago(at, viewer.now), className="muted"), html.Span([link(i), f", lasted {lasted(i, viewer)}"])]
        )
        for at, i in resolved[:SHOWN]
    ]
    return card("Resolved recently", html.Ul(items, className="events"))


def _span(view: View) -> str:
    return f"the last {view.range}" if view.is_live else "this time range"


PAGE = Page(path="/", title="Overview", render=render, order=10, section="Now", key="o")
