"""What the configuration says of on call: schedules, who is paged when nobody answers, and the daily digest."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Final, Literal, get_args

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from watchkeeper.config_checks import oncall_mistakes, refuse
from watchkeeper.config_days import ALL_DAY, DAYS, Dates, Day, DutyHours
from watchkeeper.config_sections import PersonConfig, Section
from watchkeeper.config_values import Delay, Id, LocalTime, Mailbox, Seconds, Text, Zone, slack_channel
from watchkeeper.vocabulary import FindingKind, Level


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


def _listed(given: object) -> object:
    return (given,) if isinstance(given, str) else given


# One id, or a list of them.
Names = Annotated[tuple[str, ...], Field(min_length=1), BeforeValidator(_listed)]


class EscalationStep(Section):
    """After `after_s` without an ack, page `notify`: ids of schedules and people.

    Of several, each is paged; with `round_robin`, one: with every incident the next.
    """

    after_s: Delay
    notify: Names
    round_robin: bool = False

    @model_validator(mode="after")
    def _takes_turns_among_several(self) -> EscalationStep:
        if self.round_robin and len(self.notify) < 2:
            raise ValueError("round_robin needs a list of at least two ids in notify; add one, or remove it")
        return self


class PolicyConfig(Section):
    """An escalation of its own for the incidents that fit all of `services`, `teams`, `labels` and `severities`.

    `services` may hold wildcards (`pay-*`), `teams` are names in `oncall.teams`, `labels` are those of an alert. After
    the last step there are `timeout_s` to answer. Then the steps begin again, `repeat` times; then `fallback` is paged.
    """

    id: Id
    services: tuple[Text, ...] = ()
    teams: tuple[Text, ...] = ()
    labels: dict[Text, Text] = {}  # noqa: RUF012 - pydantic copies it
    severities: tuple[Level, ...] = ()
    steps: Annotated[tuple[EscalationStep, ...], Field(min_length=1)]
    repeat: Annotated[int, Field(ge=0, le=100)] = 0
    timeout_s: Seconds = 900
    fallback: Annotated[tuple[str, ...], BeforeValidator(_listed)] = ()


class SeverityRule(Section):
    """The severity of findings that fit all of `services`, `teams`, `labels` and `users_feel`.

    `users_feel` is about requests: true for errors, latency, silence and budgets, false for everything else.
    """

    severity: Level
    services: tuple[Text, ...] = ()
    teams: tuple[Text, ...] = ()
    labels: dict[Text, Text] = {}  # noqa: RUF012 - pydantic copies it
    users_feel: bool | None = None


class SeveritiesConfig(Section):
    """Which severity an incident has, and what each does.

    The first of `rules` that fits a finding gives its severity; an incident has the most severe of its findings. Those
    of `without_page` are tickets. A status update is due every so many seconds of `update_every_s`.
    """

    rules: tuple[SeverityRule, ...] = ()
    without_page: tuple[Level, ...] = ("SEV4",)
    update_every_s: dict[Level, Seconds] = {"SEV1": 1800.0}  # noqa: RUF012 - pydantic copies it


StakeholderNews = Literal["opened", "level changed", "update due", "resolved"]
STAKEHOLDER_NEWS: Final[tuple[StakeholderNews, ...]] = get_args(StakeholderNews)


class StakeholderRule(Section):
    """Who is informed of incidents that fit all of `severities`, `services`, `teams` and `labels`. It pages nobody.

    `people` are ids of `oncall.people`, who get an e-mail; `emails` are addresses of others; `slack_channels` are ids
    of channels. `news` is what they are told of.
    """

    id: Id
    severities: Annotated[tuple[Level, ...], Field(min_length=1)] = ("SEV1", "SEV2")
    services: tuple[Text, ...] = ()
    teams: tuple[Text, ...] = ()
    labels: dict[Text, Text] = {}  # noqa: RUF012 - pydantic copies it
    people: tuple[Id, ...] = ()
    emails: tuple[Mailbox, ...] = ()
    slack_channels: tuple[Annotated[str, AfterValidator(slack_channel)], ...] = ()
    news: Annotated[tuple[StakeholderNews, ...], Field(min_length=1)] = STAKEHOLDER_NEWS

    @model_validator(mode="after")
    def _informs_somebody(self) -> StakeholderRule:
        if not (self.people or self.emails or self.slack_channels):
            raise ValueError("informs nobody; name people, emails or slack_channels")
        return self


PostmortemSection = Literal[
    "summary", "impact", "root_cause", "contributing", "signals_missed", "went_well", "to_improve"
]
POSTMORTEM_SECTIONS: Final[tuple[PostmortemSection, ...]] = get_args(PostmortemSection)


class PostmortemConfig(Section):
    """What the postmortems of a severity ask for; what is left out stays as it is by default.

    A publication needs what is `required`, and so many `reviewers` besides whoever submitted it.
    """

    sections: Annotated[tuple[PostmortemSection, ...], Field(min_length=1)] | None = None
    required: tuple[PostmortemSection, ...] | None = None
    reviewers: Annotated[int, Field(ge=0, le=5)] | None = None

    @model_validator(mode="after")
    def _requires_what_it_has(self) -> PostmortemConfig:
        gone = [name for name in self.required or () if self.sections and name not in self.sections]
        if gone:
            raise ValueError(f"requires {', '.join(gone)}, which is not among its sections; add it there")
        return self


LONGEST_SILENCE: Final = timedelta(days=90)


def _label(text: str) -> str:
    if not all(text.partition("=")):
        raise ValueError("must be name=value")
    return text


class SilenceConfig(Section):
    """Pages of what matches `service`, `kind` and `label` are suppressed, from `start` to `end` in `timezone`."""

    id: Id
    service: Text | None = None
    kind: FindingKind | None = None
    label: Annotated[Text, AfterValidator(_label)] | None = None
    start: LocalTime
    end: LocalTime
    timezone: Zone = "UTC"
    reason: Text

    @model_validator(mode="after")
    def _hides_something_for_a_while(self) -> SilenceConfig:
        if not (self.service or self.kind or self.label):
            raise ValueError("needs a service, a kind or a label: one that matches everything hides everything")
        start, end = map(datetime.fromisoformat, (self.start, self.end))
        if not start < end <= start + LONGEST_SILENCE:
            raise ValueError(f"must end after it starts, within {LONGEST_SILENCE.days} days")
        return self


class OverrideConfig(Section):
    """`person` has `schedule` from `start` to `end`, in `timezone` or the schedule's, whatever its layers say."""

    id: Id
    schedule: Id
    person: Id
    start: LocalTime
    end: LocalTime
    timezone: Zone | None = None

    @model_validator(mode="after")
    def _ends_after_it_starts(self) -> OverrideConfig:
        if datetime.fromisoformat(self.end) <= datetime.fromisoformat(self.start):
            raise ValueError(f"ends at {self.end}, not after its start {self.start}; correct one")
        return self


class DigestConfig(Section):
    """The daily digest of open tickets: at `hour`, in `timezone` or in the first schedule's."""

    enabled: bool = True
    hour: Annotated[int, Field(ge=0, le=23)] = 9
    timezone: Zone | None = None


class OnCallConfig(Section):
    """People, schedules, who is paged when nobody acknowledges, who is informed, and when tickets are listed.

    The first of `policies` that fits an incident is used; `escalation` where none does. `teams` are services by team.
    """

    people: Annotated[tuple[PersonConfig, ...], Field(min_length=1)] = (
        PersonConfig(id="oncall", name="On call", addresses={"slack": "U0ONCALL"}),
    )
    schedules: tuple[ScheduleConfig, ...] = (
        ScheduleConfig(id="primary", layers=(LayerConfig(people=("oncall",)),), fallback="oncall"),
    )
    escalation: tuple[EscalationStep, ...] = (
        EscalationStep(after_s=0, notify=("primary",)),
        EscalationStep(after_s=300, notify=("primary",)),
        EscalationStep(after_s=900, notify=("primary",)),
    )
    policies: tuple[PolicyConfig, ...] = ()
    teams: dict[Text, tuple[Text, ...]] = {}  # noqa: RUF012 - pydantic copies it
    severities: SeveritiesConfig = SeveritiesConfig()
    stakeholders: tuple[StakeholderRule, ...] = ()
    postmortems: dict[Level, PostmortemConfig] = {}  # noqa: RUF012 - pydantic copies it
    silences: tuple[SilenceConfig, ...] = ()
    overrides: tuple[OverrideConfig, ...] = ()
    digest: DigestConfig = DigestConfig()

    def person(self, person_id: str) -> PersonConfig | None:
        """Somebody who can be paged."""
        return next((person for person in self.people if person.id == person_id), None)

    def named(self, text: str) -> PersonConfig | None:
        """The person whom an id, a name or an address means, in whichever case."""
        wanted = text.casefold()
        for person in self.people:
            if wanted in [name.casefold() for name in (person.id, person.name, *person.addresses.values())]:
                return person
        return None

    @model_validator(mode="after")
    def _holds_together(self) -> OnCallConfig:
        refuse("oncall", oncall_mistakes(self))
        return self
