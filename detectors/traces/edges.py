"""New and vanished call edges: who calls whom, and what changed about it. Never pages.

A vanished edge is a ticket. A new one is a detail of incidents: a call that begins harms nobody by itself.

Idea: an edge that nobody saw over the history of a caller that was there, or a steady edge whose caller goes on
without it. Each fires once, for a while, then is the new normal. Assumes the calls' spans name the callee; fails
where a sampled trace hides rare calls, so only edges with several calls count. Cost: one (edges, buckets) array.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

import numpy as np
import numpy.typing as npt

from detectors.detector import Seen, Setup
from detectors.evidence import Bools, Floats, by_group
from detectors.simulated import Example, Simulated
from watchkeeper.vocabulary import Finding, utc

VERSION: Final = "1"
KNOWN_FOR: Final = 60  # buckets that a caller must have been seen before an edge of it can be new
NEW_CALLS: Final = 5.0  # calls before an edge counts: a stray one may be a broken trace
REPORTED_FOR: Final = 60  # buckets that a new edge is reported for
GONE_FOR: Final = 12  # buckets without a call before an edge has vanished
STEADY: Final = 0.9  # the share of its earlier buckets in which a steady edge had calls
USUAL_CALLS: Final = 2.0  # a bucket


class CallEdges:
    """Calls between services that are new (details), or that stopped (tickets)."""

    version = VERSION
    needs = ("edges",)

    def __init__(self, setup: Setup) -> None: ...

    @staticmethod
    def example() -> Example:
        """A service that begins to call another one."""
        calls = {("web", "cart"): lambda _: 9.0, ("web", "offers"): lambda t: 3.0 if 900 <= t < 1500 else 0.0}
        telemetry = Simulated(seconds=3400, calls=calls)
        return Example(telemetry=telemetry, begins_s=900, ends_s=1500, clears_within_s=1800)

    def judge(self, seen: Seen) -> list[Finding]:
        """Edges that are new and edges that vanished."""
        now, history, complete = seen.now, seen["edges"], seen.complete["edges"]
        if history.size == 0 or complete <= GONE_FOR:
            return []
        calls = history["calls"][:, :complete]
        names = history.names()
        callers = np.unique(np.array([name[0] for name in names]), return_inverse=True)[1].reshape(-1)
        by_caller = by_group(callers, calls)
        first = _first(calls > 0)
        caller_first = _first(by_caller > 0)[callers]
        starts = history.starts()
        findings = []
        new = (
            (first - caller_first >= KNOWN_FOR) & (complete - first <= REPORTED_FOR) & (calls.sum(axis=1) >= NEW_CALLS)
        )
        for row in np.flatnonzero(new).tolist():
            onset = utc(float(starts[first[row]]))
            total = float(calls[row].sum())
            findings.append(
                self._finding("new", names[row], onset, now, f"{total:.0f} calls since {onset:%H:%M:%S} UTC")
            )
        gone, usual = _vanished(calls, by_caller[callers], first)
        for row in np.flatnonzero(gone).tolist():
            last = complete - 1 - int(np.argmax(calls[row, ::-1] > 0))
            onset = utc(float(starts[last]) + history.step_s)
            words = f"none since {onset:%H:%M:%S} UTC (usually {usual[row] / history.step_s:.1f}/s)"
            findings.append(self._finding("vanished", names[row], onset, now, words))
        return findings

    def _finding(self, what: str, edge: tuple[str, ...], onset: datetime, now: datetime, words: str) -> Finding:
        caller, callee = edge[0], edge[1]
        sentence = f"{caller} now calls {callee}" if what == "new" else f"{caller} no longer calls {callee}"
        return Finding(
            detector=f"topology.{what}",
            detector_version=self.version,
            kind="topology",
            service=caller,
            summary=f"{sentence}: {words}",
            onset=min(onset, now),
            seen_at=now,
            score=0.7,
            severity="detail" if what == "new" else "ticket",
            signal=f"{caller} → {callee}",
            key=f"topology:{what}:{caller}:{callee}",
        )


def _vanished(calls: Floats, by_caller: Floats, first: npt.NDArray[np.int64]) -> tuple[Bools, Floats]:
    """Which edges had steady calls and have none lately, while their caller still calls others; and the usual calls."""
    past = calls[:, :-GONE_FOR]
    columns = np.arange(past.shape[1])[None, :]
    seen = columns >= first[:, None]
    lived = np.maximum(seen.sum(axis=1), 1)
    # The buckets that end with the last call: an edge that died long ago is no news, and leaves by itself.
    usual = past.sum(axis=1) / lived
    steady = ((past > 0) & seen).sum(axis=1) / lived
    silent = calls[:, -GONE_FOR:].sum(axis=1) == 0
    caller_lives = by_caller[:, -GONE_FOR:].sum(axis=1) > 0
    gone = silent & caller_lives & (steady >= STEADY) & (usual >= USUAL_CALLS) & (lived >= KNOWN_FOR // 2)
    return np.asarray(gone), np.asarray(usual)


def _first(seen: Bools) -> npt.NDArray[np.int64]:
    """The first column of each row that is true; the number of columns where none is."""
    return np.asarray(np.where(seen.any(axis=1), np.argmax(seen, axis=1), seen.shape[1]))
