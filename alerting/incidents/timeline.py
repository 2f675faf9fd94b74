"""The words of an incident's timeline: a line for each event that brought none of its own."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from alerting.incidents.questions import named
from watchkeeper.vocabulary import Actor, Label, Proposal

if TYPE_CHECKING:
    from alerting.incidents.machine import Command, Incident


def describe(incident: Incident, command: Command) -> str:
    """A line of the timeline, where the command brought none."""
    who = command.actor.name
    title = incident.proposal.title if incident.proposal else "the runbook"
    lines = {
        "opened": command.finding.summary if command.finding else "opened",
        "joined": command.finding.summary if command.finding else "joined",
        "raised": f"raised to a page: {command.finding.summary}" if command.finding else "raised to a page",
        "cleared": f"cleared: {command.finding.summary}" if command.finding else "cleared",
        "refired": "fires again",
        "recovered": "recovered: nothing fires any more",
        "diagnosed": command.diagnosis.reason if command.diagnosis else "diagnosed",
        "proposed": f"proposes: {command.proposal.title}" if command.proposal else "proposes a runbook",
        "withdrawn": "the runbook is no longer proposed",
        "paged": f"paged {command.person}",
        "escalated": f"no answer; paged {command.person}",
        "delivered": "the page was delivered",
        "undelivered": "the page could not be delivered yet",
        "acknowledged": f"{who} acknowledged",
        "ack_timed_out": f"no news since the acknowledgement; paged {command.person} again",
        "expired": "nobody answered, and nobody is left to page",
        "approved": _approval_line(incident, command, title),
        "declined": f"{who} declined: {title}",
        "run_started": f"runs: {title}",
        "run_finished": "the runbook is done" if command.succeeded else "the runbook failed",
        "run_cancelled": "the runbook did not run",
        "run_noted": "the runbook has news",
        "run_asked": command.question.asks if command.question else "the runbook asks",
        "run_answered": _answer_line(incident, command),
        "run_unanswered": "nobody answered",
        "snoozed": f"{who} snoozed it until {day(command.until)}",
        "snooze_ended": f"the snooze is over and it still fires; paged {command.person}",
        "silenced": f"a silence suppresses its pages until {day(command.until)}",
        "silence_ended": f"the silence is over and it still fires; paged {command.person}",
        "assigned": f"{who} assigned it to {command.person}",
        "severity_changed": _severity_line(incident, command),
        "update_due": f"a status update is due: the incident is {incident.level}",
        "merged": f"{who} merged it into {command.other}",
        "absorbed": f"{who} merged {command.other} into it{_titled(command)}",
        "split": f"{who} split it from {incident.merged_into}",
        "released": f"{who} split {command.other} from it",
        "resolved": f"{who} resolved",
        "labelled": label_line(command.label) if command.label else f"{who} labelled",
        "noted": "",
    }
    return lines.get(command.type, command.type)


def _severity_line(incident: Incident, command: Command) -> str:
    """`Ana raised it from SEV3 to SEV1: cards fail`."""
    before, after = incident.level or "SEV4", command.level or "SEV4"
    text = f"{command.actor.name} {'raised' if after < before else 'lowered'} it from {before} to {after}"
    if incident.severity == "page" and not command.pages:
        text += ", which pages nobody"
    elif incident.severity == "ticket" and command.pages:
        text += ", which pages"
    return f"{text}: {command.reason}"


def _approval_line(incident: Incident, command: Command, title: str) -> str:
    proposal = incident.proposal
    if command.actor.via == "system":
        return f"the policy lets it run without a human: {title}"
    if proposal is None or proposal.approvals == 1:
        return f"{command.actor.name} approved: {title}"
    return f"{command.actor.name} approved ({approvals(incident, proposal, 1)}): {title}"


def _answer_line(incident: Incident, command: Command) -> str:
    asked = named(incident.questions, command.seen)
    return f"{command.actor.name} answered {command.answer}" + (f" to: {asked.question.text}" if asked else "")


def label_line(label: Label) -> str:
    """`cause was payments (latency); the page was warranted`."""
    mechanism = f" ({label.mechanism})" if label.mechanism else ""
    cause = f"cause was {label.cause}{mechanism}" if label.cause else "no cause named"
    if label.warranted is None:
        return cause
    return f"{cause}; the page was {'warranted' if label.warranted else 'not warranted'}"


def _titled(command: Command) -> str:
    return f": {command.absorbed.title}" if command.absorbed else ""


def approvals(incident: Incident, proposal: Proposal, more: int = 0) -> str:
    """`1 of 2 approvals`."""
    return f"{len(incident.approvals) + more} of {proposal.approvals} approvals"


def name_of(actor: Actor | None) -> str:
    """Who did it."""
    return actor.name if actor else "somebody"


def clock(at: datetime | None) -> str:
    """A time of these hours."""
    return f"{at:%H:%M:%S} UTC" if at else "an unknown time"


def day(at: datetime | None) -> str:
    """A time that may be days away."""
    return f"{at:%Y-%m-%d %H:%M} UTC" if at else "an unknown time"
