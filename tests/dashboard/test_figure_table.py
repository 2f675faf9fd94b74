"""A plot's numbers as a table and as CSV: what is drawn, at its time in UTC, and nothing that a spreadsheet runs."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from dashboard.figures.figure_table import figure_table
from dashboard.figures.handoffs import Shift, handoff_figure
from dashboard.viewer import Viewer, viewer
from dashboard.web.plots_api import as_csv
from tests.dashboard.values import NOW
from tests.hostile import HOSTILE

IN_UTC: Viewer = viewer({"scheme": "light", "zone": "UTC"}, NOW)


def figure(*lines: dict[str, Any]) -> dict[str, Any]:
    layout = {"xaxis": {"type": "date"}, "yaxis": {"title": {"text": "ms"}}, "yaxis2": {"title": {"text": "failed"}}}
    return {"data": [{"type": "scatter", **line} for line in lines], "layout": layout}


def test_lines_of_different_times_share_rows() -> None:
    """A line without a point at a time has nothing there; names say the unit, and differ."""
    table = figure_table(
        figure(
            {"name": "p95", "x": ["2026-11-25 02:40:00", "2026-11-25 02:40:05"], "y": [1.5, None]},
            {"name": "p95", "x": ["2026-11-25 02:40:05"], "y": [-2]},
            {"name": "failed", "yaxis": "y2", "x": ["2026-11-25 02:40:10"], "y": [0.25]},
        )
    )
    assert table.column_names == ["time", "p95 (ms)", "p95 (ms) 2", "failed"]
    assert as_csv(table).decode().splitlines() == [
        "time,p95 (ms),p95 (ms) 2,failed",
        "2026-11-25T02:40:00Z,1.5,,",
        "2026-11-25T02:40:05Z,,-2.0,",
        "2026-11-25T02:40:10Z,,,0.25",
    ]


def test_a_map_of_colours_gives_what_its_cells_count() -> None:
    """Not the colour, which is a logarithm; empty cells are left out."""
    cells = {
        "type": "heatmap", "x": ["2026-11-25 02:40:00", "2026-11-25 02:41:00"], "y": [1.5],
        "z": [[0.3, None]], "customdata": [[[2, 1], None]], "text": [["2 spans", ""]],
    }  # fmt: skip
    assert figure_table(figure(cells)).to_pylist() == [
        {"time": datetime(2026, 11, 25, 2, 40, tzinfo=UTC), "y": 1.5, "value": 2.0, "text": "2 spans"}
    ]


def test_bars_of_a_schedule_are_rows() -> None:
    """Who has it, from when."""
    bars = [Shift(schedule="primary", person="Ana", start=NOW, end=NOW + timedelta(hours=1))]
    table = figure_table(handoff_figure(bars, IN_UTC, NOW, NOW + timedelta(days=1)))
    assert table.num_rows
    assert set(table.column_names) == {"series", "x", "y", "base", "text"}


@pytest.mark.parametrize("name", sorted(HOSTILE))
def test_no_cell_and_no_heading_is_a_formula(name: str) -> None:
    """Names come from outside, and files are opened in spreadsheets. Numbers below zero stay numbers."""
    text = HOSTILE[name][:2000]
    table = pa.table({text or "empty": pa.array([text, "plain"]), "number": pa.array([-1.5, 2.0])})
    rows = list(csv.reader(io.StringIO(as_csv(table).decode())))
    for cell in (rows[0][0], rows[1][0]):
        assert not cell.lstrip().startswith(("=", "+", "-", "@"))
        assert not cell.startswith(("\t", "\r", "\n"))
    assert [row[1] for row in rows] == ["number", "-1.5", "2.0"]
