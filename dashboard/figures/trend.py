"""Recall and the time to the page over time, each with its interval."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from chaos.scorecard import Scorecard
from dashboard.figures.frame import MENU_PX, Figure, layout, time_axis, value_axis
from dashboard.viewer import Viewer
from watchkeeper.intervals import Median, Share


def trend_figure(steps: Mapping[datetime, Scorecard], viewer: Viewer) -> Figure:
    """Two plots with a shared x axis: recall, and the median seconds to the page."""
    p = viewer.palette
    figure: Figure = {"data": [], "layout": layout(viewer, height=250)}
    for name, axis, colour, hover in (("recall", "y", p.ok, "%{y:.0%}"), ("page_s", "y2", p.latency, "%{y:.0f} s")):
        known = [(at, getattr(card, name)) for at, card in steps.items() if getattr(card, name).value is not None]
        figure["data"].append(
            {
                "type": "scatter", "mode": "lines+markers", "xaxis": "x", "yaxis": axis, "name": name,
                "x": [viewer.local(at) for at, _ in known],
                "y": [measured.value for _, measured in known],
                "line": {"color": colour, "width": 1.4},
                "marker": {"color": colour, "size": 7},
                "error_y": _errors([measured for _, measured in known], colour),
                "hovertemplate": f"{hover}<extra></extra>",
            }
        )  # fmt: skip
    room = (max(steps) - min(steps)) / 50 if len(steps) > 1 else timedelta(hours=1)
    dates = time_axis(viewer, min(steps) - room, max(steps) + room) | {"anchor": "y2"}
    figure["layout"] |= {
        "margin": {"l": 48, "r": MENU_PX, "t": 10, "b": 40},
        "xaxis": dates,
        "yaxis": value_axis(p, title="recall", form=".0%")
        | {"domain": [0.58, 1.0], "range": [0, 1.05], "rangemode": "normal"},
        "yaxis2": value_axis(p, title="s to page") | {"domain": [0.0, 0.44]},
    }
    return figure


def _errors(measured: list[Share | Median], colour: str) -> dict[str, object]:
    """Bars up and down to the bounds; none where there is no bound."""

    def gap(one: Share | Median, bound: float | None) -> float:
        return abs(bound - (one.value or 0.0)) if bound is not None else 0.0

    return {
        "type": "data", "symmetric": False, "color": colour, "thickness": 1, "width": 3,
        "array": [gap(one, one.high) for one in measured],
        "arrayminus": [gap(one, one.low) for one in measured],
    }  # fmt: skip
