"""Who holds each schedule now, and until when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from alerting.oncall.schedule import Shift
from alerting.oncall.versions import parts_of, shifts_over
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


def shifts(sources: Sources, schedule_id: str, window: Window, now: datetime) -> Sequence[Shift]:
    """The final schedule as it was until `now`, and as it will be: neighbours of the same kind joined."""
    parts = parts_of(sources.records.rotas(), sources.config.oncall, window, now)
    return shifts_over(parts, schedule_id, sources.records.overrides())


def on_duty(sources: Sources, now: datetime) -> Sequence[Duty]:
    """One entry for each schedule, in the order of the configuration."""
    window = Window(start=now, end=now + HORIZON)
    duties = []
    for schedule in sources.config.oncall.schedules:
        first = shifts(sources, schedule.id, window, now)[0]
        until = first.end if first.end < window.end else None
        name = first.person.name if first.person else "nobody"
        duties.append(Duty(schedule=schedule.id, name=name, source=first.source, until=until))
    return duties
