"""What was left of an error budget over its window, with what happened meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from dashboard.figures.frame import Figure, layout, numbers, time_axis, value_axis
from dashboard.figures.marks import Moment, mark
from dashboard.reads.series import Floats
from dashboard.viewer import Viewer


def budget_figure(
    times: Sequence[datetime], shares: Floats, end: datetime, viewer: Viewer, moments: Sequence[Moment] = ()
) -> Figure:
    """The share that was left, from 1 at the window's start; with a forecast, `end` lies in the future."""
    p = viewer.palette
    colour = p.failing if shares[-1] <= 0 else p.accent
    figure: Figure = {"data": [], "layout": layout(viewer, height=260)}
    figure["data"].append(
        {
            "type": "scatter",
            "mode": "lines",
            "x": [viewer.local(at) for at in times],
            "y": numbers(shares, 5),
            "name": "budget left",
            "line": {"color": colour, "width": 1.8, "shape": "hv"},
            "hovertemplate": "%{y:.1%} left<extra></extra>",
        }
    )
    low = min(0.0, float(shares.min()))
    figure["layout"] |= {
        "xaxis": time_axis(viewer, times[0], end),
        "yaxis": value_axis(p, title="budget left", form=".0%")
        | {"range": [low * 1.05, 1.02], "rangemode": "normal", "zeroline": True, "zerolinecolor": p.failing},
    }
    mark(figure, viewer, [moment for moment in moments if times[0] <= moment.at <= end])
    return figure
