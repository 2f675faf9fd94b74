"""What answers are read from. Each read of telemetry is kept with its SQL, each read of records with its command."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Protocol

from alerting.ask.answer import Read
from alerting.incidents.commands import Incidents
from alerting.incidents.machine import Incident
from alerting.oncall.schedule import Override, stored_overrides
from watchkeeper.config import OnCallConfig
from watchkeeper.errors import StoreError
from watchkeeper.state.changes import changes_between
from watchkeeper.state.database import Database
from watchkeeper.text import one_line
from watchkeeper.vocabulary import ChangeEvent, Window

MOST_OPEN: Final = 500
MOST_PAST: Final = 300


class Objective(Protocol):
    """A promise about a service's requests, as `detectors.slo` reads it: `target` of them good over `window_s`."""

    @property
    def name(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def service(self) -> str: ...
    @property
    def operation(self) -> str: ...
    @property
    def target(self) -> float: ...
    @property
    def window_s(self) -> int: ...


class Store(Protocol):
    """The reader of the telemetry store."""

    def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> Any: ...


@dataclass(slots=True, kw_only=True)
class Reading:
    """The reads of one question.

    Attributes:
        now: the one time that an answer is about.
        reads: what was read so far.
        notes: what could not be read.
        is_blind: the telemetry store could not be read.
    """

    db: Database
    incidents: Incidents
    store: Store
    oncall: OnCallConfig
    objectives: Sequence[Objective]
    now: datetime
    reads: list[Read] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    is_blind: bool = False

    def telemetry(self, sql: str, **parameters: str | float) -> list[dict[str, Any]]:
        """The rows of one SELECT; none, and a note, while the store cannot be read."""
        self.reads.append(Read(text=sql, parameters=parameters))
        try:
            rows: list[dict[str, Any]] = self.store.query(sql, parameters).to_pylist()
        except StoreError as error:
            if not self.is_blind:
                self.notes.append(f"Telemetry is missing in this answer: {one_line(error.message, 200)}")
            self.is_blind = True
            return []
        return rows

    def open_incidents(self) -> Sequence[Incident]:
        """Open incidents, newest first."""
        self._commanded(f"watchkeeper incident list --state open --limit {MOST_OPEN}")
        return self.incidents.list("open", MOST_OPEN)

    def past_incidents(self) -> Sequence[Incident]:
        """The newest resolved incidents, newest first."""
        self._commanded(f"watchkeeper incident list --state resolved --limit {MOST_PAST}")
        return self.incidents.list("resolved", MOST_PAST)

    def incident(self, incident_id: str) -> Incident:
        """One incident. Raises NotFound."""
        self._commanded(f"watchkeeper incident show {incident_id}")
        return self.incidents.get(incident_id)

    def overrides(self) -> Sequence[Override]:
        """Every override of the schedules."""
        return stored_overrides(self.db)

    def who_is_on_call(self, service: str = "") -> None:
        """Keep that the rota was read."""
        self._commanded("watchkeeper oncall who" + (f" --service {service}" if service else ""))

    def changes(self, window: Window) -> Sequence[ChangeEvent]:
        """Change events of a window, newest first."""
        times = {"start": f"{window.start:%Y-%m-%dT%H:%M:%SZ}", "end": f"{window.end:%Y-%m-%dT%H:%M:%SZ}"}
        self.reads.append(
            Read(text="SELECT body FROM changes WHERE at >= {start} AND at < {end} ORDER BY at", parameters=times)
        )
        return sorted(changes_between(self.db, window), key=lambda change: change.at, reverse=True)

    def _commanded(self, text: str) -> None:
        self.reads.append(Read(text=text))
