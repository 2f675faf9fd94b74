"""Who holds each schedule now, and until when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from alerting.oncall.schedule import Shift, final_schedule
from dashboard.reads.sources import Sources
from watchkeeper.vocabulary import Window

HORIZON = timedelta(days=14)


@dataclass(frozen=True, slots=True, kw_only=True)
class Duty:
    """One schedule's present holder; `until` is None where it does not end within the horizon."""

    schedule: str
    name: str
    source: str
    until: datetime | None


def shifts(sources: Sources, schedule_id: str, window: Window) -> Sequence[Shift]:
    """The final schedule: rotations, overrides and fallback, neighbours of the same kind joined."""
    overrides = sources.records.overrides()
    joined: list[Shift] = []
    for shift in final_schedule(sources.config.oncall, schedule_id, window, overrides):
        last = joined[-1] if joined else None
        if last and last.person == shift.person and last.source == shift.source:
            joined[-1] = Shift(start=last.start, end=shift.end, person=last.person, source=last.source)
        else:
            joined.append(shift)
    return joined


def on_duty(sources: Sources, now: datetime) -> Sequence[Duty]:
    """One entry for each schedule, in the order of the configuration."""
    window = Window(start=now, end=now + HORIZON)
    duties = []
    for schedule in sources.config.oncall.schedules:
        first = shifts(sources, schedule.id, window)[0]
        until = first.end if first.end < window.end else None
        name = first.person.name if first.person else "nobody"
        duties.append(Duty(schedule=schedule.id, name=name, source=first.source, until=until))
    return duties
