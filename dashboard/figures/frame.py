"""What every plotly figure of the dashboard shares: type, grid and axes."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import numpy as np

from dashboard.drawing import current
from dashboard.figures.labels import plot_text
from dashboard.palette import Palette
from dashboard.reads.series import Floats
from dashboard.viewer import Viewer

Figure = dict[str, Any]
FONT = "Inter, system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', 'DejaVu Sans', sans-serif"
ROUNDED = timedelta(seconds=5)  # what a dragged range is rounded to
LONGEST_TITLE = 120
# A double click returns to the time before the last zoom, which the address knows: page.js does that.
CONFIG: dict[str, Any] = {"displayModeBar": False, "responsive": True, "doubleClick": False}
MENU_PX = 28  # at the right of a plot, for the button of its menu


def numbers(values: Floats, digits: int = 4) -> list[float | None]:
    """JSON knows no NaN: gaps become None; `digits` significant digits are enough for a plot."""
    return [float(f"{v:.{digits}g}") if np.isfinite(v) else None for v in values]


def layout(viewer: Viewer, *, height: int, title: str = "") -> dict[str, Any]:
    """The layout of a figure without axes."""
    p = viewer.palette
    return {
        "height": height,
        "margin": {"l": 48, "r": MENU_PX, "t": 26 if title else 10, "b": 24},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": FONT, "size": 11, "color": p.muted},
        "hovermode": "x unified",
        "hoverlabel": {"bgcolor": p.surface, "bordercolor": p.line, "font": {"color": p.text, "family": FONT}},
        "showlegend": False,
        "dragmode": False if viewer.narrow else "zoom",  # a thumb that moves over a plot scrolls the page
        "uirevision": "kept",  # what a reader does to a plot survives a refresh
        "shapes": [],
        "annotations": [],
        **(
            {
                "title": {
                    "text": plot_text(title, LONGEST_TITLE),
                    "x": 0,
                    "xref": "paper",
                    "y": 0.98,
                    "yanchor": "top",
                    "font": {"size": 12, "color": p.text},
                }
            }
            if title
            else {}
        ),
    }


def time_axis(viewer: Viewer, start: datetime, end: datetime) -> dict[str, Any]:
    """An x axis in the reader's own time: of a plot with a time of its own, the part that the address names, if any.

    Dragging over it writes the range into the address (page.js), so all plots of a page zoom together.
    """
    p = viewer.palette
    of = current()
    chosen = of.chosen if of else None
    if chosen and start - ROUNDED <= chosen.start and chosen.end <= end + ROUNDED:
        start, end = max(start, chosen.start), min(end, chosen.end)
    return {
        "type": "date",
        "range": [viewer.local(start), viewer.local(end)],
        # With another choice of time, the range is the page's again and not what was dragged.
        "uirevision": f"{chosen.start.timestamp():.0f}-{chosen.end.timestamp():.0f}" if chosen else "live",
        "gridcolor": p.line,
        "linecolor": p.line,
        "tickcolor": p.line,
        "ticks": "outside",
        "ticklen": 3,
        "nticks": 4 if viewer.narrow else 7,
        "tickangle": 0,
        "showgrid": False,
        "hoverformat": "%H:%M:%S",
        "tickformatstops": [
            {"dtickrange": [None, 60_000], "value": "%H:%M:%S"},
            {"dtickrange": [60_000, 86_400_000], "value": "%H:%M\n%a %-d %b"},
            {"dtickrange": [86_400_000, None], "value": "%a %-d\n%b"},
        ],
        "zeroline": False,
    }


def value_axis(palette: Palette, *, title: str = "", suffix: str = "", form: str = "") -> dict[str, Any]:
    """A y axis from zero."""
    return {
        "rangemode": "tozero",
        "gridcolor": palette.line,
        "zeroline": False,
        "fixedrange": True,  # a drag chooses a time
        "nticks": 4,
        "automargin": True,
        "ticksuffix": suffix,
        **({"tickformat": form} if form else {}),
        **({"title": {"text": plot_text(title, LONGEST_TITLE), "font": {"size": 11}, "standoff": 4}} if title else {}),
    }
