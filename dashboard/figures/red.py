"""Rate, errors and latency of one service over time, one above the other on one time axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from dashboard.figures.frame import Figure, layout, numbers, time_axis, value_axis
from dashboard.figures.marks import Moment, mark
from dashboard.palette import translucent
from dashboard.reads.series import RedSeries
from dashboard.viewer import Viewer

FAINT: Final = 0.12  # of a colour, below its line


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """A span of time in which a detector reported something: behind the lines, darker for a higher score (0 to 1)."""

    start: datetime
    end: datetime
    score: float


def red_figure(
    series: RedSeries,
    viewer: Viewer,
    moments: Sequence[Moment] = (),
    *,
    height: int = 380,
    bands: Sequence[Band] = (),
) -> Figure:
    """Three plots with a shared x axis: requests a second, failed share, and p50 with p95 latency.

    Moments and bands outside the series' time are left out.
    """
    p = viewer.palette
    times = series.times
    x = [viewer.local(at) for at in times]
    end = series.start + timedelta(seconds=series.step_s * len(times))
    figure: Figure = {"data": [], "layout": layout(viewer, height=height)}

    def line(values: list[float | None], name: str, colour: str, axis: str, hover: str, **style: object) -> None:
        figure["data"].append(
            {
                "type": "scatter",
                "mode": "lines",
                "x": x,
                "y": values,
                "name": name,
                "xaxis": "x",
                "yaxis": axis,
                "line": {"color": colour, "width": 1.6},
                "hovertemplate": f"{hover}<extra>{name}</extra>",
                **style,
            }
        )

    soft = {"fill": "tozeroy", "fillcolor": translucent(p.rate, FAINT)}
    line(numbers(series.rate), "requests", p.rate, "y", "%{y:.1f}/s", **soft)
    line(
        numbers(series.error_ratio),
        "failed",
        p.errors,
        "y2",
        "%{y:.1%}",
        fill="tozeroy",
        fillcolor=translucent(p.errors, FAINT),
    )
    line(numbers(series.p50_ms), "p50", p.latency_soft, "y3", "%{y:,.0f} ms")
    line(numbers(series.p95_ms), "p95", p.latency, "y3", "%{y:,.0f} ms")
    errors_axis = value_axis(p, title="failed", form=".0%")
    if not (series.error_ratio > 0.02).any():
        errors_axis |= {"range": [0, 0.05], "rangemode": "normal"}  # a quiet service looks quiet
    figure["layout"] |= {
        "xaxis": time_axis(viewer, series.start, end) | {"anchor": "y3"},
        "yaxis": value_axis(p, title="requests/s") | {"domain": [0.72, 1.0]},
        "yaxis2": errors_axis | {"domain": [0.38, 0.64]},
        "yaxis3": value_axis(p, title="p50, p95 ms") | {"domain": [0.0, 0.30]},
    }
    for band in bands:
        if band.end > series.start and band.start < end:
            figure["layout"]["shapes"].append(_band(band, series.start, end, viewer))
    mark(figure, viewer, [m for m in moments if series.start <= m.at <= end])
    return figure


def _band(band: Band, start: datetime, end: datetime, viewer: Viewer) -> dict[str, object]:
    first, last = max(band.start, start), min(band.end, end)
    return {
        "type": "rect", "xref": "x", "yref": "paper", "x0": viewer.local(first), "x1": viewer.local(last),
        "y0": 0, "y1": 1, "fillcolor": viewer.palette.failing, "opacity": round(0.05 + 0.15 * band.score, 3),
        "line": {"width": 0}, "layer": "below",
    }  # fmt: skip
