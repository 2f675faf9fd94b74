"""What a service logs: its most frequent lines, and the newest warnings and errors."""

from __future__ import annotations

from datetime import timedelta

from dash import dcc, html

from dashboard.components.elements import Part, card, moment, pill, table
from dashboard.reads.sources import Sources
from dashboard.urls import lately, trace_path
from dashboard.viewer import Viewer
from watchkeeper.vocabulary import Window

LONGEST = timedelta(hours=1)
TONES = {"FATAL": "failing", "ERROR": "failing", "WARN": "degraded"}


def log_patterns_card(sources: Sources, name: str, window: Window, viewer: Viewer) -> Part:
    """Lines that differ in numbers only, the most frequent first."""
    patterns = sources.traffic.log_patterns(lately(window, LONGEST.total_seconds()), name)
    if not patterns:
        return card("Log patterns", html.P("It logged nothing in the last hour of the time range.", className="muted"))
    rows = [
        html.Tr(
            [
                html.Th(html.Span(one.body[:300], className="mono"), scope="row"),
                html.Td(pill(one.severity, TONES.get(one.severity, "unknown"))),
                html.Td(f"{one.lines:,}", className="number"),
                html.Td(moment(one.newest, viewer)),
            ]
        )
        for one in patterns
    ]
    caption = f"What {name} logs, the most frequent first"
    shown = table(["One of them", "Severity", "Lines", "Newest"], rows, caption=caption, numbers=["Lines"])
    return card("Log patterns", shown, aside="lines that differ in numbers only")


def log_lines_card(sources: Sources, name: str, window: Window, viewer: Viewer) -> Part:
    """The newest lines at WARN or above, each with its trace."""
    lines = sources.traffic.log_lines(lately(window, LONGEST.total_seconds()), name)
    if not lines:
        return card("Warnings and errors", html.P("No log line at WARN or above.", className="muted"), level=3)
    items = [
        html.Li(
            [
                moment(line["timestamp"], viewer),
                html.Span(
                    [
                        pill(line["severity"], "failing" if line["severity"] in ("ERROR", "FATAL") else "degraded"),
                        " ",
                        html.Span(str(line["body"])[:300], className="mono"),
                        dcc.Link(" trace", href=trace_path(line["trace_id"]), title=line["trace_id"])
                        if line["trace_id"]
                        else None,
                    ]
                ),
            ]
        )
        for line in lines
    ]
    return card("Warnings and errors", html.Ul(items, className="events"), aside="newest first", level=3)
