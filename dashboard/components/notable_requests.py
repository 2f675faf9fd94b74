"""Requests of a service worth opening: failed ones first, then the slowest."""

from __future__ import annotations

from dash import dcc, html

from dashboard.components.elements import Part, card, folded, moment, pill, table
from dashboard.components.wording import count, milliseconds
from dashboard.reads.sources import Sources
from dashboard.urls import trace_path
from dashboard.viewer import Viewer
from watchkeeper.vocabulary import Window


def notable_requests(sources: Sources, name: str, window: Window, viewer: Viewer, *, is_open: bool = False) -> Part:
    """Failed requests, then the slowest; each links to its trace. `is_open` shows them at once."""
    requests = sources.traffic.examples(window, name)
    if not requests:
        return card(
            "Notable requests", html.P("No request was recorded in this time range.", className="muted"), level=3
        )
    rows = [
        html.Tr(
            [
                html.Th(moment(e.at, viewer), scope="row"),
                html.Td(dcc.Link(e.operation, href=trace_path(e.trace_id), title=e.trace_id), className="mono"),
                html.Td(pill("failed", "failing", "✕") if e.failed else pill("slow", "unknown")),
                html.Td(milliseconds(e.duration_ms), className="number"),
            ]
        )
        for e in requests
    ]
    heads = ["When", "Trace", "Why", "Took"]
    caption = f"Requests to {name} that failed, then the slowest"
    shown = table(heads, rows, caption=caption, numbers=["Took"])
    return card(
        "Notable requests",
        shown if is_open else folded(f"{count(len(rows), 'request')} with traces", shown),
        aside="failed, then slowest",
        level=3,
    )
