"""The map of who calls whom: a cytoscape graph with its style and legend."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import dash_cytoscape as cyto
from dash import html

from dashboard.components.elements import Part, card, pill
from dashboard.components.wording import count
from dashboard.figures.neighbourhood import Shown
from dashboard.figures.topology import Call, topology
from dashboard.palette import Palette
from dashboard.reads.fleet import Member
from dashboard.reads.health import MARKS, MEANINGS, WORST_FIRST
from dashboard.reads.sources import Sources
from dashboard.urls import View, lately
from dashboard.viewer import Viewer


def calls_shown(sources: Sources, view: View, viewer: Viewer) -> Sequence[Call]:
    """The calls that a map shows: those of now; of the whole time range where nothing flows now."""
    window = view.window(viewer.now)
    return sources.traffic.calls(lately(window)) or sources.traffic.calls(window)


def service_map(members: Mapping[str, Member], calls: Sequence[Call], shown: Shown, view: View, viewer: Viewer) -> Part:
    """The services that are shown and their calls; the color of an edge shows what flows now."""
    near = lately(view.window(viewer.now))
    health = {name: member.health for name, member in members.items() if name in shown.names}
    within = [call for call in calls if {call.caller, call.callee} <= shown.names]
    elements = topology(within, health, viewer.palette, view.service, downward=viewer.narrow)
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
                autoRefreshLayout=False,  # else a call that comes or goes takes the reader's zoom away
                style={"width": "100%", "height": "440px"},
                stylesheet=_style(viewer.palette),
                minZoom=0.3,
                maxZoom=1.5,
                autoungrabify=True,
                responsive=True,
                userPanningEnabled=True,
            ),
            role="img",
            className="map",
            **{"aria-label": f"{count(len(health), 'service')} and their calls. The table beside it shows the same."},
        ),
        legend,
        html.P(_hidden(shown), className="muted") if shown.words else None,
        aside=f"calls of the last {int(near.seconds)} s" if view.is_live else None,
    )


def _hidden(shown: Shown) -> str:
    """What is shown, and how much is not."""
    others = f" {count(shown.hidden, 'other service is', 'other services are')} not shown." if shown.hidden else ""
    return f"{shown.words[:1].upper()}{shown.words[1:]}.{others}"


def _style(p: Palette) -> list[dict[str, Any]]:
    chosen = {"color": p.accent, "opacity": 0.25, "padding": 9, "shape": "ellipse"}
    failed = {"label": "data(short)", "line-opacity": 0.95, "color": p.failing, "font-size": 12, "font-weight": "bold"}
    fill = {"background-color": "data(colour)"}
    styles: dict[str, dict[str, Any]] = {
        "node": _node_style(p),
        "node.failing": fill | {"background-opacity": 0.35, "width": 38, "height": 38},
        "node.degraded": fill | {"background-opacity": 0.25},
        "node.silent": {"border-style": "dashed"},
        "node.foreign": {"border-style": "dashed", "border-width": 2, "color": p.muted},
        "node.suspected": {"border-width": 5, "font-weight": "bold"},
        "node.chosen": {f"underlay-{name}": value for name, value in chosen.items()},
        "edge": _edge_style(p),
        "edge.failed": failed,
        "edge.attribute": {"line-style": "dashed"},
        "edge:selected": {"label": "data(label)", "line-opacity": 1},
    }
    return [{"selector": selector, "style": style} for selector, style in styles.items()]


def _node_style(p: Palette) -> dict[str, Any]:
    return {
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


def _edge_style(p: Palette) -> dict[str, Any]:
    return {
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
