"""Every incident, newest first, with a filter by state."""

from __future__ import annotations

from collections.abc import Mapping

from dash import dcc, html

from alerting.incidents.machine import Incident
from dashboard.components.elements import Part, card, empty, moment, table
from dashboard.components.incident_words import cause, is_open, lasted, link, owner, state_pills
from dashboard.components.wording import count
from dashboard.reads.sources import Sources
from dashboard.urls import View
from dashboard.viewer import Viewer

FILTERS = (("", "All"), ("open", "Open"), ("resolved", "Resolved"))


def render(sources: Sources, view: View, viewer: Viewer) -> Part:
    """A filter and a table; the filter stands in the address."""
    newest = sources.listed()
    shown = [i for i in newest if not view.state or (view.state == "open") == is_open(i)]
    choices = html.Div(
        [
            dcc.Link(words, href=view.link(state=value), className="choice on" if view.state == value else "choice")
            for value, words in FILTERS
        ],
        className="choices",
    )
    if not newest:
        body: Part = empty(
            "No incident so far",
            "When a detector reports harm to users, an incident opens here with its likely cause.",
        )
    elif not shown:
        body = empty(f"No {view.state} incident", "Choose another filter above.")
    else:
        body = table(
            ["Incident", "State", "Likely cause", "Who", "Onset", "Lasted"],
            [_row(i, viewer, sources.people) for i in shown],
            caption="Incidents, newest first",
        )
    return [
        html.Div([html.H1("Incidents"), choices], className="page-head"),
        card("Newest first", body, aside=count(len(shown), "incident")),
    ]


def _row(incident: Incident, viewer: Viewer, people: Mapping[str, str]) -> Part:
    return html.Tr(
        [
            html.Th([link(incident), html.Div(incident.id, className="muted mono")], scope="row"),
            html.Td(html.Div(state_pills(incident), className="line")),
            html.Td(cause(incident)),
            html.Td(owner(incident, viewer, people)),
            html.Td(moment(incident.onset, viewer)),
            html.Td(lasted(incident, viewer)),
        ],
        tabIndex=0,
        **{"data-row": incident.id},
    )
