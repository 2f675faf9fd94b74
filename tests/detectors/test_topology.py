"""Call edges that are new, and such as vanished."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from seeing import seen
from shop_of_numbers import START

from detectors.detector import Setup
from detectors.history import History
from detectors.traces.edges import CallEdges
from watchkeeper.vocabulary import Finding, utc


def judged(calls: dict[tuple[str, str], list[float]]) -> list[Finding]:
    """What is said of edges with so many calls by ten seconds."""
    size = len(next(iter(calls.values())))
    history = History("edges", keys=("caller", "callee"), values={"calls": 0.0}, buckets=size, step_s=10)
    end = START + 10 * (size - 1)
    history.advance(utc(end))
    for (caller, callee), values in calls.items():
        column = np.flatnonzero(values)
        history.place(
            pa.table(
                {
                    "bucket": pa.array(START + 10 * column, pa.timestamp("s", "UTC")),
                    "caller": [caller] * column.size,
                    "callee": [callee] * column.size,
                    "calls": np.array(values)[column],
                }
            )
        )
    return CallEdges(Setup()).judge(seen(end + 10, size, edges=history))


def test_a_new_edge_is_a_detail() -> None:
    """A caller that was there for long and now calls something else as well: that harms nobody by itself."""
    found = judged({("a", "b"): [9.0] * 100, ("a", "new"): [0.0] * 80 + [2.0] * 20})
    assert [(f.detector, f.severity, f.signal) for f in found] == [("topology.new", "detail", "a → new")]


def test_a_vanished_edge_is_a_ticket() -> None:
    """A caller that goes on without one of its usual calls."""
    found = judged({("a", "b"): [9.0] * 100, ("a", "old"): [5.0] * 80 + [0.0] * 20})
    assert [(f.detector, f.severity, f.signal) for f in found] == [("topology.vanished", "ticket", "a → old")]


def test_the_first_minutes_are_not_news() -> None:
    """When everything is new, nothing is."""
    assert judged({("a", "b"): [0.0] * 40 + [9.0] * 60, ("a", "c"): [0.0] * 42 + [3.0] * 58}) == []


def test_a_caller_that_stopped_lost_no_edge() -> None:
    """A service that is silent as a whole is told elsewhere."""
    assert judged({("a", "b"): [9.0] * 80 + [0.0] * 20, ("c", "d"): [9.0] * 100}) == []
