"""The health of a service, judged from the findings of its detectors, and never from silence.

A state has a word, a shape and a colour; the first two are enough to distinguish them. Nothing unknown
is shown as healthy: without fresh telemetry, or without a watch that judges it, a service is `unknown`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from dashboard.palette import Palette
from watchkeeper.durations import duration
from watchkeeper.vocabulary import Finding

State = Literal["failing", "silent", "degraded", "unknown", "ok"]
SILENT_AFTER = timedelta(seconds=90)
WORST_FIRST: tuple[State, ...] = ("failing", "silent", "degraded", "unknown", "ok")
MARKS: Mapping[State, str] = {"failing": "◆", "silent": "□", "degraded": "▲", "unknown": "?", "ok": "●"}
SHAPES: Mapping[State, str] = {
    "failing": "diamond",
    "silent": "rectangle",
    "degraded": "triangle",
    "unknown": "round-rectangle",
    "ok": "ellipse",
}
MEANINGS: Mapping[State, str] = {
    "failing": "a detector reports harm to its users",
    "silent": "it has stopped serving requests",
    "degraded": "a detector reports something that does not page",
    "unknown": "no fresh telemetry to judge it by",
    "ok": "it serves requests, and no detector reports a finding",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """One service's state with the reason in words. `suspected` marks the likeliest cause of an open incident."""

    service: str
    state: State
    reason: str
    incident_id: str | None = None
    suspected: float | None = None

    @property
    def rank(self) -> int:
        """0 is worst."""
        return WORST_FIRST.index(self.state)


def colour(state: State, palette: Palette) -> str:
    return str(getattr(palette, state))


def judge(
    service: str,
    *,
    last_served: datetime | None,
    findings: Sequence[Finding],
    judged: str,
    now: datetime,
    incident_id: str | None = None,
    suspected: float | None = None,
) -> Health:
    """The state of one service.

    Args:
        last_served: when it last served a request, None if never in the window.
        findings: its firing findings.
        judged: empty when the watch role judges fresh telemetry, else the reason why nothing is judged.
    """

    def health(state: State, reason: str) -> Health:
        return Health(service=service, state=state, reason=reason, incident_id=incident_id, suspected=suspected)

    worst = max(findings, key=lambda f: (f.severity == "page", f.score), default=None)
    if worst is not None and worst.severity == "page":
        return health("silent" if worst.kind == "silence" else "failing", worst.summary)
    if worst is not None:
        return health("degraded", worst.summary)
    if judged:
        return health("unknown", judged)
    if last_served is None:
        return health("unknown", "it served no request in this time range")
    if now - last_served > SILENT_AFTER:
        return health("silent", f"it served no request for {duration(now - last_served)}")
    return health("ok", "no detector reports a finding")
