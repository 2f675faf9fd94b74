"""How on call falls on people: hours, nights, weekends and pages, and how evenly.

Nights and weekends are each person's own, in their time zone. The index of fairness is Jain's: the square of the sum,
divided by the number of people and the sum of squares; 1 is even, 1/n is one person alone (R. Jain, D. Chiu, W. Hawe,
"A quantitative measure of fairness", DEC-TR-301, 1984).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from sqlalchemy import select

from alerting.incidents.machine import Event
from alerting.oncall.escalation import PAGES
from alerting.oncall.schedule import Override, final_schedule
from alerting.oncall.turns import instant
from alerting.oncall.versions import Part
from watchkeeper.config import PersonConfig
from watchkeeper.state.codec import parse
from watchkeeper.state.database import Database, to_micros
from watchkeeper.state.schema import incident_events
from watchkeeper.vocabulary import CANARY, Window

NIGHT_BEGINS: Final = time(22)
NIGHT_ENDS: Final = time(7)
SATURDAY: Final = 5
MEASURES: Final = ("hours", "night_hours", "weekend_hours", "pages", "night_pages", "weekend_pages")
Span = tuple[datetime, datetime]


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """One person's share of on call; hours that two schedules share count once."""

    person: str
    hours: float
    night_hours: float
    weekend_hours: float
    pages: int
    night_pages: int
    weekend_pages: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Somebody was paged."""

    at: datetime
    person: str


def fairness(values: Sequence[float]) -> float:
    """Jain's index of some people's shares: 0 to 1, higher is more even; 1 where there is nothing to share.

    >>> fairness([4, 4, 4, 4]), fairness([8, 0]), fairness([])
    (1.0, 0.5, 1.0)
    """
    squares = sum(value * value for value in values)
    return sum(values) ** 2 / (len(values) * squares) if squares else 1.0


def loads(
    parts: Sequence[Part], window: Window, overrides: Sequence[Override], pages: Sequence[Page]
) -> tuple[Load, ...]:
    """The share of everybody who is in a rotation, or was on call or paged, in the order of the configuration.

    `parts` are the window's, with the rota of each; people are as the last one has them.
    """
    people = {each.id: each for part in parts for each in part.oncall.people}
    spans: dict[str, list[Span]] = {name: [] for name in people}
    rotating: set[str] = set()
    for part in parts:
        for schedule in part.oncall.schedules:
            rotating |= {name for layer in schedule.layers for name in layer.people}
            for shift in final_schedule(part.oncall, schedule.id, part.window, overrides):
                if shift.person and shift.source != "fallback":
                    spans[shift.person.id].append((shift.start, shift.end))
    counted = (_load(each, spans[each.id], window, pages) for each in people.values())
    return tuple(load for load in counted if load.person in rotating or load.hours or load.pages)


def _load(who: PersonConfig, spans: Sequence[Span], window: Window, pages: Sequence[Page]) -> Load:
    nights, weekends = list(_nights(who, window)), list(_weekends(who, window))
    shifts = _merged(spans)
    own = [page.at for page in pages if page.person == who.id and window.start <= page.at < window.end]
    return Load(
        person=who.id,
        hours=_hours(shifts),
        night_hours=_hours(_both(shifts, nights)),
        weekend_hours=_hours(_both(shifts, weekends)),
        pages=len(own),
        night_pages=sum(_within(at, nights) for at in own),
        weekend_pages=sum(_within(at, weekends) for at in own),
    )


def _nights(who: PersonConfig, window: Window) -> Iterator[Span]:
    zone = ZoneInfo(who.timezone)
    for day in _days(window, zone):
        begin, end = datetime.combine(day, NIGHT_BEGINS), datetime.combine(day + timedelta(days=1), NIGHT_ENDS)
        yield instant(begin, zone), instant(end, zone)


def _weekends(who: PersonConfig, window: Window) -> Iterator[Span]:
    zone = ZoneInfo(who.timezone)
    for day in _days(window, zone):
        if day.weekday() == SATURDAY:
            yield instant(day, zone), instant(day + timedelta(days=2), zone)


def _days(window: Window, zone: ZoneInfo) -> Iterator[datetime]:
    """The midnights, in local time, of the days that touch a window and of two before it."""
    day = datetime.combine(window.start.astimezone(zone).date(), time()) - timedelta(days=2)
    last = datetime.combine(window.end.astimezone(zone).date(), time())
    while day <= last:
        yield day
        day += timedelta(days=1)


def _merged(spans: Sequence[Span]) -> list[Span]:
    merged: list[Span] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((start, end))
    return merged


def _both(spans: Sequence[Span], others: Sequence[Span]) -> Iterator[Span]:
    for start, end in spans:
        for other_start, other_end in others:
            if start < other_end and other_start < end:
                yield max(start, other_start), min(end, other_end)


def _hours(spans: Sequence[Span] | Iterator[Span]) -> float:
    return sum((end - start) / timedelta(hours=1) for start, end in spans)


def _within(at: datetime, spans: Sequence[Span]) -> bool:
    return any(start <= at < end for start, end in spans)


def pages_between(db: Database, window: Window) -> tuple[Page, ...]:
    """Everybody who was paged in a window, once for each page, in the order of time.

    What reminds an acker of an acknowledgement that timed out does not count.
    """
    times = (incident_events.c.at >= to_micros(window.start)) & (incident_events.c.at < to_micros(window.end))
    query = select(incident_events.c.body).where(times, incident_events.c.type.in_(sorted(PAGES)))
    with db.read() as connection:
        bodies = list(connection.scalars(query.order_by(incident_events.c.at)))
    events = (parse(Event, body) for body in bodies)
    people = ((event.at, name) for event in events for name in (event.person, *event.also))
    return tuple(Page(at=at, person=name) for at, name in people if name != CANARY)
