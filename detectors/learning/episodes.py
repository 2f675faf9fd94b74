"""What a finding was at its worst while it fired, and whether a change came before it: what decisions go by.

A detector reports a finding anew at every tick. The first report of a fault and of a harmless blip may look the same;
what the whole episode came to is what a label is about.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

from detectors.learning.features import DEPLOYED, DEPLOYED_WITHIN_S, PEAK_SCORE, PEAK_VALUE
from watchkeeper.vocabulary import ChangeEvent, Finding

LONGEST_BEFORE: Final = timedelta(seconds=DEPLOYED_WITHIN_S)


@dataclass(frozen=True, slots=True)
class _Peak:
    score: float
    value: float | None


class Episodes:
    """Follows findings while they fire. State: the peak of each that fires now."""

    def __init__(self) -> None:
        self._peaks: dict[str, _Peak] = {}

    def follow(self, findings: Sequence[Finding], changes: Sequence[ChangeEvent]) -> list[Finding]:
        """The findings with what their episodes came to so far, as attributes; one that is missing has ended."""
        self._peaks = {finding.key: self._peak(finding) for finding in findings if finding.severity == "page"}
        return [self._told(finding, changes) if finding.severity == "page" else finding for finding in findings]

    def _peak(self, finding: Finding) -> _Peak:
        before = self._peaks.get(finding.key)
        if before is None:
            return _Peak(finding.score, finding.value)
        values = [value for value in (before.value, finding.value) if value is not None]
        return _Peak(max(before.score, finding.score), max(values, default=None))

    def _told(self, finding: Finding, changes: Sequence[ChangeEvent]) -> Finding:
        peak = self._peaks[finding.key]
        told = {PEAK_SCORE: f"{peak.score:.3f}"}
        if peak.value is not None:
            told[PEAK_VALUE] = f"{peak.value:.6g}"
        ages = [finding.onset - change.at for change in changes if change.service == finding.service]
        recent = [age for age in ages if timedelta(seconds=-30) <= age <= LONGEST_BEFORE]
        if recent:
            told[DEPLOYED] = f"{max(0.0, min(recent).total_seconds()):.0f}"
        return replace(finding, attributes={**finding.attributes, **told})
