"""How often a detector was right: the line of evidence that stands on every page. One rule for all who show it.

An incident counts once. Where both sources judged it, what chaos knows counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from detectors.learning.examples import Example
from watchkeeper.intervals import wilson
from watchkeeper.vocabulary import Finding


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackRecord:
    """How a detector did in labelled incidents: `right` of `judged` warranted their page.

    `service` is None for the record on all services.
    """

    detector: str
    version: str
    service: str | None
    right: int
    judged: int

    @property
    def interval(self) -> tuple[float, float]:
        """The bounds of the share of right ones (95 %)."""
        return wilson(self.right, self.judged)

    def sentence(self) -> str:
        """For a page."""
        who = f"This detector ({self.detector}), version {self.version.removeprefix('v')},"
        if not self.judged:
            return f"{who} has not been judged yet"
        times = "time" if self.judged == 1 else "times"
        return f"{who} was right {self.right} of {self.judged} {times} {'here' if self.service else 'on all services'}"


def track_record(known: Sequence[Example], finding: Finding) -> TrackRecord:
    """The record of a finding's detector on its service; on all services while it was never judged on this one."""
    here = record(known, finding.detector, finding.service, finding.detector_version)
    return here if here.judged else record(known, finding.detector, None, finding.detector_version)


def all_records(known: Sequence[Example]) -> tuple[TrackRecord, ...]:
    """The record of every detector on every service where it was judged, the most judged first."""
    groups: dict[tuple[str, str], list[Example]] = {}
    for example in known:
        groups.setdefault((example.finding.detector, example.finding.service), []).append(example)
    records = [
        record(examples, detector, service, examples[-1].finding.detector_version)
        for (detector, service), examples in groups.items()
    ]
    return tuple(sorted(records, key=lambda one: (-one.judged, one.detector, one.service or "")))


def record(known: Iterable[Example], detector: str, service: str | None, version: str = "") -> TrackRecord:
    """The record of a detector on a service, or on all (None); `version` is the one that is shown."""
    right, judged = tally(
        example
        for example in known
        if example.finding.detector == detector and service in (None, example.finding.service)
    )
    return TrackRecord(detector=detector, version=version, service=service, right=right, judged=judged)


def verdicts(known: Iterable[Example]) -> dict[str, Example]:
    """An example of each incident; where both sources judged it, what chaos knows counts."""
    judged: dict[str, Example] = {}
    for example in known:
        if example.incident_id not in judged or example.source == "chaos":
            judged[example.incident_id] = example
    return judged


def tally(known: Iterable[Example]) -> tuple[int, int]:
    """Right and judged, an incident counted once."""
    judged = verdicts(known)
    return sum(example.warranted for example in judged.values()), len(judged)


def disagreements(known: Sequence[Example]) -> tuple[str, ...]:
    """Incidents where a human and chaos said different things: a measured error rate of the human label source."""
    by_source: dict[str, dict[str, bool]] = {}
    for example in known:
        by_source.setdefault(example.incident_id, {})[example.source] = example.warranted
    return tuple(sorted(i for i, said in by_source.items() if len(said) == 2 and said["human"] != said["chaos"]))
