"""Status updates of incidents: for colleagues, or for the public once a person has approved the text.

Every text that the public reads was written or approved by a person, and is first looked through for what must not
leave (`alerting.status_page.leaks`).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, Literal, get_args

from sqlalchemy import Connection, Select, select, update

from alerting.incidents import journal
from alerting.incidents.machine import Incident
from alerting.status_page import mails
from alerting.status_page.leaks import refuse_leaks
from watchkeeper.clock import Clock
from watchkeeper.config import Config, StatusPageConfig
from watchkeeper.errors import ConfigError, Conflict, NotFound
from watchkeeper.state.audit import record_audit
from watchkeeper.state.database import Database, from_micros, to_micros
from watchkeeper.state.insert import insert_new
from watchkeeper.state.schema import status_updates as table
from watchkeeper.text import did_you_mean
from watchkeeper.vocabulary import Actor, content_key

Audience = Literal["internal", "public"]
UpdateState = Literal["investigating", "identified", "monitoring", "resolved"]
Impact = Literal["none", "degraded", "outage"]
AUDIENCES: Final[tuple[Audience, ...]] = get_args(Audience)
STATES: Final[tuple[UpdateState, ...]] = get_args(UpdateState)
IMPACTS: Final[tuple[Impact, ...]] = get_args(Impact)
LONGEST: Final = 4000  # characters of a text
# Neutral texts, made of the configured names of components alone.
_DRAFTS: Final[dict[UpdateState, str]] = {
    "investigating": "We are investigating a problem with {names}. Some requests may fail or be slow.",
    "identified": "We have found the cause of the problem with {names} and are working on it.",
    "monitoring": "{names}: the problem is no longer seen. We are watching it.",
    "resolved": "{names}: the problem is resolved.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusUpdate:
    """One update. `components` are ids; `approved_at` is when a person let the public read it."""

    id: str
    incident_id: str
    audience: Audience
    state: UpdateState
    impact: Impact
    components: tuple[str, ...]
    text: str
    at: datetime
    author: str
    via: str
    approved_at: datetime | None = None
    approved_by: str = ""

    @property
    def is_public(self) -> bool:
        """Whether the public may read it."""
        return self.audience == "public" and self.approved_at is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What a person writes: None is "as the incident suggests"."""

    text: str = ""
    state: UpdateState | None = None
    impact: Impact | None = None
    components: tuple[str, ...] = ()


class StatusUpdates:
    """Reads and commands. Threads may share one."""

    def __init__(self, db: Database, clock: Clock, config: Config) -> None:
        self._db = db
        self._clock = clock
        self._config = config

    def list(self, incident_id: str = "", limit: int = 200) -> tuple[StatusUpdate, ...]:
        """Updates of every audience, newest first, of one incident or of all."""
        query = select(table).order_by(table.c.at.desc(), table.c.id).limit(limit)
        if incident_id:
            query = query.where(table.c.incident_id == incident_id)
        with self._db.read() as connection:
            return _read(connection, query)

    def public(self, since: datetime) -> tuple[StatusUpdate, ...]:
        """What the public may read of the incidents that had an update since then, oldest first."""
        with self._db.read() as connection:
            return public_updates(connection, since)

    def post(
        self, incident_id: str, actor: Actor, key: str, audience: Audience, content: Content, *, names_too: bool = False
    ) -> StatusUpdate:
        """Write an update; for the public, its author approves it. `names_too`: names of services may stand in it.

        Raises:
            ConfigError: the text is empty or too long, or a component is not configured.
            Conflict: the text has something that must not leave; says what.
            NotFound: no such incident.
        """
        if not content.text.strip():
            raise ConfigError("text: the update is empty; write what its readers need to know")
        return self._keep(incident_id, actor, key, audience, content, approve=True, names_too=names_too)

    def draft(self, incident_id: str, actor: Actor, key: str, content: Content) -> StatusUpdate:
        """A short neutral text for the public, which nobody sees before a person approves it."""
        return self._keep(incident_id, actor, key, "public", content, approve=False, names_too=True)

    def approve(
        self, update_id: str, actor: Actor, text: str | None = None, *, names_too: bool = False
    ) -> StatusUpdate:
        """Let the public read an update, with another text where one is given.

        Raises:
            Conflict: it is public already, is for colleagues, or has something that must not leave.
            NotFound: no such update.
        """
        now = self._clock.now()
        with self._db.write() as connection:
            before = _load(connection, update_id)
            if before.audience != "public":
                raise Conflict(
                    f"{update_id} is for colleagues; `watchkeeper status post --audience public` writes another"
                )
            if before.is_public:
                raise Conflict(f"{before.approved_by} approved it already")
            after = replace(
                before, text=_text(before.text if text is None else text), approved_at=now, approved_by=actor.name
            )
            self._refuse_leaks(after, journal.load(connection, before.incident_id), names_too=names_too)
            waiting = (table.c.id == update_id) & table.c.approved_at.is_(None)
            if connection.execute(update(table).where(waiting).values(**_row(after))).rowcount != 1:
                raise Conflict("somebody else approved it just now", retry=True)
            mails.put_update(connection, update_id, after.components, now)
            record_audit(connection, now, actor, "status.approve", update_id, after.text[:LONGEST])
        return after

    def withdraw(self, update_id: str, actor: Actor) -> StatusUpdate:
        """Take an update from the public page; it is kept, as a draft."""
        now = self._clock.now()
        with self._db.write() as connection:
            before = _load(connection, update_id)
            if not before.is_public:
                raise Conflict(f"{update_id} is not public")
            after = replace(before, approved_at=None, approved_by="")
            connection.execute(update(table).where(table.c.id == update_id).values(**_row(after)))
            mails.take_back(connection, update_id)
            record_audit(connection, now, actor, "status.withdraw", update_id)
        return after

    def _keep(
        self,
        incident_id: str,
        actor: Actor,
        key: str,
        audience: Audience,
        content: Content,
        *,
        approve: bool,
        names_too: bool,
    ) -> StatusUpdate:
        now = self._clock.now()
        with self._db.write() as connection:
            incident = journal.load(connection, incident_id)
            made = _suggested(content, incident, self._config.status_page, audience)
            new = StatusUpdate(
                id=f"upd-{content_key(incident_id, key)}",
                incident_id=incident_id,
                audience=audience,
                state=made.state or "investigating",
                impact=made.impact or "degraded",
                components=made.components,
                text=_text(made.text),
                at=now,
                author=actor.name,
                via=actor.via,
                approved_at=now if approve else None,
                approved_by=actor.name if approve else "",
            )
            if approve and audience == "public":
                self._refuse_leaks(new, incident, names_too=names_too)
            if not insert_new(connection, table, {"id": new.id} | _row(new)):
                return _load(connection, new.id)
            if new.is_public:
                mails.put_update(connection, new.id, new.components, now)
            record_audit(connection, now, actor, f"status.{'post' if approve else 'draft'}", new.id, new.text[:LONGEST])
        return new

    def _refuse_leaks(self, new: StatusUpdate, incident: Incident, *, names_too: bool) -> None:
        refuse_leaks(new.text, incident, self._config, names_too=names_too)


def public_updates(connection: Connection, since: datetime) -> tuple[StatusUpdate, ...]:
    """What the public may read of the incidents that had an update since then, oldest first."""
    approved = (table.c.audience == "public") & table.c.approved_at.is_not(None)
    lately = select(table.c.incident_id).where(approved, table.c.approved_at >= to_micros(since))
    query = select(table).where(approved, table.c.incident_id.in_(lately))
    return _read(connection, query.order_by(table.c.approved_at, table.c.id))


def public_update(connection: Connection, update_id: str) -> StatusUpdate | None:
    """An update, if the public may read it."""
    found = _read(connection, select(table).where(table.c.id == update_id))
    return found[0] if found and found[0].is_public else None


def newest_public(connection: Connection, incident_id: str) -> StatusUpdate | None:
    """What the public read last of an incident."""
    approved = (table.c.audience == "public") & table.c.approved_at.is_not(None)
    query = select(table).where(approved, table.c.incident_id == incident_id)
    found = _read(connection, query.order_by(table.c.approved_at.desc(), table.c.id).limit(1))
    return found[0] if found else None


def affected(incident: Incident, page: StatusPageConfig) -> tuple[str, ...]:
    """The ids of the components that an incident's findings are about."""
    return tuple(component.id for component in page.components if incident.services & set(component.services))


def _suggested(content: Content, incident: Incident, page: StatusPageConfig, audience: Audience) -> Content:
    """What a person left open, as the incident suggests."""
    names = {component.id: component.name for component in page.components}
    components = content.components or affected(incident, page)
    for component in components:
        if component not in names:
            raise ConfigError(f"component {component!r} is not configured{did_you_mean(component, names)}")
    if audience == "public" and not components:
        raise ConfigError("no component of `status_page` has a service of this incident; name one: --component ID")
    over = {"resolved": "resolved"}.get(incident.human_state) or incident.system_state
    state: UpdateState = content.state or (
        "resolved" if over == "resolved" else "monitoring" if over == "recovered" else "investigating"
    )
    impact: Impact = content.impact or ("none" if state == "resolved" else "degraded")
    text = content.text or neutral_text(state, [names[component] for component in components])
    return Content(text=text, state=state, impact=impact, components=tuple(dict.fromkeys(components)))


def neutral_text(state: UpdateState, names: Sequence[str]) -> str:
    """A short text that tells nothing but the names of components."""
    return _DRAFTS[state].format(names=_listed(names))


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _text(given: str) -> str:
    text = given.strip()
    if not text:
        raise ConfigError("text: the update is empty; write what its readers need to know")
    if len(text) > LONGEST:
        raise ConfigError(f"text: has {len(text)} characters; at most {LONGEST} are kept")
    return text


def _load(connection: Connection, update_id: str) -> StatusUpdate:
    found = _read(connection, select(table).where(table.c.id == update_id))
    if not found:
        raise NotFound(f"no status update {update_id}; see `watchkeeper status list`")
    return found[0]


def _read(connection: Connection, query: Select[Any]) -> tuple[StatusUpdate, ...]:
    return tuple(
        StatusUpdate(
            id=row.id,
            incident_id=row.incident_id,
            audience=row.audience,
            state=row.state,
            impact=row.impact,
            components=tuple(json.loads(row.components)),
            text=row.text,
            at=from_micros(row.at),
            author=row.author,
            via=row.via,
            approved_at=from_micros(row.approved_at) if row.approved_at is not None else None,
            approved_by=row.approved_by,
        )
        for row in connection.execute(query)
    )


def _row(new: StatusUpdate) -> dict[str, Any]:
    return {
        "incident_id": new.incident_id,
        "audience": new.audience,
        "state": new.state,
        "impact": new.impact,
        "components": json.dumps(new.components),
        "text": new.text,
        "at": to_micros(new.at),
        "author": new.author,
        "via": new.via,
        "approved_at": to_micros(new.approved_at) if new.approved_at else None,
        "approved_by": new.approved_by,
    }
