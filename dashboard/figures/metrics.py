"""Lines of one or two units on one plot, with the range in which the first usually lies."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from dashboard.figures.frame import Figure, layout, numbers, time_axis, value_axis
from dashboard.figures.labels import plot_text
from dashboard.figures.marks import Moment, mark
from dashboard.palette import translucent
from dashboard.reads.metrics import Band, Line
from dashboard.reads.series import Floats
from dashboard.viewer import Viewer
from watchkeeper.vocabulary import Window

DASHES = ("solid", "dash", "dot", "dashdot")
HEIGHT = 340


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Drawn:
    """A line as it is drawn: its name, its unit, and which colour and dash it has."""

    name: str
    unit: str
    line: Line
    colour: str
    dash: str


def metric_figure(
    drawn: Sequence[Drawn],
    viewer: Viewer,
    window: Window,
    *,
    moments: Sequence[Moment] = (),
    band: Band | None = None,
    chosen: datetime | None = None,
) -> Figure:
    """Lines over a window; the second unit has its axis at the right. Each point carries its Unix second for clicks."""
    units = list(dict.fromkeys(one.unit for one in drawn))[:2]
    scales = {unit: _scale(unit, [one.line.values for one in drawn if one.unit == unit]) for unit in units}
    figure: Figure = {"data": [], "layout": layout(viewer, height=HEIGHT) | {"hovermode": "closest"}}
    if band is not None:
        figure["data"] += _band(band, viewer, scales[units[0]][0])
    for one in drawn:
        factor, unit = scales[one.unit]
        figure["data"].append(
            {
                "type": "scatter",
                "mode": "lines+markers" if len(one.line.times) < 3 else "lines",
                "x": _x(one.line.times, viewer),
                "y": numbers(one.line.values * factor),
                "customdata": one.line.times.astype(int).tolist(),
                "name": plot_text(one.name, 80),
                "yaxis": "y" if one.unit == units[0] else "y2",
                "line": {"color": one.colour, "width": 1.6, "dash": one.dash},
                "hovertemplate": f"%{{x|%H:%M:%S}}  %{{y:,.4g}} {plot_text(unit, 20) if unit else ''}"
                f"<extra>{plot_text(one.name, 60)}</extra>",
            }
        )
    figure["layout"] |= {
        "xaxis": time_axis(viewer, window.start, window.end),
        "yaxis": _axis(drawn, units[0], scales, viewer),
    }
    if len(units) == 2:
        right = {"overlaying": "y", "side": "right", "showgrid": False}
        figure["layout"]["yaxis2"] = _axis(drawn, units[1], scales, viewer) | right
        figure["layout"]["margin"] = {"l": 48, "r": 52, "t": 10, "b": 24}
    marks = [moment for moment in moments if window.start <= moment.at <= window.end]
    if chosen is not None and window.start <= chosen <= window.end:
        marks.append(Moment(at=chosen, text="chosen", kind="page"))
    mark(figure, viewer, marks)
    return figure


def _x(times: Any, viewer: Viewer) -> list[str]:
    return [viewer.local(datetime.fromtimestamp(at, UTC)) for at in times.tolist()]


def _band(band: Band, viewer: Viewer, factor: float) -> list[dict[str, Any]]:
    """Two lines without a stroke, the space between them filled."""
    x = _x(band.times, viewer)
    edge = {"type": "scatter", "mode": "lines", "x": x, "line": {"width": 0}, "hoverinfo": "skip", "yaxis": "y"}
    return [
        edge | {"y": numbers(band.low * factor), "name": "usual, low"},
        edge
        | {
            "y": numbers(band.high * factor),
            "name": "usual range",
            "fill": "tonexty",
            "fillcolor": translucent(viewer.palette.accent, 0.16),
        },
    ]


def _axis(drawn: Sequence[Drawn], unit: str, scales: Mapping[str, tuple[float, str]], viewer: Viewer) -> dict[str, Any]:
    """Large numbers are short; an axis with values below zero does not begin there."""
    factor, shown = scales[unit]
    values = np.concatenate([one.line.values * factor for one in drawn if one.unit == unit])
    axis = value_axis(viewer.palette, title=shown, form="~s" if (np.abs(values) >= 10_000).any() else "")
    return axis | ({"rangemode": "normal"} if (values < 0).any() else {})


def _scale(unit: str, values: Sequence[Floats]) -> tuple[float, str]:
    """What values are multiplied by, and the unit that they then have: bytes in MiB, short times in milliseconds."""
    plain, slash, per = unit.partition("/")
    most = max((float(np.nanmax(np.abs(each))) for each in values if np.isfinite(each).any()), default=0.0)
    if plain == "By":
        power = min(4, int(math.log(most, 1024))) if most >= 1024 else 0
        return 1024.0**-power, ("B", "KiB", "MiB", "GiB", "TiB")[power] + slash + per
    if unit == "s" and 0 < most < 1:
        return 1000.0, "ms"
    return 1.0, unit.replace("{", "").replace("}", "")
