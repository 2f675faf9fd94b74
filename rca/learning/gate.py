"""May trained weights rank suspects? They must name more causes than those that serve, and lose none to either source.

Pure: who is right about which incident in, a verdict out. A version is judged on incidents that it did not learn from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from rca.learning.judged import SOURCES, JudgedCase, accuracy, one_per_incident

# By judgement: as many as the detectors' gate asks of human labels. One cause more can be the luck of one incident.
LEAST_CAUSES: Final = 10
LEAST_GAIN: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Whether a version may serve, and AC@1 of both on the same incidents: the promotion record."""

    refused: tuple[str, ...]
    waiting: tuple[str, ...]
    incidents: int
    candidate: float
    serving: float

    @property
    def passed(self) -> bool:
        return not self.refused and not self.waiting

    def record(self) -> dict[str, Any]:
        """For the promotion record."""
        return {
            "gate": "passed" if self.passed else "; ".join(self.refused + self.waiting),
            "causes": self.incidents,
            "AC@1": {"candidate": round(self.candidate, 4), "serving": round(self.serving, 4)},
        }


def judge(cases: Sequence[JudgedCase], candidate: Mapping[str, bool], serving: Mapping[str, bool]) -> Verdict:
    """Compare two versions.

    Args:
        cases: every judged incident, those of both sources.
        candidate: incident → whether the version that wants to serve puts the cause first.
        serving: the same of the version that serves.
    """
    refused, waiting = [], []
    for source in SOURCES:
        by_source = [case.id for case in cases if case.source == source]
        new, old = sum(candidate[name] for name in by_source), sum(serving[name] for name in by_source)
        if new < old:
            refused.append(
                f"by {source} labels it would name {new} of {len(by_source)} causes; what serves names {old}"
            )
    incidents = [case.id for case in one_per_incident(cases)]
    new_right, old_right = [candidate[name] for name in incidents], [serving[name] for name in incidents]
    if len(incidents) < LEAST_CAUSES:
        waiting.append(f"{len(incidents)} of {LEAST_CAUSES} incidents have a named cause")
    gain = sum(new_right) - sum(old_right)
    if not refused and gain < LEAST_GAIN:
        waiting.append(f"it would name {max(gain, 0)} causes more than what serves; {LEAST_GAIN} are needed")
    return Verdict(
        refused=tuple(refused),
        waiting=tuple(waiting),
        incidents=len(incidents),
        candidate=accuracy(new_right),
        serving=accuracy(old_right),
    )
