"""Who is on call: layers of rotations in a zone of their own, overrides on top, and a fallback below.

Turns are counted in local time, so that a handoff at nine stays at nine when the clocks change.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final, Literal
from zoneinfo import ZoneInfo

from icalendar import Calendar, Event
from sqlalchemy import delete, select, update

from watchkeeper.config import LayerConfig, OnCallConfig, PersonConfig, ScheduleConfig
from watchkeeper.errors import NotFound, StateError
from watchkeeper.state.audit import record_audit
from watchkeeper.state.database import Database, from_micros, to_micros
from watchkeeper.state.insert import insert_new
from watchkeeper.state.schema import overrides as table
from watchkeeper.vocabulary import Actor, Window, content_key, require_utc

FEED_BACK: Final = timedelta(days=7)
FEED_AHEAD: Final = timedelta(days=60)
Source = Literal["override", "rotation", "fallback", "gap"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """Somebody takes over a schedule for a while; beats every layer, and an override that was made before it."""

    schedule: str
    person: str
    start: datetime
    end: datetime
    author: str = ""

    def __post_init__(self) -> None:
        require_utc("Override.start", self.start)
        require_utc("Override.end", self.end)
        if self.end <= self.start:
            raise ValueError(f"an override must end after it starts: {self.start} to {self.end}")

    @property
    def id(self) -> str:
        return content_key(self.schedule, self.person, self.start.isoformat(), self.end.isoformat())


@dataclass(frozen=True, slots=True, kw_only=True)
class Shift:
    """Somebody is on call from `start` to `end`; `person` is None in a gap."""

    start: datetime
    end: datetime
    person: PersonConfig | None
    source: Source


def _schedule(oncall: OnCallConfig, schedule_id: str) -> ScheduleConfig:
    for schedule in oncall.schedules:
        if schedule.id == schedule_id:
            return schedule
    known = ", ".join(schedule.id for schedule in oncall.schedules)
    raise NotFound(f"no schedule {schedule_id!r}; there are: {known}")


def person(oncall: OnCallConfig, person_id: str) -> PersonConfig:
    """A person by id."""
    for one in oncall.people:
        if one.id == person_id:
            return one
    raise NotFound(f"no person {person_id!r} among oncall.people")


def _turn(layer: LayerConfig, zone: ZoneInfo, at: datetime) -> tuple[str, datetime, datetime] | None:
    """Whose turn it is in a layer, and when that turn begins and ends (UTC); None before its start."""
    start = datetime.fromisoformat(layer.start)
    local = at.astimezone(zone).replace(tzinfo=None)
    if local < start or not layer.people:
        return None
    length = timedelta(hours=layer.turn_hours)
    number = (local - start) // length
    begins, ends = start + number * length, start + (number + 1) * length
    name = layer.people[number % len(layer.people)]
    return name, begins.replace(tzinfo=zone).astimezone(UTC), ends.replace(tzinfo=zone).astimezone(UTC)


def _at(
    oncall: OnCallConfig, schedule: ScheduleConfig, at: datetime, overrides: Sequence[Override]
) -> tuple[str | None, Source, datetime]:
    """Who has a schedule at a time, by what, and until when that can be said."""
    zone = ZoneInfo(schedule.timezone)
    # Somebody who left the configuration can't be paged: their overrides must not swallow a page.
    known = {one.id for one in oncall.people}
    mine = [override for override in overrides if override.schedule == schedule.id and override.person in known]
    until = min((o.start for o in mine if o.start > at), default=at + timedelta(days=400))
    for override in reversed(mine):
        if override.start <= at < override.end:
            return override.person, "override", min(override.end, until)
    for layer in reversed(schedule.layers):
        starts = datetime.fromisoformat(layer.start).replace(tzinfo=zone).astimezone(UTC)
        if starts > at:
            until = min(until, starts)
            continue
        turn = _turn(layer, zone, at)
        if turn:
            return turn[0], "rotation", min(turn[2], until)
    return schedule.fallback, "fallback" if schedule.fallback else "gap", until


def who_has_it(
    oncall: OnCallConfig, schedule_id: str, at: datetime, overrides: Sequence[Override] = ()
) -> tuple[PersonConfig | None, Source]:
    """Who has the schedule at `at` (UTC), and by what: override, else the highest layer, else the fallback."""
    require_utc("at", at)
    name, source, _ = _at(oncall, _schedule(oncall, schedule_id), at, overrides)
    return (person(oncall, name) if name else None), source


def who_is_on_call(
    oncall: OnCallConfig, schedule_id: str, at: datetime, overrides: Sequence[Override] = ()
) -> PersonConfig | None:
    """Who has the schedule at `at` (UTC); None in a gap without a fallback."""
    return who_has_it(oncall, schedule_id, at, overrides)[0]


def final_schedule(
    oncall: OnCallConfig, schedule_id: str, window: Window, overrides: Sequence[Override] = ()
) -> tuple[Shift, ...]:
    """The schedule as it comes out: shifts one after the other over a window, gaps included."""
    schedule = _schedule(oncall, schedule_id)
    shifts: list[Shift] = []
    at = window.start
    while at < window.end:
        name, source, until = _at(oncall, schedule, at, overrides)
        end = min(until, window.end)
        who = person(oncall, name) if name else None
        if shifts and (shifts[-1].person, shifts[-1].source) == (who, source):
            shifts[-1] = replace(shifts[-1], end=end)
        else:
            shifts.append(Shift(start=at, end=end, person=who, source=source))
        at = end
    return tuple(shifts)


def gaps(
    oncall: OnCallConfig, schedule_id: str, window: Window, overrides: Sequence[Override] = ()
) -> tuple[Shift, ...]:
    """When nobody, or only the fallback, would be paged."""
    shifts = final_schedule(oncall, schedule_id, window, overrides)
    return tuple(shift for shift in shifts if shift.source in ("gap", "fallback"))


def to_ical(oncall: OnCallConfig, schedule_id: str, window: Window, overrides: Sequence[Override] = ()) -> bytes:
    """The final schedule as an iCalendar file."""
    calendar = Calendar()
    calendar.add("prodid", "-//Watchkeeper//On call//EN")
    calendar.add("version", "2.0")
    calendar.add("x-wr-calname", f"On call: {schedule_id}")
    for shift in final_schedule(oncall, schedule_id, window, overrides):
        if shift.person is None:
            continue
        entry = Event()
        entry.add("uid", content_key(schedule_id, shift.person.id, shift.start.isoformat()) + "@watchkeeper")
        entry.add("summary", f"{shift.person.name} is on call ({schedule_id})")
        entry.add("dtstart", shift.start)
        entry.add("dtend", shift.end)
        entry.add("dtstamp", shift.start)
        calendar.add_component(entry)
    return bytes(calendar.to_ical())


def feed(oncall: OnCallConfig, schedule_id: str | None, now: datetime, overrides: Sequence[Override] = ()) -> bytes:
    """A schedule, by default the first, from last week to two months ahead, for calendars that subscribe.

    Raises:
        NotFound: no such schedule.
    """
    if schedule_id is None and not oncall.schedules:
        raise NotFound("oncall.schedules is empty; add a schedule")
    name = oncall.schedules[0].id if schedule_id is None else schedule_id
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    return to_ical(oncall, name, Window(start=midnight - FEED_BACK, end=midnight + FEED_AHEAD), overrides)


def record_override(db: Database, oncall: OnCallConfig, override: Override, now: datetime, actor: Actor) -> bool:
    """Keep an override; False when the same one is there already.

    Raises:
        NotFound: no such schedule or person.
    """
    _schedule(oncall, override.schedule)
    who = person(oncall, override.person)
    row = {
        "id": override.id,
        "schedule": override.schedule,
        "person": override.person,
        "start": to_micros(override.start),
        "end": to_micros(override.end),
        "author": override.author or actor.name,
        "at": to_micros(now),
    }
    with db.write() as connection:
        new = insert_new(connection, table, row)
        if new:
            detail = f"{who.name} from {override.start:%Y-%m-%d %H:%M} to {override.end:%Y-%m-%d %H:%M} UTC"
            record_audit(connection, now, actor, "override.add", override.schedule, detail)
    return new


def remove_override(db: Database, override_id: str, now: datetime, actor: Actor) -> None:
    """End an override; one that has begun ends now, so that history stays as it was.

    Raises:
        NotFound: no such override.
        StateError: it is over already.
    """
    with db.write() as connection:
        row = connection.execute(select(table).where(table.c.id == override_id)).first()
        if row is None:
            raise NotFound(f"no override {override_id!r}; `watchkeeper oncall schedule` lists them")
        moment = to_micros(now)
        if row.end <= moment:
            raise StateError(f"override {override_id} ended at {from_micros(row.end):%Y-%m-%d %H:%M} UTC already")
        mine = table.c.id == override_id
        if row.start >= moment:
            connection.execute(delete(table).where(mine))
        else:
            connection.execute(update(table).where(mine).values(end=moment))
        record_audit(connection, now, actor, "override.remove", row.schedule, f"{row.person} ({override_id})")


def stored_overrides(db: Database) -> tuple[Override, ...]:
    """Every override, in the order in which they were made: a later one beats an earlier one."""
    with db.read() as connection:
        rows = connection.execute(select(table).order_by(table.c.at, table.c.id)).all()
    return tuple(
        Override(
            schedule=row.schedule,
            person=row.person,
            start=from_micros(row.start),
            end=from_micros(row.end),
            author=row.author,
        )
        for row in rows
    )
