"""One command on an incident, inside a transaction, with everything that it causes.

Timers, messages of the outbox, labels, runs and the postmortem's draft commit together with the event, or not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from prometheus_client import Counter
from sqlalchemy import Connection

from alerting.channels import outbox
from alerting.channels.routing import Routing, Way
from alerting.incidents import journal
from alerting.incidents.findings import keys_of_incident
from alerting.incidents.levels import pages
from alerting.incidents.machine import Command, Event, EventType, Incident, Outcome, Refusal, begin, decide, fold
from alerting.incidents.questions import named
from alerting.incidents.silences import Silence, cover, in_force
from alerting.oncall import escalation
from alerting.oncall.approvers import refused_approver
from alerting.oncall.escalation import MACHINE
from alerting.oncall.in_force import Rota
from alerting.oncall.schedule import Override
from alerting.oncall.timers import waiting_for
from alerting.postmortems import postmortem, revisions
from alerting.status_page import stakeholders
from alerting.status_page.stakeholders import News
from watchkeeper.config import OnCallConfig
from watchkeeper.errors import NotFound
from watchkeeper.state import runs
from watchkeeper.state.alerts import end_alerts
from watchkeeper.state.labels import store_label
from watchkeeper.vocabulary import Finding, Level

EVENTS: Final = Counter("watchkeeper_incident_events_total", "Events of incidents, by type.", ["type"])
REFUSED: Final = Counter("watchkeeper_incident_refusals_total", "Commands that changed nothing, by type.", ["type"])
# Commands whose result a human should see in the message at once.
SHOWN: Final = frozenset(
    {
        "diagnosed",
        "proposed",
        "withdrawn",
        "acknowledged",
        "snoozed",
        "silenced",
        "assigned",
        "severity_changed",
        "update_due",
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
        "recovered",
        "refired",
        "resolved",
        "labelled",
        "expired",
    }
)
# Events that a postmortem contains; after the resolve, each writes the draft anew.
IN_POSTMORTEM: Final = frozenset(
    {"resolved", "labelled", "noted", "run_answered", "run_unanswered", "run_finished", "run_cancelled", "recovered"}
)
# Events after which the later pages of somebody's notification rules come no more.
QUIETING: Final = frozenset({"acknowledged", "snoozed", "silenced", "assigned", "merged", "resolved"})
# Events that a silence takes the place of: with any of them a page, or its end, would be over before the silence is.
SILENCEABLE: Final = escalation.PAGES | {"expired"}


# Commands of the machine's that come for many incidents at once, and cause nothing but pages.
TOGETHER: Final[frozenset[EventType]] = frozenset({"paged", "delivered", "undelivered"})


def opened_by(incident_id: str, finding: Finding, now: datetime, level: Level | None = None) -> tuple[Incident, Event]:
    """A new incident, and its first event; `level` is its severity level, if a rule gives one. Pure."""
    event = Event(
        type="opened", at=now, actor=MACHINE, key="opened", text=finding.summary, finding=finding, level=level
    )
    return begin(incident_id, event), event


@dataclass(frozen=True, slots=True, kw_only=True)
class Writer:
    """Decides, records, and does what follows. `rota` and `overrides` give what is in force now."""

    channels: tuple[str, ...]
    rota: Rota
    canary: Way
    ack_timeout_s: float
    overrides: Callable[[], Sequence[Override]]

    @property
    def routing(self) -> Routing:
        """By which channels people are reached now."""
        return Routing(channels=self.channels, oncall=self.rota(), canary=self.canary)

    @property
    def oncall(self) -> OnCallConfig:
        """The rota of this moment."""
        return self.rota()

    def open_all(self, connection: Connection, opened: Sequence[tuple[Incident, Sequence[Event]]]) -> None:
        """Keep new incidents, as `opened_by` makes them, and what joined them at once.

        Should nobody page for a page in time, a timer does.
        """
        if not opened:
            return
        journal.add_incidents(connection, opened)
        at = opened[0][0].opened_at
        urgent = [incident for incident, _ in opened if incident.severity == "page"]
        escalation.await_pages(connection, self.oncall, urgent, at)
        escalation.await_updates(connection, self.oncall, [one for one, _ in opened], at)
        news = [News(incident=incident, what="opened") for incident, _ in opened]
        stakeholders.announce(connection, self.oncall, news, at)
        for incident, events in opened:
            for event in events:
                _count(incident, event)

    def apply_all(self, connection: Connection, commands: Mapping[str, Command]) -> None:
        """Many commands of types in `TOGETHER`, by incident: what `apply` does, in a few statements.

        Raises:
            Conflict: one of the incidents has moved on.
            NotFound: one of them is not there, or cannot be read.
            ValueError: a command may cause more than this keeps.
        """
        if others := {command.type for command in commands.values()} - TOGETHER:
            raise ValueError(f"{min(others)} is applied one by one")
        incidents = journal.load_many(connection, list(commands))
        if gone := commands.keys() - incidents.keys():
            raise NotFound(f"no incident {min(gone)}, or none that can be read")
        repeated = journal.given_before(connection, {name: command.key for name, command in commands.items()})
        changes = []
        overrides = self.overrides() if any(command.type in escalation.PAGES for command in commands.values()) else ()
        asks = any(command.type in SILENCEABLE for command in commands.values())
        silences = in_force(connection, max(command.at for command in commands.values())) if asks else ()
        for name, command in commands.items():
            decision = None if name in repeated else _decided(incidents[name], command, silences)
            if isinstance(decision, Refusal):
                REFUSED.labels(command.type).inc()
            elif decision:
                before = incidents[name]
                decision = self._with_people(connection, before, decision, overrides)
                changes.append(journal.Change(before=before, after=fold(before, decision), events=(decision,)))
        journal.append_all(connection, changes)
        if silenced := [change for change in changes if change.last.type == "silenced"]:
            escalation.silences_follow(connection, [one.after for one in silenced], silenced[0].last.at)
        paged = [change for change in changes if change.last.type == "paged"]
        if paged:
            escalation.steps_follow(connection, self.oncall, [one.after for one in paged], paged[0].last.at)
            outbox.put_pages(connection, [(one.after, one.last) for one in paged], self.routing)
        for change in changes:
            _count(change.after, change.last)

    def join_all(self, connection: Connection, changes: Sequence[journal.Change]) -> list[Incident]:
        """Keep incidents that findings joined: what `apply` does, in a few statements.

        The events are `joined`; before the first, `refired` where a human has acknowledged. Returns the incidents to
        which more happened, because it was owed.

        Raises:
            Conflict: one of the incidents has moved on.
        """
        journal.append_all(connection, changes)
        if worse := [one for one in changes if one.after.level != one.before.level]:
            escalation.await_updates(connection, self.oncall, [one.after for one in worse], worse[0].last.at)
            news = [News(incident=one.after, what="level changed", before=one.before.level) for one in worse]
            stakeholders.announce(connection, self.oncall, news, worse[0].last.at)
        for change in changes:
            for event in change.events:
                _count(change.after, event)
        refired = [(one.after, event) for one in changes for event in one.events if event.type == "refired"]
        return self._fire_again(connection, refired) if refired else []

    def _fire_again(self, connection: Connection, refired: Sequence[tuple[Incident, Event]]) -> list[Incident]:
        """What follows where acknowledged incidents fire again; those whose acknowledgement has timed out meanwhile."""
        at, ids = refired[0][1].at, [incident.id for incident, _ in refired]
        outbox.put_updates(connection, [one for one in refired if _is_shown(*one)], self.routing)
        outbox.release(connection, ids, at)
        waiting = waiting_for(connection, ids, "ack_timeout")
        return [self._catch_up(connection, incident, at) for incident, _ in refired if incident.id not in waiting]

    def end_all(self, connection: Connection, endings: Sequence[tuple[Incident, Sequence[Command]]]) -> None:
        """What fires no longer, of many incidents: what `apply` does with each of the commands, in a few statements.

        The commands are `cleared` and `recovered`; each incident is as it was read in this transaction or before.

        Raises:
            Conflict: one of the incidents has moved on.
        """
        changes = []
        for before, commands in endings:
            after, events = before, []
            for command in commands:
                decision = decide(after, command)
                if isinstance(decision, Event):
                    after = fold(after, decision)
                    events.append(decision)
            if events:
                changes.append(journal.Change(before=before, after=after, events=tuple(events)))
        journal.append_all(connection, changes)
        recovered = [(one.after, one.last) for one in changes if one.last.type == "recovered"]
        if recovered:
            escalation.recoveries_follow(connection, self.oncall, [one for one, _ in recovered], recovered[0][1].at)
            outbox.put_updates(connection, [one for one in recovered if _is_shown(*one)], self.routing)
        for incident, event in recovered:
            if _is_in_postmortem(incident, event):
                postmortem.store_draft(connection, incident, event.at, self.oncall)
        for change in changes:
            for event in change.events:
                _count(change.after, event)

    def apply(self, connection: Connection, incident_id: str, command: Command) -> Outcome:
        """Decide and record one command, with everything that it causes."""
        incident = journal.load(connection, incident_id)
        repeated = journal.event_by_key(connection, incident_id, command.key)
        if repeated:
            return Outcome(changed=False, message=repeated.text, incident=incident)
        silences = in_force(connection, command.at) if command.type in SILENCEABLE else ()
        if command.type == "severity_changed" and command.level:
            command = self._with_effects(incident, command, command.level)
        decision = (
            self._refused_approval(incident, command)
            or self._refused_answer(incident, command)
            or _decided(incident, command, silences)
        )
        if isinstance(decision, Refusal):
            REFUSED.labels(command.type).inc()
            return Outcome(changed=False, message=decision.message, incident=incident)
        if decision.type in escalation.PAGES:
            decision = self._with_people(connection, incident, decision, self.overrides())
        after = fold(incident, decision)
        journal.append(connection, incident, after, decision)
        _count(after, decision)
        self._consequences(connection, after, decision)
        if news := stakeholders.of_event(incident, after, decision):
            stakeholders.announce(connection, self.oncall, [news], decision.at)
        if after.level != incident.level:
            escalation.await_updates(connection, self.oncall, [after], decision.at)
        if decision.type == "severity_changed":
            after = self._page_anew(connection, after, decision)
        if decision.type == "refired":
            outbox.release(connection, [incident_id], decision.at)
            after = self._catch_up(connection, after, decision.at)
        if decision.type in ("joined", "absorbed") and after.human_state == "silenced":
            after = self._end_silence(connection, after, decision.at)
        if decision.type == "resolved" and after.proposal_state == "approved":
            text = f"the runbook did not run: {decision.actor.name} resolved before it began"
            key = f"run_cancelled:{after.version}"
            never = Command(type="run_cancelled", at=decision.at, actor=MACHINE, key=key, text=text)
            after = self.apply(connection, incident_id, never).incident
        return Outcome(changed=True, message=decision.text, incident=after, events=(decision,))

    def _with_effects(self, incident: Incident, command: Command, level: Level) -> Command:
        """A human's level, with what it does: whether it pages, and whether that is another escalation."""
        if not pages(self.oncall, level):
            return replace(command, pages=False)
        policy = escalation.policy_of(self.oncall, replace(incident, level=level))
        begun = incident.chain if incident.human_state in ("paged", "expired") else None
        anew = incident.severity == "ticket" or (begun is not None and begun.policy != policy)
        return replace(command, pages=True, anew=anew)

    def _page_anew(self, connection: Connection, incident: Incident, event: Event) -> Incident:
        """Page at once whom the escalation of a new level begins with, unless its first step has a delay."""
        if not event.anew or incident.system_state != "firing" or escalation.first_delay(self.oncall, incident):
            return incident
        command = escalation.page_command("paged", 0, event.at, f"paged:{incident.version}")
        return self.apply(connection, incident.id, command).incident

    def _refused_approval(self, incident: Incident, command: Command) -> Refusal | None:
        """Why whoever approves may not: the rota says who is on call, and one person counts once by any name."""
        proposal = incident.proposal
        if command.type != "approved" or command.actor.via == "system" or proposal is None:
            return None
        overrides = self.overrides() if proposal.approvers else ()
        if why := refused_approver(self.oncall, proposal.approvers, command.actor, command.at, overrides):
            return Refusal(why)
        person = escalation.known_person(self.oncall, command.actor)
        if person and person in [escalation.known_person(self.oncall, approver) for approver in incident.approvals]:
            return Refusal(f"{person.name} approved already; somebody else must, too")
        return None

    def _refused_answer(self, incident: Incident, command: Command) -> Refusal | None:
        """Who may approve a runbook may answer it."""
        asked = named(incident.questions, command.seen) if command.type == "run_answered" else None
        if asked is None or command.actor.via == "system":
            return None
        answerers = asked.question.answerers
        overrides = self.overrides() if answerers else ()
        why = refused_approver(self.oncall, answerers, command.actor, command.at, overrides, to="answer this runbook")
        return Refusal(why) if why else None

    def _with_people(
        self, connection: Connection, incident: Incident, event: Event, overrides: Sequence[Override]
    ) -> Event:
        """A page with those whom it pages; another event as it is."""
        if event.type not in escalation.PAGES:
            return event
        return escalation.with_people(connection, self.oncall, incident, event, overrides)

    def _catch_up(self, connection: Connection, incident: Incident, at: datetime) -> Incident:
        """What fires again is owed whatever came due while it was recovered: the next page, or its end."""
        owed = escalation.overdue(connection, self.oncall, incident)
        if owed is None:
            return incident
        kind, step = owed
        key = f"{kind}:{incident.version}"
        if kind == "expired":
            command = Command(type="expired", at=at, actor=MACHINE, key=key)
        else:
            command = escalation.page_command(kind, step, at, key)
        return self.apply(connection, incident.id, command).incident

    def _end_silence(self, connection: Connection, incident: Incident, at: datetime) -> Incident:
        """Page at once for what joined a silenced incident and is not silenced itself."""
        if cover(incident, in_force(connection, at)):
            return incident
        key = f"silence_ended:{incident.version}"
        command = escalation.page_command("silence_ended", 0, at, key)
        return self.apply(connection, incident.id, command).incident

    def _consequences(self, connection: Connection, incident: Incident, event: Event) -> None:
        if event.label:
            store_label(connection, event.label)
            revisions.follow_label(connection, incident, event)
        if event.type == "resolved":
            # A sender's own resolve may be lost: the human decision ends its alerts, until the sender repeats them.
            outside = {finding.key for finding in incident.findings if finding.kind == "alert"}
            outside |= keys_of_incident(connection, incident.id)
            end_alerts(connection, outside, event.at, event.actor.name)
        _keep_run(connection, incident, event)
        escalation.consequences(connection, self.oncall, incident, event, self.ack_timeout_s)
        if event.type in QUIETING or (event.type == "severity_changed" and not event.pages):
            outbox.cancel_rules(connection, incident.id, event.at, f"{event.type} before its time")
        if event.type in escalation.PAGES or (event.type == "assigned" and escalation.is_told(incident)):
            outbox.put_page(connection, incident, event, self.routing)
        if event.type == "ack_timed_out":
            acker = escalation.known_person(self.oncall, incident.acknowledged_by)
            if acker and acker.id not in (event.person, *event.also):
                outbox.put_page(connection, incident, event, self.routing, also=acker.id)
        if _is_in_postmortem(incident, event):
            postmortem.store_draft(connection, incident, event.at, self.oncall)
        if _is_shown(incident, event):
            outbox.put_updates(connection, [(incident, event)], self.routing)


def _count(incident: Incident, event: Event) -> None:
    """Count what happened, but for Watchkeeper's own alert: that is neither trouble nor anybody's work."""
    if not incident.is_canary:
        EVENTS.labels(event.type).inc()


def _is_in_postmortem(incident: Incident, event: Event) -> bool:
    if incident.is_canary:
        return False
    return incident.severity == "page" and incident.human_state == "resolved" and event.type in IN_POSTMORTEM


def _is_shown(incident: Incident, event: Event) -> bool:
    """Whether whoever reads the incident's message should see an event; a question, whether or not it paged."""
    if incident.is_canary or (event.type == "assigned" and escalation.is_told(incident)):
        return False  # to nobody; or the page shows it
    return event.type in SHOWN and bool(incident.paged_at or incident.questions)


def _decided(incident: Incident, command: Command, silences: Sequence[Silence]) -> Event | Refusal:
    """What a command leads to: where a silence suppresses its page, that."""
    decision = decide(incident, command)
    if command.type not in SILENCEABLE or isinstance(decision, Refusal):
        return decision
    covered = cover(incident, silences) if not incident.is_canary else None
    if covered is None:
        return decision
    silenced = replace(command, type="silenced", text=covered.text, until=covered.until, person="", step=0)
    return decide(incident, silenced)


def _keep_run(connection: Connection, incident: Incident, event: Event) -> None:
    """What an event means for the run of a runbook, in the event's own transaction."""
    match event.type:
        case "approved" if incident.proposal and incident.proposal_state == "approved":
            runs.add_run(
                connection,
                f"{incident.id}-run-{incident.version}",
                incident.id,
                incident.proposal,
                event.at,
                approved_by=", ".join(approver.name for approver in incident.approvals),
                autonomous=event.actor.via == "system",
            )
        case "run_started" if event.run:
            runs.begin_run(connection, event.run, event.at)
        case "run_finished" if event.run:
            runs.end_run(connection, event.run, "done" if event.succeeded else "failed", event.text, event.at)
        case "run_answered" | "run_unanswered" if asked := named(incident.questions, event.seen):
            runs.keep_answer(connection, asked.question, event.answer, event.actor, event.at)
        case "run_cancelled":
            runs.cancel_waiting(connection, incident.id, event.text, event.at)
