"""The map of who calls whom, every service beside it, and below it the chosen one."""

from __future__ import annotations

from collections.abc import Mapping

from dash import html

from dashboard.components.attempts import attempt
from dashboard.components.elements import Part, card, empty, note
from dashboard.components.map_choices import choice_of, map_choices
from dashboard.components.service_map import calls_shown, service_map
from dashboard.components.service_panel import service_panel
from dashboard.components.services_grid import services_grid
from dashboard.figures.neighbourhood import choose
from dashboard.page import Page, PageRequest
from dashboard.reads.fleet import Member, fleet


def render(request: PageRequest) -> Part:
    """The map of who calls whom, every service beside it, and below it the chosen one."""
    return [
        html.H1("Services", className="unseen"),
        note(request.view.problem),
        attempt("The services", lambda: _services(request)),
    ]


def _services(request: PageRequest) -> Part:
    sources, view, viewer = request.sources, request.view, request.viewer
    members = fleet(sources, view)
    if not members:
        return card(
            "Services",
            empty(
                "No service has reported in this time range",
                "Choose a longer time range above, or send telemetry to the ingest role.",
            ),
        )
    chosen = view.service if view.service in members else None
    missing = f"No service named {view.service} reported in this time range." if view.service and not chosen else ""
    unjudged = _unjudged(members)
    choice = choice_of(view)
    calls = calls_shown(sources, view, viewer)
    shown = choose({name: member.health for name, member in members.items()}, calls, choice)
    listed = {name: member for name, member in members.items() if name in shown.names}
    return [
        note(missing),
        note(f"No service is judged: {unjudged}.") if unjudged else None,
        map_choices(view, choice),
        html.Div(
            [
                html.Div(service_map(members, calls, shown, view, viewer), className="half"),
                html.Div(services_grid(listed, view, viewer, of=len(members)), className="half"),
            ],
            className="columns even",
        )
        if listed
        else card(
            "Services", empty(f"Nothing to show: {shown.words}", "Choose All above, or search for another name.")
        ),
        attempt(f"The service {chosen}", lambda: service_panel(sources, chosen, members[chosen], view, viewer))
        if chosen
        else html.P(
            "Choose a service on the map or in the table to see its requests, operations, changes and incidents.",
            className="hint",
        ),
    ]


def _unjudged(members: Mapping[str, Member]) -> str:
    """Why no service at all is judged; empty if one is."""
    reasons = {member.health.reason for member in members.values()}
    return reasons.pop() if len(reasons) == 1 and all(m.health.state == "unknown" for m in members.values()) else ""


PAGE = Page(path="/services", title="Services", render=render, order=30, section="Now", key="s")
