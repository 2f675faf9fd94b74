"""Whether a default installation with these labels would let what it has learned decide; by the gate's own code."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from detectors.learning.examples import SOURCES, examples
from detectors.learning.versions import gate
from watchkeeper.config import GateConfig
from watchkeeper.state.database import Database
from watchkeeper.state.models import DETECTORS, versions

DEFAULT: Final = GateConfig()


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A version that may decide next. `passes_by_labels`: nothing is missing but time."""

    version: int
    stage: str
    refused: tuple[str, ...]
    waiting: tuple[str, ...]
    passes_by_labels: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class GateReached:
    """What the gate says at its default settings.

    Attributes:
        labelled: by source, incidents with a label.
        warranted: by source, how many of them had a warranted page.
        candidates: the versions in shadow or canary, oldest first.
    """

    labelled: dict[str, int]
    warranted: dict[str, int]
    candidates: tuple[Candidate, ...]

    @property
    def has_labels(self) -> bool:
        """Whether the labels suffice that the gate asks for: then it judges versions by what they do."""
        enough = all(self.labelled[source] >= needed for source, needed in _needed())
        return enough and max(self.warranted.values()) >= DEFAULT.warranted

    @property
    def lines(self) -> tuple[str, ...]:
        """In words, with the numbers."""
        counts = [
            f"{self.labelled[source]} of {needed} incidents with a {source} label" for source, needed in _needed()
        ]
        counts.append(f"{max(self.warranted.values())} of {DEFAULT.warranted} with a warranted page")
        reached = "reached" if self.has_labels else "NOT reached"
        lines = [f"The labels that the gate of a default installation needs: {reached}: {', '.join(counts)}"]
        if not self.candidates:
            lines.append("No version is in shadow or canary.")
        for one in self.candidates:
            why = "; ".join(one.refused + one.waiting) or "passes"
            only_time = " (only time is missing)" if one.passes_by_labels and one.waiting else ""
            lines.append(f"version {one.version}, {one.stage}: {why}{only_time}")
        return tuple(lines)


def gate_reached(db: Database, now: datetime) -> GateReached:
    """Ask the gate about every version that could move on."""
    known = examples(db)
    patient = DEFAULT.model_copy(update={"shadow_s": 0, "canary_s": 0, "canary_labels": 0})
    candidates = []
    for model in versions(db, DETECTORS, ("shadow", "canary")):
        verdict = gate(db, model, now, DEFAULT, known)
        candidates.append(
            Candidate(
                version=model.version,
                stage=model.stage,
                refused=verdict.refused,
                waiting=verdict.waiting,
                passes_by_labels=gate(db, model, now, patient, known).passed,
            )
        )
    by_source = {source: [one for one in known if one.source == source] for source in SOURCES}
    return GateReached(
        labelled={source: len({one.incident_id for one in own}) for source, own in by_source.items()},
        warranted={source: len({one.incident_id for one in own if one.warranted}) for source, own in by_source.items()},
        candidates=tuple(sorted(candidates, key=lambda one: one.version)),
    )


def _needed() -> tuple[tuple[str, int], ...]:
    return (("human", DEFAULT.human_labels), ("chaos", DEFAULT.chaos_labels))
