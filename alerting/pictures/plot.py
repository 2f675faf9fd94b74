"""What a picture of the evidence shows: a signal around the onset, what was usual, and the sentence that it proves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from alerting.incidents.machine import Incident
from watchkeeper.vocabulary import Evidence, Suspect, Window, content_key, require_text, require_utc

# What is shown: so long before the onset, and at most so long after it. What is usual is read from what came before.
BEFORE: Final = timedelta(minutes=20)
AFTER: Final = timedelta(minutes=10)
STEP_S: Final = 15
FEWEST_USUAL: Final = 8  # buckets before the onset, for a band of what is usual
OUTSIDE: Final = 0.05  # the share of usual buckets that may lie below the band, and the share above it


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """A signal on a regular grid.

    Attributes:
        sentence: the evidence, for whoever reads and whoever cannot see the picture.
        values: one for each bucket of `step_s` seconds from `start` on; None where nothing is known.
        usual: the band in which nine of ten buckets before the onset lay, low to high; None where too few are known.
    """

    title: str
    sentence: str
    unit: str
    start: datetime
    step_s: int
    values: tuple[float | None, ...]
    onset: datetime
    usual: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        require_text("Plot.title", self.title)
        require_utc("Plot.start", self.start)
        require_utc("Plot.onset", self.onset)
        if self.step_s <= 0 or not self.values:
            raise ValueError("a plot needs buckets")


def strongest(incident: Incident) -> tuple[Suspect, Evidence] | None:
    """The likely cause and the strongest evidence against it that names a signal; None where there is none."""
    diagnosis = incident.diagnosis
    if diagnosis is None or diagnosis.abstained or not diagnosis.suspects:
        return None
    suspect = diagnosis.suspects[0]
    speaking = [one for one in suspect.evidence if one.weight > 0 and one.signal]
    return (suspect, max(speaking, key=lambda one: one.weight)) if speaking else None


def shown_by(suspect: Suspect, evidence: Evidence) -> str:
    """What a picture stands for: a diagnosis that names the same signal of the same service has it already."""
    return content_key(suspect.service, evidence.kind, evidence.signal)


def window_of(incident: Incident, now: datetime) -> Window:
    """What is shown of an incident now."""
    return Window(start=incident.onset - BEFORE, end=max(min(now, incident.onset + AFTER), incident.onset))


def usual_band(
    values: Sequence[float | None], start: datetime, step_s: int, onset: datetime
) -> tuple[float, float] | None:
    """The band of the buckets that ended before the onset.

    >>> from datetime import UTC
    >>> at = datetime(2026, 3, 1, tzinfo=UTC)
    >>> usual_band([float(n % 10) for n in range(100)], at, 15, at + timedelta(seconds=1200))
    (0.0, 9.0)
    """
    ended = int((onset - start).total_seconds()) // step_s
    before = sorted(value for value in values[: max(0, ended)] if value is not None)
    if len(before) < FEWEST_USUAL:
        return None
    cut = int(len(before) * OUTSIDE)
    return before[cut], before[-1 - cut]
