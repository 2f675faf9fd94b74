"""The rota that a configuration holds, worked out ahead as it will be when somebody must be paged."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final

from alerting.oncall.escalation import whom
from alerting.oncall.schedule import final_schedule, gaps
from watchkeeper.config import ReadConfig
from watchkeeper.errors import WatchkeeperError
from watchkeeper.vocabulary import Window

ROTA_DAYS: Final = 60  # worked out ahead: as far as the calendar feeds show it


def rota_mistakes(file: ReadConfig) -> Iterator[str]:
    """Each schedule is worked out for the weeks to come, and each step of the escalation for now."""
    oncall, now = file.config.oncall, datetime.now(UTC)
    rounds: dict[tuple[str | int, ...], Callable[[], object]] = {}
    for number, schedule in enumerate(oncall.schedules):
        rounds["oncall", "schedules", number] = partial(final_schedule, oncall, schedule.id, _ahead(now))
    for number in range(len(oncall.escalation)):
        rounds["oncall", "escalation", number] = partial(whom, oncall, number, now, ())
    for where, work_out in rounds.items():
        try:
            work_out()
        except (ArithmeticError, LookupError, TypeError, ValueError, WatchkeeperError) as error:
            yield f"{file.where(*where)}: cannot be worked out: {error}"


def _ahead(now: datetime) -> Window:
    return Window(start=now, end=now + timedelta(days=ROTA_DAYS))


def rota_gaps(file: ReadConfig) -> Iterator[str]:
    """The first time at which each schedule has nobody on call."""
    oncall = file.config.oncall
    for number, schedule in enumerate(oncall.schedules):
        shifts = gaps(oncall, schedule.id, _ahead(datetime.now(UTC)))
        first = next((shift.start for shift in shifts if shift.source == "gap"), None)
        if first:
            then = f"then {oncall.people[0].name} is paged. Set a fallback."
            where = file.where("oncall", "schedules", number)
            yield f"{where}: nobody is on call from {first:%Y-%m-%d %H:%M} UTC; {then}"
