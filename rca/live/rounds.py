"""When an incident is explained: once it settled, and again as evidence gathers, while it is young."""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import datetime
from typing import Final, Protocol, TypeVar

from watchkeeper.vocabulary import Diagnosis

# Seconds after an incident settled.
DIAGNOSE_AFTER_S: Final = (0.0, 8.0, 16.0, 30.0, 60.0, 120.0)


class Explained(Protocol):
    """An incident, as far as this needs it."""

    @property
    def id(self) -> str: ...
    @property
    def system_state(self) -> str: ...
    @property
    def diagnosis(self) -> Diagnosis | None: ...
    @property
    def severity(self) -> str: ...
    @property
    def opened_at(self) -> datetime: ...
    @property
    def raised_at(self) -> datetime | None: ...


Incident = TypeVar("Incident", bound=Explained)
Key = tuple[str, datetime | None]  # an incident, and when it was raised: from then on it counts anew


class Rounds:
    """How many times each open incident was explained by this process, and which are due now."""

    def __init__(self) -> None:
        self._done: dict[Key, int] = {}
        self._seen: dict[Key, float] = {}

    def due(self, open_incidents: Iterable[Incident], now: datetime, settle_s: float) -> list[Incident]:
        """The incidents that are to be explained now; what is known of others than `open_incidents` is forgotten."""
        incidents = list(open_incidents)
        ids = {incident.id for incident in incidents}
        self._done = {key: done for key, done in self._done.items() if key[0] in ids}
        self._seen = {key: seen for key, seen in self._seen.items() if key[0] in ids}
        return [incident for incident in incidents if self._is_due(incident, now, settle_s)]

    def begin(self, incident: Explained) -> None:
        """Count a round of an incident."""
        self._done[_key(incident)] = self._count(incident) + 1

    def _is_due(self, incident: Explained, now: datetime, settle_s: float) -> bool:
        if incident.system_state != "firing" and incident.diagnosis:
            return False
        done = self._count(incident)
        if done >= (len(DIAGNOSE_AFTER_S) if incident.severity == "page" else 1):
            return False  # a ticket is explained once, and anew when it is raised
        # Whichever clock shows more: the wall's knows what happened before this process began, the other never steps.
        first_seen = self._seen.setdefault(_key(incident), time.monotonic())
        began = incident.raised_at or incident.opened_at
        age = max((now - began).total_seconds(), time.monotonic() - first_seen)
        return age >= settle_s + DIAGNOSE_AFTER_S[done]

    def _count(self, incident: Explained) -> int:
        return self._done.get(_key(incident), int(incident.diagnosis is not None))


def _key(incident: Explained) -> Key:
    return incident.id, incident.raised_at
