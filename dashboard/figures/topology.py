"""The map of who calls whom, as elements of a cytoscape graph, laid out from callers to callees.

The layout is computed here, so that it is the same at every refresh: callers left, what they call to
their right, each column ordered so that few lines cross.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dashboard.components.wording import likely, milliseconds, per_second, percent
from dashboard.palette import Palette
from dashboard.reads.health import MARKS, SHAPES, Health, colour
from watchkeeper.text import BLANK, seen_name

COLUMN, ROW = 150, 92
NARROW_COLUMN, NARROW_ROW = 112, 100
NOTABLE = 0.05  # a call fails now and then; from here on it gets a colour and words
Element = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One caller's requests to one callee: requests a second, failed share (0 to 1), mean latency in ms.

    `instrumented` is false where only the caller reports, such as for a database or a foreign host.
    """

    caller: str
    callee: str
    per_second: float
    error_ratio: float
    mean_ms: float | None
    instrumented: bool


def topology(
    calls: Sequence[Call],
    health: Mapping[str, Health],
    palette: Palette,
    selected: str | None = None,
    *,
    downward: bool = False,
) -> list[Element]:
    """Nodes and edges with positions. Every service of `health` is on the map, called or not.

    `downward` lays callers above callees, for a screen that is higher than wide.
    """
    names = sorted(set(health) | {c.caller for c in calls} | {c.callee for c in calls})
    places = _places(names, [(c.caller, c.callee) for c in calls])
    if downward:
        places = {name: (y / ROW * NARROW_COLUMN, x / COLUMN * NARROW_ROW) for name, (x, y) in places.items()}
    reporting = set(health) | {c.caller for c in calls} | {c.callee for c in calls if c.instrumented}
    nodes = [
        _node(name, places[name], health.get(name), name in reporting, palette, name == selected) for name in names
    ]
    return nodes + [_edge(call, palette) for call in calls]


def _node(
    name: str, place: tuple[float, float], health: Health | None, reporting: bool, palette: Palette, selected: bool
) -> Element:
    if health is None:
        words = "not instrumented" if not reporting else "no requests served"
        data: dict[str, Any] = {
            "id": name or BLANK,
            "label": f"{seen_name(name, 40)}\n{words}",
            "shape": "barrel" if not reporting else "round-rectangle",
            "colour": palette.unknown,
            "state": "unknown",
        }
        classes = "foreign"
    else:
        suspected = f"\nsuspected cause {likely(health.suspected)}" if health.suspected else ""
        data = {
            "id": name or BLANK,
            "label": f"{seen_name(name, 40)}\n{MARKS[health.state]} {health.state}{suspected}",
            "shape": SHAPES[health.state],
            "colour": colour(health.state, palette),
            "state": health.state,
        }
        classes = health.state + (" suspected" if health.suspected else "")
    x, y = place
    return {
        "data": data,
        "position": {"x": x, "y": y},
        "classes": classes + (" chosen" if selected else ""),
        "grabbable": False,
    }


def _edge(call: Call, palette: Palette) -> Element:
    failed = call.error_ratio > NOTABLE
    words = [per_second(call.per_second), milliseconds(call.mean_ms), f"{percent(call.error_ratio)} failed"]
    return {
        "data": {
            "id": f"{call.caller}→{call.callee}",
            "source": call.caller or BLANK,
            "target": call.callee or BLANK,
            "label": "\n".join(words),
            "short": f"✕ {percent(call.error_ratio)}",
            "width": round(1.2 + min(call.per_second, 100) ** 0.5 / 2.5, 2),
            "colour": palette.failing if failed else palette.unknown,
        },
        "classes": ("failed" if failed else "") + ("" if call.instrumented else " attribute"),
    }


def _places(names: Sequence[str], edges: Sequence[tuple[str, str]]) -> dict[str, tuple[float, float]]:
    """A column for each name (the longest way from an entry point) and a row within it."""
    callees: dict[str, list[str]] = defaultdict(list)
    callers: dict[str, list[str]] = defaultdict(list)
    for caller, callee in edges:
        if caller != callee:
            callees[caller].append(callee)
            callers[callee].append(caller)
    depth = dict.fromkeys(names, 0)
    for _ in names:  # relaxes at most len(names) times, so a cycle ends too
        moved = False
        for caller, callee in edges:
            if caller != callee and depth[callee] < depth[caller] + 1 <= len(names) - 1:
                depth[callee], moved = depth[caller] + 1, True
        if not moved:
            break
    columns: dict[int, list[str]] = defaultdict(list)
    for name in names:
        columns[depth[name]].append(name)
    order = {name: float(i) for column in columns.values() for i, name in enumerate(column)}
    for _ in range(4):
        for level in sorted(columns):
            column = columns[level]
            weight = {n: _middle([order[m] for m in callers[n] + callees[n]], order[n]) for n in column}
            column.sort(key=lambda n: (weight[n], n))
            for i, name in enumerate(column):
                order[name] = i - (len(column) - 1) / 2
    used = {level: i for i, level in enumerate(sorted(columns))}
    return {name: (used[level] * COLUMN, order[name] * ROW) for level, column in columns.items() for name in column}


def _middle(values: Sequence[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise
