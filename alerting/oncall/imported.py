"""A rotation recognised in the shifts of a calendar, and what it does not explain. Pure.

Turns of usual lengths are tried, each from the first shift on. The people who have most of each turn are looked at as a
cycle, and the rotation that agrees with the calendar for the longest time is taken. What is left becomes overrides.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Final, TypeVar, get_args
from zoneinfo import ZoneInfo

from alerting.oncall.schedule import Override, Shift, final_schedule
from alerting.oncall.turns import turn_at
from watchkeeper.config import LayerConfig, OnCallConfig, ScheduleConfig
from watchkeeper.config_days import ALL_DAY, DAYS, Day
from watchkeeper.errors import ConfigError
from watchkeeper.vocabulary import Window

USUAL_HOURS: Final = (8.0, 12.0, 24.0, 48.0, 72.0, 84.0, 168.0, 336.0, 672.0)
LONGEST_CYCLE: Final = 20
# A cycle of fewer people is taken if it explains so much of the turns.
ENOUGH: Final = 0.85
# Less agreement than this is no rotation, and its overrides would be most of the schedule.
LEAST: Final = 0.6


@dataclass(frozen=True, slots=True, kw_only=True)
class CalendarShift:
    """Somebody's shift in a calendar; `person` is an id of the rota."""

    start: datetime
    end: datetime
    person: str


Span = TypeVar("Span", CalendarShift, Shift)


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """A schedule, how much of the calendar's time it has as it is there (0 to 1), and the rest of it."""

    schedule: ScheduleConfig
    agreement: float
    overrides: tuple[Override, ...]
    unmatched: tuple[str, ...]


def recognise(
    oncall: OnCallConfig, schedule_id: str, timezone: str, shifts: Sequence[CalendarShift], ahead: Window
) -> Imported:
    """The schedule behind shifts that follow each other. Overrides and the unmatched are within `ahead`.

    Raises:
        ConfigError: there is no shift, or no rotation in them.
    """
    if not shifts:
        raise ConfigError("the calendar has no shift of anybody in these days; check --days, and add --map")
    shifts = _joined(shifts)
    best = max(
        (
            (_agreement(oncall, schedule, shifts), length, schedule)
            for length, schedule in _candidates(schedule_id, timezone, shifts)
        ),
        key=lambda candidate: candidate[:2],
    )
    agreement, length, schedule = best
    if agreement < LEAST:
        raise ConfigError(
            f"no rotation was recognised: the best one, turns of {length:g} h, has {agreement:.0%} of the calendar's "
            "time; write the layers by hand"
        )
    wrong = list(_differences(oncall, schedule, shifts, ahead))
    overrides = tuple(
        Override(schedule=schedule_id, person=person, start=window.start, end=window.end)
        for window, person, _ in wrong
        if person
    )
    unmatched = tuple(
        f"from {window.start:%Y-%m-%d %H:%M} to {window.end:%Y-%m-%d %H:%M} UTC the calendar has nobody, and the "
        f"rotation {there}"
        for window, person, there in wrong
        if person is None
    )
    return Imported(schedule=schedule, agreement=agreement, overrides=overrides, unmatched=unmatched)


def _candidates(
    schedule_id: str, timezone: str, shifts: Sequence[CalendarShift]
) -> Iterator[tuple[float, ScheduleConfig]]:
    zone = ZoneInfo(timezone)
    first, hours, days = shifts[0].start.astimezone(zone).replace(tzinfo=None), *_hours(shifts, zone)
    if hours != ALL_DAY:
        first = first.replace(hour=0, minute=0, second=0, microsecond=0)
        first -= timedelta(days=first.weekday())
    lengths = {*USUAL_HOURS, _usual_length(shifts)}
    for length in sorted(lengths if hours == ALL_DAY else {each for each in lengths if each % 24 == 0}):
        people = _cycle(_turns(first, length, zone, shifts))
        layer = LayerConfig(
            people=people, start=first.isoformat(timespec="minutes"), turn_hours=length, hours=hours, days=days
        )
        yield length, ScheduleConfig(id=schedule_id, timezone=timezone, layers=(layer,))


def _joined(shifts: Sequence[CalendarShift]) -> tuple[CalendarShift, ...]:
    """Shifts of one person that follow each other without a gap, as one: calendars cut them anywhere."""
    joined: list[CalendarShift] = []
    for shift in shifts:
        if joined and (joined[-1].end, joined[-1].person) == (shift.start, shift.person):
            joined[-1] = replace(joined[-1], end=shift.end)
        else:
            joined.append(shift)
    return tuple(joined)


def _hours(shifts: Sequence[CalendarShift], zone: ZoneInfo) -> tuple[str, tuple[Day, ...]]:
    """The hours that every shift has, and the days on which they begin; all of them where shifts differ."""
    local = [(shift.start.astimezone(zone), shift.end.astimezone(zone)) for shift in shifts]
    spans = {f"{start:%H:%M}-{end:%H:%M}" for start, end in local}
    if len(spans) != 1 or any(end - start >= timedelta(days=1) for start, end in local):
        return ALL_DAY, DAYS
    (hours,) = spans
    begun = {start.weekday() for start, _ in local}
    return hours.replace("-00:00", "-24:00"), tuple(day for number, day in enumerate(get_args(Day)) if number in begun)


def _usual_length(shifts: Sequence[CalendarShift]) -> float:
    """The commonest length of a shift, in hours, to the quarter of an hour."""
    counted = Counter(max(round((shift.end - shift.start) / timedelta(minutes=15)), 1) / 4 for shift in shifts)
    return min(counted.most_common(1)[0][0], 366 * 24)


def _turns(first: datetime, length: float, zone: ZoneInfo, shifts: Sequence[CalendarShift]) -> Mapping[int, str]:
    """Who has most of each turn, by its number."""
    shares: dict[int, Counter[str]] = {}
    for shift in shifts:
        at = shift.start
        while at < shift.end:
            turn = turn_at(first, timedelta(hours=length), zone, at)
            if turn is None:
                break
            number, _, ends = turn
            until = min(ends, shift.end)
            shares.setdefault(number, Counter())[shift.person] += int((until - at).total_seconds())
            at = until
    return {number: share.most_common(1)[0][0] for number, share in shares.items()}


def _cycle(turns: Mapping[int, str]) -> tuple[str, ...]:
    """The people who take turns: the shortest cycle that explains enough, else the one that explains most."""
    best: tuple[float, tuple[str, ...]] = (0.0, (next(iter(turns.values())),))
    for length in range(1, max(1, min(LONGEST_CYCLE, len(turns) // 2)) + 1):
        places: dict[int, Counter[str]] = {}
        for number, person in turns.items():
            places.setdefault(number % length, Counter())[person] += 1
        if len(places) < length:
            continue
        people = tuple(places[place].most_common(1)[0][0] for place in range(length))
        share = sum(people[number % length] == person for number, person in turns.items()) / len(turns)
        if share >= ENOUGH:
            return people
        best = max(best, (share, people), key=lambda one: one[0])
    return best[1]


def _agreement(oncall: OnCallConfig, schedule: ScheduleConfig, shifts: Sequence[CalendarShift]) -> float:
    window = Window(start=shifts[0].start, end=max(shift.end for shift in shifts))
    wrong = sum(each.seconds for each, _, _ in _differences(oncall, schedule, shifts, window))
    return max(0.0, 1 - wrong / window.seconds)


def _differences(
    oncall: OnCallConfig, schedule: ScheduleConfig, shifts: Sequence[CalendarShift], window: Window
) -> Iterator[tuple[Window, str | None, str]]:
    """When the calendar and the schedule differ: whom the calendar has, and whom the schedule."""
    tried = oncall.model_copy(update={"schedules": (schedule,)})
    there = final_schedule(tried, schedule.id, window)
    edges = {window.start, window.end}
    ends = [at for each in shifts for at in (each.start, each.end)] + [each.start for each in there]
    edges |= {at for at in ends if window.start < at < window.end}
    last: tuple[Window, str | None, str] | None = None
    ordered, begins, changes = sorted(edges), [each.start for each in shifts], [each.start for each in there]
    for start, end in pairwise(ordered):
        shift, span = _at(shifts, begins, start), _at(there, changes, start)
        wanted, found = (shift.person if shift else None), (span.person if span else None)
        if wanted == (found.id if found else None):
            continue
        name = found.id if found else "nobody"
        if last and last[0].end == start and last[1:] == (wanted, name):
            last = (Window(start=last[0].start, end=end), wanted, name)
            continue
        if last:
            yield last
        last = (Window(start=start, end=end), wanted, name)
    if last:
        yield last


def _at(spans: Sequence[Span], begins: Sequence[datetime], at: datetime) -> Span | None:
    """Which of the spans, in order and without overlaps, an instant is in."""
    number = bisect_right(begins, at) - 1
    return spans[number] if number >= 0 and at < spans[number].end else None
