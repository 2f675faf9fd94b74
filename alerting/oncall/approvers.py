"""Who may approve a runbook: people by id, or whoever is on call in a schedule now."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from alerting.oncall.escalation import known_person
from alerting.oncall.schedule import Override, stored_overrides, who_has_it
from watchkeeper.config import OnCallConfig
from watchkeeper.state.database import Database
from watchkeeper.vocabulary import Actor


def why_not_approver(db: Database, oncall: OnCallConfig, approvers: Sequence[str], actor: Actor, at: datetime) -> str:
    """Why somebody may not approve, in a sentence; empty: they may."""
    return refused_approver(oncall, approvers, actor, at, stored_overrides(db) if approvers else ())


def refused_approver(
    oncall: OnCallConfig,
    approvers: Sequence[str],
    actor: Actor,
    at: datetime,
    overrides: Sequence[Override],
    *,
    to: str = "approve this runbook",
) -> str:
    """As `why_not_approver`, with the overrides of the rota given. Without approvers, everybody may."""
    if not approvers:
        return ""
    schedules = {schedule.id for schedule in oncall.schedules}
    allowed = {each for each in approvers if each not in schedules}
    on_call = [who_has_it(oncall, each, at, overrides)[0] for each in approvers if each in schedules]
    allowed |= {each.id for each in on_call if each}
    person = known_person(oncall, actor)
    if person and person.id in allowed:
        return ""
    names = ", ".join(sorted(allowed))
    return f"{actor.name} may not {to}; now {names} may (`approval` in the runbooks' policy.yaml)"
