"""There is no page at this address."""

from __future__ import annotations

from dash import dcc, html

from dashboard.components.elements import Part, empty
from dashboard.reads.sources import Sources
from dashboard.urls import View
from dashboard.viewer import Viewer


def render(_sources: Sources, view: View, _viewer: Viewer) -> Part:
    return [
        html.H1("No such page"),
        empty(
            f"There is no page at {view.path}",
            html.Span(["Try the ", dcc.Link("overview", href="/"), ", or press / to search."]),
        ),
    ]
