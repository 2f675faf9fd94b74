"""Times as people write them in a chat: `18:00`, `tomorrow 9:00`, `monday`, `2026-03-02`, `2026-03-02T18:00`."""

from __future__ import annotations

import re
from datetime import UTC, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from watchkeeper.durations import seconds_of
from watchkeeper.errors import ConfigError
from watchkeeper.text import one_line

DAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
MORNING: Final = time(9)  # a day without a time: when most people begin
FORMS: Final = "write it like 18:00, tomorrow 9:00, monday, or 2026-03-02T18:00"
_CLOCK: Final = re.compile(r"(\d{1,2}):(\d{2})")
_YEARS: Final = range(2000, 2201)


def moment_of(text: str, now: datetime, zone: ZoneInfo) -> datetime:
    """The time that somebody in `zone` means, in UTC. What names no day is the next such time after `now`.

    Raises:
        ConfigError: it is no time; says how to write one.

    >>> now = datetime(2026, 3, 2, 12, tzinfo=UTC)  # a Monday
    >>> [f"{moment_of(text, now, ZoneInfo('UTC')):%a %d %H:%M}" for text in ("18:00", "9:00", "tomorrow", "mon 8:30")]
    ['Mon 02 18:00', 'Tue 03 09:00', 'Tue 03 09:00', 'Mon 09 08:30']
    """
    plain = " ".join(text.split()).casefold()
    local = now.astimezone(zone)
    head, _, rest = plain.partition(" ")
    if (clock := _clock(plain)) is not None:
        at = datetime.combine(local.date(), clock, zone)
        return _utc(at if at.astimezone(UTC) > now else datetime.combine(local.date() + timedelta(days=1), clock, zone))
    if head in ("today", "tomorrow"):
        day = local.date() + timedelta(days=head == "tomorrow")
        return _utc(datetime.combine(day, _clock_or(rest, text), zone))
    if (number := _weekday(head)) is not None:
        clock = _clock_or(rest, text)
        at = datetime.combine(local.date() + timedelta(days=(number - local.weekday()) % 7), clock, zone)
        return _utc(at if at.astimezone(UTC) > now else at + timedelta(days=7))
    return _iso(plain, text, zone)


def span_of(text: str) -> timedelta:
    """A span as somebody types it.

    Raises:
        ConfigError: it is none; says how to write one.
    """
    try:
        return timedelta(seconds=seconds_of(text))
    except ValueError as error:
        raise ConfigError(str(error)) from error


def _clock(text: str) -> time | None:
    match = _CLOCK.fullmatch(text)
    if match is None or int(match[1]) > 23 or int(match[2]) > 59:
        return None
    return time(int(match[1]), int(match[2]))


def _clock_or(rest: str, text: str) -> time:
    """The time of a day, or the morning where none is given."""
    clock = _clock(rest) if rest else MORNING
    if clock is None:
        raise _no_time(text)
    return clock


def _weekday(word: str) -> int | None:
    near = [number for number, day in enumerate(DAYS) if len(word) >= 3 and day.startswith(word)]
    return near[0] if len(near) == 1 else None


def _iso(plain: str, text: str, zone: ZoneInfo) -> datetime:
    try:
        at = datetime.fromisoformat(plain.upper())
    except ValueError as error:
        raise _no_time(text) from error
    if at.year not in _YEARS:
        raise _no_time(text)
    if at.time() == time() and "t" not in plain and ":" not in plain:
        at = datetime.combine(at.date(), MORNING)
    return _utc(at.replace(tzinfo=zone) if at.tzinfo is None else at)


def _utc(at: datetime) -> datetime:
    return at.astimezone(UTC)


def _no_time(text: str) -> ConfigError:
    return ConfigError(f"{one_line(text, 60)!r} is no time; {FORMS}")
