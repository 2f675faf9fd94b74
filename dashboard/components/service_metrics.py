"""The metrics that a service reports about itself: a folded group for each family, with a line and the newest value."""

from __future__ import annotations

from collections import defaultdict
from datetime import timedelta
from typing import Final

import numpy as np
import pyarrow as pa
from dash import html

from dashboard.components.elements import Part, card, empty, folded, picture, table
from dashboard.components.wording import count
from dashboard.figures.sparkline import sparkline
from dashboard.reads.series import grid
from dashboard.reads.sources import Sources
from dashboard.urls import lately, step_for
from dashboard.viewer import Viewer
from watchkeeper import metric_names
from watchkeeper.vocabulary import Window

LONGEST: Final = timedelta(hours=1)
SERIES: Final = 30  # of one family
FAMILIES: Final = 40


def metrics_card(sources: Sources, name: str, window: Window, viewer: Viewer) -> Part:
    """Every metric of the last hour of the time range, by the first part of its name."""
    near = lately(window, LONGEST.total_seconds())
    step = step_for(near)
    rows = sources.traffic.metrics(near, step, name)
    if not rows.num_rows:
        return card(
            "Metrics",
            empty(
                "It reports no metric", "A metric appears here with its first point, from OTLP or a scraped endpoint."
            ),
        )
    families: dict[str, list[Part]] = defaultdict(list)
    start, length = grid(near, step)
    for (metric, attributes, unit), values in sorted(_series(rows, int(start.timestamp()), step, length).items()):
        families[metric.split(".")[0].split("_")[0]].append(_row(metric, attributes, unit, values, viewer))
    shown = [
        folded(
            f"{family}: {count(len(parts), 'series', 'series')}",
            table(
                ["Metric", "Course", "Newest"],
                parts[:SERIES],
                caption=f"Metrics {family} of {name}",
                numbers=["Newest"],
            ),
            html.P(f"and {len(parts) - SERIES} more", className="muted") if len(parts) > SERIES else None,
        )
        for family, parts in list(families.items())[:FAMILIES]
    ]
    return card("Metrics", *shown, aside=f"{count(len(families), 'family', 'families')}, of the last hour")


def _series(
    rows: pa.Table, start: int, step: int, length: int
) -> dict[tuple[str, str, str], np.ndarray[tuple[int], np.dtype[np.float64]]]:
    """Each series on the grid, shape (length,), NaN where it has no point."""
    laid: dict[tuple[str, str, str], np.ndarray[tuple[int], np.dtype[np.float64]]] = {}
    for row in rows.select(["bucket", "metric", "attributes", "unit", "value"]).to_pylist():
        place = (int(row["bucket"].timestamp()) - start) // step
        if 0 <= place < length:
            key = (row["metric"], row["attributes"], row["unit"])
            laid.setdefault(key, np.full(length, np.nan))[place] = row["value"]
    return laid


def _row(
    metric: str, attributes: str, unit: str, values: np.ndarray[tuple[int], np.dtype[np.float64]], viewer: Viewer
) -> Part:
    words = metric_names.describe(metric, attributes)
    newest = values[np.isfinite(values)][-1]
    return html.Tr(
        [
            html.Th([words, html.Div(metric, className="muted mono")], scope="row"),
            html.Td(picture(sparkline(values, viewer.palette.rate), words)),
            html.Td(metric_names.amount(metric, float(newest), unit), className="number"),
        ]
    )
