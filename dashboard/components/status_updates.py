"""Status updates of an incident, with who may read each."""

from __future__ import annotations

from collections.abc import Sequence

import dash_mantine_components as dmc
from dash import html

from alerting.incidents.machine import Incident
from alerting.status_page.updates import StatusUpdate
from dashboard.components.elements import Part, card, moment, pill
from dashboard.viewer import Viewer
from watchkeeper.config import StatusPageConfig


def updates_card(incident: Incident, updates: Sequence[StatusUpdate], page: StatusPageConfig, viewer: Viewer) -> Part:
    """The updates, newest first; a draft can be approved, and what is public withdrawn."""
    names = {component.id: component.name for component in page.components}
    items = [html.Li(_update(one, names, viewer)) for one in updates]
    write = dmc.Button(
        "Write an update", id={"status": incident.id, "to": "write"}, n_clicks=0, size="compact-sm", variant="default"
    )
    body = html.Ul(items, className="events stacked") if items else html.P("None yet.", className="muted")
    shown = [one for one in updates if one.is_public]
    stale = bool(shown) and shown[0].state != "resolved" and not incident.is_open
    note = (
        html.P("The incident is resolved, and the public page still shows it.", className="reason") if stale else None
    )
    return card("Status updates", note, body, aside=write)


def _update(update: StatusUpdate, names: dict[str, str], viewer: Viewer) -> list[Part]:
    readers = pill("public", "ok", "✓") if update.is_public else pill("draft", "degraded", "✎")
    button = None
    if update.audience == "internal":
        readers = pill("colleagues", "unknown")
    else:
        to = "withdraw" if update.is_public else "approve"
        button = dmc.Button(
            to.capitalize(), id={"status": update.id, "to": to}, n_clicks=0, size="compact-sm", variant="default"
        )
    about = ", ".join([update.state, update.impact, *(names.get(one, one) for one in update.components)])
    return [
        html.Div([moment(update.at, viewer), readers, html.Span(about, className="muted"), button], className="line"),
        html.Span(update.text, className="typed"),
    ]
