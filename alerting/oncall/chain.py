"""The chain of steps that an incident's escalation goes through, as it was when it began.

A policy's steps, its repeats and its fallback become one list. An incident keeps its chain: a later edit of the
configuration changes nothing of what runs. Who is on call is asked anew at each step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Final

from alerting.oncall.schedule import Override, shadows_at, who_has_it
from watchkeeper.config import EscalationStep, OnCallConfig, PersonConfig, PolicyConfig
from watchkeeper.config_oncall import SeverityRule, StakeholderRule
from watchkeeper.text import seen_name
from watchkeeper.vocabulary import Level

# After the last step, this long for an answer before the incident counts as expired.
LAST_WAIT_S: Final = 900.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainStep:
    """Whom a step pages, `after_s` seconds after the chain's begin: ids of people and schedules.

    `name` is what a page calls it, such as `step 2 of 3`.
    """

    after_s: float
    notify: tuple[str, ...]
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """Steps in the order of time; after the last one there are `timeout_s` to answer. `policy` is empty by default."""

    steps: tuple[ChainStep, ...]
    policy: str = ""
    timeout_s: float = LAST_WAIT_S

    def step(self, number: int) -> ChainStep:
        """A step by its number from 0; beyond the last one, the last."""
        return self.steps[min(number, len(self.steps) - 1)]

    def names_from(self, number: int) -> tuple[str, ...]:
        """Everybody whom the chain names: first those of a step, then the others in their order."""
        order = (self.step(number), *self.steps)
        return tuple(dict.fromkeys(name for step in order for name in step.notify))


@dataclass(frozen=True, slots=True, kw_only=True)
class Called:
    """Whom a step of the escalation pages, and why: a human asks at once why it was them."""

    person: PersonConfig | None
    why: str

    @property
    def id(self) -> str:
        return self.person.id if self.person else "nobody"

    @property
    def name(self) -> str:
        return self.person.name if self.person else "nobody (no person is configured)"


def _first_turn(_: str) -> int:
    return 0


def chain_for(
    oncall: OnCallConfig,
    service: str,
    labels: Sequence[str] = (),
    turn: Callable[[str], int] = _first_turn,
    level: Level | None = None,
) -> Chain:
    """The chain of a new escalation for a service. `labels` are those of its alerts, each as `name=value,name=value`.

    `turn` gives the number of times that a policy's round robin was used. Without a `level`, policies for some
    severities are left out.
    """
    for policy in oncall.policies:
        if policy.severities and level not in policy.severities:
            continue
        if (why := why_it_fits(oncall, policy, service, labels)) is not None:
            severity = level if policy.severities else ""
            return policy_chain(policy, ", ".join(each for each in (severity, why) if each), turn)
    return default_chain(oncall, turn)


def default_chain(oncall: OnCallConfig, turn: Callable[[str], int] = _first_turn) -> Chain:
    """The chain of `oncall.escalation`."""
    if not oncall.escalation:
        return Chain(steps=(ChainStep(after_s=0.0, notify=(), name="no escalation is configured"),))
    number = turn("") if any(step.round_robin for step in oncall.escalation) else 0
    return Chain(steps=tuple(_round(oncall.escalation, 0.0, number, "")))


def policy_chain(policy: PolicyConfig, why: str = "", turn: Callable[[str], int] = _first_turn) -> Chain:
    """The chain of a policy: its steps, as often as it repeats them, and its fallback."""
    number = turn(policy.id) if any(step.round_robin for step in policy.steps) else 0
    lasts = policy.steps[-1].after_s - policy.steps[0].after_s + policy.timeout_s
    of_policy = f" of policy {policy.id!r}" + (f" ({why})" if why else "")
    steps: list[ChainStep] = []
    for repeat in range(policy.repeat + 1):
        where = f", round {repeat + 1} of {policy.repeat + 1}" if policy.repeat else ""
        steps += _round(policy.steps, repeat * lasts, number + repeat, where + of_policy)
    if policy.fallback:
        after_s = steps[-1].after_s + policy.timeout_s
        steps.append(ChainStep(after_s=after_s, notify=policy.fallback, name=f"the fallback{of_policy}"))
    return Chain(steps=tuple(steps), policy=policy.id, timeout_s=policy.timeout_s)


def _round(steps: Sequence[EscalationStep], later_s: float, turn: int, where: str) -> Iterator[ChainStep]:
    for number, step in enumerate(steps):
        names, name = step.notify, f"step {number + 1} of {len(steps)}{where}"
        if step.round_robin:
            names, name = (names[turn % len(names)],), f"{name}, in turn"
        yield ChainStep(after_s=step.after_s + later_s, notify=names, name=name)


def why_it_fits(
    oncall: OnCallConfig, policy: PolicyConfig | SeverityRule | StakeholderRule, service: str, labels: Sequence[str]
) -> str | None:
    """Why a policy or rule is used for a service with these labels, in a few words; None: it does not fit."""
    reasons: list[str] = []
    if policy.services:
        if not _matches(service, policy.services):
            return None
        reasons.append(f"service {seen_name(service)}")
    if policy.teams:
        team = next((team for team in policy.teams if _matches(service, oncall.teams.get(team, ()))), None)
        if team is None:
            return None
        reasons.append(f"team {team}")
    for name, value in policy.labels.items():
        if all(f",{name}={value}," not in f",{text}," for text in labels):
            return None
        reasons.append(f"{name}={value}")
    return ", ".join(reasons)


def _matches(service: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(service, pattern) for pattern in patterns)


def whom(oncall: OnCallConfig, step: ChainStep, at: datetime, overrides: Sequence[Override]) -> tuple[Called, ...]:
    """Whom a step pages, each once: never nobody while anybody is configured."""
    people = {person.id: person for person in oncall.people}
    called: dict[str, Called] = {}
    missing: list[str] = []
    for name in step.notify:
        if name in people:
            called.setdefault(name, Called(person=people[name], why=f"named in {step.name}"))
        elif any(schedule.id == name for schedule in oncall.schedules):
            found = _on_call(oncall, name, at, overrides, step.name)
            if found is None:
                missing.append(f"nobody is on call in {name!r} and it has no fallback")
            else:
                called.setdefault(found.id, found)
        else:
            missing.append(f"{name!r} is no longer configured")  # the chain is older than the configuration
    if called:
        return tuple(called.values())
    last = oncall.people[0] if oncall.people else None
    return (Called(person=last, why="; ".join((*missing, step.name))),)


def _on_call(
    oncall: OnCallConfig, schedule: str, at: datetime, overrides: Sequence[Override], where: str
) -> Called | None:
    on_call, source = who_has_it(oncall, schedule, at, overrides)
    if on_call is None:
        return None
    if source == "fallback":
        return Called(person=on_call, why=f"nobody is on call in {schedule!r}: its fallback; {where}")
    by = "by an override" if source == "override" else "by rotation"
    shadows = ", ".join(shadow.name for shadow in shadows_at(oncall, schedule, at) if shadow != on_call)
    return Called(
        person=on_call,
        why=f"on call in {schedule!r} {by}{f', shadowed by {shadows}' if shadows else ''}; {where}",
    )
