"""What the configuration says of experiments: which run by themselves, when, and who approves."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Any, Final

from pydantic import AfterValidator, Field, model_validator

from watchkeeper.config_checks import refuse, repeated
from watchkeeper.config_days import ALL_DAY, DAYS, Dates, Day, OfficeHours
from watchkeeper.config_sections import Section
from watchkeeper.config_values import FilePath, Id, Zone

_OF_CRON: Final = ("sun", "mon", "tue", "wed", "thu", "fri", "sat", "sun")  # by cron's numbers, 7 included
_PART: Final = re.compile(r"(\*|\d|[a-z]{3})(?:-(\d|[a-z]{3}))?(?:/(\d))?")


def cron_trigger(cron: str, timezone: str) -> Any:
    """The times of a cron expression: minute, hour, day of the month, month, day of the week (0 and 7 are Sunday).

    Raises:
        ValueError: it is none.
    """
    from apscheduler.triggers.cron import CronTrigger

    fields = cron.split()
    if len(fields) != 5:
        raise ValueError("a cron expression has five fields: minute, hour, day, month and day of the week")
    # The library counts weekdays from Monday; cron does from Sunday. Names mean the same to both.
    return CronTrigger.from_crontab(" ".join((*fields[:4], _weekdays(fields[4].lower()))), timezone=timezone)


def _weekdays(field: str) -> str:
    """The field of weekdays as a list of names."""
    if field == "*":
        return field
    numbers: set[int] = set()
    for part in field.split(","):
        match = _PART.fullmatch(part)
        if match is None:
            raise ValueError(f"{part!r} is no day of the week; write 1-5, or mon-fri")
        first, last, step = match.groups()
        low, high = (0, 6) if first == "*" else (_weekday(first), _weekday(last or first))
        if last in ("0", "sun") and low > 0:
            high = 7
        if low > high:
            raise ValueError(f"{part!r} begins after its end; write it as two, such as fri-sat,sun")
        if first != "*" and last is None and step:
            high = 6
        numbers.update(range(low, high + 1, int(step or 1)))
    return ",".join(dict.fromkeys(_OF_CRON[number] for number in sorted(numbers)))


def _weekday(text: str) -> int:
    if text.isdigit() and int(text) < len(_OF_CRON):
        return int(text)
    if text in _OF_CRON:
        return _OF_CRON.index(text)
    raise ValueError(f"{text!r} is no day of the week; write mon to sun, or 0 to 7")


def _cron(text: str) -> str:
    cron_trigger(text, "UTC")
    return text


class ApprovalConfig(Section):
    """How many of which people approve a run; an approval stands for `stands_hours`.

    They are asked `ask_hours` before its time; by default, half as long as an approval stands.
    """

    by: Annotated[tuple[Id, ...], Field(min_length=1)]
    count: Annotated[int, Field(ge=1, le=20)] = 1
    stands_hours: Annotated[float, Field(gt=0, le=720, allow_inf_nan=False)] = 24
    ask_hours: Annotated[float, Field(ge=0, le=720, allow_inf_nan=False)] | None = None

    @property
    def asked_before(self) -> timedelta:
        """How long before its time people are asked."""
        return timedelta(hours=self.stands_hours / 2 if self.ask_hours is None else self.ask_hours)

    @model_validator(mode="after")
    def _can_be_given(self) -> ApprovalConfig:
        if self.count > len(set(self.by)):
            raise ValueError(
                f"asks for {self.count} approvals by {len(set(self.by))} people; name more, or ask for fewer"
            )
        if self.ask_hours is not None and self.ask_hours > self.stands_hours:
            raise ValueError(
                f"asks {self.ask_hours:g} hours before a run, and an approval stands for {self.stands_hours:g}: "
                "it could be over before; raise stands_hours, or lower ask_hours"
            )
        return self


class ScheduleRule(Section):
    """When an experiment runs by itself.

    At the times of `cron` in `timezone`, within `hours` on `days` and on no day of `blackout`; at most `late_minutes`
    after its time.
    """

    cron: Annotated[str, AfterValidator(_cron)]
    timezone: Zone = "UTC"
    hours: OfficeHours = ALL_DAY
    days: Annotated[tuple[Day, ...], Field(min_length=1)] = DAYS
    blackout: Dates = ()
    late_minutes: Annotated[float, Field(ge=1, le=1440, allow_inf_nan=False)] = 30
    approval: ApprovalConfig | None = None
    game_day: bool = False


class ScheduledExperimentConfig(ScheduleRule):
    """An experiment that runs by itself: a file, or the name of one in `chaos.folder`, and when."""

    id: Id
    file: FilePath | None = None
    experiment: Id | None = None

    @model_validator(mode="after")
    def _names_one(self) -> ScheduledExperimentConfig:
        if (self.file is None) == (self.experiment is None):
            raise ValueError("name the experiment once: by its file, or by its name in chaos.folder as `experiment`")
        return self


class ChaosConfig(Section):
    """Experiments: those that run by themselves, and a folder of files that may have a schedule of their own."""

    folder: FilePath | None = None
    experiments: tuple[ScheduledExperimentConfig, ...] = ()

    @model_validator(mode="after")
    def _holds_together(self) -> ChaosConfig:
        named = next((each.id for each in self.experiments if each.experiment), None)
        if named and self.folder is None:
            raise ValueError(f"the experiment {named} is named by its name in chaos.folder, which is not set")
        refuse("chaos", repeated([each.id for each in self.experiments], ("experiments",), "id", "the id"))
        return self
