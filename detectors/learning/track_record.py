"""How often a detector was right: the line of evidence that stands on every page."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from detectors.learning.examples import Example
from watchkeeper.vocabulary import Finding, LabelSource


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackRecord:
    """How a detector did in labelled incidents: `right` of `judged` were worth waking somebody.

    `service` is None for the record on all services. `low` and `high` bound the share of right ones (95 %, Wilson).
    """

    detector: str
    version: str
    service: str | None
    right: int
    judged: int
    low: float
    high: float

    def sentence(self) -> str:
        """For a page."""
        who = f"This detector ({self.detector}), version {self.version.removeprefix('v')},"
        if not self.judged:
            return f"{who} has not been judged yet"
        times = "time" if self.judged == 1 else "times"
        return f"{who} was right {self.right} of {self.judged} {times} {'here' if self.service else 'on all services'}"


def track_record(known: Sequence[Example], finding: Finding, source: LabelSource | None = None) -> TrackRecord:
    """The record of a finding's detector on its service; on all services while it was never judged on this one."""
    mine = [one for one in known if source in (None, one.source) and one.finding.detector == finding.detector]
    here = [example for example in mine if example.finding.service == finding.service]
    return _record(finding.detector, finding.detector_version, finding.service if here else None, here or mine)


def all_records(known: Sequence[Example]) -> tuple[TrackRecord, ...]:
    """The record of every detector on every service where it was judged, the most judged first."""
    groups: dict[tuple[str, str], list[Example]] = {}
    for example in known:
        groups.setdefault((example.finding.detector, example.finding.service), []).append(example)
    records = [
        _record(detector, mine[-1].finding.detector_version, service, mine)
        for (detector, service), mine in groups.items()
    ]
    return tuple(sorted(records, key=lambda one: (-one.judged, one.detector, one.service or "")))


def _record(detector: str, version: str, service: str | None, mine: Sequence[Example]) -> TrackRecord:
    right, judged = tally(mine)
    low, high = wilson(right, judged)
    return TrackRecord(
        detector=detector, version=version, service=service, right=right, judged=judged, low=low, high=high
    )


def verdicts(known: Iterable[Example]) -> dict[str, Example]:
    """An example of each incident; where both sources judged it, what chaos knows counts."""
    found: dict[str, Example] = {}
    for example in known:
        before = found.get(example.incident_id)
        if before is None or example.source == "chaos":
            found[example.incident_id] = example
    return found


def tally(known: Iterable[Example]) -> tuple[int, int]:
    """Right and judged, an incident counted once."""
    found = verdicts(known)
    return sum(example.warranted for example in found.values()), len(found)


def wilson(right: int, judged: int) -> tuple[float, float]:
    """The 95 % interval of a share. Source: E. B. Wilson, JASA 22 (1927)."""
    if judged == 0:
        return 0.0, 1.0
    z = 1.96
    share = right / judged
    middle = share + z * z / (2 * judged)
    width = z * math.sqrt(share * (1 - share) / judged + z * z / (4 * judged * judged))
    scale = 1 + z * z / judged
    return max(0.0, (middle - width) / scale), min(1.0, (middle + width) / scale)


def disagreements(known: Sequence[Example]) -> tuple[str, ...]:
    """Incidents where a human and chaos said different things: a measured error rate of the human label source."""
    said: dict[str, dict[str, bool]] = {}
    for example in known:
        said.setdefault(example.incident_id, {})[example.source] = example.warranted
    return tuple(sorted(one for one, by in said.items() if len(by) == 2 and by["human"] != by["chaos"]))
