"""Which incident a finding belongs to: one trouble, one incident, and a sentence that says why.

A finding joins an incident when it is close in time and connected in the call graph, within two calls in either
direction: trouble spreads from callee to caller, so that one cause shows in several services.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from alerting.machine import Incident
from watchkeeper.vocabulary import Finding

CLOSE: Final = timedelta(minutes=5)
# Findings that appear this soon after an incident recovered belong to its aftermath: flaps and backlogs.
AFTERMATH: Final = timedelta(seconds=45)
HOPS: Final = 2

Edges = Iterable[tuple[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """The incident for a finding (None: a new one), and why."""

    incident_id: str | None
    reason: str


class Neighbourhood:
    """Which services are within two calls of each other."""

    def __init__(self, edges: Edges) -> None:
        self._next: dict[str, set[str]] = {}
        for caller, callee in edges:
            self._next.setdefault(caller, set()).add(callee)
            self._next.setdefault(callee, set()).add(caller)

    def near(self, service: str) -> frozenset[str]:
        """The services within two calls of one, itself included."""
        seen = {service}
        frontier = {service}
        for _ in range(HOPS):
            frontier = {other for one in frontier for other in self._next.get(one, ())} - seen
            seen |= frontier
        return frozenset(seen)


def place(finding: Finding, incidents: Sequence[Incident], near: Neighbourhood, now: datetime) -> Placement | None:
    """Where a finding belongs; None when it is an aftermath that needs no incident.

    `incidents` are those that are open or were resolved within the last minutes, newest last.
    """
    for incident in reversed(incidents):
        if any(known.key == finding.key for known in incident.findings):
            if incident.is_open:
                return Placement(incident_id=incident.id, reason="the same finding")
            if _is_aftermath(finding, incident, now):
                return None
    around = near.near(finding.service)
    for incident in reversed(incidents):
        services = {known.service for known in incident.findings}
        if not services & around:
            continue
        if incident.is_open and _is_close(finding, incident):
            other = next(iter(sorted(services & around)))
            same = "the same service" if other == finding.service else f"{other} is within {HOPS} calls"
            return Placement(
                incident_id=incident.id, reason=f"{same}, and it began within {CLOSE.seconds // 60} minutes"
            )
        if not incident.is_open and _is_aftermath(finding, incident, now):
            return None
    return Placement(incident_id=None, reason="no open incident is near in time and calls")


def _is_close(finding: Finding, incident: Incident) -> bool:
    if incident.system_state == "recovered":
        return incident.recovered_at is not None and finding.onset - incident.recovered_at <= AFTERMATH
    latest = max(known.seen_at for known in incident.findings)
    return incident.onset - CLOSE <= finding.onset <= latest + CLOSE


def _is_aftermath(finding: Finding, incident: Incident, now: datetime) -> bool:
    """Whether a finding is what a resolved incident left behind: it began before the end, or right after."""
    ended = min(time for time in (incident.resolved_at, incident.recovered_at, now) if time is not None)
    return finding.onset <= ended + AFTERMATH / 3
