"""Schedules, shifts and escalation chains as Grafana OnCall's HTTP API (v1) exports them.

A shift of a higher level goes before one of a lower level. A rolling shift hands over with every interval of its
frequency; a weekly one that names its days hands over where its week starts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final
from zoneinfo import ZoneInfo

from pydantic import BeforeValidator, Field

from alerting.oncall.chain import LAST_WAIT_S
from alerting.oncall.exported import (
    DAY_S,
    LABEL,
    MINUTES_A_DAY,
    Export,
    Foreign,
    Hours,
    daily,
    gathered,
    layers_of,
    weekly,
)
from alerting.oncall.schedule import Override
from alerting.oncall.turns import instant
from watchkeeper.config import EscalationStep, LayerConfig, PolicyConfig, ScheduleConfig
from watchkeeper.config_days import DAYS, Day

DAYS_OF: Final[Mapping[str, Day]] = dict(zip(("MO", "TU", "WE", "TH", "FR", "SA", "SU"), DAYS, strict=True))
LENGTHS: Final = {"hourly": timedelta(hours=1), "daily": timedelta(days=1), "weekly": timedelta(days=7)}
# "Repeat escalation" repeats a chain so often.
REPEATS: Final = 5


def _results(given: Any) -> Any:
    """A page of results, as the API gives it, or the list in it."""
    return given["results"] if isinstance(given, dict) and "results" in given else given


class User(Foreign):
    id: str
    username: str = ""
    name: str | None = None
    email: str | None = None


class Shift(Foreign):
    id: str
    name: str = ""
    type: str
    schedule: str | None = None
    time_zone: str | None = None
    level: int | None = 0
    start: datetime
    rotation_start: datetime | None = None
    until: datetime | None = None
    duration: int = Field(ge=1)
    frequency: str | None = None
    interval: int | None = Field(default=1, ge=1)
    week_start: str | None = None
    by_day: tuple[str, ...] | None = None
    by_month: tuple[int, ...] | None = None
    by_monthday: tuple[int, ...] | None = None
    users: tuple[str, ...] | None = ()
    rolling_users: tuple[tuple[str, ...], ...] | None = ()
    start_rotation_from_user_index: int | None = 0

    @property
    def label(self) -> str:
        return f"shift {self.name or self.id}"

    @property
    def every(self) -> int:
        """How many hours, days or weeks a turn lasts."""
        return self.interval or 1

    @property
    def groups(self) -> list[tuple[str, ...]]:
        """Who takes turns."""
        return [group for group in self.rolling_users or () if group]


class Schedule(Foreign):
    id: str
    name: str = ""
    type: str = "calendar"
    time_zone: str | None = None
    shifts: tuple[str, ...] | None = ()


class Chain(Foreign):
    id: str
    name: str = ""


class Step(Foreign):
    escalation_chain_id: str
    position: int = 0
    type: str | None
    duration: float | None = None
    persons_to_notify: tuple[str, ...] | None = ()
    persons_to_notify_next_each_time: tuple[str, ...] | None = ()
    notify_on_call_from_schedule: str | None = None


class GrafanaOnCall(Foreign):
    """Bodies of the API's lists, each under the name of its path, in one object."""

    users: Annotated[tuple[User, ...], BeforeValidator(_results)] = ()
    schedules: Annotated[tuple[Schedule, ...], BeforeValidator(_results)] = ()
    on_call_shifts: Annotated[tuple[Shift, ...], BeforeValidator(_results)] = ()
    escalation_chains: Annotated[tuple[Chain, ...], BeforeValidator(_results)] = ()
    escalation_policies: Annotated[tuple[Step, ...], BeforeValidator(_results)] = ()


def read_grafana(given: GrafanaOnCall, export: Export, now: datetime, timezone: str | None) -> None:
    """Add what an export has to `export`."""
    users = {user.id: user for user in given.users}
    shifts = {shift.id: shift for shift in given.on_call_shifts}
    for schedule in given.schedules:
        own = [shifts[name] for name in schedule.shifts or () if name in shifts]
        own += [one for one in given.on_call_shifts if one.schedule == schedule.id and one not in own]
        _Schedule(export, users, now).read(schedule, own, timezone)
    for chain in given.escalation_chains:
        steps = [step for step in given.escalation_policies if step.escalation_chain_id == chain.id]
        _chain(export, users, chain, sorted(steps, key=lambda step: step.position))


def _person(export: Export, users: Mapping[str, User], user_id: str) -> str:
    user = users.get(user_id)
    name = (user.name or user.username) if user else ""
    return export.person(user_id, name, (user.email or "") if user else "")


class _Schedule:
    """Reads one schedule."""

    def __init__(self, export: Export, users: Mapping[str, User], now: datetime) -> None:
        self._export, self._users, self._now = export, users, now

    def read(self, schedule: Schedule, shifts: Sequence[Shift], timezone: str | None) -> None:
        what = f"schedule {schedule.name or schedule.id}"
        if schedule.type == "ical":
            self._export.note("not taken", what, "it is a calendar: import its .ics file")
            return
        before = len(self._export.lines)
        layers: list[LayerConfig] = []
        zone = self._zone(timezone or schedule.time_zone or "UTC", what)
        if zone is None:
            return
        once: list[tuple[Shift, ZoneInfo]] = []
        for shift in sorted(shifts, key=lambda one: one.level or 0):
            own = self._zone(shift.time_zone or zone.key, shift.label)
            if own is None:
                continue
            if shift.type in ("single_event", "override"):
                once.append((shift, own))
            else:
                layers += self._layers(shift, own, zone)
        if not layers:
            self._export.note("not taken", what, "no repeating shift of it can be taken")
            return
        schedule_id = self._export.schedule_id(schedule.name or schedule.id)
        made = ScheduleConfig(id=schedule_id, timezone=zone.key, layers=tuple(layers))
        self._export.schedules[schedule.id] = made
        for shift, own in once:
            self._override(shift, own, schedule_id)
        self._export.note_whole(f"{what} as {made.id}", before)

    def _zone(self, name: str, what: str) -> ZoneInfo | None:
        try:
            return ZoneInfo(name)
        except (ValueError, OSError, KeyError):
            self._export.note("not taken", what, f"{name!r} is no IANA time zone; name it with --timezone")
            return None

    def _layers(self, shift: Shift, zone: ZoneInfo, of_schedule: ZoneInfo) -> tuple[LayerConfig, ...]:
        what = shift.label
        until = _instant(shift.until, zone) if shift.until else None
        if until and until <= self._now:
            self._export.note("not taken", what, f"it ended at {until:%Y-%m-%d %H:%M} UTC")
            return ()
        if why := _refused(shift):
            self._export.note("not taken", what, why)
            return ()
        groups = shift.groups
        if shift.type == "recurrent_event":
            groups = [shift.users] if shift.users else []
        if not groups:
            self._export.note("not taken", what, "nobody is in it")
            return ()
        if any(len(group) > 1 for group in groups):
            why = "several people are on call at once in it: the first of each is taken"
            self._export.note("taken in part", what, why)
        people = [_person(self._export, self._users, group[0]) for group in groups]
        first = (shift.start_rotation_from_user_index or 0) % len(people)
        length = LENGTHS[shift.frequency or "daily"] * shift.every
        start = _local(shift.start, zone)
        turns = start
        if shift.frequency == "weekly" and shift.by_day:
            week_start = DAYS.index(DAYS_OF.get(shift.week_start or "SU", DAYS[0]))
            turns = datetime.combine(start.date(), datetime.min.time())
            turns -= timedelta(days=(start.weekday() - week_start) % 7)
        rotation = LayerConfig(
            people=tuple(people[first:] + people[:first]),
            start=turns.isoformat(timespec="minutes"),
            end=_local(shift.until, zone).isoformat(timespec="minutes") if shift.until else None,
            turn_hours=length / timedelta(hours=1),
            timezone=zone.key if zone != of_schedule else None,
        )
        return layers_of(rotation, _hours(shift, start, length))

    def _override(self, shift: Shift, zone: ZoneInfo, schedule_id: str) -> None:
        start = _instant(shift.start, zone)
        end = start + timedelta(seconds=shift.duration)
        who = [*(shift.users or ()), *(user for group in shift.rolling_users or () for user in group)]
        if end <= self._now:
            return  # it is over
        what = shift.label
        if not who:
            self._export.note("not taken", what, "nobody is in it")
            return
        if len(who) > 1:
            self._export.note("taken in part", what, "several people are on call at once in it: the first is taken")
        person = _person(self._export, self._users, who[0])
        self._export.overrides.append(Override(schedule=schedule_id, person=person, start=start, end=end))


def _refused(shift: Shift) -> str:
    """Why a shift's rule cannot be kept here, or nothing."""
    if shift.type not in ("rolling_users", "recurrent_event"):
        return f"shifts of type {shift.type} are not known"
    if shift.frequency not in LENGTHS:
        return f"shifts that come {shift.frequency or 'never'} have no turns of one length"
    if shift.by_month or shift.by_monthday:
        return "it is bound to months or days of the month"
    if shift.by_day and (shift.frequency == "hourly" or any(day not in DAYS_OF for day in shift.by_day)):
        return "its days cannot be kept"
    if shift.by_day and shift.frequency == "daily" and len(shift.groups) > 1:
        return "it hands over daily on some days of the week only, which moves the turns"
    length = LENGTHS[shift.frequency] * shift.every
    if shift.duration % 60 or timedelta(seconds=shift.duration) > length:
        return "it lasts no whole minutes, or longer than its turn"
    if shift.by_day and shift.duration > DAY_S:
        return "it names its days and lasts longer than one"
    whole = timedelta(seconds=shift.duration) == length
    if shift.by_day and shift.every > 1:
        return "it leaves out weeks"
    if not whole and not shift.by_day and (shift.frequency == "hourly" or shift.every > 1):
        return "it leaves out time between its turns"
    return ""


def _hours(shift: Shift, start: datetime, length: timedelta) -> list[Hours]:
    """When a shift is on call within its turns."""
    minute, minutes = start.hour * 60 + start.minute, shift.duration // 60
    if timedelta(minutes=minutes) == length and not shift.by_day:
        return [Hours()]
    if shift.by_day:
        days = tuple(DAYS_OF[day] for day in DAYS_OF if day in shift.by_day)
        if minutes < MINUTES_A_DAY:
            return [daily(minute, minutes, days)]
        pieces = [piece for day in days for piece in weekly(DAYS.index(day) * MINUTES_A_DAY + minute, minutes)]
        return gathered(pieces)
    if shift.frequency == "daily":
        return [daily(minute, minutes)]
    return gathered(weekly(start.weekday() * MINUTES_A_DAY + minute, minutes))


def _local(at: datetime, zone: ZoneInfo) -> datetime:
    return at.astimezone(zone).replace(tzinfo=None) if at.tzinfo else at


def _instant(at: datetime, zone: ZoneInfo) -> datetime:
    return at.astimezone(UTC) if at.tzinfo else instant(at, zone)


def _chain(export: Export, users: Mapping[str, User], chain: Chain, given: Sequence[Step]) -> None:
    """An escalation: who is notified, and after which waits."""
    name = chain.name or chain.id
    what = f"escalation chain {name}"
    after_s, repeat = 0.0, 0
    steps: list[EscalationStep] = []
    for step in given:
        people = [_person(export, users, one) for one in step.persons_to_notify or ()]
        in_turn = [_person(export, users, one) for one in step.persons_to_notify_next_each_time or ()]
        match step.type:
            case "wait":
                after_s += step.duration or 0
            case "notify_persons" if people:
                steps.append(EscalationStep(after_s=after_s, notify=tuple(people)))
            case "notify_person_next_each_time" if in_turn:
                several = len(in_turn) > 1
                steps.append(EscalationStep(after_s=after_s, notify=tuple(in_turn), round_robin=several))
            case "notify_on_call_from_schedule" if step.notify_on_call_from_schedule in export.schedules:
                schedule = export.schedules[step.notify_on_call_from_schedule or ""]
                steps.append(EscalationStep(after_s=after_s, notify=(schedule.id,)))
            case "repeat_escalation":
                repeat = REPEATS
            case _:
                why = f"its step {step.position} ({step.type}) has no counterpart, or names nobody who is taken"
                export.note("taken in part", what, why)
    if not steps:
        export.note("not taken", what, "no step of it names anybody who is taken")
        return
    made = PolicyConfig(
        id=export.policy_id(name),
        labels={LABEL: name},
        steps=tuple(steps),
        repeat=repeat,
        timeout_s=after_s - steps[-1].after_s or LAST_WAIT_S,
    )
    export.policies[chain.id] = made
    why = f"routes are not read: it is for alerts with the label {LABEL}={name}"
    export.note("taken in part", f"{what} as {made.id}", why)
