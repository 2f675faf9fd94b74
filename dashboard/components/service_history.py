"""What happened to a service: its incidents and its changes."""

from __future__ import annotations

from collections.abc import Sequence

from dash import html

from alerting.incidents.machine import Incident
from dashboard.components.elements import Part, card, moment
from dashboard.components.incident_words import cause_text, link, state_pills
from dashboard.reads.sources import Sources
from dashboard.viewer import Viewer
from watchkeeper.vocabulary import ChangeEvent, Window


def concerning(sources: Sources, name: str, window: Window) -> tuple[list[ChangeEvent], list[Incident]]:
    """The changes of a service within a window, and the newest incidents that it takes part in."""
    changes = [change for change in sources.records.changes(window) if change.service == name]
    incidents = [i for i in sources.records.newest() if name in i.services]
    return changes, incidents


def incidents_card(incidents: Sequence[Incident]) -> Part:
    """The newest of its incidents."""
    if not incidents:
        return card("Incidents", html.P("None among the newest incidents.", className="muted"), level=3)
    items = [
        html.Li([link(i), html.Span([*state_pills(i), f" {cause_text(i)}"], className="line")]) for i in incidents[:5]
    ]
    opened = sum(incident.is_open for incident in incidents)
    return card("Incidents", html.Ul(items, className="events stacked"), aside=f"{opened} open", level=3)


def changes_card(changes: Sequence[ChangeEvent], viewer: Viewer) -> Part:
    """Deploys, flags and configuration within the time range, newest first."""
    if not changes:
        return card("Changes", html.P("None in this time range.", className="muted"), level=3)
    items = [
        html.Li([moment(c.at, viewer), html.Span(f"{c.kind}: {c.title} {c.version}".rstrip())]) for c in changes[:8]
    ]
    return card("Changes", html.Ul(items, className="events"), level=3)
