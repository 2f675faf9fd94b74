"""How incidents are stored: their events, only ever added, and beside them the fold as it stands.

`incident_events` is the truth. `incidents.body` is the fold over it, written by the same transaction, so that
reading one costs the same whatever its history; `refold` folds anew, and a test holds the two equal.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, Final

import structlog
from sqlalchemy import Connection, Select, insert, select, update

from alerting.incidents.machine import Event, Incident, replay
from watchkeeper.errors import Conflict, NotFound, StateError
from watchkeeper.problems import Problems
from watchkeeper.state.codec import dump, parse
from watchkeeper.state.database import to_micros
from watchkeeper.state.schema import incident_events, incidents
from watchkeeper.text import one_line

# So long after its end an incident may still explain findings that began before it.
REMEMBERED: Final = timedelta(minutes=10)
# Called with the id of an incident that cannot be read, and the reason.
SetAside = Callable[[str, Exception], None]


def log_unreadable(incident_id: str, why: Exception) -> None:
    """Log it, where nobody counts problems."""
    structlog.get_logger().warning("incident.unreadable", incident=incident_id, error=one_line(why))


def report_unreadable(problems: Problems, incident_id: str, why: Exception) -> None:
    """Put an incident that cannot be read on the role's list of problems."""
    problems.report("incidents", incident_id, f"its record cannot be read: {one_line(why)}")


def unused_id(connection: Connection) -> str:
    """A short name for a new incident. Short names collide, once among some thousand incidents."""
    while True:
        name = f"inc-{secrets.token_hex(3)}"
        if connection.execute(select(incidents.c.id).where(incidents.c.id == name)).first() is None:
            return name


def load(connection: Connection, incident_id: str) -> Incident:
    """An incident as it stands.

    Raises:
        NotFound: no such incident.
        StateError: its record cannot be read.
    """
    unreadable: list[Exception] = []
    incidents_read = _read(
        connection, _query().where(incidents.c.id == incident_id), lambda _, why: unreadable.append(why)
    )
    if unreadable:
        why = one_line(unreadable[0])
        raise StateError(f"incident {incident_id} cannot be read: another version, or somebody else, wrote it ({why})")
    if not incidents_read:
        raise NotFound(f"no incident {incident_id}; see `watchkeeper incident list`")
    return incidents_read[0]


def newest(
    connection: Connection,
    state: str | None,
    limit: int,
    set_aside: SetAside = log_unreadable,
    severity: str | None = None,
) -> tuple[Incident, ...]:
    """Incidents, newest first; `state` is `open`, a human state, or None for all, and so is `severity`.

    What cannot be read is given to `set_aside` and left out.
    """
    query = _query().order_by(incidents.c.opened_at.desc(), incidents.c.id).limit(limit)
    if state == "open":
        query = query.where(incidents.c.human_state != "resolved")
    elif state:
        query = query.where(incidents.c.human_state == state)
    if severity:
        query = query.where(incidents.c.severity == severity)
    return tuple(_read(connection, query, set_aside))


def recent(connection: Connection, now: datetime, set_aside: SetAside = log_unreadable) -> list[Incident]:
    """The incidents that a finding may belong to: not over, or over only a moment ago; oldest first.

    What cannot be read is given to `set_aside` and left out.
    """
    since = to_micros(now - REMEMBERED)
    query = _query().where(incidents.c.ended_at.is_(None) | (incidents.c.ended_at >= since))
    return _read(connection, query.order_by(incidents.c.opened_at, incidents.c.id), set_aside)


def _query() -> Select[Any]:
    return select(incidents.c.id, incidents.c.body)


def _read(connection: Connection, query: Select[Any], set_aside: SetAside) -> list[Incident]:
    read: list[Incident] = []
    for incident_id, body in connection.execute(query):
        try:
            read.append(_parsed(body) if len(body) <= LONGEST_KEPT else parse(Incident, body))
        except ValueError as error:
            set_aside(incident_id, error)
    return read


# Characters. An incident that somebody labelled a thousand times changes often, and each of its states is large.
LONGEST_KEPT: Final = 32 << 10


@lru_cache(maxsize=2048)
def _parsed(body: str) -> Incident:
    """Incidents are values, and most do not change between two rounds: what was read before is not read again."""
    return parse(Incident, body)


def refold(connection: Connection, incident_id: str) -> Incident:
    """An incident folded anew from its events."""
    return replay(incident_id, events(connection, incident_id))


def events(connection: Connection, incident_id: str) -> tuple[Event, ...]:
    """An incident's events, in order."""
    query = select(incident_events.c.body).where(incident_events.c.incident_id == incident_id)
    return tuple(parse(Event, body) for body in connection.scalars(query.order_by(incident_events.c.seq)))


def event_by_key(connection: Connection, incident_id: str, key: str) -> Event | None:
    """The event that a command with this key became, if it was given before."""
    query = select(incident_events.c.body).where(
        incident_events.c.incident_id == incident_id, incident_events.c.key == key
    )
    body = connection.scalar(query)
    return parse(Event, body) if body else None


def add_incident(connection: Connection, incident: Incident, opened: Event) -> None:
    """Keep a new incident and its first event."""
    row = _row(incident, opened) | {"id": incident.id, "opened_at": to_micros(opened.at)}
    connection.execute(insert(incidents), row)
    _add_event(connection, incident, opened)


def append(connection: Connection, before: Incident, after: Incident, event: Event) -> None:
    """Add an event, if nobody has added another in the meantime.

    Raises:
        Conflict: the version moved.
    """
    unchanged = update(incidents).where(incidents.c.id == before.id, incidents.c.version == before.version)
    if connection.execute(unchanged.values(**_row(after, event))).rowcount != 1:
        raise Conflict(f"incident {before.id} has moved on", retry=True)
    _add_event(connection, after, event)


def _row(incident: Incident, event: Event) -> dict[str, object]:
    # Over for grouping: resolved, or recovered with or without a human decision. A ticket waits for what comes back.
    recovered_at = incident.recovered_at if incident.severity == "page" else None
    ends = [end for end in (incident.resolved_at, recovered_at) if end]
    return {
        "severity": incident.severity,
        "version": incident.version,
        "system_state": incident.system_state,
        "human_state": incident.human_state,
        "updated_at": to_micros(event.at),
        "ended_at": to_micros(max(ends)) if ends else None,
        "body": dump(incident),
    }


def _add_event(connection: Connection, after: Incident, event: Event) -> None:
    row = {
        "incident_id": after.id,
        "seq": after.version,
        "at": to_micros(event.at),
        "type": event.type,
        "actor": event.actor.name,
        "via": event.actor.via,
        "key": event.key,
        "body": dump(event),
    }
    connection.execute(insert(incident_events), row)
