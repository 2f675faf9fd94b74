"""What the configuration says of on call: schedules, who is paged when nobody answers, and the daily digest."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import Field, model_validator

from watchkeeper.config_checks import oncall_mistakes, refuse
from watchkeeper.config_days import ALL_DAY, DAYS, Dates, Day, DutyHours
from watchkeeper.config_sections import PersonConfig, Section
from watchkeeper.config_values import Delay, Id, LocalTime, Zone


class LayerConfig(Section):
    """A rotation: `people` take turns of `turn_hours`, from `start` until `end`, in `timezone` or the schedule's.

    It is on call during `hours` that begin on one of `days` and on none of the dates of `holidays`. Turns pass
    meanwhile, whether or not it is on call.
    """

    people: Annotated[tuple[str, ...], Field(min_length=1)]
    start: LocalTime = "2025-01-06T09:00"
    end: LocalTime | None = None
    turn_hours: Annotated[float, Field(ge=1 / 60, le=366 * 24, allow_inf_nan=False)] = 168
    timezone: Zone | None = None
    hours: DutyHours = ALL_DAY
    days: Annotated[tuple[Day, ...], Field(min_length=1)] = DAYS
    holidays: Dates = ()

    @model_validator(mode="after")
    def _ends_after_it_starts(self) -> LayerConfig:
        if self.end and datetime.fromisoformat(self.end) <= datetime.fromisoformat(self.start):
            raise ValueError(f"ends at {self.end}, not after its start {self.start}; correct one")
        return self


class ScheduleConfig(Section):
    """Layers from lowest to highest: a later layer covers the ones before it.

    `shadows` are rotations of people who learn: they are named in pages and calendars, and never paged.
    """

    id: Id
    timezone: Zone = "UTC"
    layers: Annotated[tuple[LayerConfig, ...], Field(min_length=1)]
    shadows: tuple[LayerConfig, ...] = ()
    fallback: str | None = None


class EscalationStep(Section):
    """After `after_s` without an ack, page `notify` (a schedule's or a person's id)."""

    after_s: Delay
    notify: str


class DigestConfig(Section):
    """The daily digest of open tickets: at `hour`, in `timezone` or in the first schedule's."""

    enabled: bool = True
    hour: Annotated[int, Field(ge=0, le=23)] = 9
    timezone: Zone | None = None


class OnCallConfig(Section):
    """People, schedules, who is paged when nobody acknowledges, and when tickets are listed."""

    people: Annotated[tuple[PersonConfig, ...], Field(min_length=1)] = (
        PersonConfig(id="oncall", name="On call", addresses={"slack": "U0ONCALL"}),
    )
    schedules: tuple[ScheduleConfig, ...] = (
        ScheduleConfig(id="primary", layers=(LayerConfig(people=("oncall",)),), fallback="oncall"),
    )
    escalation: tuple[EscalationStep, ...] = (
        EscalationStep(after_s=0, notify="primary"),
        EscalationStep(after_s=300, notify="primary"),
        EscalationStep(after_s=900, notify="primary"),
    )
    digest: DigestConfig = DigestConfig()

    @model_validator(mode="after")
    def _holds_together(self) -> OnCallConfig:
        refuse("oncall", oncall_mistakes(self))
        return self
