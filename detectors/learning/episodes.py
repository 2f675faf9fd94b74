"""What a finding was at its worst while it fired, and whether a change came before it: what decisions go by.

A detector reports a finding anew at every tick. The first report of a fault and of a harmless blip may look the same;
what the whole episode came to is what a label is about.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Final

from detectors.learning.features import DEPLOYED_WITHIN_S
from watchkeeper.vocabulary import ChangeEvent, Episode, Finding

LONGEST_BEFORE: Final = timedelta(seconds=DEPLOYED_WITHIN_S)
# The clock of whoever reports a change, and the estimate of the onset, may be so much off.
CLOCKS_DIFFER: Final = timedelta(seconds=30)


class Episodes:
    """Follows findings while they fire. State: what each that fires now has come to."""

    def __init__(self) -> None:
        self._episodes: dict[str, Episode] = {}

    def follow(self, findings: Sequence[Finding], changes: Sequence[ChangeEvent]) -> list[Finding]:
        """The findings, each that could page with its episode so far; one that is missing has ended."""
        self._episodes = {
            finding.key: self._continued(finding, changes) for finding in findings if finding.severity == "page"
        }
        return [
            replace(finding, episode=self._episodes[finding.key]) if finding.severity == "page" else finding
            for finding in findings
        ]

    def _continued(self, finding: Finding, changes: Sequence[ChangeEvent]) -> Episode:
        before = self._episodes.get(finding.key)
        peaks = [finding.value] if before is None else [before.peak_value, finding.value]
        return Episode(
            peak_score=max(before.peak_score, finding.score) if before else finding.score,
            peak_value=max((value for value in peaks if value is not None), default=None),
            deployed_s=_deployed_s(finding, changes),
        )


def _deployed_s(finding: Finding, changes: Sequence[ChangeEvent]) -> float | None:
    """Seconds from the newest change of its service to the onset, if there was one shortly before."""
    ages = [finding.onset - change.at for change in changes if change.service == finding.service]
    recent = [age for age in ages if -CLOCKS_DIFFER <= age <= LONGEST_BEFORE]
    return max(0.0, min(recent).total_seconds()) if recent else None
