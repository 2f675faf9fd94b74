"""The one writer of incidents. The command line, Slack, the dashboard and the watch role all come through here.

Every command is a compare-and-set on the incident's version, carries an idempotency key, and commits its event
together with what it causes: timers, messages in the outbox, labels.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from prometheus_client import Counter
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError, OperationalError

from alerting.channels import outbox
from alerting.incidents import journal
from alerting.incidents.findings import clear_findings, keys_of_incident, store_findings
from alerting.incidents.grouping import Edges, Neighbourhood, Recent, place
from alerting.incidents.human_labels import Judgement, human_label
from alerting.incidents.machine import Command, Event, EventType, Incident, Outcome, Refusal, begin, decide, fold, knows
from alerting.oncall import escalation
from alerting.oncall.escalation import MACHINE
from alerting.oncall.schedule import stored_overrides
from alerting.oncall.timers import set_timer
from alerting.postmortems import postmortem
from watchkeeper.clock import Clock
from watchkeeper.config import OnCallConfig
from watchkeeper.errors import Conflict
from watchkeeper.problems import Problems
from watchkeeper.state import runs
from watchkeeper.state.alerts import end_alerts
from watchkeeper.state.database import Database
from watchkeeper.state.labels import store_label
from watchkeeper.state.models import deciding_version
from watchkeeper.text import one_line
from watchkeeper.vocabulary import Actor, Diagnosis, Finding, Proposal

EVENTS: Final = Counter("watchkeeper_incident_events_total", "Events of incidents, by type.", ["type"])
REFUSED: Final = Counter("watchkeeper_incident_refusals_total", "Commands that changed nothing, by type.", ["type"])
TRIES: Final = 5
# Incidents that one transaction opens or changes, the pause after it in which others may write, and how long one round
# may go on like this.
MOST_CHANGES: Final = 50
# Findings that an incident lists. Of a storm on one service the others are counted to it, and fire with it.
MOST_FINDINGS: Final = 100
BREATH_S: Final = 0.11
OBSERVED_WITHIN_S: Final = 5.0
TOGETHER: Final = 100  # commands of the machine's that share a transaction
# Whoever opens an incident pages as soon as it is diagnosed. Should that fail, this timer pages without it.
PAGE_WITHIN: Final = timedelta(seconds=15)
# Two watch roles must not open one incident each for the same findings (PostgreSQL; any number that is ours).
OBSERVING: Final = 8_274_002
# Commands whose result a human should see in the message at once.
SHOWN = frozenset(
    {
        "diagnosed",
        "proposed",
        "withdrawn",
        "acknowledged",
        "approved",
        "declined",
        "run_started",
        "run_finished",
        "run_cancelled",
        "recovered",
        "refired",
        "resolved",
        "labelled",
        "expired",
    }
)

# Events that a postmortem contains; after the resolve, each writes the draft anew.
IN_POSTMORTEM = frozenset({"resolved", "labelled", "noted", "run_finished", "run_cancelled", "recovered"})


Judged = Callable[[Finding], bool]


def _everything(_: Finding) -> bool:
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """What one transaction of a round did: findings placed, incidents opened, and whether nothing is left to do."""

    placed: int
    opened: tuple[str, ...]
    complete: bool


def _is_full(incident: Incident, finding: Finding) -> bool:
    """Whether an incident that fires holds so many findings that one more would add nothing."""
    if incident.system_state != "firing" or len(incident.findings) < MOST_FINDINGS:
        return False
    return all(known.key != finding.key for known in incident.findings)


class Incidents:
    """Reads and commands. Threads may share one."""

    def __init__(
        self,
        db: Database,
        clock: Clock,
        oncall: OnCallConfig,
        *,
        ack_timeout_s: float = 1800,
        problems: Problems | None = None,
        beat: Callable[[], None] = lambda: None,
    ) -> None:
        """`beat` is called now and then in a round of many findings: it is long, and does not hang."""
        self._db = db
        self._beat = beat
        self._problems = problems or Problems(None)
        self._clock = clock
        self._oncall = oncall
        self._ack_timeout_s = ack_timeout_s

    # Reading

    def get(self, incident_id: str) -> Incident:
        """One incident, complete.

        Raises:
            NotFound: no such incident.
            StateError: its record cannot be read.
        """
        with self._db.read() as connection:
            return journal.load(connection, incident_id)

    def list(self, state: str | None = None, limit: int = 50) -> tuple[Incident, ...]:
        """Incidents, newest first; `state` is `open`, or one of the human states."""
        with self._db.read() as connection:
            return journal.newest(connection, state, limit, self._unreadable)

    # What the machine observes

    def observe(
        self,
        findings: Sequence[Finding],
        *,
        edges: Edges = (),
        now: datetime | None = None,
        judged: Judged = _everything,
    ) -> tuple[str, ...]:
        """Open and join incidents for the findings that fire now, and clear those that fire no longer.

        Only findings of severity `page` open an incident; tickets join one that is near, as evidence. `judged` selects
        the findings that this call is about: another stays as it is, whether or not it is in the list.
        A finding that cannot be placed is set aside, and the others are placed. Returns the ids of the incidents that
        were opened.
        """
        now = now or self._clock.now()
        near = Neighbourhood(edges)
        firing = {finding.key for finding in findings}
        # Pages first: a ticket may join an incident that is opened in this very round.
        waiting = sorted(findings, key=lambda f: (f.severity != "page", f.onset, f.key))
        opened: list[str] = []
        until = time.monotonic() + OBSERVED_WITHIN_S
        while True:
            part = self._observe_some(waiting, firing, near, now, judged)
            opened += part.opened
            waiting = waiting[part.placed :]
            if part.complete or time.monotonic() > until:
                return tuple(opened)  # what still waits is for the next round
            time.sleep(BREATH_S)

    def _observe_some(
        self, waiting: Sequence[Finding], firing: set[str], near: Neighbourhood, now: datetime, judged: Judged
    ) -> _Part:
        """What one transaction did of a round."""
        for _ in range(TRIES):
            self._beat()
            try:
                with self._db.write() as connection:
                    self._db.one_at_a_time(connection, OBSERVING)
                    return self._observe(connection, waiting, firing, near, now, judged)
            except Conflict:
                continue  # a human decision came in between: place the findings anew
        raise Conflict("the incidents change too fast to place findings; the next round tries again", retry=True)

    def _observe(
        self,
        connection: Connection,
        waiting: Sequence[Finding],
        firing: set[str],
        near: Neighbourhood,
        now: datetime,
        judged: Judged,
    ) -> _Part:
        recent = Recent(journal.recent(connection, now, self._unreadable))
        opened: list[str] = []
        placed: list[tuple[Finding, str | None]] = []
        count = changes = 0
        for finding in waiting:
            if changes >= MOST_CHANGES:
                break  # others want to write, too
            count += 1
            with self._set_aside(connection, f"{finding.service}: {finding.summary}"):
                incident, is_new = self._place(connection, finding, recent, near, now)
                if isinstance(incident, Incident):
                    changes += incident is not recent.get(incident.id)
                    recent.put(incident)
                    opened += [incident.id] if is_new else []
                placed.append((finding, incident.id if isinstance(incident, Incident) else incident))
        self._store(connection, placed)
        if count < len(waiting):
            return _Part(placed=count, opened=tuple(opened), complete=False)
        # What was set aside fires all the same.
        clear_findings(connection, firing, now, judged)
        for incident in recent.all():
            if changes >= MOST_CHANGES:
                return _Part(placed=count, opened=tuple(opened), complete=False)
            with self._set_aside(connection, incident.id):
                changes += self._clear(connection, incident, firing, now, judged)
        return _Part(placed=count, opened=tuple(opened), complete=True)

    def _place(
        self, connection: Connection, finding: Finding, recent: Recent, near: Neighbourhood, now: datetime
    ) -> tuple[Incident | str | None, bool]:
        """The incident that a finding opened (True) or joined, or the id of the one that it is counted to."""
        placement = place(finding, recent, near, now)
        if placement.how == "open" and finding.severity == "page":
            return self._open(connection, finding, now), True
        joined = recent.get(placement.incident_id or "")
        if placement.how == "join" and joined and not _is_full(joined, finding):
            return self._join(connection, joined, finding, placement.reason, now), False
        return placement.incident_id, False

    def _store(self, connection: Connection, placed: Sequence[tuple[Finding, str | None]]) -> None:
        """Keep all findings at once, or, where one cannot be kept, the others."""
        try:
            with connection.begin_nested():
                store_findings(connection, placed)
        except Exception:  # noqa: BLE001 - each is reported below with its own error
            for finding, incident_id in placed:
                with self._set_aside(connection, f"{finding.service}: {finding.summary}"):
                    store_findings(connection, [(finding, incident_id)])

    @contextmanager
    def _set_aside(self, connection: Connection, subject: str) -> Iterator[None]:
        """One item of a round: what fails in it is undone and reported, and the round goes on with the next."""
        try:
            with connection.begin_nested():
                yield
        except Conflict:
            raise  # somebody else was first: the round is placed anew
        except DBAPIError as error:
            if error.connection_invalidated or isinstance(error, OperationalError):
                raise  # the database itself failed, not this item
            self._problems.report("tick", subject, error.orig)
        except Exception as error:  # noqa: BLE001 - whatever an item dies of, the others must be placed
            self._problems.report("tick", subject, error)

    def diagnosed(self, incident_id: str, diagnosis: Diagnosis, proposal: Proposal | None, key: str) -> Outcome:
        """Record a diagnosis of the RCA engine, and what it proposes. The same answer again changes nothing.

        Without a proposal, one that nobody answered yet is withdrawn: its reason is gone.
        """
        commands = [self._new("diagnosed", MACHINE, key, diagnosis=diagnosis)]
        if proposal:
            commands.append(self._new("proposed", MACHINE, key, proposal=proposal))
        else:
            commands.append(self._new("withdrawn", MACHINE, key))
        return self._apply_all(incident_id, *commands)

    def page(self, incident_id: str, key: str = "first") -> Outcome:
        """Page whoever is first in the escalation, and set the timer for the next."""
        return self._apply_all(incident_id, self._page(self._clock.now(), f"paged:{key}"))

    def page_all(self, incident_ids: Sequence[str]) -> None:
        """Page for many incidents at once."""
        at = self._clock.now()
        self._each([(incident_id, "first") for incident_id in incident_ids], lambda key: self._page(at, f"paged:{key}"))

    def all_delivered(self, pages: Sequence[tuple[str, str]]) -> None:
        """Pages reached their channel: incidents, and the keys of their pages."""
        self._each(pages, lambda key: self._new("delivered", MACHINE, f"delivered:{key}"))

    def all_undelivered(self, pages: Sequence[tuple[str, str]], why: str) -> None:
        """Pages could not be delivered yet; they are tried again."""
        self._each(pages, lambda key: self._new("undelivered", MACHINE, f"undelivered:{key}", text=why))

    def _each(self, pages: Sequence[tuple[str, str]], command: Callable[[str], Command]) -> None:
        """A command for each of many incidents: together, and where that fails one by one, so that one fails alone."""
        for start in range(0, len(pages), TOGETHER):
            together = pages[start : start + TOGETHER]
            try:
                with self._db.write() as connection:
                    for incident_id, key in together:
                        self.apply(connection, incident_id, command(key))
            except Exception:  # noqa: BLE001 - each is reported below with its own error
                for attempt in self._problems.each("incidents", together, lambda page: page[0]):
                    with attempt as (incident_id, key):
                        self._apply_all(incident_id, command(key))

    def recovered(self, incident_id: str, key: str) -> Outcome:
        """Nothing of the incident fires any more."""
        return self._apply_all(incident_id, self._new("recovered", MACHINE, key))

    def refired(self, incident_id: str, key: str) -> Outcome:
        """It fires again, before a human resolved it."""
        return self._apply_all(incident_id, self._new("refired", MACHINE, key))

    # Human decisions

    def acknowledge(self, incident_id: str, actor: Actor, key: str) -> Outcome:
        """Take the incident: halts escalation."""
        return self._apply_all(incident_id, self._new("acknowledged", actor, key))

    def acknowledge_all(self, batch: str, actor: Actor, key: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Take every incident whose page went out with a batch: those that were taken, and those that were not."""
        with self._db.read() as connection:
            members = outbox.incidents_of_batch(connection, batch)
        taken: list[str] = []
        for attempt in self._problems.each("incidents", members, str):
            with attempt as incident_id:
                if self.acknowledge(incident_id, actor, key).changed:
                    taken.append(incident_id)
        return tuple(taken), tuple(member for member in members if member not in set(taken))

    def resolve(self, incident_id: str, actor: Actor, key: str, judgement: Judgement | None = None) -> Outcome:
        """End the incident, with the human's judgement. That is kept even where somebody else was first."""
        commands = [self._new("resolved", actor, key)]
        if judgement:
            commands.append(self._judged(incident_id, actor, key, judgement))
        return self._apply_all(incident_id, *commands)

    def judge(self, incident_id: str, actor: Actor, key: str, judgement: Judgement) -> Outcome:
        """Keep a human's judgement of the incident, in place of their earlier one."""
        return self._apply_all(incident_id, self._judged(incident_id, actor, key, judgement))

    def approve(self, incident_id: str, actor: Actor, key: str, seen: str = "") -> Outcome:
        """Let the proposed runbook run; `seen` is the id of the proposal that the human looked at."""
        return self._apply_all(incident_id, self._new("approved", actor, key, seen=seen))

    def decline(self, incident_id: str, actor: Actor, key: str, seen: str = "") -> Outcome:
        """Don't run the proposed runbook; `seen` as in `approve`."""
        return self._apply_all(incident_id, self._new("declined", actor, key, seen=seen))

    def note(self, incident_id: str, actor: Actor, text: str, key: str) -> Outcome:
        """Add a line to the timeline."""
        return self._apply_all(incident_id, self._new("noted", actor, key, text=text))

    def run_started(self, incident_id: str, key: str, *, run: str = "", seen: str = "") -> Outcome:
        """The approved runbook begins. Only when this changed something may the target be touched."""
        return self._apply_all(incident_id, self._new("run_started", MACHINE, key, run=run, seen=seen))

    def run_finished(self, incident_id: str, key: str, *, succeeded: bool, text: str, run: str = "") -> Outcome:
        """The runbook ended."""
        values = {"succeeded": succeeded, "text": text, "run": run}
        return self._apply_all(incident_id, self._new("run_finished", MACHINE, key, **values))

    def run_cancelled(self, incident_id: str, key: str, *, text: str, run: str = "") -> Outcome:
        """An approved runbook never began; `text` is the reason."""
        return self._apply_all(incident_id, self._new("run_cancelled", MACHINE, key, text=text, run=run))

    # How

    def _unreadable(self, incident_id: str, why: Exception) -> None:
        self._problems.report("incidents", incident_id, f"its record cannot be read: {one_line(why)}")

    def _new(self, kind: EventType, actor: Actor, key: str, **values: Any) -> Command:
        """A command. One key of a caller's may stand for several commands: each has its own."""
        return Command(type=kind, at=self._clock.now(), actor=actor, key=f"{kind}:{key}", **values)

    def _judged(self, incident_id: str, actor: Actor, key: str, judgement: Judgement) -> Command:
        """The command that keeps a human's label, of the version that decided when the incident was opened."""
        with self._db.read() as connection:
            incident = journal.load(connection, incident_id)
            version = deciding_version(connection, incident.opened_at)
        label = human_label(incident, actor, judgement, model_version=version, at=self._clock.now())
        return self._new("labelled", actor, key, label=label)

    def _page(self, at: datetime, key: str) -> Command:
        return escalation.page_command("paged", self._oncall, 0, at, stored_overrides(self._db), key)

    def _apply_all(self, incident_id: str, *commands: Command) -> Outcome:
        """Several commands in one transaction; the outcome is the first one's."""
        for _ in range(TRIES):
            try:
                with self._db.write() as connection:
                    outcomes = [self.apply(connection, incident_id, command) for command in commands]
            except Conflict:
                continue  # somebody else was first: decide again on what is there now
            first, last = outcomes[0], outcomes[-1]
            events = tuple(event for outcome in outcomes for event in outcome.events)
            return Outcome(changed=first.changed, message=first.message, incident=last.incident, events=events)
        raise Conflict(f"incident {incident_id} changes too fast; try again", retry=True)

    def apply(self, connection: Connection, incident_id: str, command: Command) -> Outcome:
        """Decide and record one command inside a transaction, with everything that it causes."""
        incident = journal.load(connection, incident_id)
        repeated = journal.event_by_key(connection, incident_id, command.key)
        if repeated:
            return Outcome(changed=False, message=repeated.text, incident=incident)
        decision = decide(incident, command)
        if isinstance(decision, Refusal):
            REFUSED.labels(command.type).inc()
            return Outcome(changed=False, message=decision.message, incident=incident)
        after = fold(incident, decision)
        journal.append(connection, incident, after, decision)
        EVENTS.labels(decision.type).inc()
        self._consequences(connection, after, decision)
        if decision.type == "refired":
            after = self._catch_up(connection, after, decision.at)
        if decision.type == "resolved" and after.proposal_state == "approved":
            text = f"the runbook did not run: {decision.actor.name} resolved before it began"
            key = f"run_cancelled:{after.version}"
            never = Command(type="run_cancelled", at=decision.at, actor=MACHINE, key=key, text=text)
            after = self.apply(connection, incident_id, never).incident
        return Outcome(changed=True, message=decision.text, incident=after, events=(decision,))

    def _catch_up(self, connection: Connection, incident: Incident, at: datetime) -> Incident:
        """What fires again is owed whatever came due while it was recovered: the next page, or its end."""
        owed = escalation.overdue(connection, self._oncall, incident)
        if owed is None:
            return incident
        kind, step = owed
        key = f"{kind}:{incident.version}"
        if kind == "expired":
            command = Command(type="expired", at=at, actor=MACHINE, key=key)
        else:
            command = escalation.page_command(kind, self._oncall, step, at, stored_overrides(self._db), key)
        return self.apply(connection, incident.id, command).incident

    def _consequences(self, connection: Connection, incident: Incident, event: Event) -> None:
        if event.label:
            store_label(connection, event.label)
        if event.type == "resolved":
            # A sender's own resolve may be lost: the human decision ends its alerts, until the sender repeats them.
            outside = {finding.key for finding in incident.findings if finding.kind == "alert"}
            outside |= keys_of_incident(connection, incident.id)
            end_alerts(connection, outside, event.at, event.actor.name)
        _keep_run(connection, incident, event)
        escalation.consequences(connection, self._oncall, incident, event, self._ack_timeout_s)
        if event.type in ("paged", "escalated", "ack_timed_out"):
            outbox.put_page(connection, incident, event)
        if event.type == "ack_timed_out":
            acker = escalation.known_person(self._oncall, incident.acknowledged_by)
            if acker and acker.id != event.person:
                outbox.put_page(connection, incident, event, also=acker.id)
        if incident.human_state == "resolved" and event.type in IN_POSTMORTEM:
            postmortem.store_draft(connection, incident, event.at)
        if event.type in SHOWN and incident.paged_at:
            outbox.put_update(connection, incident, event)

    def _open(self, connection: Connection, finding: Finding, now: datetime) -> Incident:
        event = Event(type="opened", at=now, actor=MACHINE, key="opened", text=finding.summary, finding=finding)
        incident = begin(journal.unused_id(connection), event)
        journal.add_incident(connection, incident, event)
        EVENTS.labels("opened").inc()
        set_timer(connection, incident.id, "page", now + PAGE_WITHIN, version=incident.version, at=now)
        return incident

    def _join(self, connection: Connection, incident: Incident, finding: Finding, why: str, now: datetime) -> Incident:
        if knows(incident, finding):
            return incident
        if incident.system_state == "recovered" and finding.severity == "page" and incident.is_open:
            command = Command(type="refired", at=now, actor=MACHINE, key=f"refired:{incident.version}")
            incident = self.apply(connection, incident.id, command).incident
        key = f"joined:{finding.key}:{incident.version}"
        text = f"{finding.summary} (joins: {why})"
        command = Command(type="joined", at=now, actor=MACHINE, key=key, finding=finding, text=text)
        return self.apply(connection, incident.id, command).incident

    def _clear(
        self, connection: Connection, incident: Incident, firing: set[str], now: datetime, judged: Judged
    ) -> int:
        """Record what of an incident fires no longer; how many events that took."""
        before = incident.version
        gone = incident.firing_keys - firing
        for finding in incident.findings:
            if finding.key in gone and judged(finding):
                key = f"cleared:{finding.key}:{incident.version}"
                command = Command(type="cleared", at=now, actor=MACHINE, key=key, finding=finding)
                incident = self.apply(connection, incident.id, command).incident
        pages = {finding.key for finding in incident.findings if finding.severity == "page"}
        if incident.system_state == "firing" and not pages & incident.firing_keys:
            command = Command(type="recovered", at=now, actor=MACHINE, key=f"recovered:{incident.version}")
            incident = self.apply(connection, incident.id, command).incident
        return incident.version - before


def _keep_run(connection: Connection, incident: Incident, event: Event) -> None:
    """What an event means for the run of a runbook, in the event's own transaction."""
    match event.type:
        case "approved" if incident.proposal:
            runs.add_run(connection, f"{incident.id}-run-{incident.version}", incident.id, incident.proposal, event.at)
        case "run_started" if event.run:
            runs.begin_run(connection, event.run, event.at)
        case "run_finished" if event.run:
            runs.end_run(connection, event.run, "done" if event.succeeded else "failed", event.text, event.at)
        case "run_cancelled":
            runs.cancel_waiting(connection, incident.id, event.text, event.at)
