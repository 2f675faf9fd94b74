"""What is known of a live incident before its telemetry is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from watchkeeper.vocabulary import ChangeEvent, Finding, require_utc


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveIncident:
    """An incident to explain.

    Attributes:
        onset: when it began, as far as is known.
        now: the moment of the diagnosis; nothing later is read.
        findings: what detectors found on it.
        changes: deploys, flags and other changes of the hours before.
        past: the findings of earlier incidents of this installation, one entry an incident; the newest are enough.
    """

    onset: datetime
    now: datetime
    findings: Sequence[Finding] = ()
    changes: Sequence[ChangeEvent] = ()
    past: Sequence[Sequence[Finding]] = ()

    def __post_init__(self) -> None:
        require_utc("LiveIncident.onset", self.onset)
        require_utc("LiveIncident.now", self.now)
