"""The map of who calls whom, every service beside it, and below it the one that was chosen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dash_ag_grid as dag
import dash_cytoscape as cyto
from dash import html

from dashboard.components.attempts import attempt
from dashboard.components.elements import Part, card, empty, pill
from dashboard.components.service_panel import service_panel
from dashboard.components.wording import count, milliseconds, per_second, percent
from dashboard.figures.sparkline import sparkline
from dashboard.figures.topology import topology
from dashboard.palette import Palette
from dashboard.reads.fleet import Member, fleet
from dashboard.reads.health import MARKS, MEANINGS, WORST_FIRST
from dashboard.reads.sources import Sources
from dashboard.urls import View
from dashboard.viewer import Viewer
from watchkeeper.vocabulary import Window

NOW_S = 120.0
FEW = 14


def render(sources: Sources, view: View, viewer: Viewer) -> Part:
    """Map and table side by side; the chosen service's panel below them."""
    return [
        html.H1("Services", className="unseen"),
        html.Div(view.problem, className="note", role="status") if view.problem else None,
        attempt("The services", lambda: _all(sources, view, viewer)),
    ]


def _all(sources: Sources, view: View, viewer: Viewer) -> Part:
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
    unknown = (
        html.Div(f"No service named {view.service} reported in this time range.", className="note", role="status")
        if view.service and not chosen
        else None
    )
    return [
        unknown,
        html.Div(
            [
                html.Div(_map(sources, members, view, viewer), className="half"),
                html.Div(_table(members, view, viewer), className="half"),
            ],
            className="columns even",
        ),
        attempt(f"The service {chosen}", lambda: service_panel(sources, chosen, members[chosen], view, viewer))
        if chosen
        else html.P(
            "Choose a service on the map or in the table to see its requests, operations, changes and incidents.",
            className="hint",
        ),
    ]


def _map(sources: Sources, members: Mapping[str, Member], view: View, viewer: Viewer) -> Part:
    window = view.window(viewer.now)
    # What flows now colours the map, not the mean over the whole range.
    near = Window.last(min(window.seconds, NOW_S), until=window.end)
    calls = sources.calls(near) or sources.calls(window)
    health = {name: member.health for name, member in members.items()}
    elements = topology(calls, health, viewer.palette, view.service, downward=viewer.narrow)
    states = [s for s in WORST_FIRST if any(h.state == s for h in health.values())]
    legend = html.Div(
        [pill(s, s, MARKS[s]) for s in states]
        + [html.Span("dashed: not instrumented, known from its callers", className="muted")],
        className="line legend",
        title="; ".join(f"{s}: {MEANINGS[s]}" for s in states),
    )
    return card(
        "Map",
        html.Div(
            cyto.Cytoscape(
                id="map",
                elements=elements,
                layout={"name": "preset", "fit": True, "padding": 28},
                style={"width": "100%", "height": "440px"},
                stylesheet=_style(viewer.palette),
                minZoom=0.3,
                maxZoom=2.0,
                autoungrabify=True,
                responsive=True,
                userPanningEnabled=True,
            ),
            role="img",
            className="map",
            **{"aria-label": f"{count(len(members), 'service')} and their calls. The table beside it shows the same."},
        ),
        legend,
        aside=f"calls of the last {int(near.seconds)} s" if view.is_live else None,
    )


def _style(p: Palette) -> list[dict[str, Any]]:
    node = {
        "shape": "data(shape)",
        "width": 30,
        "height": 30,
        "background-color": p.surface,
        "border-color": "data(colour)",
        "border-width": 3,
        "label": "data(label)",
        "text-wrap": "wrap",
        "text-valign": "bottom",
        "text-margin-y": 5,
        "font-size": 13,
        "line-height": 1.25,
        "color": p.text,
        "text-background-color": p.surface,
        "text-background-opacity": 0.85,
        "text-background-padding": 2,
    }
    edge = {
        "width": "data(width)",
        "line-color": "data(colour)",
        "target-arrow-color": "data(colour)",
        "target-arrow-shape": "triangle",
        "arrow-scale": 0.9,
        "curve-style": "bezier",
        "line-opacity": 0.65,
        "label": "",
        "font-size": 10,
        "color": p.muted,
        "text-background-color": p.surface,
        "text-background-opacity": 0.9,
        "text-background-padding": 2,
        "text-wrap": "wrap",
    }
    return [
        {"selector": "node", "style": node},
        {
            "selector": "node.failing",
            "style": {"background-color": "data(colour)", "background-opacity": 0.35, "width": 38, "height": 38},
        },
        {"selector": "node.degraded", "style": {"background-color": "data(colour)", "background-opacity": 0.25}},
        {"selector": "node.silent", "style": {"border-style": "dashed"}},
        {"selector": "node.foreign", "style": {"border-style": "dashed", "border-width": 2, "color": p.muted}},
        {"selector": "node.suspected", "style": {"border-width": 5, "font-weight": "bold"}},
        {
            "selector": "node.chosen",
            "style": {
                "underlay-color": p.accent,
                "underlay-opacity": 0.25,
                "underlay-padding": 9,
                "underlay-shape": "ellipse",
            },
        },
        {"selector": "edge", "style": edge},
        {
            "selector": "edge.failed",
            "style": {
                "label": "data(short)",
                "line-opacity": 0.95,
                "color": p.failing,
                "font-size": 12,
                "font-weight": "bold",
            },
        },
        {"selector": "edge.attribute", "style": {"line-style": "dashed"}},
        {"selector": "edge:selected", "style": {"label": "data(label)", "line-opacity": 1}},
    ]


def _table(members: Mapping[str, Member], view: View, viewer: Viewer) -> Part:
    p = viewer.palette
    rows = [
        {
            "id": name,
            "service": name,
            "href": view.link("/services", service=name),
            "state": m.health.state,
            "mark": MARKS[m.health.state],
            "rank": m.health.rank,
            "rate": round(m.recent.per_second, 3),
            "rateText": per_second(m.recent.per_second),
            "rateLine": sparkline(m.series.rate, p.rate),
            "failed": m.recent.error_ratio,
            "failedText": percent(m.recent.error_ratio),
            "failedLine": sparkline(m.series.error_ratio, p.errors, least_top=0.05),
            "p95": m.recent.p95_ms,
            "p95Text": milliseconds(m.recent.p95_ms),
            "p95Line": sparkline(m.series.p95_ms, p.latency),
        }
        for name, m in members.items()
    ]
    number = {"cellRenderer": "SparkCell", "type": "rightAligned", "flex": 3, "minWidth": 80}
    columns = [
        {"field": "service", "headerName": "Service", "cellRenderer": "ServiceCell", "flex": 3, "minWidth": 112},
        {
            "field": "rank",
            "headerName": "State",
            "cellRenderer": "StateCell",
            "flex": 2,
            "minWidth": 96,
            "sort": "asc",
        },
        {"field": "rate", "headerName": "Requests", **number},
        {"field": "failed", "headerName": "Failed", **number},
        {"field": "p95", "headerName": "p95", **number},
    ]
    return card(
        "All services",
        dag.AgGrid(
            id="services-grid",
            rowData=rows,
            columnDefs=columns,
            getRowId="params.data.id",
            defaultColDef={"sortable": True, "resizable": True, "suppressMovable": True},
            dashGridOptions={
                "theme": "themeQuartz",
                "rowHeight": 40,
                "headerHeight": 36,
                "animateRows": False,
                "suppressCellFocus": False,
                "domLayout": "autoHeight" if len(rows) <= FEW else "normal",
                "enableCellTextSelection": True,
                "suppressScrollOnNewData": True,
                "tooltipShowDelay": 300,
            },
            rowClassRules={"chosen-row": f"params.data.id === '{_quoted(view.service)}'"},
            style={"width": "100%"} | ({} if len(rows) <= FEW else {"height": "500px"}),
            className="grid",
        ),
        aside=count(len(members), "service"),
    )


def _quoted(name: str | None) -> str:
    """A name that is safe within the grid's expression."""
    return "".join(c for c in name or "" if c.isalnum() or c in "-_. ")
