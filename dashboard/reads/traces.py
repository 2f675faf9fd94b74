"""Notable requests of a service, and one trace laid out from its root to its leaves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

MOST_SPANS = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class NotableRequest:
    """One request that a service answered: it failed, or it is among the slowest."""

    trace_id: str
    at: datetime
    operation: str
    duration_ms: float
    failed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One span of a trace. `offset` and `share` are fractions of the whole trace's time, 0 to 1."""

    service: str
    operation: str
    kind: str
    depth: int
    offset: float
    share: float
    duration_ms: float
    failed: bool
    message: str


def steps(spans: Sequence[Mapping[str, Any]]) -> list[Step]:
    """The spans of one trace as a tree, each under its parent, in order of start.

    `spans` are rows of `Telemetry.trace`. A span whose parent was not recorded stands at the top; a parent that is
    its own ancestor cannot hang this, because each span is taken once. At most 500 are returned.
    """
    if not spans:
        return []
    first = min(span["timestamp"] for span in spans)
    total_ns = max(_after(first, span["timestamp"]) + span["duration_ns"] for span in spans) or 1
    children: dict[str, list[Mapping[str, Any]]] = {}
    span_ids = {span["span_id"] for span in spans}
    for span in sorted(spans, key=lambda s: (s["timestamp"], s["span_id"])):
        parent = span["parent_span_id"] if span["parent_span_id"] in span_ids else ""
        children.setdefault(parent, []).append(span)
    taken: set[str] = set()
    result: list[Step] = []
    waiting = [(span, 0) for span in reversed(children.get("", []))]
    while waiting and len(result) < MOST_SPANS:
        span, depth = waiting.pop()
        if span["span_id"] in taken:
            continue
        taken.add(span["span_id"])
        result.append(
            Step(
                service=span["service"],
                operation=span["operation"],
                kind=span["kind"],
                depth=depth,
                offset=_after(first, span["timestamp"]) / total_ns,
                share=span["duration_ns"] / total_ns,
                duration_ms=span["duration_ns"] / 1e6,
                failed=span["status"] == "Error",
                message=span["message"],
            )
        )
        waiting += [(child, depth + 1) for child in reversed(children.get(span["span_id"], []))]
    return result


def _after(first: datetime, at: datetime) -> float:
    """Nanoseconds from one time to another."""
    return (at - first).total_seconds() * 1e9
