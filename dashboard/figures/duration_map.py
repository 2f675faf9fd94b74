"""How long requests took over time: a column a step, a row a band of durations, colour for how many."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from dashboard.components.wording import count, milliseconds
from dashboard.figures.frame import MENU_PX, Figure, layout, time_axis
from dashboard.figures.marks import Moment, mark
from dashboard.reads.trace_search import Cell
from dashboard.viewer import Viewer
from watchkeeper.store.span_search import BANDS
from watchkeeper.vocabulary import Window

HEIGHT = 260


def duration_figure(
    cells: Sequence[Cell], window: Window, step_s: int, viewer: Viewer, moments: Sequence[Moment] = ()
) -> Figure:
    """Cells by start and duration; a cross marks a cell in which requests failed, larger where more of them did.

    The y axis is the logarithm (base 10) of milliseconds. Dragging selects; page.js turns that into choices.
    """
    p = viewer.palette
    start = window.start.timestamp() // step_s * step_s
    columns = int((window.end.timestamp() - 1e-6 - start) // step_s) + 1
    low, high = (min(c.band for c in cells), max(c.band for c in cells)) if cells else (0, 3 * BANDS)
    low, high = min(low, high - BANDS), max(high, low + BANDS)  # at least a power of ten
    colours: list[list[float | None]] = [[None] * columns for _ in range(high - low + 1)]
    counts: list[list[list[int] | None]] = [[None] * columns for _ in range(high - low + 1)]
    words: list[list[str]] = [[""] * columns for _ in range(high - low + 1)]
    crosses: dict[str, list[Any]] = {"x": [], "y": [], "size": [], "opacity": []}
    middle = datetime.fromtimestamp(start + step_s / 2, UTC)
    times = [viewer.local(middle + timedelta(seconds=i * step_s)) for i in range(columns)]
    for cell in cells:
        column = int((cell.start.timestamp() - start) // step_s)
        if not 0 <= column < columns:
            continue
        colours[cell.band - low][column] = round(math.log10(cell.spans) + 0.3, 2)
        counts[cell.band - low][column] = [cell.spans, cell.failed]
        words[cell.band - low][column] = cell_words(cell)
        if cell.failed:
            crosses["x"].append(times[column])
            crosses["y"].append((cell.band + 0.5) / BANDS)
            crosses["size"].append(4 + round(4 * cell.failed / cell.spans))
            crosses["opacity"].append(round(0.4 + 0.6 * cell.failed / cell.spans, 2))
    most = max((cell.spans for cell in cells), default=1)
    figure: Figure = {
        "data": [
            {
                "type": "heatmap",
                "x": times,
                "y": [(band + 0.5) / BANDS for band in range(low, high + 1)],
                "z": colours,
                "text": words,
                "customdata": counts,
                "zmin": 0,
                "zmax": math.log10(most) + 0.3,
                "colorscale": [[0, p.surface], [0.15, _blend(p.surface, p.accent, 0.25)], [1, p.accent]],
                "showscale": False,
                "hoverongaps": False,
                "hovertemplate": "%{text}<extra></extra>",
            },
            {
                "type": "scatter",
                "mode": "markers",
                "x": crosses["x"],
                "y": crosses["y"],
                "marker": {
                    "symbol": "x",
                    "size": crosses["size"],
                    "opacity": crosses["opacity"],
                    "color": p.failing,
                    "line": {"width": 0},
                },
                "hoverinfo": "skip",
            },
        ],
        "layout": layout(viewer, height=HEIGHT),
    }
    powers = range(math.floor(low / BANDS), math.ceil((high + 1) / BANDS) + 1)
    figure["layout"] |= {
        "hovermode": "closest",
        "dragmode": "select",
        "selectionrevision": f"{window.start.isoformat()} {low} {high}",
        "newselection": {"line": {"color": p.text, "width": 1, "dash": "dot"}},
        "margin": {"l": 58, "r": MENU_PX, "t": 10, "b": 34},
        "xaxis": time_axis(viewer, window.start, window.end),
        "yaxis": {
            "range": [low / BANDS, (high + 1) / BANDS],
            "tickvals": list(powers),
            "ticktext": [_fine(10.0**power) for power in powers],
            "gridcolor": p.line,
            "zeroline": False,
            "fixedrange": False,
        },
    }
    mark(figure, viewer, moments)
    return figure


def cell_words(cell: Cell) -> str:
    """What a cell holds: `24–32 ms: 120 spans, 3 failed`."""
    failed = f", {cell.failed:,} failed" if cell.failed else ""
    return f"{band_words(cell.band)}: {count(cell.spans, 'span')}{failed}"


def band_words(band: int, bands: int = 1) -> str:
    """The durations of a band, or of several from it: `24 ms to 32 ms`."""
    return f"{_fine(band_ms(band))} to {_fine(band_ms(band + bands))}"


def _fine(ms: float) -> str:
    """A duration; below a millisecond in microseconds."""
    return milliseconds(ms) if ms >= 1 else f"{ms * 1000:.3g} µs"


def band_ms(band: int) -> float:
    """Where a band begins, in milliseconds."""
    return float(f"{10 ** (band / BANDS):.3g}")


def _blend(one: str, other: str, share: float) -> str:
    parts = [(int(one[i : i + 2], 16), int(other[i : i + 2], 16)) for i in (1, 3, 5)]
    return "#" + "".join(f"{round(a + (b - a) * share):02x}" for a, b in parts)
