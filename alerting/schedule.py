"""Who is on call: layers of rotations in a zone of their own, overrides on top, and a fallback below.

Turns are counted in local time, so that a handoff at nine stays at nine when the clocks change.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from icalendar import Calendar, Event
from sqlalchemy import insert, select

from watchkeeper.config import LayerConfig, OnCallConfig, PersonConfig, ScheduleConfig
from watchkeeper.errors import NotFound
from watchkeeper.state.database import Database, from_micros, to_micros
from watchkeeper.state.schema import overrides as table
from watchkeeper.vocabulary import Window, content_key, require_utc


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """Somebody takes over a schedule for a while; beats every layer."""

    schedule: str
    person: str
    start: datetime
    end: datetime
    author: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shift:
    """Somebody is on call from `start` to `end`; `person` is None in a gap."""

    start: datetime
    end: datetime
    person: PersonConfig | None
    source: str


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


def _at(schedule: ScheduleConfig, at: datetime, overrides: Sequence[Override]) -> tuple[str | None, str, datetime]:
    """Who has a schedule at a time, by what, and until when that can be said."""
    zone = ZoneInfo(schedule.timezone)
    mine = [override for override in overrides if override.schedule == schedule.id]
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


def who_is_on_call(
    oncall: OnCallConfig, schedule_id: str, at: datetime, overrides: Sequence[Override] = ()
) -> PersonConfig | None:
    """Who has the schedule at `at` (UTC): override, else the highest layer, else the fallback; None in a gap."""
    require_utc("at", at)
    name, _, _ = _at(_schedule(oncall, schedule_id), at, overrides)
    return person(oncall, name) if name else None


def final_schedule(
    oncall: OnCallConfig, schedule_id: str, window: Window, overrides: Sequence[Override] = ()
) -> tuple[Shift, ...]:
    """The schedule as it comes out: shifts one after the other over a window, gaps included."""
    schedule = _schedule(oncall, schedule_id)
    shifts: list[Shift] = []
    at = window.start
    while at < window.end:
        name, source, until = _at(schedule, at, overrides)
        end = min(until, window.end)
        shifts.append(Shift(start=at, end=end, person=person(oncall, name) if name else None, source=source))
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


def record_override(db: Database, oncall: OnCallConfig, override: Override) -> None:
    """Keep an override.

    Raises:
        NotFound: no such schedule or person.
    """
    _schedule(oncall, override.schedule)
    person(oncall, override.person)
    row = {
        "id": content_key(override.schedule, override.person, str(override.start), str(override.end)),
        "schedule": override.schedule,
        "person": override.person,
        "start": to_micros(override.start),
        "end": to_micros(override.end),
        "author": override.author,
    }
    with db.write() as connection:
        connection.execute(insert(table).values(**row))


def stored_overrides(db: Database) -> tuple[Override, ...]:
    """Every override, oldest first; a later one beats an earlier one."""
    with db.read() as connection:
        rows = connection.execute(select(table).order_by(table.c.start)).all()
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
