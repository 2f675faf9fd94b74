"""The one writer of incidents. The command line, Slack, the dashboard and the watch role all come through here.

Every command is a compare-and-set on the incident's version, carries an idempotency key, and commits its event
together with what it causes: timers, messages in the outbox, labels.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection, insert, select, update

from alerting import escalation, outbox
from alerting.grouping import AFTERMATH, CLOSE, Edges, Neighbourhood, place
from alerting.machine import (
    Command,
    Event,
    Incident,
    Outcome,
    Refusal,
    begin,
    decide,
    fold,
    replay,
)
from alerting.schedule import stored_overrides
from alerting.timers import set_timer
from watchkeeper.clock import Clock
from watchkeeper.config import OnCallConfig
from watchkeeper.errors import Conflict, NotFound
from watchkeeper.state.codec import dump, parse
from watchkeeper.state.database import Database, to_micros
from watchkeeper.state.findings import clear_findings, store_findings
from watchkeeper.state.labels import store_label
from watchkeeper.state.schema import incident_events, incidents
from watchkeeper.vocabulary import Actor, Diagnosis, Finding, Label, Proposal

MACHINE = Actor(name="Watchkeeper", via="system")
TRIES = 5
# Commands whose result a human should see in the message at once.
SHOWN = frozenset(
    {
        "diagnosed",
        "proposed",
        "acknowledged",
        "approved",
        "declined",
        "run_started",
        "run_finished",
        "recovered",
        "refired",
        "resolved",
        "labelled",
        "expired",
    }
)

# Inside the class, `list` is its own method.
_Several = list[Incident]


class Incidents:
    """Reads and commands. Threads may share one."""

    def __init__(self, db: Database, clock: Clock, oncall: OnCallConfig, *, ack_timeout_s: float = 1800) -> None:
        self._db = db
        self._clock = clock
        self._oncall = oncall
        self._ack_timeout_s = ack_timeout_s

    # Reading

    def get(self, incident_id: str) -> Incident:
        """One incident, whole.

        Raises:
            NotFound: no such incident.
        """
        with self._db.read() as connection:
            return load(connection, incident_id)

    def list(self, state: str | None = None, limit: int = 50) -> tuple[Incident, ...]:
        """Incidents, newest first; `state` is `open`, or one of the human states."""
        query = select(incidents.c.id).order_by(incidents.c.opened_at.desc(), incidents.c.id).limit(limit)
        if state == "open":
            query = query.where(incidents.c.human_state != "resolved")
        elif state:
            query = query.where(incidents.c.human_state == state)
        with self._db.read() as connection:
            return tuple(load(connection, incident_id) for incident_id in connection.scalars(query).all())

    # What the machine observes

    def observe(
        self, findings: Sequence[Finding], *, edges: Edges = (), now: datetime | None = None
    ) -> tuple[str, ...]:
        """Open and join incidents for the findings that fire now, and clear those that fire no longer.

        Only findings of severity `page` open an incident; tickets join one that is near, as evidence. Returns the
        ids of the incidents that were opened.
        """
        now = now or self._clock.now()
        near = Neighbourhood(edges)
        opened: list[str] = []
        with self._db.write() as connection:
            recent = _recent(connection, now)
            placed: list[tuple[Finding, str | None]] = []
            for finding in sorted(findings, key=lambda f: (f.severity != "page", f.onset)):
                placement = place(finding, recent, near, now)
                incident_id = placement.incident_id if placement else None
                if placement and incident_id is None and finding.severity == "page":
                    incident = self._open(connection, finding, now)
                    recent.append(incident)
                    opened.append(incident.id)
                    incident_id = incident.id
                elif placement and incident_id is not None:
                    recent = self._join(connection, recent, incident_id, finding, placement.reason, now)
                placed.append((finding, incident_id))
            store_findings(connection, placed)
            firing = {finding.key for finding in findings}
            clear_findings(connection, firing, now)
            for incident in recent:
                self._clear(connection, incident, firing, now)
        return tuple(opened)

    def diagnosed(self, incident_id: str, diagnosis: Diagnosis, proposal: Proposal | None, key: str) -> Outcome:
        """Record what the RCA engine says, and what it proposes."""
        outcome = self._command(incident_id, "diagnosed", MACHINE, key, diagnosis=diagnosis)
        if proposal and proposal != outcome.incident.proposal:
            outcome = self._command(incident_id, "proposed", MACHINE, f"{key}:proposal", proposal=proposal)
        return outcome

    def page(self, incident_id: str, key: str = "page:0") -> Outcome:
        """Page whoever is first in the escalation, and set the timer for the next."""
        overrides = stored_overrides(self._db)
        person = escalation.person_at(self._oncall, 0, self._clock.now(), overrides)
        return self._command(incident_id, "paged", MACHINE, key, person=person.id if person else "nobody", step=0)

    def recovered(self, incident_id: str, key: str) -> Outcome:
        """Nothing of the incident fires any more."""
        return self._command(incident_id, "recovered", MACHINE, key)

    def refired(self, incident_id: str, key: str) -> Outcome:
        """It fires again, before a human resolved it."""
        return self._command(incident_id, "refired", MACHINE, key)

    # What a human says

    def acknowledge(self, incident_id: str, actor: Actor, key: str) -> Outcome:
        """Take the incident: halts escalation."""
        return self._command(incident_id, "acknowledged", actor, key)

    def resolve(self, incident_id: str, actor: Actor, key: str, label: Label | None = None) -> Outcome:
        """End the incident, with a label if there is one."""
        outcome = self._command(incident_id, "resolved", actor, key)
        if label and outcome.incident.human_state == "resolved":
            labelled = self._command(incident_id, "labelled", actor, f"{key}:label", label=label)
            outcome = Outcome(changed=outcome.changed, message=outcome.message, incident=labelled.incident)
        return outcome

    def label(self, incident_id: str, label: Label, key: str, actor: Actor | None = None) -> Outcome:
        """Keep a judgement of the incident."""
        who = actor or Actor(name=label.author, via=label.source)
        return self._command(incident_id, "labelled", who, key, label=label)

    def approve(self, incident_id: str, actor: Actor, key: str) -> Outcome:
        """Let the proposed runbook run."""
        return self._command(incident_id, "approved", actor, key)

    def decline(self, incident_id: str, actor: Actor, key: str) -> Outcome:
        """Don't run the proposed runbook."""
        return self._command(incident_id, "declined", actor, key)

    def note(self, incident_id: str, actor: Actor, text: str, key: str) -> Outcome:
        """Add a line to the timeline."""
        return self._command(incident_id, "noted", actor, key, text=text)

    def run_started(self, incident_id: str, key: str) -> Outcome:
        """The approved runbook begins."""
        return self._command(incident_id, "run_started", MACHINE, key)

    def run_finished(self, incident_id: str, key: str, *, succeeded: bool, text: str) -> Outcome:
        """The runbook ended."""
        return self._command(incident_id, "run_finished", MACHINE, key, succeeded=succeeded, text=text)

    # How

    def _command(self, incident_id: str, kind: str, actor: Actor, key: str, **values: object) -> Outcome:
        command = Command(type=kind, at=self._clock.now(), actor=actor, key=key, **values)  # type: ignore[arg-type]
        for _ in range(TRIES):
            try:
                with self._db.write() as connection:
                    return self.apply(connection, incident_id, command)
            except Conflict:
                continue  # somebody else was first: decide again on what is there now
        raise Conflict(f"incident {incident_id} changes too fast; try again", retry=True)

    def apply(self, connection: Connection, incident_id: str, command: Command) -> Outcome:
        """Decide and record one command inside a transaction, with everything that it causes."""
        incident = load(connection, incident_id)
        repeated = _event_by_key(connection, incident_id, command.key)
        if repeated:
            return Outcome(changed=False, message=repeated, incident=incident)
        decision = decide(incident, command)
        if isinstance(decision, Refusal):
            return Outcome(changed=False, message=decision.message, incident=incident)
        after = fold(incident, decision)
        _append(connection, incident, after, decision)
        self._consequences(connection, after, decision)
        return Outcome(changed=True, message=decision.text, incident=after, events=(decision,))

    def _consequences(self, connection: Connection, incident: Incident, event: Event) -> None:
        if event.label:
            store_label(connection, event.label)
        match event.type:
            case "paged" | "escalated" | "ack_timed_out":
                outbox.put_page(connection, incident, event)
                escalation.schedule_next(connection, self._oncall, incident, event)
            case "acknowledged":
                escalation.cancel(connection, incident.id, event.at)
                due = event.at + timedelta(seconds=self._ack_timeout_s)
                set_timer(connection, incident.id, "ack_timeout", incident.version, due)
            case "resolved":
                escalation.cancel(connection, incident.id, event.at)
        if event.type in SHOWN and incident.paged_at:
            outbox.put_update(connection, incident, event)

    def _open(self, connection: Connection, finding: Finding, now: datetime) -> Incident:
        incident_id = f"inc-{secrets.token_hex(3)}"
        event = Event(type="opened", at=now, actor=MACHINE, key="opened", text=finding.summary, finding=finding)
        incident = begin(incident_id, event)
        row = _row(incident) | {"opened_at": to_micros(now), "updated_at": to_micros(now)}
        connection.execute(insert(incidents).values(**row))
        _insert_event(connection, incident, event)
        return incident

    def _join(
        self,
        connection: Connection,
        recent: _Several,
        incident_id: str,
        finding: Finding,
        why: str,
        now: datetime,
    ) -> _Several:
        incident = next(one for one in recent if one.id == incident_id)
        if finding.key in incident.firing_keys:
            return recent
        after = incident
        if incident.system_state == "recovered" and finding.severity == "page":
            key = f"refired:{incident.version}"
            after = self.apply(connection, incident_id, _machine("refired", now, key)).incident
        key = f"joined:{finding.key}:{after.version}"
        text = f"{finding.summary} (joins: {why})"
        command = Command(type="joined", at=now, actor=MACHINE, key=key, finding=finding, text=text)
        after = self.apply(connection, incident_id, command).incident
        return [after if one.id == incident_id else one for one in recent]

    def _clear(self, connection: Connection, incident: Incident, firing: set[str], now: datetime) -> None:
        if not incident.is_open:
            return
        for finding in incident.findings:
            if finding.key not in firing and finding.key not in incident.cleared:
                key = f"cleared:{finding.key}:{incident.version}"
                command = Command(type="cleared", at=now, actor=MACHINE, key=key, finding=finding)
                incident = self.apply(connection, incident.id, command).incident
        pages = {finding.key for finding in incident.findings if finding.severity == "page"}
        if incident.system_state == "firing" and not pages & incident.firing_keys:
            self.apply(connection, incident.id, _machine("recovered", now, f"recovered:{incident.version}"))


def _machine(kind: str, at: datetime, key: str) -> Command:
    return Command(type=kind, at=at, actor=MACHINE, key=key)  # type: ignore[arg-type]


def load(connection: Connection, incident_id: str) -> Incident:
    """An incident from its events.

    Raises:
        NotFound: no such incident.
    """
    query = select(incident_events.c.body).where(incident_events.c.incident_id == incident_id)
    bodies = connection.scalars(query.order_by(incident_events.c.seq)).all()
    if not bodies:
        raise NotFound(f"no incident {incident_id}; see `watchkeeper incident list`")
    return replay(incident_id, (parse(Event, body) for body in bodies))


def _recent(connection: Connection, now: datetime) -> list[Incident]:
    """The incidents that a finding may belong to: open, or resolved a moment ago; oldest first."""
    since = to_micros(now - CLOSE - AFTERMATH)
    query = select(incidents.c.id).where((incidents.c.human_state != "resolved") | (incidents.c.updated_at >= since))
    ids = connection.scalars(query.order_by(incidents.c.opened_at, incidents.c.id)).all()
    return [load(connection, incident_id) for incident_id in ids]


def _event_by_key(connection: Connection, incident_id: str, key: str) -> str | None:
    query = select(incident_events.c.body).where(
        incident_events.c.incident_id == incident_id, incident_events.c.key == key
    )
    body = connection.scalar(query)
    return parse(Event, body).text if body else None


def _row(incident: Incident) -> dict[str, object]:
    return {
        "id": incident.id,
        "version": incident.version,
        "system_state": incident.system_state,
        "human_state": incident.human_state,
    }


def _append(connection: Connection, before: Incident, after: Incident, event: Event) -> None:
    """Add an event if nobody else has in the meantime.

    Raises:
        Conflict: the version moved.
    """
    moved = update(incidents).where(incidents.c.id == before.id, incidents.c.version == before.version)
    changed = connection.execute(moved.values(**_row(after), updated_at=to_micros(event.at)))
    if changed.rowcount != 1:
        raise Conflict(f"incident {before.id} has moved on", retry=True)
    _insert_event(connection, after, event)


def _insert_event(connection: Connection, after: Incident, event: Event) -> None:
    row = {
        "incident_id": after.id,
        "seq": after.version,
        "at": to_micros(event.at),
        "type": event.type,
        "actor": event.actor.name,
        "via": event.actor.via,
        "key": event.key,
        "body": dump(event),
    }
    connection.execute(insert(incident_events).values(**row))
