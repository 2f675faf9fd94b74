"""Rows a second of each signal over time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from dashboard.figures.frame import MENU_PX, Figure, layout, time_axis, value_axis
from dashboard.figures.marks import Moment, mark
from dashboard.figures.metrics import DASHES
from dashboard.reads.arrivals import SIGNALS, Arrived
from dashboard.viewer import Viewer
from watchkeeper.vocabulary import Window


def arrivals_figure(
    arrived: Sequence[Arrived], viewer: Viewer, window: Window, step_s: int, moments: Sequence[Moment] = ()
) -> Figure:
    """A line for each signal; steps in which nothing came are zero, the newest step is left out while it grows."""
    p = viewer.palette
    colours = {"traces": p.rate, "logs": p.latency, "metrics": p.ok}
    figure: Figure = {"data": [], "layout": layout(viewer, height=220) | {"showlegend": True}}
    first, last = int(window.start.timestamp()) // step_s, int(window.end.timestamp()) // step_s
    steps = [number * step_s for number in range(first, last)]
    x = [viewer.local(datetime.fromtimestamp(at, UTC)) for at in steps]
    for signal in SIGNALS:
        rows = {one.step: one.rows for one in arrived if one.signal == signal}
        figure["data"].append(
            {
                "type": "scatter",
                "mode": "lines",
                "x": x,
                "y": [float(f"{rows.get(at, 0) / step_s:.4g}") for at in steps],
                "name": signal,
                "line": {"color": colours[signal], "width": 1.6, "dash": DASHES[SIGNALS.index(signal)]},
                "hovertemplate": f"%{{y:,.4g}}/s<extra>{signal}</extra>",
            }
        )
    figure["layout"] |= {
        "legend": {"orientation": "h", "x": 0, "y": 1.18, "font": {"size": 12, "color": p.text}},
        "margin": {"l": 48, "r": MENU_PX, "t": 30, "b": 24},
        "xaxis": time_axis(viewer, window.start, window.end),
        "yaxis": value_axis(p, title="rows/s"),
    }
    mark(figure, viewer, moments)
    return figure
