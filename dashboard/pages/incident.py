"""One incident: on the first screen what is wrong and what can be done, below it everything else in tabs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from dash import dcc, html

from alerting.incidents.machine import Incident
from dashboard.components.attempts import attempt
from dashboard.components.choices import tabs
from dashboard.components.diagnosis import diagnosis_card
from dashboard.components.elements import Part, empty
from dashboard.components.incident_actions import actions
from dashboard.components.incident_changes import changes_card, changes_near
from dashboard.components.incident_findings import findings_card
from dashboard.components.incident_plots import evidence_plots, requests_plot
from dashboard.components.incident_summary import incident_summary
from dashboard.components.incident_timeline import timeline_card
from dashboard.components.incident_words import state_pills
from dashboard.components.judgements import labels_card, postmortem_card
from dashboard.components.notable_requests import notable_requests
from dashboard.components.similar_incidents import similar_card
from dashboard.components.status_updates import updates_card
from dashboard.page import Page, PageRequest
from dashboard.reads.signals import accused, since
from watchkeeper.errors import NotFound
from watchkeeper.vocabulary import ChangeEvent

FIRST_TAB: Final = "timeline"
Tab = Callable[[PageRequest, Incident, Sequence[ChangeEvent]], list[Part]]


def render(request: PageRequest) -> Part:
    """One incident: on the first screen what is wrong and what can be done, below it everything else in tabs."""
    try:
        incident = request.sources.records.incident(request.argument)
    except NotFound:
        other = html.Span(
            ["It may belong to another installation. See ", dcc.Link("all incidents", href="/incidents"), "."]
        )
        return [html.H1("No such incident"), empty(f"There is no incident {request.argument}", other)]
    changes = changes_near(request, incident)
    chosen = request.view.choice("tab", FIRST_TAB)
    name = chosen if chosen in TABS else FIRST_TAB
    return [
        _head(request, incident),
        incident_summary(request, incident, changes),
        _tabs(request, incident, changes, name),
        html.Div(
            attempt(f"The tab {TABS[name][0]}", lambda: TABS[name][1](request, incident, changes)),
            className="stack",
            id="incident-tab",
        ),
    ]


def _head(request: PageRequest, incident: Incident) -> Part:
    tested = request.sources.records.tested(incident, request.viewer.now)
    return html.Div(
        [
            html.Div(
                [
                    html.H1(incident.title),
                    html.Div(
                        [*state_pills(incident), html.Span(incident.id, className="muted mono")], className="line"
                    ),
                    html.Div(tested, className="reason") if tested else None,
                ]
            ),
            actions(incident),
        ],
        className="page-head incident-head",
    )


def _tabs(request: PageRequest, incident: Incident, changes: Sequence[ChangeEvent], name: str) -> Part:
    numbers = {"findings": len(incident.findings), "changes": len(changes)}
    links = [
        (
            [words, html.Span(f" {numbers[tab]}", className="muted") if numbers.get(tab) else None],
            request.view.link(tab="" if tab == FIRST_TAB else tab, kind=None),
            tab == name,
        )
        for tab, (words, _) in TABS.items()
    ]
    return tabs(links, "Everything about this incident")


def _timeline(request: PageRequest, incident: Incident, _: Sequence[ChangeEvent]) -> list[Part]:
    return [timeline_card(incident, request.view, request.viewer)]


def _evidence(request: PageRequest, incident: Incident, changes: Sequence[ChangeEvent]) -> list[Part]:
    plots = attempt("The evidence’s plots", lambda: evidence_plots(request.sources, incident, changes, request.viewer))
    return [diagnosis_card(incident, request.view, request.viewer), plots]


def _findings(request: PageRequest, incident: Incident, _: Sequence[ChangeEvent]) -> list[Part]:
    return [findings_card(request.sources, incident, request.viewer)]


def _requests(request: PageRequest, incident: Incident, changes: Sequence[ChangeEvent]) -> list[Part]:
    sources, viewer = request.sources, request.viewer
    return [
        attempt("The requests around the onset", lambda: requests_plot(sources, incident, changes, viewer)),
        attempt(
            "The notable requests",
            lambda: notable_requests(sources, accused(incident), since(incident, viewer), viewer, is_open=True),
        ),
    ]


def _changes(request: PageRequest, incident: Incident, changes: Sequence[ChangeEvent]) -> list[Part]:
    return [changes_card(incident, changes, request.viewer)]


def _similar(request: PageRequest, incident: Incident, _: Sequence[ChangeEvent]) -> list[Part]:
    return [similar_card(request.sources, incident, request.viewer)]


def _updates(request: PageRequest, incident: Incident, _: Sequence[ChangeEvent]) -> list[Part]:
    updates = request.sources.status.list(incident.id)
    return [updates_card(incident, updates, request.sources.config.status_page, request.viewer)]


def _postmortem(request: PageRequest, incident: Incident, _: Sequence[ChangeEvent]) -> list[Part]:
    return [postmortem_card(incident, request.sources), labels_card(incident)]


# The word in the address (`tab=findings`), the words of the link, and what stands below it.
TABS: Final[Mapping[str, tuple[str, Tab]]] = {
    FIRST_TAB: ("Timeline", _timeline),
    "evidence": ("Evidence", _evidence),
    "findings": ("Findings", _findings),
    "requests": ("Requests", _requests),
    "changes": ("Changes", _changes),
    "similar": ("Similar", _similar),
    "updates": ("Status updates", _updates),
    "postmortem": ("Postmortem", _postmortem),
}

PAGE = Page(path="/incidents/{argument}", title="{argument}", render=render, under="/incidents")
