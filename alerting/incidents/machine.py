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

Beside this urgency stands the severity level, SEV1 to SEV4: the most severe of what fires, or what a human decided. A
human who raises a ticket to a level that pages, or lowers a page to one that does not, changes both.

Two more states suppress pages for a time: `snoozed` by a human, `silenced` by a silence that matches what fires. What
still fires at their end pages. An incident that is `assigned` pages its assignee. One that is `merged` into another
pages nobody: its findings are the other's, until it is split off again.

`decide` turns a command into an event or a refusal with its reason; `fold` applies an event. Both are pure: no clock,
no database. `alerting.incidents.refusals` has the reasons, `alerting.incidents.timeline` the words of the timeline.
What never happens: a second acknowledgement by somebody else, a late acknowledgement that reopens, a page after an
acknowledgement, another person paged for what has recovered.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from operator import attrgetter
from typing import Any, Literal, get_args

from alerting.incidents.levels import default_level, more_severe
from alerting.incidents.questions import Asked, ended, with_question
from alerting.incidents.refusals import refusal
from alerting.incidents.timeline import describe
from alerting.oncall.chain import Chain
from watchkeeper.vocabulary import (
    CANARY,
    Actor,
    Diagnosis,
    Finding,
    Label,
    Level,
    Proposal,
    Question,
    Severity,
    supersedes,
)

SEVERITIES: tuple[Severity, ...] = get_args(Severity)

FINDINGS_SHOWN = 7  # what a person reads of an incident at a glance

SystemState = Literal["firing", "recovered"]
HumanState = Literal["waiting", "paged", "acknowledged", "snoozed", "silenced", "expired", "merged", "resolved"]
CLOSED: tuple[HumanState, ...] = ("merged", "resolved")
# A page that is lowered to a ticket leaves these: nobody is asked any more.
UNANSWERED_STATES: tuple[HumanState, ...] = ("paged", "expired", "snoozed", "silenced")
# A page that still waits to be sent pages nobody any more.
QUIET: tuple[HumanState, ...] = ("acknowledged", "snoozed", "silenced", *CLOSED)
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
    "snoozed",
    "snooze_ended",
    "silenced",
    "silence_ended",
    "assigned",
    "severity_changed",
    "update_due",
    "expired",
    "merged",
    "absorbed",
    "split",
    "released",
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
class TimelineEntry:
    """One line of an incident's timeline. `kind` is an `EventType`, or one that another version knows."""

    at: datetime
    who: str
    via: str
    kind: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Absorbed:
    """What an incident brings along when it is merged into another, and what it takes back when it is split off.

    `findings` are those that the other does not have; `cleared` are keys of findings.
    """

    id: str
    title: str
    findings: tuple[Finding, ...] = ()
    cleared: frozenset[str] = frozenset()
    timeline: tuple[TimelineEntry, ...] = ()
    level: Level | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """Something that somebody, or the machine, wants to happen to an incident. The same `key` again changes nothing.

    `type` is an `EventType`; an event that another version wrote may have another, and is one more line of the
    timeline. `seen` is the id of the proposal that whoever approves or declines had before them, or of the question
    that somebody answers; `run` is the run that an event is about. A page is for `person` and those in `also`, and may
    be for what fires only; `chain` is the escalation that it begins. `until` is the end of a snooze or silence; `other`
    is the incident that is merged or split, and `absorbed` what it brings along. `level` is the severity level of a
    finding, or the one that a human sets, with `reason`: then `pages` is whether that level pages, and `anew` whether
    its escalation begins again.
    """

    type: EventType | str
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
    until: datetime | None = None
    other: str = ""
    absorbed: Absorbed | None = None
    level: Level | None = None
    reason: str = ""
    pages: bool = True
    anew: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Event(Command):
    """A command that happened, with a line for the timeline."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """An incident as its events describe it. `version` is how many there are.

    `level` is its severity level, never None; `level_by` is the human who set it; `urgent_by_hand` is whether it pages
    for what alone would be a ticket.
    """

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
    assigned_to: str = ""
    snoozed_until: datetime | None = None
    snoozed_by: Actor | None = None
    silenced_until: datetime | None = None
    merged_into: str = ""
    merged_at: datetime | None = None
    absorbed: tuple[Absorbed, ...] = ()
    approvals: tuple[Actor, ...] = ()
    approved_by: Actor | None = None
    declined_by: Actor | None = None
    questions: tuple[Asked, ...] = ()
    recovered_at: datetime | None = None
    resolved_at: datetime | None = None
    resolved_by: Actor | None = None
    labels: tuple[Label, ...] = ()
    timeline: tuple[TimelineEntry, ...] = ()
    level: Level | None = None
    level_by: Actor | None = None
    urgent_by_hand: bool = False

    def __post_init__(self) -> None:
        if self.level is None:  # an older version kept it
            levels = [level for finding in self.findings if (level := default_level(finding))]
            object.__setattr__(self, "level", more_severe(*levels) or ("SEV3" if self.severity == "page" else "SEV4"))

    @property
    def is_open(self) -> bool:
        return self.human_state not in CLOSED

    @property
    def is_canary(self) -> bool:
        """Whether it is of the alert that Watchkeeper raises for itself: it reaches no human, and teaches nothing."""
        return any(finding.detector == CANARY for finding in self.findings)

    @property
    def services(self) -> frozenset[str]:
        """Its own service, and those that its findings are about."""
        return frozenset((self.service, *(finding.service for finding in self.findings)))

    @property
    def complete_timeline(self) -> tuple[TimelineEntry, ...]:
        """Its own timeline and those of the incidents that are merged into it, in order of time."""
        merged = (replace(each, text=f"{one.id}: {each.text}") for one in self.absorbed for each in one.timeline)
        return tuple(sorted((*self.timeline, *merged), key=lambda entry: entry.at)) if self.absorbed else self.timeline

    @property
    def first_findings(self) -> tuple[Finding, ...]:
        """What a message and a page show: the most severe findings, in order of onset; no details."""
        shown = sorted(self.findings, key=lambda one: (SEVERITIES.index(one.severity), one.onset, one.key))
        first = [one for one in shown if one.severity != "detail"][:FINDINGS_SHOWN]
        return tuple(first or shown[:FINDINGS_SHOWN])

    def counts(self, finding: Finding) -> bool:
        """Whether a finding keeps it firing: of a ticket all but details do, else those that page."""
        if self.urgent_by_hand:
            return finding.severity != "detail"
        return SEVERITIES.index(finding.severity) <= SEVERITIES.index(self.severity)

    @property
    def counting_keys(self) -> frozenset[str]:
        return frozenset(finding.key for finding in self.findings if self.counts(finding))

    @property
    def firing_keys(self) -> frozenset[str]:
        return frozenset(finding.key for finding in self.findings) - self.cleared

    def knows(self, finding: Finding) -> bool:
        """Whether a finding fires in it already; one that is more severe now is news."""
        if finding.key not in self.firing_keys:
            return False
        known = next(each for each in self.findings if each.key == finding.key)
        return SEVERITIES.index(known.severity) <= SEVERITIES.index(finding.severity)


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


_COMMAND = tuple(field.name for field in fields(Command))
_values_of = attrgetter(*_COMMAND)


def decide(incident: Incident, command: Command) -> Event | Refusal:
    """Whether a command may happen now: the event that it becomes, or why not."""
    why = refusal(incident, command)
    if why:
        return Refusal(why)
    values = dict(zip(_COMMAND, _values_of(command), strict=True))
    return Event(**(values | {"text": command.text or describe(incident, command)}))


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
            return _joined(incident, event.finding) | {"onset": onset} | _level(incident, event, event.finding)
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
        case "paged" | "escalated" | "ack_timed_out" | "snooze_ended" | "silence_ended":
            return _paged(incident, event) | {"escalation_step": event.step, "chain": event.chain or incident.chain}
        case "assigned":
            # What has recovered, or is a ticket, pages nobody: it has an owner, and no more.
            pages = incident.severity == "page" and incident.system_state == "firing"
            return {"assigned_to": event.person} | (_paged(incident, event) if pages else {})
        case "severity_changed" if event.level:
            return _level_changed(incident, event, event.level)
        case "snoozed":
            return {"human_state": "snoozed", "snoozed_until": event.until, "snoozed_by": event.actor}
        case "silenced":
            return {"human_state": "silenced", "silenced_until": event.until}
        case "merged":
            return {"human_state": "merged", "merged_into": event.other, "merged_at": event.at}
        case "absorbed" if event.absorbed:
            return _absorbed(incident, event.absorbed)
        case "released":
            return _released(incident, event.other)
        case "split":
            return _split(incident, event)
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


def _paged(incident: Incident, event: Event) -> dict[str, Any]:
    first = incident.paged_at or event.at
    return {"human_state": "paged", "paged_at": first, "paged_person": event.person}


def _level(incident: Incident, event: Event, finding: Finding) -> dict[str, Any]:
    """The level of an incident with one more finding. What a human decided stands, but for what is more severe."""
    if incident.level_by and event.type != "raised":
        return {}
    return {"level": more_severe(incident.level, event.level or default_level(finding))}


def _level_changed(incident: Incident, event: Event, level: Level) -> dict[str, Any]:
    """The level that a human chose: with it a ticket may become a page, and a page a ticket."""
    changes: dict[str, Any] = {"level": level, "level_by": event.actor}
    if not event.pages:
        waits = {"human_state": "waiting"} if incident.human_state in UNANSWERED_STATES else {}
        return changes | waits | {"severity": "ticket", "urgent_by_hand": False, "chain": None, "escalation_step": 0}
    if incident.severity == "ticket":
        changes |= {"severity": "page", "urgent_by_hand": True, "raised_at": event.at}
        changes |= {"acknowledged_at": None, "acknowledged_by": None}
    elif not event.anew or incident.human_state not in ("waiting", "paged", "expired"):
        return changes
    return changes | {"human_state": "waiting", "chain": None, "escalation_step": 0}


def _absorbed(incident: Incident, other: Absorbed) -> dict[str, Any]:
    """Another incident's findings are its own from now on; of what both have, what it knows itself stands."""
    known = {finding.key for finding in incident.findings}
    brought = tuple(finding for finding in other.findings if finding.key not in known)
    onsets = [finding.onset for finding in brought if finding.severity == "page"]
    return {
        "findings": (*incident.findings, *brought),
        "cleared": incident.cleared | {finding.key for finding in brought if finding.key in other.cleared},
        "onset": min([incident.onset, *onsets]),
        "absorbed": (*incident.absorbed, replace(other, findings=brought)),
        "level": incident.level if incident.level_by else more_severe(incident.level, other.level),
    }


def _released(incident: Incident, other: str) -> dict[str, Any]:
    """Without what an incident that is split off had brought along."""
    gone = {finding.key for each in incident.absorbed if each.id == other for finding in each.findings}
    return {
        "findings": tuple(finding for finding in incident.findings if finding.key not in gone),
        "cleared": incident.cleared - gone,
        "absorbed": tuple(each for each in incident.absorbed if each.id != other),
    }


def _split(incident: Incident, event: Event) -> dict[str, Any]:
    """On its own again, as its findings stand now. Whoever split it off has it, so that nobody is paged anew."""
    has = {"human_state": "acknowledged", "acknowledged_at": event.at, "acknowledged_by": event.actor}
    has |= {"merged_into": "", "merged_at": None}
    if event.absorbed is None:
        return has
    after = replace(incident, findings=event.absorbed.findings, cleared=event.absorbed.cleared)
    fires = bool(after.counting_keys & after.firing_keys)
    has |= {"findings": after.findings, "cleared": after.cleared}
    if fires:
        return has | {"system_state": "firing", "recovered_at": None}
    return has | {"system_state": "recovered", "recovered_at": incident.recovered_at or event.at}


def _raised(incident: Incident, event: Event, finding: Finding) -> dict[str, Any]:
    """A ticket that is a page from now on: named, dated and diagnosed by what users feel."""
    felt = {"severity": "page", "title": finding.summary, "service": finding.service, "onset": finding.onset}
    unanswered = {"human_state": "waiting", "acknowledged_at": None, "acknowledged_by": None, "diagnosis": None}
    level = _level(incident, event, finding) | {"urgent_by_hand": False}
    return felt | unanswered | _joined(incident, finding) | level | {"raised_at": event.at}


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
        level=event.level or default_level(finding),
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
