"""The numbers of a plot as a table: one row a time, one column a line, as they are drawn.

The figure must be drawn for a reader in UTC: its times are wall-clock times.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import pyarrow as pa

from dashboard.figures.frame import Figure

TIME: Final = "time"
_AXES: Final = {"y": "yaxis", "y2": "yaxis2", "y3": "yaxis3"}


def figure_table(figure: Figure) -> pa.Table:
    """The figure's data.

    Lines and bars over time: `time` (timestamp, UTC) and a column of each, named `name (unit)`, empty where it has no
    point; sorted by time. A map of colours: time, `y`, `value` (the first that a cell counts, if
    it counts something, else its colour) and `text`; empty cells are left out. Anything
    else: `series`, `x`, `y`, `base` and `text`, as text where they are no numbers.
    """
    traces = [trace for trace in figure["data"] if _has_points(trace)]
    if cells := next((trace for trace in traces if trace["type"] == "heatmap"), None):
        return _cells(cells)
    over_time = figure["layout"].get("xaxis", {}).get("type") == "date"
    if over_time and all(trace["type"] in ("scatter", "bar") and "base" not in trace for trace in traces):
        return _wide(figure, traces)
    return _long(traces)


def _has_points(trace: Mapping[str, Any]) -> bool:
    return trace.get("x") is not None and trace.get("y") is not None


def _wide(figure: Figure, traces: Sequence[Mapping[str, Any]]) -> pa.Table:
    columns: dict[str, dict[datetime, float | None]] = {}
    for trace in traces:
        values = {_time(x): _number(y) for x, y in zip(trace["x"], trace["y"], strict=True)}
        columns[_unused(_heading(figure, trace), columns)] = values
    times = sorted({at for values in columns.values() for at in values})
    arrays: dict[str, pa.Array] = {TIME: pa.array(times, pa.timestamp("ms", "UTC"))}
    for name, values in columns.items():
        arrays[name] = pa.array([values.get(at) for at in times], pa.float64())
    return pa.table(arrays)


def _cells(trace: Mapping[str, Any]) -> pa.Table:
    texts = trace.get("text") or [[""] * len(row) for row in trace["z"]]
    counts = trace.get("customdata") or [[None if value is None else [value] for value in row] for row in trace["z"]]
    rows = [
        (_time(x), float(y), float(counted[0]), str(text))
        for y, row, words in zip(trace["y"], counts, texts, strict=True)
        for x, counted, text in zip(trace["x"], row, words, strict=True)
        if counted is not None
    ]
    at, y, value, text = zip(*rows, strict=True) if rows else ((), (), (), ())
    return pa.table(
        {
            TIME: pa.array(at, pa.timestamp("ms", "UTC")),
            "y": pa.array(y, pa.float64()),
            "value": pa.array(value, pa.float64()),
            "text": pa.array(text, pa.string()),
        }
    )


def _long(traces: Sequence[Mapping[str, Any]]) -> pa.Table:
    rows = []
    for trace in traces:
        length = len(trace["x"])
        columns = [_each(trace.get(key), length) for key in ("base", "text")]
        rows += [
            (str(trace.get("name", "")), _text(x), _text(y), _text(base), _text(text))
            for x, y, base, text in zip(trace["x"], trace["y"], *columns, strict=True)
        ]
    names = ("series", "x", "y", "base", "text")
    return pa.table({name: pa.array([row[i] for row in rows], pa.string()) for i, name in enumerate(names)})


def _each(values: Any, length: int) -> Sequence[Any]:
    """Plotly takes one value for all points, or a list."""
    return values if isinstance(values, (list, tuple)) and len(values) == length else [values] * length


def _heading(figure: Figure, trace: Mapping[str, Any]) -> str:
    """The line's name with what its axis says."""
    name = str(trace.get("name") or "value")
    axis = figure["layout"].get(_AXES.get(str(trace.get("yaxis", "y")), "yaxis"), {})
    unit = str(axis.get("title", {}).get("text", ""))
    return f"{name} ({unit})" if unit and unit != name else name


def _unused(name: str, taken: Mapping[str, Any]) -> str:
    number, free = 2, name
    while free in taken or free == TIME:
        number, free = number + 1, f"{name} {number}"
    return free


def _time(x: Any) -> datetime:
    return datetime.fromisoformat(str(x)).replace(tzinfo=UTC)


def _number(y: Any) -> float | None:
    return None if y is None else float(y)


def _text(value: Any) -> str | None:
    return None if value is None else str(value)
