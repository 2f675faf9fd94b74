"""How incidents are stored: their events, only ever added, and beside them the fold as it stands.

`incident_events` is the truth. `incidents.body` is the fold over it, written by the same transaction, so that
reading one costs the same whatever its history; `refold` folds anew, and a test holds the two equal.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Lock
from types import MappingProxyType
from typing import Any, Final

import structlog
from sqlalchemy import Connection, Select, bindparam, insert, select, update

from alerting.incidents.machine import CLOSED, SEVERITIES, Event, Incident, replay
from watchkeeper.errors import Conflict, NotFound, StateError
from watchkeeper.problems import Problems
from watchkeeper.state.chunks import CHUNK, chunks
from watchkeeper.state.codec import dump, parse
from watchkeeper.state.database import to_micros
from watchkeeper.state.schema import incident_events, incidents
from watchkeeper.text import one_line
from watchkeeper.vocabulary import CANARY, LEVELS, Finding

# So long after its end an incident may still explain findings that began before it.
REMEMBERED: Final = timedelta(minutes=10)
NONE: Final[Mapping[str, Incident]] = MappingProxyType({})
# Called with the id of an incident that cannot be read, and the reason.
SetAside = Callable[[str, Exception], None]


def log_unreadable(incident_id: str, why: Exception) -> None:
    """Log it, where nobody counts problems."""
    structlog.get_logger().warning("incident.unreadable", incident=incident_id, error=one_line(why))


def report_unreadable(problems: Problems, incident_id: str, why: Exception) -> None:
    """Put an incident that cannot be read on the role's list of problems."""
    problems.report("incidents", incident_id, f"its record cannot be read: {one_line(why)}")


def unused_ids(connection: Connection, count: int) -> list[str]:
    """Short names for new incidents. Short names collide, once among some thousand incidents."""
    names: set[str] = set()
    while len(names) < count:
        new = {f"inc-{secrets.token_hex(3)}" for _ in range(min(count - len(names), CHUNK))}
        names |= new - set(connection.scalars(select(incidents.c.id).where(incidents.c.id.in_(new))))
    return list(names)


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

    A `severity` may be an urgency, `page` or `ticket`, or a level such as `SEV1`.

    Without a severity, the canary's are left out. What cannot be read is given to `set_aside` and left out.
    """
    query = _query().order_by(incidents.c.opened_at.desc(), incidents.c.id).limit(limit)
    if state == "open":
        query = query.where(incidents.c.human_state.not_in(CLOSED))
    elif state:
        query = query.where(incidents.c.human_state == state)
    if severity in LEVELS:
        query = query.where(incidents.c.level == severity)
    wanted = incidents.c.severity == severity if severity in SEVERITIES else incidents.c.severity != CANARY
    query = query.where(wanted)
    return tuple(_read(connection, query, set_aside))


def recent(
    connection: Connection, now: datetime, set_aside: SetAside = log_unreadable, known: Mapping[str, Incident] = NONE
) -> list[Incident]:
    """The incidents that a finding may belong to: not over, or over only a moment ago; oldest first.

    What cannot be read is given to `set_aside` and left out. `known` are incidents by id, as they were read before:
    those that have not changed are not read again.
    """
    since = to_micros(now - REMEMBERED)
    query = select(incidents.c.id, incidents.c.version).order_by(incidents.c.opened_at, incidents.c.id)
    wanted = connection.execute(query.where(incidents.c.ended_at.is_(None) | (incidents.c.ended_at >= since))).all()
    same = {row.id: known[row.id] for row in wanted if row.id in known and known[row.id].version == row.version}
    same |= load_many(connection, [row.id for row in wanted if row.id not in same], set_aside)
    return [same[row.id] for row in wanted if row.id in same]


def load_many(
    connection: Connection, incident_ids: Sequence[str], set_aside: SetAside = log_unreadable
) -> dict[str, Incident]:
    """Incidents by id; those that are not there, or cannot be read, are left out."""
    read: list[Incident] = []
    for ids in chunks(incident_ids):
        read += _read(connection, _query().where(incidents.c.id.in_(ids)), set_aside)
    return {incident.id: incident for incident in read}


def _query() -> Select[Any]:
    return select(incidents.c.id, incidents.c.body)


def _read(connection: Connection, query: Select[Any], set_aside: SetAside) -> list[Incident]:
    read: list[Incident] = []
    for incident_id, body in connection.execute(query):
        try:
            read.append(_known.value(incident_id, body))
        except ValueError as error:
            set_aside(incident_id, error)
    return read


# Characters. An incident that somebody labelled a thousand times changes often, and each of its states is large.
LONGEST_KEPT: Final = 32 << 10
REPLACED: Final = "\ufffd"
# Incidents whose newest state is kept as a value.
MOST_KEPT: Final = 4096


class _Known:
    """The newest state of each incident that this process read or wrote, with its text.

    Incidents are values: the same text is the same incident, also where a transaction that wrote it was rolled back.
    """

    def __init__(self) -> None:
        self._states: dict[str, tuple[str, Incident]] = {}
        self._lock = Lock()

    def value(self, incident_id: str, body: str) -> Incident:
        """What a text describes; what is known is not parsed again.

        Raises:
            ValueError: it cannot be read.
        """
        known = self._states.get(incident_id)
        if known and known[0] == body:
            return known[1]
        incident = parse(Incident, body)
        self.keep(incident_id, body, incident)
        return incident

    def write(self, body: str, incident: Incident) -> None:
        """Keep what is being written, if it is what whoever reads the text will find."""
        if len(body) <= LONGEST_KEPT and _comes_back(body, incident):
            self.keep(incident.id, body, incident)

    def keep(self, incident_id: str, body: str, incident: Incident) -> None:
        with self._lock:
            self._states.pop(incident_id, None)
            if len(body) <= LONGEST_KEPT:
                self._states[incident_id] = (body, incident)
            if len(self._states) > MOST_KEPT:
                del self._states[next(iter(self._states))]


_known: Final = _Known()


def _comes_back(body: str, incident: Incident) -> bool:
    """Whether a text, read, is its incident: it has no infinite numbers, and no NUL or half a pair."""
    if REPLACED in body:
        return False
    if incident.diagnosis is None and all(_has_no_numbers(finding) for finding in incident.findings):
        return True  # most of a storm, where reading each again would show in what it costs
    try:
        return parse(Incident, body) == incident
    except ValueError:
        return False  # whoever reads it reports it


def _has_no_numbers(finding: Finding) -> bool:
    numbers = (finding.value, finding.expected, finding.conditions, finding.episode)
    return all(number is None for number in numbers)


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


def given_before(connection: Connection, keys: Mapping[str, str]) -> set[str]:
    """Of commands by incident, with their keys: the incidents that have an event of that key."""
    columns, found = incident_events.c, set()
    for ids in chunks(list(keys)):
        query = select(columns.incident_id, columns.key).where(
            columns.incident_id.in_(ids), columns.key.in_({keys[one] for one in ids})
        )
        found |= {row.incident_id for row in connection.execute(query) if keys[row.incident_id] == row.key}
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """An incident before and after one or several events."""

    before: Incident
    after: Incident
    events: tuple[Event, ...]

    @property
    def last(self) -> Event:
        return self.events[-1]


def add_incidents(connection: Connection, opened: Sequence[tuple[Incident, Sequence[Event]]]) -> None:
    """Keep new incidents, each with its first events."""
    if not opened:
        return
    rows = [_row(one, events[-1]) | {"id": one.id, "opened_at": to_micros(one.opened_at)} for one, events in opened]
    connection.execute(insert(incidents), rows)
    added = [_event_row(one.id, seq, event) for one, events in opened for seq, event in enumerate(events, 1)]
    connection.execute(insert(incident_events), added)


def append(connection: Connection, before: Incident, after: Incident, event: Event) -> None:
    """Add an event, if nobody has added another in the meantime.

    Raises:
        Conflict: the version moved.
    """
    append_all(connection, [Change(before=before, after=after, events=(event,))])


def append_all(connection: Connection, changes: Sequence[Change]) -> None:
    """Add events to each of several incidents.

    Raises:
        Conflict: the version of one moved; then none of this may be committed.
    """
    if not changes:
        return
    rows = [_row(one.after, one.last) | {"of": one.before.id, "was": one.before.version} for one in changes]
    if connection.execute(_UNCHANGED, rows).rowcount != len(changes):
        names = ", ".join(one.before.id for one in changes[:3])
        raise Conflict(f"incident {names} has moved on", retry=True)
    added = [
        _event_row(one.before.id, seq, event)
        for one in changes
        for seq, event in enumerate(one.events, one.before.version + 1)
    ]
    connection.execute(insert(incident_events), added)


_COLUMNS: Final = ("severity", "level", "version", "system_state", "human_state", "updated_at", "ended_at", "body")
_UNCHANGED: Final = (
    update(incidents)
    .where(incidents.c.id == bindparam("of"), incidents.c.version == bindparam("was"))
    .values({name: bindparam(name) for name in _COLUMNS})
)


def _row(incident: Incident, event: Event) -> dict[str, object]:
    # Over for grouping: resolved or merged, or recovered with or without a human decision. A ticket waits for what
    # comes back.
    recovered_at = incident.recovered_at if incident.severity == "page" else None
    ends = [end for end in (incident.resolved_at, incident.merged_at, recovered_at) if end]
    body = dump(incident)
    _known.write(body, incident)
    return {
        "severity": CANARY if incident.is_canary else incident.severity,
        "level": incident.level or "",
        "version": incident.version,
        "system_state": incident.system_state,
        "human_state": incident.human_state,
        "updated_at": to_micros(event.at),
        "ended_at": to_micros(max(ends)) if ends else None,
        "body": body,
    }


def _event_row(incident_id: str, seq: int, event: Event) -> dict[str, object]:
    return {
        "incident_id": incident_id,
        "seq": seq,
        "at": to_micros(event.at),
        "type": event.type,
        "actor": event.actor.name,
        "via": event.actor.via,
        "key": event.key,
        "body": dump(event),
    }
