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
        # Of each key, the finding as it was given last, and with its episode.
        self._followed: dict[str, tuple[Finding, Finding]] = {}

    def follow(self, findings: Sequence[Finding], changes: Sequence[ChangeEvent]) -> list[Finding]:
        """The findings, each that could page with its episode so far; one that is missing has ended."""
        of_service: dict[str, list[ChangeEvent]] = {}
        for change in changes:
            of_service.setdefault(change.service, []).append(change)
        pages = [finding for finding in findings if finding.severity == "page"]
        followed = {one.key: (one, self._with_episode(one, of_service.get(one.service, ()))) for one in pages}
        self._followed = followed
        return [followed[one.key][1] if one.severity == "page" else one for one in findings]

    def _with_episode(self, finding: Finding, changes: Sequence[ChangeEvent]) -> Finding:
        """A finding with its episode; of what was given before as it is, the same value: most alerts fire for hours."""
        given, before = self._followed.get(finding.key, (None, None))
        deployed_s = _deployed_s(finding, changes)
        known = before.episode if before else None
        if known and before and given is finding and known.deployed_s == deployed_s:
            return before
        peaks = [known.peak_value, finding.value] if known else [finding.value]
        episode = Episode(
            peak_score=max(known.peak_score, finding.score) if known else finding.score,
            peak_value=max((value for value in peaks if value is not None), default=None),
            deployed_s=deployed_s,
        )
        return replace(finding, episode=episode)


def _deployed_s(finding: Finding, changes: Sequence[ChangeEvent]) -> float | None:
    """Seconds from the newest of its service's changes to the onset, if there was one shortly before."""
    ages = [finding.onset - change.at for change in changes]
    recent = [age for age in ages if -CLOCKS_DIFFER <= age <= LONGEST_BEFORE]
    return max(0.0, min(recent).total_seconds()) if recent else None
