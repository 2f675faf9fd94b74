"""The protocol between machine and human: one state machine, in one file.

               opened                    recovered
    (nothing) ────────► firing ─────────────────────────► recovered
                          ▲            refired               │
                          └──────────────────────────────────┘

               paged                acknowledged              resolved
    (waiting) ───────► paged ──────────────────► acknowledged ─────────► resolved
                        ▲  │ escalated (pages the next)  │                  ▲
                        │  └─► paged                     │                  │
                        └──────── ack timed out ─────────┘                  │
               expired (nobody answered, nothing left to try) ──────────────┘

The system's state and the human's are two things: a recovered incident still waits for a human's word, and a
resolved one never fires again. `decide` turns a command into events or a refusal; `fold` applies an event.
Both are pure: no clock, no database. A late acknowledgement is refused with who resolved it and when.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal

from watchkeeper.vocabulary import Actor, Diagnosis, Finding, Label, Proposal, Severity

SystemState = Literal["firing", "recovered"]
HumanState = Literal["waiting", "paged", "acknowledged", "resolved", "expired"]
ProposalState = Literal["none", "proposed", "approved", "declined", "running", "done", "failed"]
EventType = Literal[
    "opened",
    "joined",
    "cleared",
    "refired",
    "recovered",
    "diagnosed",
    "proposed",
    "paged",
    "escalated",
    "delivered",
    "undelivered",
    "acknowledged",
    "ack_timed_out",
    "expired",
    "approved",
    "declined",
    "run_started",
    "run_finished",
    "resolved",
    "labelled",
    "noted",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One thing that happened to an incident. `key` makes the command that caused it idempotent."""

    type: EventType
    at: datetime
    actor: Actor
    key: str
    text: str
    finding: Finding | None = None
    diagnosis: Diagnosis | None = None
    proposal: Proposal | None = None
    label: Label | None = None
    person: str = ""
    step: int = 0
    succeeded: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelineEntry:
    """One line of an incident's story."""

    at: datetime
    who: str
    via: str
    kind: EventType
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """An incident as its events tell it. `version` is how many there are."""

    id: str
    title: str
    severity: Severity
    service: str
    opened_at: datetime
    onset: datetime
    version: int = 0
    system_state: SystemState = "firing"
    human_state: HumanState = "waiting"
    proposal_state: ProposalState = "none"
    findings: tuple[Finding, ...] = ()
    cleared: frozenset[str] = frozenset()
    diagnosis: Diagnosis | None = None
    proposal: Proposal | None = None
    paged_at: datetime | None = None
    paged_person: str = ""
    escalation_step: int = 0
    delivered: bool = False
    acknowledged_at: datetime | None = None
    acknowledged_by: Actor | None = None
    approved_by: Actor | None = None
    recovered_at: datetime | None = None
    resolved_at: datetime | None = None
    resolved_by: Actor | None = None
    labels: tuple[Label, ...] = ()
    timeline: tuple[TimelineEntry, ...] = ()

    @property
    def is_open(self) -> bool:
        return self.human_state != "resolved"

    @property
    def firing_keys(self) -> frozenset[str]:
        return frozenset(finding.key for finding in self.findings) - self.cleared


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """Something that somebody, or the machine, wants to happen to an incident."""

    type: EventType
    at: datetime
    actor: Actor
    key: str
    text: str = ""
    finding: Finding | None = None
    diagnosis: Diagnosis | None = None
    proposal: Proposal | None = None
    label: Label | None = None
    person: str = ""
    step: int = 0
    succeeded: bool = True


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a command changes nothing, in words for whoever gave it."""

    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a command led to: `changed` is False when it was refused or was a repeat."""

    changed: bool
    message: str
    incident: Incident
    events: tuple[Event, ...] = field(default=())


def decide(incident: Incident, command: Command) -> Event | Refusal:
    """Whether a command may happen now: the event that it becomes, or why not."""
    refusal = _refuse(incident, command)
    if refusal:
        return Refusal(refusal)
    values = {name: getattr(command, name) for name in Command.__slots__}
    return Event(**(values | {"text": command.text or _describe(incident, command)}))


def _refuse(incident: Incident, command: Command) -> str:  # noqa: C901 - one flat table of rules
    if incident.human_state == "resolved" and command.type not in (
        "labelled",
        "noted",
        "run_finished",
        "cleared",
        "recovered",
        "delivered",
    ):
        who = incident.resolved_by.name if incident.resolved_by else "somebody"
        return f"already resolved by {who} at {_clock(incident.resolved_at)}"
    match command.type:
        case "acknowledged":
            return _refuse_ack(incident)
        case "approved" | "declined":
            return _refuse_approval(incident)
        case "run_started" if incident.proposal_state != "approved":
            return f"the runbook is {incident.proposal_state}, not approved"
        case "run_finished" if incident.proposal_state != "running":
            return f"the runbook is {incident.proposal_state}, not running"
        case "recovered" if incident.system_state == "recovered":
            return "already recovered"
        case "refired" if incident.system_state == "firing":
            return "still firing"
        case "escalated" | "paged" | "expired" if incident.human_state == "acknowledged":
            who = incident.acknowledged_by.name if incident.acknowledged_by else "somebody"
            return f"acknowledged by {who} at {_clock(incident.acknowledged_at)}"
        case "ack_timed_out" if incident.human_state != "acknowledged":
            return "nobody holds it"
        case "proposed" if incident.proposal_state not in ("none", "proposed", "failed", "declined"):
            return f"the runbook is {incident.proposal_state}"
        case "joined" if command.finding and command.finding.key in incident.firing_keys:
            return "known"
        case "cleared" if command.finding and command.finding.key in incident.cleared:
            return "already cleared"
        case "opened" if incident.version:
            return "already open"
    return ""


def _refuse_ack(incident: Incident) -> str:
    if incident.human_state == "acknowledged" and incident.acknowledged_by:
        return f"already acknowledged by {incident.acknowledged_by.name} at {_clock(incident.acknowledged_at)}"
    return ""


def _refuse_approval(incident: Incident) -> str:
    if incident.proposal_state == "proposed":
        return ""
    if incident.proposal_state == "none":
        return "no runbook is proposed"
    by = f" by {incident.approved_by.name}" if incident.approved_by else ""
    return f"the runbook is already {incident.proposal_state}{by}"


def _clock(at: datetime | None) -> str:
    return f"{at:%H:%M:%S} UTC" if at else "an unknown time"


def _describe(incident: Incident, command: Command) -> str:
    """A line of the timeline, where the command brought none."""
    who = command.actor.name
    proposal = incident.proposal
    lines: dict[EventType, str] = {
        "opened": command.finding.summary if command.finding else "opened",
        "joined": command.finding.summary if command.finding else "joined",
        "cleared": f"cleared: {command.finding.summary}" if command.finding else "cleared",
        "refired": "fires again",
        "recovered": "recovered: nothing fires any more",
        "diagnosed": command.diagnosis.reason if command.diagnosis else "diagnosed",
        "proposed": f"proposes: {command.proposal.title}" if command.proposal else "proposes a runbook",
        "paged": f"paged {command.person}",
        "escalated": f"no answer; paged {command.person}",
        "delivered": "the page was delivered",
        "undelivered": "the page could not be delivered",
        "acknowledged": f"{who} acknowledged",
        "ack_timed_out": f"no news since the acknowledgement; paged {command.person} again",
        "expired": "nobody answered, and nobody is left to page",
        "approved": f"{who} approved: {proposal.title}" if proposal else f"{who} approved",
        "declined": f"{who} declined: {proposal.title}" if proposal else f"{who} declined",
        "run_started": f"runs: {proposal.title}" if proposal else "runs the runbook",
        "run_finished": "the runbook is done" if command.succeeded else "the runbook failed",
        "resolved": f"{who} resolved",
        "labelled": f"{who} labelled",
        "noted": "",
    }
    return lines[command.type]


def fold(incident: Incident, event: Event) -> Incident:
    """The incident after an event."""
    entry = TimelineEntry(at=event.at, who=event.actor.name, via=event.actor.via, kind=event.type, text=event.text)
    return replace(
        incident, version=incident.version + 1, timeline=(*incident.timeline, entry), **_changes(incident, event)
    )


def _changes(incident: Incident, event: Event) -> dict[str, Any]:  # noqa: C901 - one flat table of events
    match event.type:
        case "joined" | "opened" if event.finding:
            rest = tuple(finding for finding in incident.findings if finding.key != event.finding.key)
            onset = min(incident.onset, event.finding.onset)
            cleared = incident.cleared - {event.finding.key}
            return {"findings": (*rest, event.finding), "cleared": cleared, "onset": onset}
        case "cleared" if event.finding:
            return {"cleared": incident.cleared | {event.finding.key}}
        case "refired":
            return {"system_state": "firing", "recovered_at": None}
        case "recovered":
            return {"system_state": "recovered", "recovered_at": event.at}
        case "diagnosed":
            return {"diagnosis": event.diagnosis}
        case "proposed":
            return {"proposal": event.proposal, "proposal_state": "proposed", "approved_by": None}
        case "paged" | "escalated" | "ack_timed_out":
            first = incident.paged_at or event.at
            page = {"paged_at": first, "paged_person": event.person, "escalation_step": event.step}
            return page | {"human_state": "paged"}
        case "delivered":
            return {"delivered": True}
        case "acknowledged":
            return {"human_state": "acknowledged", "acknowledged_at": event.at, "acknowledged_by": event.actor}
        case "expired":
            return {"human_state": "expired"}
        case "approved":
            return {"proposal_state": "approved", "approved_by": event.actor}
        case "declined":
            return {"proposal_state": "declined", "approved_by": event.actor}
        case "run_started":
            return {"proposal_state": "running"}
        case "run_finished":
            return {"proposal_state": "done" if event.succeeded else "failed"}
        case "resolved":
            return {"human_state": "resolved", "resolved_at": event.at, "resolved_by": event.actor}
        case "labelled" if event.label:
            others = tuple(label for label in incident.labels if label.id != event.label.id)
            return {"labels": (*others, event.label)}
    return {}


def begin(incident_id: str, event: Event) -> Incident:
    """A new incident from its first event, `opened`."""
    if event.type != "opened" or event.finding is None:
        raise ValueError("an incident begins with `opened` and a finding")
    finding = event.finding
    empty = Incident(
        id=incident_id,
        title=finding.summary,
        severity=finding.severity,
        service=finding.service,
        opened_at=event.at,
        onset=finding.onset,
    )
    return fold(empty, event)


def replay(incident_id: str, events: Iterable[Event]) -> Incident:
    """The incident that a list of events tells."""
    incident: Incident | None = None
    for event in events:
        incident = begin(incident_id, event) if incident is None else fold(incident, event)
    if incident is None:
        raise ValueError(f"incident {incident_id} has no events")
    return incident
