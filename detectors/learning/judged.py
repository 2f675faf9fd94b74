"""Incidents as learning sees them: what fired, and what the diagnosis named; from the rows that alerting writes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import structlog
from sqlalchemy import Connection, Select, select

from watchkeeper.state.codec import parse
from watchkeeper.state.database import to_micros
from watchkeeper.state.schema import incidents
from watchkeeper.vocabulary import CANARY, Diagnosis, Finding

AT_ONCE: Final = 500  # ids in one query


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedIncident:
    """The part of an incident that versions of the model judge."""

    id: str
    opened_at: datetime
    findings: tuple[Finding, ...] = ()
    diagnosis: Diagnosis | None = None


def incidents_since(connection: Connection, since: datetime, limit: int) -> tuple[JudgedIncident, ...]:
    """Incidents that were opened after a time, newest first."""
    query = select(incidents.c.id, incidents.c.body).where(
        incidents.c.opened_at > to_micros(since), incidents.c.severity != CANARY
    )
    return tuple(_read(connection, query.order_by(incidents.c.opened_at.desc(), incidents.c.id).limit(limit)))


def incidents_of(connection: Connection, ids: Sequence[str]) -> dict[str, JudgedIncident]:
    """These incidents by id."""
    read: dict[str, JudgedIncident] = {}
    for first in range(0, len(ids), AT_ONCE):
        query = select(incidents.c.id, incidents.c.body).where(incidents.c.id.in_(ids[first : first + AT_ONCE]))
        read |= {incident.id: incident for incident in _read(connection, query)}
    return read


def _read(connection: Connection, query: Select[Any]) -> Iterator[JudgedIncident]:
    for incident_id, body in connection.execute(query):
        try:
            yield parse(JudgedIncident, body)
        except ValueError as error:  # written by another version: the others can be judged
            structlog.get_logger().warning("incident.unreadable", incident=incident_id, error=str(error)[:200])
