"""One piece of evidence: a signal around the onset, what was expected of it, and when things happened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from dashboard.figures.frame import Figure, layout, numbers, time_axis, value_axis
from dashboard.figures.labels import plot_text
from dashboard.figures.marks import Moment, mark
from dashboard.reads.series import Floats
from dashboard.viewer import Viewer


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Signal:
    """A signal on a regular grid: `values` has the shape (n_buckets,), NaN where nothing is known.

    `read` names the read that gave them.
    """

    title: str
    unit: str
    start: datetime
    step_s: int
    values: Floats
    expected: float | None = None
    read: str = ""

    @property
    def end(self) -> datetime:
        return self.start + timedelta(seconds=self.step_s * len(self.values))


def evidence_figure(signal: Signal, viewer: Viewer, moments: Sequence[Moment], *, height: int = 190) -> Figure:
    """The signal as a line, the expected value as a dashed one, and each moment as a vertical line."""
    p = viewer.palette
    share = signal.unit == "ratio"
    colour = p.errors if share else p.latency if signal.unit == "ms" else p.rate
    hover = "%{y:.1%}" if share else "%{y:,.4~g} " + (plot_text(signal.unit, 20) if signal.unit else "")
    x = [viewer.local(signal.start + timedelta(seconds=signal.step_s * i)) for i in range(len(signal.values))]
    figure: Figure = {
        "data": [
            {
                "type": "scatter",
                "mode": "lines",
                "x": x,
                "y": numbers(signal.values),
                "name": plot_text(signal.title, 120),
                "line": {"color": colour, "width": 1.8},
                "hovertemplate": f"{hover}<extra></extra>",
            }
        ],
        "layout": layout(viewer, height=height, title=signal.title),
    }
    figure["layout"] |= {
        "xaxis": time_axis(viewer, signal.start, signal.end),
        "yaxis": value_axis(p, title="" if share else signal.unit, form=".0%" if share else ""),
    }
    if signal.expected is not None:
        _mark_expected(figure, signal.expected, p.ok)
    mark(figure, viewer, [m for m in moments if signal.start <= m.at <= signal.end])
    return figure


def _mark_expected(figure: Figure, value: float, colour: str) -> None:
    """A dashed line with its word, so that it needs no colour to be understood."""
    place = {"xref": "paper", "yref": "y"}
    line = {"color": colour, "width": 1.2, "dash": "dash"}
    shape = {"type": "line", **place, "x0": 0, "x1": 1, "y0": value, "y1": value, "line": line}
    font = {"size": 10, "color": colour}
    words = {"x": 1, "y": value, "text": "expected", "xanchor": "right", "yanchor": "bottom", "font": font}
    figure["layout"]["shapes"].append(shape)
    figure["layout"]["annotations"].append({**place, **words, "showarrow": False})
