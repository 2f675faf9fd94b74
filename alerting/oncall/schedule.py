"""Who is on call: layers of rotations in a zone of their own, overrides on top, and a fallback below.

Everything is decided by instants, in one place: paging, `oncall who`, `oncall schedule` and calendars agree.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, Literal

from sqlalchemy import Connection, delete, select, update

from alerting.oncall.layers import FURTHEST, layer_at
from watchkeeper.config import OnCallConfig, PersonConfig, ScheduleConfig
from watchkeeper.errors import NotFound, StateError
from watchkeeper.state.audit import record_audit
from watchkeeper.state.database import Database, from_micros, to_micros
from watchkeeper.state.file_owned import refuse_owned
from watchkeeper.state.insert import insert_new
from watchkeeper.state.schema import overrides as table
from watchkeeper.vocabulary import Actor, Window, content_key, require_utc

# Two overrides that are made at once are made one after the other (PostgreSQL; any number that is ours).
OVERRIDING: Final = 8_274_003
Source = Literal["override", "rotation", "fallback", "gap"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """Somebody takes over a schedule for a while; beats every layer, and an override that was made before it."""

    schedule: str
    person: str
    start: datetime
    end: datetime
    author: str = ""
    key: str = ""

    def __post_init__(self) -> None:
        require_utc("Override.start", self.start)
        require_utc("Override.end", self.end)
        if self.end <= self.start:
            raise ValueError(f"an override must end after it starts: {self.start} to {self.end}")

    @property
    def id(self) -> str:
        """The id under which it is kept; of one that is not kept yet, the one that it will usually have."""
        return self.key or content_key(self.schedule, self.person, self.start.isoformat(), self.end.isoformat())


@dataclass(frozen=True, slots=True, kw_only=True)
class Shift:
    """Somebody is on call from `start` to `end`; `person` is None in a gap."""

    start: datetime
    end: datetime
    person: PersonConfig | None
    source: Source


def schedule_of(oncall: OnCallConfig, schedule_id: str) -> ScheduleConfig:
    """A schedule by id."""
    for schedule in oncall.schedules:
        if schedule.id == schedule_id:
            return schedule
    known = ", ".join(schedule.id for schedule in oncall.schedules)
    raise NotFound(f"no schedule {schedule_id!r}; there are: {known}")


def person(oncall: OnCallConfig, person_id: str) -> PersonConfig:
    """A person by id."""
    found = oncall.person(person_id)
    if found is None:
        known = ", ".join(person.id for person in oncall.people)
        raise NotFound(f"no person {person_id!r} among oncall.people; there are: {known}")
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Cover:
    """Who has a schedule at a time, by what, and until when that is certain.

    `origin` names the turn or override that covers it, and `begins` when that begins by itself, whatever covers it.
    """

    person: str | None
    source: Source
    origin: str
    begins: datetime
    until: datetime


def cover_at(oncall: OnCallConfig, schedule: ScheduleConfig, at: datetime, overrides: Sequence[Override]) -> Cover:
    """Who has a schedule at an instant: the override that was made last, else the highest layer, else the fallback."""
    # Somebody who left the configuration can't be paged: their overrides must not swallow a page.
    known = {person.id for person in oncall.people}
    current = [override for override in overrides if override.schedule == schedule.id and override.person in known]
    until = min((o.start for o in current if o.start > at), default=at + FURTHEST)
    for override in reversed(current):
        if override.start <= at < override.end:
            return Cover(
                person=override.person,
                source="override",
                origin=f"override {override.start.isoformat()} {override.person}",
                begins=override.start,
                until=min(override.end, until),
            )
    for number, layer in reversed(list(enumerate(schedule.layers))):
        shift = layer_at(layer, schedule.timezone, at)
        until = min(until, shift.until)
        if shift.person is not None:
            origin = f"layer {number} turn {shift.turn}"
            return Cover(person=shift.person, source="rotation", origin=origin, begins=shift.begins, until=until)
    source: Source = "fallback" if schedule.fallback else "gap"
    return Cover(person=schedule.fallback, source=source, origin=source, begins=at, until=until)


def who_has_it(
    oncall: OnCallConfig, schedule_id: str, at: datetime, overrides: Sequence[Override] = ()
) -> tuple[PersonConfig | None, Source]:
    """Who has the schedule at `at` (UTC), and by what: override, else the highest layer, else the fallback."""
    require_utc("at", at)
    cover = cover_at(oncall, schedule_of(oncall, schedule_id), at, overrides)
    return (person(oncall, cover.person) if cover.person else None), cover.source


def final_schedule(
    oncall: OnCallConfig, schedule_id: str, window: Window, overrides: Sequence[Override] = ()
) -> tuple[Shift, ...]:
    """The schedule as it comes out: shifts one after the other over a window, gaps included."""
    schedule = schedule_of(oncall, schedule_id)
    shifts: list[Shift] = []
    at = window.start
    while at < window.end:
        cover = cover_at(oncall, schedule, at, overrides)
        end = min(cover.until, window.end)
        who = person(oncall, cover.person) if cover.person else None
        if shifts and (shifts[-1].person, shifts[-1].source) == (who, cover.source):
            shifts[-1] = replace(shifts[-1], end=end)
        else:
            shifts.append(Shift(start=at, end=end, person=who, source=cover.source))
        at = end
    return tuple(shifts)


def shadows_at(oncall: OnCallConfig, schedule_id: str, at: datetime) -> tuple[PersonConfig, ...]:
    """Who shadows a schedule at `at` (UTC), and is told of pages without being paged."""
    schedule = schedule_of(oncall, schedule_id)
    names = [layer_at(layer, schedule.timezone, at).person for layer in schedule.shadows]
    return tuple(person(oncall, name) for name in dict.fromkeys(names) if name is not None)


def record_override(
    db: Database, oncall: OnCallConfig, override: Override, now: datetime, actor: Actor
) -> tuple[str, bool]:
    """Keep an override: its id, and False when the same one is in force already, or one of its `key` is kept.

    One that would have begun earlier counts from now on: what was before stays as it was. One that another was put over
    comes to the top.

    Raises:
        NotFound: no such schedule or person.
        StateError: it would be over by now.
    """
    with db.write() as connection:
        db.one_at_a_time(connection, OVERRIDING)
        return put_override(connection, oncall, override, now, actor)


def put_override(
    connection: Connection, oncall: OnCallConfig, override: Override, now: datetime, actor: Actor
) -> tuple[str, bool]:
    """As `record_override`, inside a transaction that makes no other overrides meanwhile."""
    schedule_of(oncall, override.schedule)
    who = person(oncall, override.person)
    rows = connection.execute(
        select(table).where(table.c.schedule == override.schedule).order_by(table.c.at, table.c.id)
    ).all()
    if override.key and any(row.id == override.key for row in rows):
        return override.key, False
    if there := _in_force(rows, override):
        return there, False
    override = _from_now_on(override, now)
    if there := _in_force(rows, override):
        return there, False
    start, end = to_micros(override.start), to_micros(override.end)
    taken = {row.id for row in rows}
    made_at = max([to_micros(now), *(row.at + 1 for row in rows)])  # the later made wins, whatever the clock does
    row = {
        "id": override.id if override.id not in taken else content_key(override.id, str(made_at)),
        "schedule": override.schedule,
        "person": override.person,
        "start": start,
        "end": end,
        "author": override.author or actor.name,
        "at": made_at,
    }
    insert_new(connection, table, row)
    detail = f"{who.name} from {override.start:%Y-%m-%d %H:%M} to {override.end:%Y-%m-%d %H:%M} UTC"
    record_audit(connection, now, actor, "override.add", override.schedule, detail)
    return str(row["id"]), True


def _in_force(rows: Sequence[Any], override: Override) -> str:
    """The override that makes another one needless: the same person, all the time, and nobody put over them."""
    start, end = to_micros(override.start), to_micros(override.end)
    touching = [row for row in rows if row.start < end and row.end > start]
    if not touching or touching[-1].person != override.person:
        return ""
    return str(touching[-1].id) if touching[-1].start <= start and touching[-1].end >= end else ""


def _from_now_on(override: Override, now: datetime) -> Override:
    """An override that begins now if it would have begun before: who was on call then does not change."""
    if override.end <= now:
        raise StateError(f"{override.end:%Y-%m-%d %H:%M} UTC has passed, and who was on call does not change any more")
    return replace(override, start=max(override.start, now))


def remove_override(db: Database, override_id: str, now: datetime, actor: Actor) -> None:
    """End an override; one that has begun ends now, so that history stays as it was.

    Raises:
        Conflict: the configuration file owns it.
        NotFound: no such override.
        StateError: it is over already.
    """
    refuse_owned("override", override_id, "oncall.overrides")
    with db.write() as connection:
        row = connection.execute(select(table).where(table.c.id == override_id)).first()
        if row is None:
            raise NotFound(f"no override {override_id!r}; `watchkeeper oncall schedule` lists them")
        moment = to_micros(now)
        if row.end <= moment:
            raise StateError(f"override {override_id} ended at {from_micros(row.end):%Y-%m-%d %H:%M} UTC already")
        same_id = table.c.id == override_id
        if row.start >= moment:
            connection.execute(delete(table).where(same_id))
        else:
            connection.execute(update(table).where(same_id).values(end=moment))
        record_audit(connection, now, actor, "override.remove", row.schedule, f"{row.person} ({override_id})")


def stored_overrides(db: Database) -> tuple[Override, ...]:
    """Every override, in the order in which they were made: a later one beats an earlier one."""
    with db.read() as connection:
        return overrides_in(connection)


def overrides_in(connection: Connection) -> tuple[Override, ...]:
    """As `stored_overrides`, inside a transaction."""
    rows = connection.execute(select(table).order_by(table.c.at, table.c.id)).all()
    return tuple(
        Override(
            key=row.id,
            schedule=row.schedule,
            person=row.person,
            start=from_micros(row.start),
            end=from_micros(row.end),
            author=row.author,
        )
        for row in rows
    )
