"""Earlier incidents that resemble one, with why and how they ended."""

from __future__ import annotations

from dash import dcc, html

from alerting.incidents.machine import Incident
from alerting.incidents.similarity import Similar, ending, similar
from dashboard.components.elements import Part, card, empty, moment
from dashboard.components.incident_words import link
from dashboard.components.wording import count
from dashboard.reads.sources import Sources
from dashboard.urls import postmortem_path
from dashboard.viewer import Viewer

COMPARED = 200  # of the newest incidents


def similar_card(sources: Sources, incident: Incident, viewer: Viewer) -> Part:
    """The most alike first."""
    found = similar(incident, sources.records.newest(COMPARED))
    if not found:
        body: Part = empty(
            "No earlier incident resembles this one",
            f"It was compared with the {COMPARED} newest by cause, services and kinds of findings.",
        )
        return card("Similar incidents", body)
    written = {stored.incident_id for stored in sources.postmortems.search(limit=COMPARED)}
    items = [_similar(one, viewer, has_postmortem=one.incident.id in written) for one in found]
    body = html.Ul(items, className="events stacked")
    return card("Similar incidents", body, aside=f"{count(len(found), 'incident')}, the most alike first")


def _similar(one: Similar, viewer: Viewer, *, has_postmortem: bool) -> Part:
    incident = one.incident
    document = dcc.Link("Postmortem", href=postmortem_path(incident.id)) if has_postmortem else None
    return html.Li(
        [
            html.Div(
                [link(incident), html.Span(incident.id, className="muted mono"), moment(incident.onset, viewer)],
                className="line",
            ),
            html.Strong(ending(incident)),
            html.Span(["Why: ", "; ".join(one.reasons), ".", " ", document], className="muted"),
        ]
    )
