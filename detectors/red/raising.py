"""What is raised, and how it is put into words."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

import numpy as np

from detectors.evidence import Floats
from watchkeeper.vocabulary import FindingKind, Severity

UNITS: Final[dict[FindingKind, str]] = {
    "latency": "ms",
    "errors": "of requests",
    "silence": "requests/s",
    "traffic": "requests/s",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Raising:
    """The row that speaks for a service: its operation (None for all), since when, and its evidence, 1 raises."""

    row: int
    service: str
    operation: str | None
    kind: FindingKind
    severity: Severity
    onset: datetime
    evidence: float


def worst(values: Floats, scores: Floats) -> float:
    """The value of the clearest of the judged buckets, NaN where none has a score; of equals the latest.

    The last bucket may be half way back to normal: it would tell a human that nothing happened.
    """
    known = np.flatnonzero(np.isfinite(scores) & np.isfinite(values))
    if known.size == 0:
        return float("nan")
    return float(values[known[::-1][np.argmax(scores[known[::-1]])]])


def summary(kind: FindingKind, raising: Raising, value: float, expected: float) -> str:
    where = f"{raising.service} {raising.operation}" if raising.operation else raising.service
    since = f"since {raising.onset:%H:%M:%S} UTC"
    match kind:
        case "latency":
            return f"{where} takes {_ms(value)} (usually {_ms(expected)}) {since}"
        case "errors":
            return f"{where} fails {value:.0%} of requests (usually {expected:.1%}) {since}"
        case _:
            return f"{where} has served no request (usually {expected:.1f}/s) {since}"


def _ms(value: float) -> str:
    return f"{value / 1000:.1f} s" if value >= 1000 else f"{value:.0f} ms"
