"""Shifts out of an iCalendar file, as other systems export their schedules."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Any, Final
from zoneinfo import ZoneInfo

from alerting.oncall.imported import CalendarShift
from watchkeeper.errors import ConfigError
from watchkeeper.text import one_line
from watchkeeper.vocabulary import Window

LARGEST: Final = 8 << 20  # bytes
MOST: Final = 20_000  # occurrences


@dataclass(slots=True)
class ReadCalendar:
    """The shifts of a window in order, without overlaps; what was left out, a line each; and the calendar's zone."""

    shifts: list[CalendarShift] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    timezone: str = ""


def read_calendar(data: bytes, names: Mapping[str, str], window: Window) -> ReadCalendar:
    """The shifts that touch a window. `names` are texts of the calendar's titles, and whom of the rota each means.

    Raises:
        ConfigError: it is no calendar, or too large.
    """
    from icalendar import Calendar

    if len(data) > LARGEST:
        raise ConfigError(f"the file has more than {LARGEST >> 20} MiB; export fewer days")
    try:
        calendar = Calendar.from_ical(data)
        events = calendar.walk("VEVENT")
    except (ValueError, IndexError, KeyError) as error:
        raise ConfigError(f"the file is no iCalendar file: {one_line(str(error), 200)}") from error
    found = ReadCalendar(timezone=_zone(str(calendar.get("X-WR-TIMEZONE", ""))))
    moved = {(str(event.get("UID", "")), _instant(event["RECURRENCE-ID"].dt)) for event in events if _moves(event)}
    spans: list[CalendarShift] = []
    unknown: dict[str, int] = {}
    for event in events:
        title = str(event.get("SUMMARY", ""))
        person = _person(title, names)
        try:
            times = [at for at in _times(event, window, moved, found.left_out) if at[1] > window.start]
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
            found.left_out.append(f"{one_line(title, 100)!r}: {one_line(str(error), 160)}")
            continue
        if person is None and times:
            unknown[title] = unknown.get(title, 0) + len(times)
        elif person is not None:
            spans += [CalendarShift(start=start, end=end, person=person) for start, end in times]
    for title, count in unknown.items():
        found.left_out.append(f"{one_line(title, 100)!r} ({count} times) names nobody of the rota: --map 'NAME=id'")
    found.shifts = list(_one_after_the_other(sorted(spans, key=lambda one: (one.start, one.end)), found.left_out))
    return found


def _moves(event: Any) -> bool:
    return "RECURRENCE-ID" in event and isinstance(getattr(event["RECURRENCE-ID"], "dt", None), date)


def _zone(name: str) -> str:
    try:
        return ZoneInfo(name).key if name else ""
    except (ValueError, OSError, KeyError):
        return ""


def _person(title: str, names: Mapping[str, str]) -> str | None:
    """Whom a title means: of the texts that it holds, the longest."""
    held = [name for name in names if name and name.casefold() in title.casefold()]
    return names[max(held, key=len)] if held else None


def _instant(at: date) -> datetime:
    """An instant; a day begins at midnight UTC, and a time without a zone is UTC."""
    moment = at if isinstance(at, datetime) else datetime.combine(at, time())
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _times(
    event: Any, window: Window, moved: set[tuple[str, datetime]], left_out: list[str]
) -> Iterator[tuple[datetime, datetime]]:
    """When an event takes place until the window ends; repeated ones keep their local time."""
    begin = event["DTSTART"].dt
    local = begin if isinstance(begin, datetime) else datetime.combine(begin, time())
    zone, naive = local.tzinfo or UTC, local.replace(tzinfo=None)
    # As a clock on the wall shows it: a week from nine to nine is that when the clocks change, too.
    length = timedelta(days=1)
    if "DTEND" in event:
        length = _instant(event["DTEND"].dt).astimezone(zone).replace(tzinfo=None) - naive
    elif "DURATION" in event:
        length = event["DURATION"].dt
    if length <= timedelta(0):
        raise ValueError("it does not end after it begins")
    if str(event.get("STATUS", "")).upper() == "CANCELLED":
        return
    if "RDATE" in event:
        left_out.append(f"{one_line(str(event.get('SUMMARY', '')), 100)!r}: its single further dates (RDATE)")
    excluded = {_instant(each.dt) for one in _listed(event.get("EXDATE")) for each in one.dts}
    excluded |= {at for uid, at in moved if uid == str(event.get("UID", "")) and "RECURRENCE-ID" not in event}
    for at in _begins(event, naive, zone):
        start = at.replace(tzinfo=zone).astimezone(UTC)
        if start >= window.end:
            return
        if start not in excluded:
            yield start, (at + length).replace(tzinfo=zone).astimezone(UTC)


def _begins(event: Any, first: datetime, zone: tzinfo) -> Iterator[datetime]:
    """The local times at which an event begins."""
    if "RRULE" not in event:
        yield first
        return
    from dateutil.rrule import rrulestr

    rule = rrulestr(_without_zone(event["RRULE"].to_ical().decode(), zone), dtstart=first)
    for number, at in enumerate(rule):
        if number >= MOST:
            raise ValueError(f"it repeats more than {MOST} times")
        yield at


def _without_zone(rule: str, zone: tzinfo) -> str:
    """A rule whose end is a local time, as its beginning is."""
    parts = []
    for part in rule.split(";"):
        if part.startswith("UNTIL=") and part.endswith("Z"):
            until = datetime.strptime(part[6:], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).astimezone(zone)
            parts.append(f"UNTIL={until:%Y%m%dT%H%M%S}")
        else:
            parts.append(part)
    return ";".join(parts)


def _listed(value: Any) -> list[Any]:
    return [] if value is None else value if isinstance(value, list) else [value]


def _one_after_the_other(spans: list[CalendarShift], left_out: list[str]) -> Iterator[CalendarShift]:
    """Shifts that do not overlap: whoever began first stays, and what the other loses is said."""
    free_from: datetime | None = None
    for span in spans:
        start = max(span.start, free_from) if free_from else span.start
        if start > span.start:
            until = min(start, span.end)
            left_out.append(
                f"{one_line(span.person, 64)} from {span.start:%Y-%m-%d %H:%M} to {until:%Y-%m-%d %H:%M} UTC: "
                "somebody else has that time already"
            )
        if span.end > start:
            yield CalendarShift(start=start, end=span.end, person=span.person)
            free_from = span.end
