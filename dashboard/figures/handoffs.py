"""Who is on call when: shifts as bars on a time axis, a row for each schedule, gaps in a warning pattern."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from dashboard.figures.frame import MENU_PX, Figure, layout, time_axis
from dashboard.figures.labels import plot_text
from dashboard.viewer import Viewer

PATTERNS = {"gap": "x", "fallback": "/", "override": "."}


@dataclass(frozen=True, slots=True, kw_only=True)
class Shift:
    """Somebody holds a schedule from `start` to `end`; `person` is None where nobody does."""

    schedule: str
    person: str | None
    start: datetime
    end: datetime
    source: str = "rotation"  # or override, fallback, gap


def handoff_figure(shifts: Sequence[Shift], viewer: Viewer, start: datetime, end: datetime) -> Figure:
    """Bars in order of `shifts`; the same person has the same colour in every row."""
    p = viewer.palette
    schedules = list(dict.fromkeys(s.schedule for s in shifts))
    people = sorted({s.person for s in shifts if s.person})
    colours = {person: p.people[i % len(p.people)] for i, person in enumerate(people)}
    figure: Figure = {"data": [], "layout": layout(viewer, height=74 + 46 * max(1, len(schedules)))}
    for shift in shifts:
        first, last = max(shift.start, start), min(shift.end, end)
        if last > first:
            colour = colours.get(shift.person or "", p.failing)
            figure["data"].append(_bar(shift, viewer, colour, first, last))
    figure["layout"] |= {
        "barmode": "overlay",
        "hovermode": "closest",
        # A drag over hours of a row overrides them (rota.js); it is drawn dotted, as on the map of durations.
        "dragmode": False if viewer.narrow else "select",
        "newselection": {"line": {"color": p.text, "width": 1, "dash": "dot"}},
        "margin": {"l": 90, "r": MENU_PX, "t": 22, "b": 40},
        "xaxis": time_axis(viewer, start, end) | {"showgrid": True},
        "yaxis": {
            "type": "category",
            "autorange": "reversed",
            "automargin": True,
            "tickfont": {"size": 12, "color": p.text},
        },
    }
    _mark_now(figure, viewer)
    return figure


def _bar(shift: Shift, viewer: Viewer, colour: str, first: datetime, last: datetime) -> dict[str, Any]:
    """The part of a shift from `first` to `last`, with its person and, unless a rotation decided, its source."""
    surface = viewer.palette.surface
    source = "" if shift.source in ("rotation", "gap") else f" ({shift.source})"
    words = plot_text(shift.person or "nobody", 60) + source
    span = f"{viewer.local(shift.start)[:16]} to {viewer.local(shift.end)[:16]}"
    pattern = {"fillmode": "overlay", "fgcolor": surface, "fgopacity": 0.35, "solidity": 0.25}
    return {
        "type": "bar",
        "orientation": "h",
        "base": [viewer.local(first)],
        "x": [(last - first).total_seconds() * 1000],
        "y": [plot_text(shift.schedule, 40)],
        "width": 0.62,
        "text": words,
        "textposition": "inside",
        "insidetextanchor": "start",
        "constraintext": "inside",
        "textangle": 0,
        "textfont": {"color": surface, "size": 12},
        "marker": {
            "color": colour,
            "line": {"color": surface, "width": 2},
            "pattern": {"shape": PATTERNS.get(shift.source, ""), **pattern},
        },
        "hovertemplate": f"{words}<br>{span}<extra></extra>",
        "unselected": {"marker": {"opacity": 1}},  # a drag means hours, not bars
    }


def _mark_now(figure: Figure, viewer: Viewer) -> None:
    now, colour = viewer.local(viewer.now), viewer.palette.text
    place = {"xref": "x", "yref": "paper"}
    line = {"color": colour, "width": 1.5}
    figure["layout"]["shapes"].append({"type": "line", **place, "x0": now, "x1": now, "y0": 0, "y1": 1, "line": line})
    font = {"size": 10, "color": colour}
    words = {"x": now, "y": 1, "text": "now", "showarrow": False, "yanchor": "bottom", "font": font}
    figure["layout"]["annotations"].append(place | words)
