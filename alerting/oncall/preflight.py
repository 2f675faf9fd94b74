"""The rota that a configuration holds, worked out ahead as it will be when somebody must be paged."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final

from alerting.oncall.chain import default_chain, policy_chain, whom
from alerting.oncall.coverage import warnings
from alerting.oncall.schedule import final_schedule
from watchkeeper.config import OnCallConfig, PolicyConfig, ReadConfig
from watchkeeper.errors import WatchkeeperError
from watchkeeper.vocabulary import Window

ROTA_DAYS: Final = 60  # worked out ahead: as far as the calendar feeds show it


def rota_mistakes(file: ReadConfig) -> Iterator[str]:
    """Each schedule is worked out for the weeks to come, and each step of the escalation for now."""
    oncall, now = file.config.oncall, datetime.now(UTC)
    rounds: dict[tuple[str | int, ...], Callable[[], object]] = {}
    for number, schedule in enumerate(oncall.schedules):
        rounds["oncall", "schedules", number] = partial(final_schedule, oncall, schedule.id, _ahead(now))
    for number, step in enumerate(default_chain(oncall).steps if oncall.escalation else ()):
        rounds["oncall", "escalation", number] = partial(whom, oncall, step, now, ())
    for number, policy in enumerate(oncall.policies):
        rounds["oncall", "policies", number] = partial(_all_called, oncall, policy, now)
    for where, work_out in rounds.items():
        try:
            work_out()
        except (ArithmeticError, LookupError, TypeError, ValueError, WatchkeeperError) as error:
            yield f"{file.where(*where)}: cannot be worked out: {error}"


def _all_called(oncall: OnCallConfig, policy: PolicyConfig, now: datetime) -> None:
    for step in policy_chain(policy).steps:
        whom(oncall, step, now, ())


def _ahead(now: datetime) -> Window:
    return Window(start=now, end=now + timedelta(days=ROTA_DAYS))


def rota_notes(file: ReadConfig) -> Iterator[str]:
    """What each schedule leaves open, and whom it has on call twice, as far as the configuration alone says."""
    oncall, window = file.config.oncall, _ahead(datetime.now(UTC))
    for number, schedule in enumerate(oncall.schedules):
        where = file.where("oncall", "schedules", number)
        yield from (f"{where}: {warning}" for warning in warnings(oncall, schedule.id, window))
