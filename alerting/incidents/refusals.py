"""Why a command may not happen to an incident as it stands: one sentence for whoever gave it.

Pure, as the machine that asks it (`alerting.incidents.machine`).
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from alerting.incidents.questions import is_known, named, refused_answer
from alerting.incidents.timeline import approvals, clock, label_line, name_of
from watchkeeper.vocabulary import Proposal, is_news

if TYPE_CHECKING:
    from alerting.incidents.machine import Command, Incident

# A snooze is one person's decision for a night or a weekend; what is longer is a silence, with a reason.
LONGEST_SNOOZE: Final = timedelta(days=7)

AFTER_RESOLVE: Final = frozenset(
    {
        "labelled",
        "noted",
        "run_noted",
        "run_asked",
        "run_answered",
        "run_unanswered",
        "run_finished",
        "run_cancelled",
        "cleared",
        "recovered",
        "delivered",
        "undelivered",
    }
)


def refusal(incident: Incident, command: Command) -> str:
    """Why a command may not happen, or nothing."""
    if incident.human_state == "resolved" and command.type not in AFTER_RESOLVE:
        return f"already resolved by {name_of(incident.resolved_by)} at {clock(incident.resolved_at)}"
    if incident.human_state == "merged" and command.type not in AFTER_RESOLVE | {"split"}:
        return f"merged into {incident.merged_into}: act on that one, or split this one off again"
    if rule := _RULE_OF.get(command.type):
        return rule(incident, command)
    match command.type:
        case "opened":
            return "already open" if incident.version else ""
        case "raised":
            return "" if incident.severity == "ticket" else "already a page"
        case "diagnosed" if command.diagnosis and incident.diagnosis:
            return "" if is_news(command.diagnosis, incident.diagnosis) else "nothing new"
        case "acknowledged" if incident.human_state == "acknowledged":
            return _taken_by(incident, "already acknowledged")
        case "labelled" if command.label and any(label.id == command.label.id for label in incident.labels):
            return f"{name_of(command.actor)} answered so already: {label_line(command.label)}"
    return ""


def _refuse_observed(incident: Incident, command: Command) -> str:
    fires = command.finding is not None and command.finding.key in incident.firing_keys
    match command.type:
        case "joined" if command.finding and incident.knows(command.finding):
            return "known"
        case "cleared" if not fires:
            return "already cleared"
        case "recovered" if incident.system_state == "recovered":
            return "already recovered"
        case "refired" if incident.system_state == "firing":
            return "still firing"
    return ""


# The state in which a wait of a kind may end in a page.
_WAITED_IN: Final = {"ack_timed_out": "acknowledged", "snooze_ended": "snoozed", "silence_ended": "silenced"}


def _refuse_page(incident: Incident, command: Command) -> str:
    """Nobody is paged twice for one step, after an acknowledgement, or (but for the first page) after a recovery."""
    if incident.severity != "page":
        return "a ticket pages nobody"
    if command.type == "silenced":
        return ""
    if needed := _WAITED_IN.get(command.type):
        if incident.human_state != needed:
            return "nobody holds it" if needed == "acknowledged" else f"it is not {needed}"
    elif why := _is_quiet(incident):
        return why
    if command.type == "paged" and command.firing_only and incident.system_state == "recovered":
        return "it recovered before its first step"
    if command.type == "paged":
        return "" if incident.human_state in ("waiting", "expired") else "already paged"
    if command.type in ("escalated", "expired") and incident.human_state != "paged":
        return "nobody was asked"
    if command.type != "expired" and incident.system_state == "recovered":
        return "it has recovered; nobody else is paged"
    return ""


def _is_quiet(incident: Incident) -> str:
    """Why nobody is paged now, as a human decided: acknowledged, snoozed, silenced; or nothing."""
    match incident.human_state:
        case "acknowledged":
            return _taken_by(incident, "acknowledged")
        case "snoozed":
            return f"snoozed by {name_of(incident.snoozed_by)} until {clock(incident.snoozed_until)}"
        case "silenced":
            return f"silenced until {clock(incident.silenced_until)}"
    return ""


def _refuse_snooze(incident: Incident, command: Command) -> str:
    if incident.severity != "page":
        return "a ticket pages nobody, so there is nothing to snooze"
    if command.until is None or command.until <= command.at:
        return "the end of a snooze must lie in the future"
    if command.until > command.at + LONGEST_SNOOZE:
        return f"a snooze lasts {LONGEST_SNOOZE.days} days at most; `watchkeeper silence add` is for longer"
    if incident.human_state == "snoozed" and incident.snoozed_until == command.until:
        return f"already snoozed until {clock(incident.snoozed_until)}"
    return ""


def _refuse_assignment(incident: Incident, command: Command) -> str:
    if not command.person:
        return "name the person to assign it to"
    holds = incident.human_state == "acknowledged" or incident.paged_person == command.person
    if incident.assigned_to == command.person and holds:
        return f"already assigned to {command.person}"
    return ""


def _refuse_severity(incident: Incident, command: Command) -> str:
    if command.level is None:
        return "name the severity: SEV1, SEV2, SEV3 or SEV4"
    if not command.reason.strip():
        return "give the reason in a line: whoever reads the timeline will ask"
    return f"already {incident.level}" if command.level == incident.level else ""


def _refuse_merge(incident: Incident, command: Command) -> str:
    match command.type:
        case "merged" if incident.proposal_state in ("approved", "running"):
            return f"its runbook is {incident.proposal_state}: merge it when that has ended"
        case "split" if incident.human_state != "merged":
            return "it is not merged into another incident"
        case "released" if all(each.id != command.other for each in incident.absorbed):
            return f"{command.other} is not merged into it"
    return ""


def refused_target(incident: Incident, into: Incident) -> str:
    """Why one incident may not be merged into another, or nothing."""
    if incident.id == into.id:
        return "an incident cannot be merged into itself"
    if into.human_state == "merged":
        return f"{into.id} is merged into {into.merged_into}: merge into that one"
    if not into.is_open:
        return f"{into.id} is resolved: what still fires would page nobody"
    if incident.severity == "page" and into.severity == "ticket":
        return f"{into.id} is a ticket, which pages nobody: merge {into.id} into {incident.id} instead"
    return ""


def _refuse_runbook(incident: Incident, command: Command) -> str:
    state = incident.proposal_state
    match command.type:
        case "proposed":
            if incident.proposal and command.proposal and _same(incident.proposal, command.proposal):
                return f"the same runbook is {state}"
            return f"the runbook is {state}" if state in ("approved", "running", "done") else ""
        case "withdrawn":
            return "" if state == "proposed" else f"the runbook is {state}"
        case "run_started" if state == "approved":
            return _refuse_unseen(incident, command) if command.seen else ""
        case "run_started":
            return f"the runbook is {state}, not approved"
        case "run_finished":
            return "" if state == "running" else f"the runbook is {state}, not running"
        case "run_cancelled":
            return "" if state == "approved" else f"the runbook is {state}, not about to run"
    if state == "proposed":
        return _refuse_unseen(incident, command)
    if state == "none":
        return "no runbook is proposed" + (" any more" if incident.proposed_at else "")
    by = incident.declined_by if state == "declined" else incident.approved_by
    return f"the runbook is already {state}" + (f" by {by.name}" if by else "")


def _refuse_question(incident: Incident, command: Command) -> str:
    if command.type == "run_answered":
        return refused_answer(incident.questions, command.seen, command.answer, command.at)
    if incident.proposal_state != "running":
        return f"the runbook is {incident.proposal_state}, not running"
    if command.type == "run_asked":
        return "asked already" if command.question is None or is_known(incident.questions, command.question) else ""
    asked = named(incident.questions, command.seen)
    return "" if asked and asked.is_open else "that question is over"


def _refuse_unseen(incident: Incident, command: Command) -> str:
    """What a human saw is what runs: an answer to another proposal than the current one is no answer to this one."""
    proposal = incident.proposal
    if proposal is None:
        return "no runbook is proposed"
    if command.type == "approved" and proposal.blocked:
        return f"{proposal.runbook} cannot be run from here: {proposal.blocked}"
    if not command.seen:
        return f"the answer names no runbook: look at {incident.id} again, and answer what stands there now"
    if command.seen != proposal.id:
        return f"the proposal changed at {clock(incident.proposed_at)} to “{proposal.title}”; look again"
    approved = [approver.name.casefold() for approver in incident.approvals]
    if command.type == "approved" and command.actor.name.casefold() in approved:
        return f"{command.actor.name} approved already; {approvals(incident, proposal)}"
    return ""


def _same(proposal: Proposal, other: Proposal) -> bool:
    """Whether two proposals differ in nothing but how old their proof is."""
    return replace(proposal, proof="") == replace(other, proof="")


def _taken_by(incident: Incident, how: str) -> str:
    return f"{how} by {name_of(incident.acknowledged_by)} at {clock(incident.acknowledged_at)}"


_RULES: Final = {
    _refuse_observed: ("joined", "cleared", "recovered", "refired"),
    _refuse_page: ("paged", "escalated", "ack_timed_out", "expired", "snooze_ended", "silence_ended", "silenced"),
    _refuse_snooze: ("snoozed",),
    _refuse_assignment: ("assigned",),
    _refuse_severity: ("severity_changed",),
    _refuse_merge: ("merged", "absorbed", "split", "released"),
    _refuse_runbook: ("proposed", "withdrawn", "approved", "declined", "run_started", "run_finished", "run_cancelled"),
    _refuse_question: ("run_asked", "run_answered", "run_unanswered"),
}
_RULE_OF: Final = {kind: rule for rule, kinds in _RULES.items() for kind in kinds}
