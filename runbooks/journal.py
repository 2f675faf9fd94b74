"""What each step of a run did, kept in the state database: a run that was killed goes on where it was."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sqlalchemy import select

from watchkeeper.clock import Clock
from watchkeeper.state.database import Database, to_micros
from watchkeeper.state.insert import upsert
from watchkeeper.state.schema import runbook_runs

Status = Literal["started", "done", "failed", "undone"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One step of one run. `started` without an end means that the process died in it."""

    key: str
    runbook: str
    step: str
    status: Status
    detail: str


class Journal:
    """Reads and writes the entries of one incident."""

    def __init__(self, db: Database, incident_id: str, clock: Clock) -> None:
        self._db = db
        self._incident_id = incident_id
        self._clock = clock

    def read(self, key: str) -> Entry | None:
        with self._db.read() as connection:
            row = connection.execute(select(runbook_runs).where(runbook_runs.c.key == key)).one_or_none()
        if row is None:
            return None
        return Entry(key=row.key, runbook=row.runbook, step=row.step, status=row.status, detail=row.detail)

    def write(self, entry: Entry) -> None:
        """Keep an entry; the same key overwrites. Committed before this returns."""
        row = {
            "key": entry.key,
            "incident_id": self._incident_id,
            "runbook": entry.runbook,
            "step": entry.step,
            "status": entry.status,
            "at": to_micros(self._clock.now()),
            "detail": entry.detail,
        }
        with self._db.write() as connection:
            upsert(connection, runbook_runs, row)
