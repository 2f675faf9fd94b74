"""Who is on call when: shifts as bars on a time axis, a row for each schedule, gaps in a warning pattern."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from dashboard.figures.frame import Figure, layout, time_axis
from dashboard.viewer import Viewer
from watchkeeper.text import plot_text

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
        if last <= first:
            continue
        words = plot_text(shift.person or "nobody", 60) + (
            "" if shift.source in ("rotation", "gap") else f" ({shift.source})"
        )
        span = f"{viewer.local(shift.start)[:16]} to {viewer.local(shift.end)[:16]}"
        figure["data"].append(
            {
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
                "textfont": {"color": p.surface, "size": 12},
                "marker": {
                    "color": colours.get(shift.person or "", p.failing),
                    "line": {"color": p.surface, "width": 2},
                    "pattern": {
                        "shape": PATTERNS.get(shift.source, ""),
                        "fillmode": "overlay",
                        "fgcolor": p.surface,
                        "fgopacity": 0.35,
                        "solidity": 0.25,
                    },
                },
                "hovertemplate": f"{words}<br>{span}<extra></extra>",
            }
        )
    now = viewer.local(viewer.now)
    figure["layout"] |= {
        "barmode": "overlay",
        "hovermode": "closest",
        "margin": {"l": 90, "r": 12, "t": 22, "b": 40},
        "xaxis": time_axis(viewer, start, end) | {"showgrid": True},
        "yaxis": {
            "type": "category",
            "autorange": "reversed",
            "automargin": True,
            "tickfont": {"size": 12, "color": p.text},
        },
    }
    figure["layout"]["shapes"].append(
        {
            "type": "line",
            "xref": "x",
            "yref": "paper",
            "x0": now,
            "x1": now,
            "y0": 0,
            "y1": 1,
            "line": {"color": p.text, "width": 1.5},
        }
    )
    figure["layout"]["annotations"].append(
        {
            "x": now,
            "y": 1,
            "xref": "x",
            "yref": "paper",
            "text": "now",
            "showarrow": False,
            "yanchor": "bottom",
            "font": {"size": 10, "color": p.text},
        }
    )
    return figure
