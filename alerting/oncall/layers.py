"""Who a layer of a schedule has on call: the turn of its rotation, within its hours, days and dates.

A layer's hours begin and end at local times, and each local time stands for one instant (`alerting.oncall.turns`). So
the hours of one day never overlap those of the next, whatever the clocks do between them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from alerting.oncall.turns import instant, local_start, turn_at
from watchkeeper.config import LayerConfig
from watchkeeper.config_days import ALL_DAY, DAYS, duty_hours, is_in

# Nothing is claimed about a schedule further ahead than this in one step.
FURTHEST: Final = timedelta(days=400)
# Days before an instant whose hours may still last: those of a night, and a clock that was set by a day.
BACK: Final = 3
# Days ahead among which hours are looked for in one step; longer holidays take several.
AHEAD: Final = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerShift:
    """Whom a layer has on call; None: nobody. It is certain until `until`.

    `begins` is when the turn numbered `turn` begins, whether or not the layer is on call then.
    """

    person: str | None
    turn: int
    begins: datetime
    until: datetime


def layer_at(layer: LayerConfig, timezone: str, at: datetime) -> LayerShift:
    """Whom a layer has on call at `at` (UTC). `timezone` is the schedule's, for layers without their own."""
    zone = ZoneInfo(layer.timezone or timezone)
    start = local_start(layer.start, zone)
    turn = turn_at(start, timedelta(hours=layer.turn_hours), zone, at) if layer.people else None
    if turn is None:
        begins = instant(start, zone)
        until = begins if layer.people and begins > at else at + FURTHEST
        return LayerShift(person=None, turn=0, begins=at, until=until)
    number, begins, until = turn
    if layer.end is not None:
        ends = instant(local_start(layer.end, zone), zone)
        if ends <= at:
            return LayerShift(person=None, turn=number, begins=begins, until=at + FURTHEST)
        until = min(until, ends)
    on_duty, certain = _hours_at(layer, zone, at)
    person = layer.people[number % len(layer.people)] if on_duty else None
    return LayerShift(person=person, turn=number, begins=begins, until=min(until, certain))


def _hours_at(layer: LayerConfig, zone: ZoneInfo, at: datetime) -> tuple[bool, datetime]:
    """Whether an instant is in a layer's hours, and until when that is certain."""
    if layer.hours == ALL_DAY and set(layer.days) == set(DAYS) and not layer.holidays:
        return True, at + FURTHEST
    first, last = duty_hours(layer.hours)
    today = at.astimezone(zone).date()
    for number in range(-BACK, AHEAD + 1):
        day = today + timedelta(days=number)
        if DAYS[day.weekday()] not in layer.days or is_in(day, layer.holidays):
            continue
        midnight = datetime.combine(day, time())
        begin, end = (instant(midnight + timedelta(minutes=minutes), zone) for minutes in (first, last))
        if at < begin:
            return False, begin
        if at < end:
            return True, end
    return False, instant(datetime.combine(today + timedelta(days=AHEAD), time()), zone)
