"""Turns of a rotation as instants: when each begins and ends, whatever the clocks do meanwhile.

A turn begins at a local time, so that a handoff at nine stays at nine. Each local time stands for one instant: of a
time that comes twice, the first; of a time that is skipped, the instant of the change. So instants rise with local
times, each instant belongs to exactly one turn, and a turn that lies wholly within a skipped hour has no length.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

# No zone's clock was ever set by more than a day (Samoa left out one, Alaska had one twice).
LARGEST_CHANGE: Final = timedelta(hours=26)
# Turns are not counted beyond this; the calendar of `datetime` ends at 9999.
FIRST: Final = datetime(1000, 1, 1)  # noqa: DTZ001 - a local time
LAST: Final = datetime(9000, 1, 1)  # noqa: DTZ001 - a local time


@lru_cache(maxsize=65536)
def instant(local: datetime, zone: ZoneInfo) -> datetime:
    """The instant (UTC) of a local time without a zone.

    >>> instant(datetime(2026, 10, 25, 2, 30), ZoneInfo("Europe/Berlin")).isoformat()  # comes twice
    '2026-10-25T00:30:00+00:00'
    >>> instant(datetime(2026, 3, 29, 2, 30), ZoneInfo("Europe/Berlin")).isoformat()  # is skipped
    '2026-03-29T01:00:00+00:00'
    """
    late = local.replace(tzinfo=zone).astimezone(UTC)
    if late.astimezone(zone).replace(tzinfo=None) == local:
        return late
    # Skipped: by the offset after the change it would be before it, by the offset before the change after it.
    early = local.replace(tzinfo=zone, fold=1).astimezone(UTC)
    before = early.astimezone(zone).utcoffset()
    while late - early > timedelta(microseconds=1):
        middle = early + (late - early) / 2
        if middle.astimezone(zone).utcoffset() == before:
            early = middle
        else:
            late = middle
    return late


def local_start(text: str, zone: ZoneInfo) -> datetime:
    """When a rotation begins, as a local time; one that names an offset is brought into the zone."""
    start = datetime.fromisoformat(text)
    return start.astimezone(zone).replace(tzinfo=None) if start.tzinfo else start


def turn_at(start: datetime, length: timedelta, zone: ZoneInfo, at: datetime) -> tuple[int, datetime, datetime] | None:
    """The turn that an instant `at` (UTC) belongs to: its number from 0, its begin and its end; None before the first.

    `start` is the local time of the first turn.
    """
    if at < instant(_within(start), zone):
        return None
    local = at.astimezone(zone).replace(tzinfo=None)
    # The turns that may hold it: those whose local begin is no further away than a clock can be set.
    low = max(0, (local - LARGEST_CHANGE - start) // length)
    high = max(low, (local + LARGEST_CHANGE - start) // length) + 1
    # The last turn that has begun: a turn without length is over as it begins.
    while high - low > 1:
        middle = (low + high) // 2
        if instant(_begin(start, length, middle), zone) <= at:
            low = middle
        else:
            high = middle
    return low, instant(_begin(start, length, low), zone), instant(_begin(start, length, low + 1), zone)


def _begin(start: datetime, length: timedelta, number: int) -> datetime:
    try:
        return _within(start + number * length)
    except OverflowError:
        return LAST


def _within(local: datetime) -> datetime:
    return min(max(local, FIRST), LAST)
