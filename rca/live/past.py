"""Earlier incidents of this installation, as the measure of what is unusual even in trouble."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rca.case import text
from rca.past_incidents import Anomalies, PastIncidents, gather
from watchkeeper.vocabulary import Finding

# With fewer, nobody knows what is usual. On development packs five random ones gave most of what all of them give.
FEWEST_PAST: Final = 5


def past_of(case: str, findings: Sequence[Finding], past: Sequence[Sequence[Finding]]) -> PastIncidents | None:
    """What the findings of this and of earlier incidents show, by service; None where there were too few."""
    if len(past) < FEWEST_PAST or not findings:
        return None
    incidents = {f"past-{number}": found for number, found in enumerate(past)} | {case: findings}
    rows = [(name, finding) for name, found in incidents.items() for finding in found]
    return gather(
        Anomalies(
            incident=text([name for name, _ in rows]),
            node=text([finding.service for _, finding in rows]),
            event=text([f"{finding.kind} {finding.signal}".strip() for _, finding in rows]),
            concept=text([finding.kind for _, finding in rows]),
        ),
        {},
        frozenset(incidents),
    )
