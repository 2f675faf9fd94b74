"""Schedules and escalation policies as PagerDuty's REST API (v2) exports them.

The layers of a schedule come with the highest first, as the API gives them. Turns are counted in local time from
`rotation_virtual_start`, so that a handoff stays at its hour when the clocks change.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from pydantic import AwareDatetime, Field

from alerting.oncall.chain import LAST_WAIT_S
from alerting.oncall.exported import (
    DAY_S,
    LABEL,
    Export,
    Foreign,
    Hours,
    daily,
    gathered,
    layers_of,
    local_text,
    weekly,
)
from alerting.oncall.schedule import Override
from alerting.oncall.turns import turn_at
from watchkeeper.config import EscalationStep, LayerConfig, PolicyConfig, ScheduleConfig


class Reference(Foreign):
    id: str
    type: str = ""
    summary: str | None = None


class Member(Foreign):
    user: Reference


class User(Foreign):
    id: str
    name: str = ""
    email: str = ""


class Restriction(Foreign):
    type: str
    start_time_of_day: str
    duration_seconds: int = Field(ge=1, le=7 * DAY_S)
    start_day_of_week: int = Field(default=1, ge=1, le=7)


class Layer(Foreign):
    name: str = "a layer"
    start: AwareDatetime
    end: AwareDatetime | None = None
    rotation_virtual_start: AwareDatetime
    rotation_turn_length_seconds: int = Field(ge=60, le=366 * DAY_S)
    users: tuple[Member, ...] = ()
    restrictions: tuple[Restriction, ...] | None = ()


class OverrideEntry(Foreign):
    start: AwareDatetime
    end: AwareDatetime
    user: Reference


class Schedule(Foreign):
    id: str
    name: str = ""
    time_zone: str = "UTC"
    schedule_layers: tuple[Layer, ...] | None = None
    overrides: tuple[OverrideEntry, ...] = ()


class Rule(Foreign):
    escalation_delay_in_minutes: float = Field(ge=0, le=366 * 24 * 60)
    targets: tuple[Reference, ...] = ()


class Policy(Foreign):
    id: str
    name: str = ""
    num_loops: int = Field(default=0, ge=0)
    escalation_rules: tuple[Rule, ...] = ()


class Service(Foreign):
    name: str
    escalation_policy: Reference | None = None


class PagerDuty(Foreign):
    """Bodies of `GET /users`, `/schedules/ID`, `/escalation_policies` and `/services`, in one object."""

    users: tuple[User, ...] = ()
    schedule: Schedule | None = None
    schedules: tuple[Schedule, ...] = ()
    escalation_policies: tuple[Policy, ...] = ()
    services: tuple[Service, ...] = ()


def read_pagerduty(given: PagerDuty, export: Export, now: datetime, timezone: str | None) -> None:
    """Add what an export has to `export`."""
    users = {user.id: user for user in given.users}
    for schedule in (*given.schedules, *((given.schedule,) if given.schedule else ())):
        _Schedule(export, users, now).read(schedule, timezone)
    for policy in given.escalation_policies:
        _policy(export, users, policy, [one.name for one in given.services if _is_of(one, policy)])


def _is_of(service: Service, policy: Policy) -> bool:
    return service.escalation_policy is not None and service.escalation_policy.id == policy.id


def _person(export: Export, users: dict[str, User], reference: Reference) -> str:
    user = users.get(reference.id)
    name = user.name if user else reference.summary or ""
    return export.person(reference.id, name, user.email if user else "")


class _Schedule:
    """Reads one schedule."""

    def __init__(self, export: Export, users: dict[str, User], now: datetime) -> None:
        self._export, self._users, self._now = export, users, now

    def read(self, schedule: Schedule, timezone: str | None) -> None:
        what = f"schedule {schedule.name or schedule.id}"
        if schedule.schedule_layers is None:
            why = "it has no schedule_layers: export it by itself, from /schedules/ID"
            self._export.note("not taken", what, why)
            return
        try:
            zone = ZoneInfo(timezone or schedule.time_zone)
        except (ValueError, OSError, KeyError):
            why = f"{schedule.time_zone!r} is no IANA time zone; name it with --timezone"
            self._export.note("not taken", what, why)
            return
        before = len(self._export.lines)
        layers = [
            layer for given in reversed(schedule.schedule_layers) for layer in self._layers(given, zone, schedule.name)
        ]
        if not layers:
            self._export.note("not taken", what, "no layer of it can be taken")
            return
        made = ScheduleConfig(
            id=self._export.schedule_id(schedule.name or schedule.id), timezone=zone.key, layers=tuple(layers)
        )
        self._export.schedules[schedule.id] = made
        self._overrides(schedule, made.id)
        self._export.note_whole(f"{what} as {made.id}", before)

    def _layers(self, layer: Layer, zone: ZoneInfo, schedule: str) -> Iterator[LayerConfig]:
        what = f"layer {layer.name} of {schedule}"
        if layer.end and layer.end <= self._now:
            self._export.note("not taken", what, f"it ended at {layer.end:%Y-%m-%d %H:%M} UTC")
            return
        if not layer.users:
            self._export.note("not taken", what, "nobody is in it")
            return
        people = [_person(self._export, self._users, member.user) for member in layer.users]
        length, first = timedelta(seconds=layer.rotation_turn_length_seconds), layer.rotation_virtual_start
        start = local_text(first, zone)
        if layer.start > max(self._now, first):
            # It is on call from its own start only: begin with the turn that is in force then.
            turn = turn_at(datetime.fromisoformat(start), length, zone, layer.start.astimezone(UTC))
            number, begins = (turn[0], turn[1]) if turn else (0, layer.start)
            people = people[number % len(people) :] + people[: number % len(people)]
            start = local_text(begins, zone)
            if begins != layer.start:
                why = f"it is on call from {begins:%Y-%m-%d %H:%M} UTC, when its turn begins, not from its start"
                self._export.note("taken in part", what, why)
        hours = self._hours(layer, what)
        if not hours:
            return
        rotation = LayerConfig(
            people=tuple(people),
            start=start,
            end=local_text(layer.end, zone) if layer.end else None,
            turn_hours=layer.rotation_turn_length_seconds / 3600,
        )
        yield from layers_of(rotation, hours)

    def _hours(self, layer: Layer, what: str) -> list[Hours]:
        """When a layer is on call; nothing where that cannot be said in whole minutes."""
        pieces: list[Hours] = []
        for each in layer.restrictions or ():
            parts = [int(part) for part in each.start_time_of_day.split(":") if part.isdigit()]
            seconds = each.duration_seconds
            if len(parts) < 2 or any(parts[2:]) or seconds % 60:
                why = f"hours from {each.start_time_of_day} for {seconds} s are no whole minutes"
                self._export.note("not taken", what, why)
                return []
            minute = parts[0] * 60 + parts[1]
            if each.type == "daily_restriction":
                pieces.append(daily(minute, seconds // 60) if seconds < DAY_S else Hours())
            elif each.type == "weekly_restriction":
                pieces += weekly((each.start_day_of_week - 1) * DAY_S // 60 + minute, seconds // 60)
            else:
                self._export.note("not taken", what, f"restrictions of type {each.type} are not known")
                return []
        return gathered(pieces) or [Hours()]

    def _overrides(self, schedule: Schedule, schedule_id: str) -> None:
        for each in schedule.overrides:
            if each.end <= self._now:
                continue  # it is over
            person = _person(self._export, self._users, each.user)
            start, end = each.start.astimezone(UTC), each.end.astimezone(UTC)
            self._export.overrides.append(Override(schedule=schedule_id, person=person, start=start, end=end))


def _policy(export: Export, users: dict[str, User], policy: Policy, services: list[str]) -> None:
    """An escalation: its rules one after the other, each with its targets."""
    name = policy.name or policy.id
    what = f"escalation policy {name}"
    before, after_s, lasts_s = len(export.lines), 0.0, 0.0
    steps: list[EscalationStep] = []
    for number, rule in enumerate(policy.escalation_rules, 1):
        names = []
        for target in rule.targets:
            if target.type.startswith("user"):
                names.append(_person(export, users, target))
            elif target.id in export.schedules:
                names.append(export.schedules[target.id].id)
            else:
                why = f"schedule {target.summary or target.id} is not taken"
                export.note("taken in part", f"rule {number} of {what}", why)
        lasts_s = rule.escalation_delay_in_minutes * 60
        if names:
            steps.append(EscalationStep(after_s=after_s, notify=tuple(dict.fromkeys(names))))
        after_s += lasts_s
    if not steps:
        export.note("not taken", what, "no rule of it names anybody who is taken")
        return
    made = PolicyConfig(
        id=export.policy_id(name),
        services=tuple(services),
        labels={} if services else {LABEL: name},
        steps=tuple(steps),
        repeat=min(policy.num_loops, 100),
        timeout_s=lasts_s or LAST_WAIT_S,
    )
    export.policies[policy.id] = made
    if not services:
        why = f"no service names it: it is for alerts with the label {LABEL}={name}"
        export.note("taken in part", f"{what} as {made.id}", why)
    else:
        export.note_whole(f"{what} as {made.id}", before)
