"""A burst of error lines from a service: evidence for an incident, a ticket by itself.

Idea: error lines in the last buckets against the usual rate of the same service, as a Poisson tail. Assumes lines
carry a severity. Fails where a program logs errors as information.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from scipy.special import pdtrc

from detectors.detector import Seen, Setup
from detectors.evidence import RAISE, cumulative, first_bad, to_probability
from detectors.simulated import Example, Simulated
from watchkeeper.vocabulary import Finding, utc

VERSION: Final = "1"
JUDGED: Final = 12  # buckets that the decision looks back over: one minute, as for requests
BAD: Final = ("ERROR", "FATAL", "CRITICAL")


class ErrorLines:
    """A burst of error lines from a service. Tickets."""

    version = VERSION
    needs = ("logs",)

    def __init__(self, setup: Setup) -> None: ...

    @staticmethod
    def example() -> Example:
        """Two error lines a second where there was none, for ten minutes."""
        lines = {
            ("mail", "INFO", "sent #"): lambda _: 5.0,
            ("mail", "ERROR", "relay did not answer #"): lambda t: 2.0 if 900 <= t < 1500 else 0.0,
        }
        return Example(telemetry=Simulated(seconds=2200, lines=lines), begins_s=900, ends_s=1500)

    def judge(self, seen: Seen) -> list[Finding]:
        """Tickets for services whose error lines surge."""
        history, complete = seen["logs"], seen.complete["logs"]
        names = history.names()
        rows = [row for row, name in enumerate(names) if name[1] in BAD]
        if not rows or complete < 2 * JUDGED:
            return []
        lines = history["lines"][rows, :complete]
        base = np.median(lines[:, : -JUDGED // 2], axis=1) + 0.3
        recent = lines[:, -JUDGED:]
        chance = pdtrc(np.maximum(recent - 1, 0), 2.0 * base[:, None])
        scores = np.where(recent >= 3, np.sqrt(-2.0 * np.log(np.maximum(chance, 1e-30))), -2.0)
        sums = cumulative(scores)[:, -1]
        began = first_bad(scores)
        starts = history.starts()[complete - JUDGED : complete]
        return [
            Finding(
                detector="logs.errors",
                detector_version=self.version,
                kind="log",
                service=names[rows[i]][0],
                summary=f"{names[rows[i]][0]} logs {recent[i, -3:].mean() / 5:.1f} error lines/s "
                f"(usually {base[i] / 5:.1f}/s)",
                onset=min(utc(float(starts[began[i]])), seen.now),
                seen_at=seen.now,
                score=float(to_probability(sums[i])),
                severity="ticket",
                signal="error lines",
                value=float(recent[i, -3:].mean() / 5),
                expected=float(base[i] / 5),
                unit="lines/s",
                key=f"logs:errors:{names[rows[i]][0]}",
            )
            for i in np.flatnonzero(sums >= RAISE).tolist()
        ]
