"""Log lines over time, stacked by severity, the severe ones at the bottom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from dashboard.components.wording import listed
from dashboard.figures.frame import Figure, layout, time_axis, value_axis
from dashboard.figures.labels import plot_text
from dashboard.figures.marks import Moment, mark
from dashboard.palette import Palette
from dashboard.viewer import Viewer
from watchkeeper.durations import duration
from watchkeeper.store.log_query import SEVERITIES, rank
from watchkeeper.vocabulary import Window

OTHER: Final = "other"
ORDER: Final = (*reversed([word.lower() for word in SEVERITIES]), OTHER)


def by_severity(counts: Mapping[str, Mapping[datetime, int]]) -> dict[str, dict[datetime, int]]:
    """Counts under the names of the ranks, `other` for what has none. The severest first; no lines, no name."""
    merged: dict[str, dict[datetime, int]] = {name: {} for name in ORDER}
    for severity, buckets in counts.items():
        place = rank(severity)
        into = merged[SEVERITIES[place - 1].lower() if place else OTHER]
        for at, lines in buckets.items():
            into[at] = into.get(at, 0) + lines
    return {name: buckets for name, buckets in merged.items() if buckets}


def severity_words(counts: Mapping[str, Mapping[datetime, int]]) -> str:
    """How many lines of each severity, in words."""
    return listed([f"{sum(buckets.values()):,} {name}" for name, buckets in by_severity(counts).items()])


def histogram_figure(
    counts: Mapping[str, Mapping[datetime, int]],
    window: Window,
    step_s: int,
    viewer: Viewer,
    moments: Sequence[Moment] = (),
) -> Figure:
    """Bars of `step_s` seconds; moments outside the window are left out."""
    p = viewer.palette
    figure: Figure = {"data": [], "layout": layout(viewer, height=150)}
    # A bar stands at the middle of its bucket.
    half = timedelta(seconds=step_s / 2)
    for name, buckets in by_severity(counts).items():
        ats = sorted(buckets)
        figure["data"].append(
            {
                "type": "bar",
                "name": plot_text(name, 40),
                "x": [viewer.local(at + half) for at in ats],
                "y": [buckets[at] for at in ats],
                "width": step_s * 1000 * 0.92,
                "marker": {"color": colour_of(name, p), "line": {"width": 0}},
                "hovertemplate": f"%{{y:,}} {name}<extra></extra>",
            }
        )
    figure["layout"] |= {
        "barmode": "stack",
        "xaxis": time_axis(viewer, window.start, window.end),
        "yaxis": value_axis(p, title=f"lines in {duration(step_s)}"),
    }
    mark(figure, viewer, [moment for moment in moments if window.start <= moment.at <= window.end])
    return figure


def colour_of(severity: str, palette: Palette) -> str:
    """The colour of a severity."""
    colours = {
        "fatal": palette.silent,
        "error": palette.errors,
        "warn": palette.degraded,
        "info": palette.rate,
        "debug": palette.latency_soft,
        "trace": palette.line,
    }
    return colours.get(severity, palette.unknown)
