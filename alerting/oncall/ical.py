"""The final schedule as an iCalendar file: what is paged is what calendars show."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final

from alerting.oncall.layers import layer_at
from alerting.oncall.schedule import Cover, Override, cover_at, person, schedule_of
from alerting.oncall.versions import Part
from watchkeeper.config import OnCallConfig, PersonConfig
from watchkeeper.text import seen_name
from watchkeeper.vocabulary import Window, content_key

# What a calendar's feed holds: the week that somebody looks back at, and the holidays that they plan.
FEED_BACK: Final = timedelta(days=7)
FEED_AHEAD: Final = timedelta(days=60)
WEEK: Final = timedelta(days=7)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    """One entry of a calendar: a turn, an override or a week of the fallback, or what others leave of it."""

    uid: str
    start: datetime
    end: datetime
    person: PersonConfig
    summary: str


def _entries(
    oncall: OnCallConfig, schedule_id: str, window: Window, overrides: Sequence[Override]
) -> tuple[_Entry, ...]:
    """The entries that touch a window, each complete: what an entry is does not depend on when it is asked for.

    Calendars know an entry again by its `uid`; so it comes from the turn or override and the entry's own begin.
    """
    schedule = schedule_of(oncall, schedule_id)
    # From where whatever covers the window's begin begins by itself: all that follows is then seen complete.
    at = min(_week_of(window.start), cover_at(oncall, schedule, window.start, overrides).begins)
    pieces: list[tuple[Cover, datetime, datetime]] = []
    while at < window.end:
        cover = cover_at(oncall, schedule, at, overrides)
        # The fallback has no turns: a week each, so that an entry of its has a begin and an end.
        has_turns = cover.source in ("override", "rotation")
        end = cover.until if has_turns else min(cover.until, _week_of(at) + WEEK)
        if pieces and has_turns and pieces[-1][0].origin == cover.origin:
            pieces[-1] = (pieces[-1][0], pieces[-1][1], end)
        else:
            pieces.append((cover, at, end))
        at = end
    return tuple(
        _Entry(
            uid=content_key(schedule_id, cover.person, cover.origin, start.isoformat()) + "@watchkeeper",
            start=start,
            end=end,
            person=(who := person(oncall, cover.person)),
            summary=f"{seen_name(who.name)} is on call ({seen_name(schedule_id)})",
        )
        for cover, start, end in pieces
        if cover.person and end > window.start
    )


def _week_of(at: datetime) -> datetime:
    """The Monday, midnight UTC, at or before an instant."""
    midnight = at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return midnight - timedelta(days=midnight.weekday())


def _shadow_entries(oncall: OnCallConfig, schedule_id: str, who: PersonConfig, window: Window) -> Iterator[_Entry]:
    """When somebody shadows a schedule: the parts of their turns that touch a window."""
    schedule = schedule_of(oncall, schedule_id)
    for number, layer in enumerate(schedule.shadows):
        at = min(_week_of(window.start), layer_at(layer, schedule.timezone, window.start).begins)
        pieces: list[tuple[datetime, datetime, int]] = []
        while at < window.end:
            shift = layer_at(layer, schedule.timezone, at)
            if shift.person == who.id:
                if pieces and pieces[-1][1:] == (at, shift.turn):
                    pieces[-1] = (pieces[-1][0], shift.until, shift.turn)
                else:
                    pieces.append((at, shift.until, shift.turn))
            at = shift.until
        for start, end, turn in pieces:
            if end > window.start:
                key = content_key(schedule_id, who.id, f"shadow {number} turn {turn}", start.isoformat())
                summary = f"{seen_name(who.name)} shadows ({seen_name(schedule_id)})"
                yield _Entry(uid=f"{key}@watchkeeper", start=start, end=end, person=who, summary=summary)


def to_ical(
    oncall: OnCallConfig, schedule_id: str, window: Window, overrides: Sequence[Override] = (), *, now: datetime
) -> bytes:
    """The final schedule as an iCalendar file, written at `now` (UTC)."""
    entries = _entries(oncall, schedule_id, window, overrides)
    return _file(f"On call: {seen_name(schedule_id)}", entries, now)


def _file(name: str, entries: Sequence[_Entry], now: datetime) -> bytes:
    from icalendar import Calendar, Event  # which every role and command about incidents would else load

    calendar = Calendar()
    calendar.add("prodid", "-//Watchkeeper//On call//EN")
    calendar.add("version", "2.0")
    calendar.add("x-wr-calname", name)
    for each in entries:
        entry = Event()
        entry.add("uid", each.uid)
        entry.add("summary", each.summary)
        entry.add("dtstart", each.start)
        entry.add("dtend", each.end)
        entry.add("dtstamp", now)
        calendar.add_component(entry)
    return bytes(calendar.to_ical())


def feed_window(now: datetime) -> Window:
    """What a feed holds: from last week to two months ahead."""
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    return Window(start=midnight - FEED_BACK, end=midnight + FEED_AHEAD)


def entries_over(parts: Sequence[Part], schedule_id: str, overrides: Sequence[Override]) -> tuple[_Entry, ...]:
    """The entries of spans of time that follow each other, each by the rota of its time.

    An entry that goes on after an edit is still one entry; one that an edit ends, or begins, is cut there.
    """
    entries: dict[str, _Entry] = {}
    for number, part in enumerate(parts):
        if all(schedule.id != schedule_id for schedule in part.oncall.schedules):
            continue
        for entry in _entries(part.oncall, schedule_id, part.window, overrides):
            start = entry.start if number == 0 else max(entry.start, part.window.start)
            end = entry.end if number == len(parts) - 1 else min(entry.end, part.window.end)
            known = entries.get(entry.uid)
            if known and known.end == start:
                entries[entry.uid] = replace(known, end=end)
            elif known:
                uid = f"{content_key(entry.uid, start.isoformat())}@watchkeeper"
                entries[uid] = replace(entry, uid=uid, start=start, end=end)
            else:
                entries[entry.uid] = replace(entry, start=start, end=end)
    return tuple(sorted(entries.values(), key=lambda each: (each.start, each.uid)))


def schedule_feed(parts: Sequence[Part], schedule_id: str, overrides: Sequence[Override], now: datetime) -> bytes:
    """A schedule for calendars that subscribe. `parts` are those of `feed_window`.

    Raises:
        NotFound: no such schedule.
    """
    schedule_of(parts[-1].oncall, schedule_id)
    return _file(f"On call: {seen_name(schedule_id)}", entries_over(parts, schedule_id, overrides), now)


def person_feed(parts: Sequence[Part], person_id: str, overrides: Sequence[Override], now: datetime) -> bytes:
    """One person's shifts in every schedule, and those that they shadow, for calendars that subscribe.

    Raises:
        NotFound: nobody of that id is configured.
    """
    oncall = parts[-1].oncall
    who = person(oncall, person_id)
    entries: list[_Entry] = []
    for name in dict.fromkeys(schedule.id for part in parts for schedule in part.oncall.schedules):
        entries += [each for each in entries_over(parts, name, overrides) if each.person.id == person_id]
    window = Window(start=parts[0].window.start, end=parts[-1].window.end)
    for schedule in oncall.schedules:
        entries += _shadow_entries(oncall, schedule.id, who, window)
    return _file(f"On call: {seen_name(who.name)}", sorted(entries, key=lambda each: (each.start, each.uid)), now)
