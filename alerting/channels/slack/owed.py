"""What the home tab shows of one person: their shifts, their incidents, and what waits for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from alerting.incidents.commands import Incidents
from alerting.incidents.machine import Incident
from alerting.incidents.questions import Asked
from alerting.oncall.approvers import refused_approver
from alerting.oncall.escalation import known_person
from alerting.oncall.schedule import Shift, final_schedule, stored_overrides
from alerting.oncall.swaps import Swap, swaps
from alerting.postmortems.actions import Action, Actions
from watchkeeper.clock import Clock
from watchkeeper.config import Config, PersonConfig
from watchkeeper.state.database import Database
from watchkeeper.vocabulary import Actor, Window

AHEAD: Final = timedelta(days=14)
MOST_OPEN: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Owed:
    """One person's part of everything.

    Attributes:
        shifts: theirs within two weeks, the soonest first, each with its schedule.
        incidents: open ones that they have, that are assigned to them or that they were paged for.
        approvals: open incidents whose runbook they may approve.
        questions: what runbooks ask, and they may answer, with the incident.
        actions: their action items that are not done.
        asked: swaps that they were asked to accept; `asking` are those that they asked.
    """

    shifts: Sequence[tuple[str, Shift]] = ()
    incidents: Sequence[Incident] = ()
    approvals: Sequence[Incident] = ()
    questions: Sequence[tuple[Incident, Asked]] = ()
    actions: Sequence[Action] = ()
    asked: Sequence[Swap] = ()
    asking: Sequence[Swap] = ()


def owed_by(config: Config, db: Database, incidents: Incidents, clock: Clock, person: PersonConfig) -> Owed:
    """Read it. Raises StateError while the state database cannot be read."""
    oncall, now = config.oncall, clock.now()
    overrides, actor = stored_overrides(db), Actor(name=person.name, via="slack")
    window = Window(start=now, end=now + AHEAD)
    shifts = [
        (schedule.id, shift)
        for schedule in oncall.schedules
        for shift in final_schedule(oncall, schedule.id, window, overrides)
        if shift.person and shift.person.id == person.id
    ]
    listed = incidents.list("open", MOST_OPEN)

    def has(incident: Incident) -> bool:
        holder = known_person(oncall, incident.acknowledged_by)
        paged = incident.human_state == "paged" and incident.paged_person == person.id
        return (holder is not None and holder.id == person.id) or incident.assigned_to == person.id or paged

    def may(names: Sequence[str]) -> bool:
        return not refused_approver(oncall, names, actor, now, overrides)

    def waits(incident: Incident) -> bool:
        proposal = incident.proposal
        if proposal is None or incident.proposal_state != "proposed" or proposal.blocked:
            return False
        given = [known_person(oncall, approver) for approver in incident.approvals]
        return person not in given and may(proposal.approvers)

    open_swaps = swaps(db, "asked")
    return Owed(
        shifts=sorted(shifts, key=lambda one: one[1].start),
        incidents=[one for one in listed if has(one)],
        approvals=[one for one in listed if waits(one)],
        questions=[
            (one, asked) for one in listed for asked in one.questions if asked.is_open and may(asked.question.answerers)
        ],
        actions=Actions(db, clock, oncall).list(owner=person.id),
        asked=[swap for swap in open_swaps if swap.taker == person.id and swap.window.end > now],
        asking=[swap for swap in open_swaps if swap.asker == person.id and swap.window.end > now],
    )
