"""The protocol between machine and human: one state machine, in one file.

The system's state and the human's are two things: a recovered incident still waits for a human decision, and a
resolved one never fires again.

    system               recovered                        human, of one page
               ┌──────────────────────────┐
    opened ► firing                   recovered           waiting ──► paged ◄──┐ escalated: the next is paged
               └──────────────────────────┘                 │         │ │ └────┘
                          refired                           │         │ └─ expired (nobody is left to page)
                                                            ▼         ▼          │
                                                            acknowledged ◄───────┘  ack_timed_out: back to paged
                                                                  │
                                                                  ▼  (from any state)
                                                              resolved

An incident of severity `ticket` waits without a page. It is raised to `page` once, with the finding that users feel;
whoever had acknowledged the ticket is not taken to have answered the page.

`decide` turns a command into an event or a refusal with its reason; `fold` applies an event. Both are pure: no clock,
no database. What never happens: a second acknowledgement by somebody else, a late acknowledgement that reopens,
a page after an acknowledgement, another person paged for what has recovered.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from typing import Any, Literal, get_args

from alerting.incidents.questions import Asked, ended, is_known, named, refused_answer, with_question
from alerting.oncall.chain import Chain
from watchkeeper.vocabulary import Actor, Diagnosis, Finding, Label, Proposal, Question, Severity, is_news, supersedes

SEVERITIES: tuple[Severity, ...] = get_args(Severity)

FINDINGS_SHOWN = 7  # what a person reads of an incident at a glance

SystemState = Literal["firing", "recovered"]
HumanState = Literal["waiting", "paged", "acknowledged", "resolved", "expired"]
ProposalState = Literal["none", "proposed", "approved", "declined", "running", "done", "failed", "cancelled"]
EventType = Literal[
    "opened",
    "joined",
    "raised",
    "cleared",
    "refired",
    "recovered",
    "diagnosed",
    "proposed",
    "withdrawn",
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
    "run_cancelled",
    "run_noted",
    "run_asked",
    "run_answered",
    "run_unanswered",
    "resolved",
    "labelled",
    "noted",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """Something that somebody, or the machine, wants to happen to an incident. The same `key` again changes nothing.

    `seen` is the id of the proposal that whoever approves or declines had before them, or of the question that somebody
    answers; `run` is the run that an event is about. A page is for `person` and those in `also`, and may be for what
    fires only; `chain` is the escalation that it begins.
    """

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
    also: tuple[str, ...] = ()
    chain: Chain | None = None
    firing_only: bool = False
    seen: str = ""
    run: str = ""
    question: Question | None = None
    answer: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event(Command):
    """A command that happened, with a line for the timeline."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelineEntry:
    """One line of an incident's timeline."""

    at: datetime
    who: str
    via: str
    kind: EventType
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """An incident as its events describe it. `version` is how many there are."""

    id: str
    title: str
    severity: Severity
    service: str
    opened_at: datetime
    onset: datetime
    raised_at: datetime | None = None
    version: int = 0
    system_state: SystemState = "firing"
    human_state: HumanState = "waiting"
    proposal_state: ProposalState = "none"
    findings: tuple[Finding, ...] = ()
    cleared: frozenset[str] = frozenset()
    diagnosis: Diagnosis | None = None
    proposal: Proposal | None = None
    proposed_at: datetime | None = None
    paged_at: datetime | None = None
    paged_person: str = ""
    escalation_step: int = 0
    chain: Chain | None = None
    delivered: bool = False
    acknowledged_at: datetime | None = None
    acknowledged_by: Actor | None = None
    approvals: tuple[Actor, ...] = ()
    approved_by: Actor | None = None
    declined_by: Actor | None = None
    questions: tuple[Asked, ...] = ()
    recovered_at: datetime | None = None
    resolved_at: datetime | None = None
    resolved_by: Actor | None = None
    labels: tuple[Label, ...] = ()
    timeline: tuple[TimelineEntry, ...] = ()

    @property
    def is_open(self) -> bool:
        return self.human_state != "resolved"

    @property
    def first_findings(self) -> tuple[Finding, ...]:
        """What a message and a page show: the most severe findings, in order of onset; no details."""
        shown = sorted(self.findings, key=lambda one: (SEVERITIES.index(one.severity), one.onset, one.key))
        first = [one for one in shown if one.severity != "detail"][:FINDINGS_SHOWN]
        return tuple(first or shown[:FINDINGS_SHOWN])

    def counts(self, finding: Finding) -> bool:
        """Whether a finding keeps it firing: of a ticket all but details do, else those that page."""
        return SEVERITIES.index(finding.severity) <= SEVERITIES.index(self.severity)

    @property
    def counting_keys(self) -> frozenset[str]:
        return frozenset(finding.key for finding in self.findings if self.counts(finding))

    @property
    def firing_keys(self) -> frozenset[str]:
        return frozenset(finding.key for finding in self.findings) - self.cleared


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a command changes nothing, for whoever gave it."""

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
    values = {field.name: getattr(command, field.name) for field in fields(Command)}
    return Event(**(values | {"text": command.text or _describe(incident, command)}))


AFTER_RESOLVE = frozenset(
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


def _refuse(incident: Incident, command: Command) -> str:
    """Why a command may not happen, or nothing."""
    if incident.human_state == "resolved" and command.type not in AFTER_RESOLVE:
        return f"already resolved by {_name(incident.resolved_by)} at {_clock(incident.resolved_at)}"
    match command.type:
        case "opened":
            return "already open" if incident.version else ""
        case "raised":
            return "" if incident.severity == "ticket" else "already a page"
        case "joined" | "cleared" | "recovered" | "refired":
            return _refuse_observed(incident, command)
        case "paged" | "escalated" | "ack_timed_out" | "expired":
            return _refuse_page(incident, command)
        case "diagnosed" if command.diagnosis and incident.diagnosis:
            return "" if is_news(command.diagnosis, incident.diagnosis) else "nothing new"
        case "proposed" | "withdrawn" | "approved" | "declined" | "run_started" | "run_finished" | "run_cancelled":
            return _refuse_runbook(incident, command)
        case "run_asked" | "run_answered" | "run_unanswered":
            return _refuse_question(incident, command)
        case "acknowledged" if incident.human_state == "acknowledged":
            return _taken_by(incident, "already acknowledged")
        case "labelled" if command.label and any(label.id == command.label.id for label in incident.labels):
            return f"{_name(command.actor)} answered so already: {_label_line(command.label)}"
    return ""


def _refuse_observed(incident: Incident, command: Command) -> str:
    fires = command.finding is not None and command.finding.key in incident.firing_keys
    match command.type:
        case "joined" if command.finding and knows(incident, command.finding):
            return "known"
        case "cleared" if not fires:
            return "already cleared"
        case "recovered" if incident.system_state == "recovered":
            return "already recovered"
        case "refired" if incident.system_state == "firing":
            return "still firing"
    return ""


def knows(incident: Incident, finding: Finding) -> bool:
    """Whether a finding fires in an incident already; one that is more severe now is news."""
    if finding.key not in incident.firing_keys:
        return False
    known = next(each for each in incident.findings if each.key == finding.key)
    return SEVERITIES.index(known.severity) <= SEVERITIES.index(finding.severity)


def _refuse_page(incident: Incident, command: Command) -> str:
    """Nobody is paged twice for one step, after an acknowledgement, or (but for the first page) after a recovery."""
    if incident.severity != "page":
        return "a ticket pages nobody"
    if command.type == "ack_timed_out":
        if incident.human_state != "acknowledged":
            return "nobody holds it"
    elif incident.human_state == "acknowledged":
        return _taken_by(incident, "acknowledged")
    if command.type == "paged" and command.firing_only and incident.system_state == "recovered":
        return "it recovered before its first step"
    if command.type == "paged":
        return "" if incident.human_state in ("waiting", "expired") else "already paged"
    if command.type in ("escalated", "expired") and incident.human_state != "paged":
        return "nobody was asked"
    if command.type != "expired" and incident.system_state == "recovered":
        return "it has recovered; nobody else is paged"
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
        return f"the proposal changed at {_clock(incident.proposed_at)} to “{proposal.title}”; look again"
    approved = [approver.name.casefold() for approver in incident.approvals]
    if command.type == "approved" and command.actor.name.casefold() in approved:
        return f"{command.actor.name} approved already; {_approvals(incident, proposal)}"
    return ""


def _same(proposal: Proposal, other: Proposal) -> bool:
    """Whether two proposals differ in nothing but how old their proof is."""
    return replace(proposal, proof="") == replace(other, proof="")


def _approvals(incident: Incident, proposal: Proposal, more: int = 0) -> str:
    """`1 of 2 approvals`."""
    return f"{len(incident.approvals) + more} of {proposal.approvals} approvals"


def _taken_by(incident: Incident, how: str) -> str:
    return f"{how} by {_name(incident.acknowledged_by)} at {_clock(incident.acknowledged_at)}"


def _name(actor: Actor | None) -> str:
    return actor.name if actor else "somebody"


def _clock(at: datetime | None) -> str:
    return f"{at:%H:%M:%S} UTC" if at else "an unknown time"


def _describe(incident: Incident, command: Command) -> str:
    """A line of the timeline, where the command brought none."""
    who = command.actor.name
    title = incident.proposal.title if incident.proposal else "the runbook"
    lines: dict[EventType, str] = {
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
        "resolved": f"{who} resolved",
        "labelled": _label_line(command.label) if command.label else f"{who} labelled",
        "noted": "",
    }
    return lines[command.type]


def _approval_line(incident: Incident, command: Command, title: str) -> str:
    proposal = incident.proposal
    if command.actor.via == "system":
        return f"the policy lets it run without a human: {title}"
    if proposal is None or proposal.approvals == 1:
        return f"{command.actor.name} approved: {title}"
    return f"{command.actor.name} approved ({_approvals(incident, proposal, 1)}): {title}"


def _answer_line(incident: Incident, command: Command) -> str:
    asked = named(incident.questions, command.seen)
    return f"{command.actor.name} answered {command.answer}" + (f" to: {asked.question.text}" if asked else "")


def _label_line(label: Label) -> str:
    """`cause was payments (latency); the page was warranted`."""
    mechanism = f" ({label.mechanism})" if label.mechanism else ""
    cause = f"cause was {label.cause}{mechanism}" if label.cause else "no cause named"
    if label.warranted is None:
        return cause
    return f"{cause}; the page was {'warranted' if label.warranted else 'not warranted'}"


def fold(incident: Incident, event: Event) -> Incident:
    """The incident after an event."""
    entry = TimelineEntry(at=event.at, who=event.actor.name, via=event.actor.via, kind=event.type, text=event.text)
    return replace(
        incident, version=incident.version + 1, timeline=(*incident.timeline, entry), **_changes(incident, event)
    )


def _changes(incident: Incident, event: Event) -> dict[str, Any]:  # noqa: C901 - one flat table of events
    match event.type:
        case "joined" | "opened" if event.finding:
            # A ticket that drifts along does not show when this trouble began.
            pages = event.finding.severity == "page"
            onset = min(incident.onset, event.finding.onset) if pages else incident.onset
            return _joined(incident, event.finding) | {"onset": onset}
        case "raised" if event.finding:
            return _raised(incident, event, event.finding)
        case "cleared" if event.finding:
            worst = tuple(event.finding if one.key == event.finding.key else one for one in incident.findings)
            return {"cleared": incident.cleared | {event.finding.key}, "findings": worst}
        case "refired":
            return {"system_state": "firing", "recovered_at": None}
        case "recovered":
            return {"system_state": "recovered", "recovered_at": event.at}
        case "diagnosed":
            return {"diagnosis": event.diagnosis}
        case "proposed":
            asked = {"proposal": event.proposal, "proposal_state": "proposed", "proposed_at": event.at}
            return asked | {"approvals": (), "approved_by": None, "declined_by": None}
        case "withdrawn":
            return {"proposal": None, "proposal_state": "none", "approvals": ()}
        case "paged" | "escalated" | "ack_timed_out":
            first = incident.paged_at or event.at
            return {
                "human_state": "paged",
                "paged_at": first,
                "paged_person": event.person,
                "escalation_step": event.step,
                "chain": event.chain or incident.chain,
            }
        case "delivered":
            return {"delivered": True}
        case "acknowledged":
            return {"human_state": "acknowledged", "acknowledged_at": event.at, "acknowledged_by": event.actor}
        case "expired":
            return {"human_state": "expired"}
        case "approved" if incident.proposal:
            return _approved(incident, event, incident.proposal)
        case "declined":
            return {"proposal_state": "declined", "declined_by": event.actor}
        case "run_started":
            return {"proposal_state": "running"}
        case "run_finished":
            over = ended(incident.questions, "", "", event.actor, event.at, "the run ended")
            return {"proposal_state": "done" if event.succeeded else "failed", "questions": over}
        case "run_asked" if event.question:
            return {"questions": with_question(incident.questions, event.question, event.actor, event.at)}
        case "run_answered" | "run_unanswered":
            over = ended(incident.questions, event.seen, event.answer, event.actor, event.at, event.text)
            return {"questions": over}
        case "run_cancelled":
            return {"proposal_state": "cancelled"}
        case "resolved":
            return {"human_state": "resolved", "resolved_at": event.at, "resolved_by": event.actor}
        case "labelled" if event.label:
            others = tuple(label for label in incident.labels if not supersedes(event.label, label))
            return {"labels": (*others, event.label)}
    return {}


def _approved(incident: Incident, event: Event, proposal: Proposal) -> dict[str, Any]:
    """One more approval; the last that is needed lets the runbook run. The policy's own stands for all of them."""
    approvals = (*incident.approvals, event.actor)
    if len(approvals) < proposal.approvals and event.actor.via != "system":
        return {"approvals": approvals}
    return {"approvals": approvals, "proposal_state": "approved", "approved_by": event.actor}


def _joined(incident: Incident, finding: Finding) -> dict[str, Any]:
    """A finding that fires in an incident, in the place of what was known of it."""
    rest = tuple(known for known in incident.findings if known.key != finding.key)
    return {"findings": (*rest, finding), "cleared": incident.cleared - {finding.key}}


def _raised(incident: Incident, event: Event, finding: Finding) -> dict[str, Any]:
    """A ticket that is a page from now on: named, dated and diagnosed by what users feel."""
    felt = {"severity": "page", "title": finding.summary, "service": finding.service, "onset": finding.onset}
    unanswered = {"human_state": "waiting", "acknowledged_at": None, "acknowledged_by": None, "diagnosis": None}
    return felt | unanswered | _joined(incident, finding) | {"raised_at": event.at}


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
    """The incident that a list of events describes."""
    incident: Incident | None = None
    for event in events:
        incident = begin(incident_id, event) if incident is None else fold(incident, event)
    if incident is None:
        raise ValueError(f"incident {incident_id} has no events")
    return incident
