"""Action items of postmortems: what somebody does until a date, so that it does not happen again.

Each change commits together with its line in the audit trail and with the timer that reminds the owner.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Select, select, update

from alerting.incidents import journal
from alerting.oncall.in_force import Rota, rota_of
from alerting.postmortems import reminders
from watchkeeper.clock import Clock
from watchkeeper.config import OnCallConfig
from watchkeeper.errors import ConfigError, Conflict, NotFound
from watchkeeper.state.audit import record_audit
from watchkeeper.state.database import Database, from_micros, to_micros
from watchkeeper.state.insert import insert_new
from watchkeeper.state.schema import action_items as table
from watchkeeper.text import one_line
from watchkeeper.vocabulary import Actor, content_key

LONGEST: Final = 2000  # characters of a text
MOST: Final = 100  # of one incident


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """One action item. `owner` is the id of a person, or any other name; `due` is a day in the owner's zone."""

    id: str
    incident_id: str
    text: str
    owner: str
    due: date | None
    created_at: datetime
    created_by: str
    done_at: datetime | None = None
    done_by: str = ""
    version: int = 1

    def overdue(self, now: datetime, oncall: OnCallConfig) -> bool:
        """Whether its day is over where the owner is, and it is not done."""
        if self.due is None or self.done_at is not None:
            return False
        return now.astimezone(ZoneInfo(reminders.zone_of(oncall, self.owner))).date() > self.due


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionOutcome:
    """What a command led to; `changed` is False for a repeat."""

    changed: bool
    message: str
    action: Action


class Actions:
    """Reads and commands. Threads may share one."""

    def __init__(self, db: Database, clock: Clock, oncall: OnCallConfig | Rota) -> None:
        self._db = db
        self._clock = clock
        self._rota = rota_of(oncall)

    def list(self, *, owner: str = "", overdue: bool = False, done: bool = False) -> tuple[Action, ...]:
        """Action items, the soonest first; those without a date last. `done` adds what is done."""
        query = select(table)
        if not done:
            query = query.where(table.c.done_at.is_(None))
        if owner:
            query = query.where(table.c.owner.in_({owner, self.owner(owner)}))
        with self._db.read() as connection:
            items = _read(connection, query)
        now = self._clock.now()
        return tuple(one for one in items if not overdue or one.overdue(now, self._rota()))

    def of(self, incident_id: str) -> tuple[Action, ...]:
        """Those of one incident: open ones by date, then those that are done."""
        with self._db.read() as connection:
            return of_incident(connection, incident_id)

    def owner(self, given: str) -> str:
        """The id of the person whom a name, an id or an address means; any other name as it is."""
        plain = one_line(given, 100) if given.strip() else ""
        person = self._rota().named(plain)
        return person.id if person else plain

    def add(self, incident_id: str, actor: Actor, key: str, text: str, owner: str = "", due: str = "") -> ActionOutcome:
        """Add an action item to an incident's postmortem. The same key again is the same item.

        Raises:
            ConfigError: the text is empty, or the date is none.
            NotFound: no such incident.
        """
        now = self._clock.now()
        with self._db.write() as connection:
            journal.load(connection, incident_id)
            known = of_incident(connection, incident_id)
            action = Action(
                id=f"act-{content_key(incident_id, key)[:10]}",
                incident_id=incident_id,
                created_at=now,
                created_by=actor.name,
                text=_text(text),
                owner=self.owner(owner),
                due=_day(due),
            )
            for one in known:
                if one.id == action.id:
                    return ActionOutcome(changed=False, message="already added", action=one)
            if len(known) >= MOST:
                raise Conflict(f"{incident_id} has {MOST} action items, and no more are kept; finish or merge some")
            insert_new(connection, table, {"id": action.id} | _row(action))
            record_audit(connection, now, actor, "action.add", action.id, f"{incident_id}: {action.text}"[:LONGEST])
            reminders.set_reminder(connection, self._rota(), action.id, action.owner, action.due, action.version, now)
        return ActionOutcome(changed=True, message=f"added {_described(action)}", action=action)

    def change(self, action_id: str, actor: Actor, changes: Mapping[str, str]) -> ActionOutcome:
        """Change the text, the owner or the due date of one."""
        values: dict[str, Any] = {}
        for name, value in changes.items():
            match name:
                case "text":
                    values["text"] = _text(value)
                case "owner":
                    values["owner"] = self.owner(value)
                case "due":
                    values["due"] = _day(value)
                case _:
                    raise ConfigError(f"{name}: an action item has no such field; there are: text, owner, due")
        return self._update(action_id, actor, "action.change", values)

    def finish(self, action_id: str, actor: Actor) -> ActionOutcome:
        """Mark one as done: nobody is reminded any more."""
        return self._update(action_id, actor, "action.done", {"done_at": self._clock.now(), "done_by": actor.name})

    def reopen(self, action_id: str, actor: Actor) -> ActionOutcome:
        """It is not done after all."""
        return self._update(action_id, actor, "action.reopen", {"done_at": None, "done_by": ""})

    def _update(self, action_id: str, actor: Actor, what: str, values: Mapping[str, Any]) -> ActionOutcome:
        now = self._clock.now()
        with self._db.write() as connection:
            before = load(connection, action_id)
            if what == "action.done" and before.done_at:
                message = f"{before.done_by} finished it at {before.done_at:%Y-%m-%d %H:%M} UTC"
                return ActionOutcome(changed=False, message=message, action=before)
            after = replace(before, **values)
            if after == before:
                return ActionOutcome(changed=False, message="nothing changes", action=before)
            after = replace(after, version=before.version + 1)
            same = (table.c.id == action_id) & (table.c.version == before.version)
            if connection.execute(update(table).where(same).values(**_row(after))).rowcount != 1:
                raise Conflict(f"action item {action_id} has changed; look at it and try again", retry=True)
            record_audit(connection, now, actor, what, action_id, _described(after)[:LONGEST])
            reminders.cancel(connection, action_id, now)
            if after.done_at is None:
                reminders.set_reminder(connection, self._rota(), after.id, after.owner, after.due, after.version, now)
        done = {"action.done": "done", "action.reopen": "reopened"}.get(what, "changed")
        return ActionOutcome(changed=True, message=f"{done}: {_described(after)}", action=after)


def load(connection: Connection, action_id: str) -> Action:
    """One action item.

    Raises:
        NotFound: there is none of that id.
    """
    found = _read(connection, select(table).where(table.c.id == action_id))
    if not found:
        raise NotFound(f"no action item {action_id}; see `watchkeeper postmortem actions`")
    return found[0]


def of_incident(connection: Connection, incident_id: str) -> tuple[Action, ...]:
    """Those of one incident: open ones by date, then those that are done."""
    items = _read(connection, select(table).where(table.c.incident_id == incident_id))
    return tuple(sorted(items, key=lambda one: one.done_at is not None))


def _read(connection: Connection, query: Select[Any]) -> Sequence[Action]:
    rows = connection.execute(query.order_by(table.c.due == "", table.c.due, table.c.created_at, table.c.id))
    return [
        Action(
            id=row.id,
            incident_id=row.incident_id,
            text=row.text,
            owner=row.owner,
            due=date.fromisoformat(row.due) if row.due else None,
            created_at=from_micros(row.created_at),
            created_by=row.created_by,
            done_at=from_micros(row.done_at) if row.done_at is not None else None,
            done_by=row.done_by,
            version=row.version,
        )
        for row in rows
    ]


def _row(action: Action) -> dict[str, Any]:
    return {
        "incident_id": action.incident_id,
        "text": action.text,
        "owner": action.owner,
        "due": action.due.isoformat() if action.due else "",
        "created_at": to_micros(action.created_at),
        "created_by": action.created_by,
        "done_at": to_micros(action.done_at) if action.done_at else None,
        "done_by": action.done_by,
        "version": action.version,
    }


def _text(given: str) -> str:
    text = " ".join(given.split())
    if not text:
        raise ConfigError("text: the action item is empty; say what somebody does")
    if len(text) > LONGEST:
        raise ConfigError(f"text: has {len(text)} characters; at most {LONGEST} are kept")
    return text


def _day(given: str) -> date | None:
    if not given.strip():
        return None
    try:
        day = date.fromisoformat(given.strip())
    except ValueError as error:
        raise ConfigError(f"due: {given[:40]!r} must be a date such as 2026-03-31") from error
    if not 2000 <= day.year < 2200:
        raise ConfigError(f"due: {day} must be a date between 2000 and 2199")
    return day


def _described(action: Action) -> str:
    owner = f", {action.owner}" if action.owner else ""
    return f"{action.id}: {action.text}{owner}" + (f", due {action.due}" if action.due else "")
