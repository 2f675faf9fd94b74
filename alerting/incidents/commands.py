"""Reading incidents, and the commands on them: of the command line, the API, Slack, the dashboard and the watch role.

Every command is a compare-and-set on the incident's version, carries an idempotency key, and commits its event
together with what it causes (`alerting.incidents.writer`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, Final

from sqlalchemy import Connection

from alerting.channels import outbox
from alerting.channels.channel import Thread
from alerting.channels.routing import Routing, Way
from alerting.incidents import journal
from alerting.incidents.calling import Call, call
from alerting.incidents.grouping import Edges, Neighbourhood
from alerting.incidents.human_labels import Judgement, human_label
from alerting.incidents.machine import Command, EventType, Incident, Outcome
from alerting.incidents.merging import merge, split
from alerting.incidents.observation import OBSERVING, TRIES, Judged, Observation, Observed
from alerting.incidents.writer import Writer
from alerting.oncall.escalation import MACHINE, delays, first_delay, known_person, page_command
from alerting.oncall.in_force import Rota, rota_of
from alerting.oncall.schedule import person, stored_overrides
from watchkeeper.clock import Clock
from watchkeeper.config import Config, OnCallConfig
from watchkeeper.errors import Conflict
from watchkeeper.problems import Problems
from watchkeeper.state.database import Database
from watchkeeper.state.models import deciding_version
from watchkeeper.vocabulary import CANARY, Actor, Diagnosis, Finding, Level, Proposal, Question

ACK_TIMEOUT_S: Final = 1800.0  # the default of `watch.ack_timeout_s`
TOGETHER: Final = 500  # commands of the machine's that share a transaction: a tenth of a second for others to wait


def _everything(_: Finding) -> bool:
    return True


def _distinct(pages: Sequence[tuple[str, str]], most: int) -> Iterator[list[tuple[str, str]]]:
    """Parts of at most so many, in order; no incident is twice in one."""
    part: list[tuple[str, str]] = []
    seen: set[str] = set()
    for page in pages:
        if len(part) >= most or page[0] in seen:
            yield part
            part, seen = [], set()
        part.append(page)
        seen.add(page[0])
    if part:
        yield part


class Incidents:
    """Reads and commands. Threads may share one."""

    def __init__(
        self,
        db: Database,
        clock: Clock,
        oncall: OnCallConfig | Rota,
        *,
        channels: Sequence[str] = ("slack",),
        ack_timeout_s: float = ACK_TIMEOUT_S,
        problems: Problems | None = None,
        beat: Callable[[], None] = lambda: None,
        canary: Way | None = None,
    ) -> None:
        """`oncall` is the rota, or gives that of the moment.

        `channels` are those in use; `beat` is called now and then in a round of many findings. `canary` is where the
        page of Watchkeeper's own alert goes; by default to nobody.
        """
        self._db = db
        self._clock = clock
        self._problems = problems or Problems(None)
        self._writer = Writer(
            channels=tuple(channels),
            rota=rota_of(oncall),
            canary=canary or Way(channel=CANARY, address=""),
            ack_timeout_s=ack_timeout_s,
            overrides=lambda: stored_overrides(db),
        )
        self._observation = Observation(db=db, writer=self._writer, problems=self._problems, beat=beat)

    @classmethod
    def configured(
        cls, config: Config, db: Database, clock: Clock, *, channels: Sequence[str] = (), **watching: Any
    ) -> Incidents:
        """As a configuration has it. `channels` are those that work, where that is known; `watching` as above."""
        in_use = tuple(channels) or tuple(config.channels)
        canary = Way(channel=config.canary.channel or CANARY, address=config.canary.address or "")
        timeout_s = config.watch.ack_timeout_s
        return cls(
            db, clock, lambda: config.oncall, channels=in_use, ack_timeout_s=timeout_s, canary=canary, **watching
        )

    # Reading

    def get(self, incident_id: str) -> Incident:
        """One incident, complete.

        Raises:
            NotFound: no such incident.
            StateError: its record cannot be read.
        """
        with self._db.read() as connection:
            return journal.load(connection, incident_id)

    def those(self, incident_ids: Sequence[str]) -> Mapping[str, Incident]:
        """Some incidents, by id; those that are not there, or cannot be read, are left out."""
        with self._db.read() as connection:
            return journal.load_many(connection, incident_ids, lambda _id, _why: None)

    def list(self, state: str | None = None, limit: int = 50, severity: str | None = None) -> tuple[Incident, ...]:
        """Incidents, newest first; `state` is `open`, or one of the human states, `severity` `page` or `ticket`."""
        report = partial(journal.report_unreadable, self._problems)
        with self._db.read() as connection:
            return journal.newest(connection, state, limit, report, severity)

    def thread(self, incident_id: str, channel: str) -> Thread | None:
        """Where an incident's messages are in a channel; None where it has none there."""
        with self._db.read() as connection:
            return outbox.thread_of(connection, incident_id, channel)

    def shown_at(self, channel: str, thread: Thread) -> tuple[str, ...]:
        """The incidents that a message of a channel shows, by id."""
        with self._db.read() as connection:
            return outbox.incidents_at(connection, channel, thread)

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

        Findings of severity `page` and `ticket` open incidents of that severity; details join one that is near.
        `judged` selects the findings that this call is about: another stays as it is, whether or not it is in the list.
        A finding that cannot be placed is set aside, and the others are placed. Returns the ids of the incidents that
        were opened.
        """
        observed = Observed(
            findings=findings,
            firing=frozenset(finding.key for finding in findings),
            near=Neighbourhood(edges),
            now=now or self._clock.now(),
            judged=judged,
        )
        return self._observation.observe(observed)

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
        """Page whoever is first in the escalation, and set the timer for the next.

        Where the first step has a delay, its timer pages, and this changes nothing.
        """
        if not self._begin_at_once([incident_id]):
            text = "its first step waits for the delay of its escalation"
            return Outcome(changed=False, message=text, incident=self.get(incident_id))
        return self._apply_all(incident_id, page_command("paged", 0, self._clock.now(), f"paged:{key}"))

    def page_all(self, incident_ids: Sequence[str]) -> None:
        """Page for many incidents at once."""
        command = page_command("paged", 0, self._clock.now(), "paged:first")
        self._each([(each, "first") for each in self._begin_at_once(incident_ids)], lambda _: command)

    def _begin_at_once(self, incident_ids: Sequence[str]) -> Sequence[str]:
        """Those of some incidents whose escalation has no delay before its first step."""
        if not delays(self._writer.oncall):
            return incident_ids
        with self._db.read() as connection:
            incidents = journal.load_many(connection, incident_ids)
        later = {name for name, incident in incidents.items() if first_delay(self._writer.oncall, incident)}
        return [name for name in incident_ids if name not in later]

    def all_delivered(self, pages: Sequence[tuple[str, str]], channel: str) -> None:
        """Pages reached a channel: incidents, and the keys of their pages."""
        text = f"the page was delivered by {channel}"
        self._each(pages, lambda key: self._new("delivered", MACHINE, f"delivered:{key}", text=text))

    def all_undelivered(self, pages: Sequence[tuple[str, str]], why: str) -> None:
        """Pages could not be delivered yet; they are tried again."""
        self._each(pages, lambda key: self._new("undelivered", MACHINE, f"undelivered:{key}", text=why))

    def _each(self, pages: Sequence[tuple[str, str]], command: Callable[[str], Command]) -> None:
        """A command for each of many incidents: together, and where that fails one by one, so that one fails alone."""
        for together in _distinct(pages, TOGETHER):
            try:
                with self._db.write() as connection:
                    self._writer.apply_all(connection, {incident_id: command(key) for incident_id, key in together})
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

    def snooze(self, incident_id: str, actor: Actor, until: datetime, key: str) -> Outcome:
        """Page nobody until a time. What still fires then pages whoever is on call."""
        return self._apply_all(incident_id, self._new("snoozed", actor, key, until=until))

    def assign(self, incident_id: str, actor: Actor, person_id: str, key: str) -> Outcome:
        """Page somebody for it in place of whoever was; whoever assigns it to themselves has it at once.

        If the assignee does not answer, the escalation goes on from the step where it was.

        Raises:
            NotFound: nobody of that id is configured.
        """
        assignee = person(self._writer.oncall, person_id)
        oneself = known_person(self._writer.oncall, actor) == assignee
        text = f"{actor.name} took it" if oneself else f"{actor.name} assigned it to {assignee.name}"
        commands = [self._new("assigned", actor, key, person=assignee.id, text=text)]
        if oneself:
            commands.append(self._new("acknowledged", actor, key))
        return self._apply_all(incident_id, *commands)

    def call(self, person_id: str, text: str, actor: Actor, key: str, service: str = "") -> Outcome:
        """Page somebody by name: opens an incident that is theirs. If they do not answer, the escalation goes on.

        Raises:
            ConfigError: the text is empty, or too long.
            NotFound: nobody of that id is configured.
        """
        who = person(self._writer.oncall, person_id)
        called = Call(person=who, text=text, actor=actor, key=key, service=service)
        return self._change_two(lambda connection: call(connection, self._writer, called, self._clock.now()))

    def set_severity(self, incident_id: str, actor: Actor, level: Level, reason: str, key: str) -> Outcome:
        """Raise or lower its severity level, for a reason.

        A level that pages makes a page of a ticket, and one that doesn't a ticket of a page; one with an escalation
        policy of its own begins that, while nobody has acknowledged.

        Raises:
            NotFound: no such incident.
        """
        return self._apply_all(incident_id, self._new("severity_changed", actor, key, level=level, reason=reason))

    def merge(self, incident_id: str, into: str, actor: Actor, key: str) -> Outcome:
        """Make it part of another incident: it pages nobody any more, and `split` undoes it.

        Raises:
            NotFound: one of the two does not exist.
        """
        command = self._new("merged", actor, key, other=into)
        return self._change_two(lambda connection: merge(connection, self._writer, incident_id, command))

    def split(self, incident_id: str, actor: Actor, key: str) -> Outcome:
        """Make it an incident of its own again. Whoever does so has acknowledged it."""
        command = self._new("split", actor, key)
        return self._change_two(lambda connection: split(connection, self._writer, incident_id, command))

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

    def answer(self, incident_id: str, actor: Actor, key: str, seen: str, answer: str) -> Outcome:
        """Answer a question of the running runbook; `seen` is the id of the question that the human looked at."""
        return self._apply_all(incident_id, self._new("run_answered", actor, key, seen=seen, answer=answer))

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

    def run_noted(self, incident_id: str, key: str, *, text: str) -> Outcome:
        """Something that a runbook tells or asks whoever follows the incident; shown in every channel."""
        return self._apply_all(incident_id, self._new("run_noted", MACHINE, key, text=text))

    def run_asked(self, incident_id: str, key: str, *, question: Question) -> Outcome:
        """The runbook asks whoever follows the incident, and waits; the same question again changes nothing."""
        return self._apply_all(incident_id, self._new("run_asked", MACHINE, key, question=question, run=question.run))

    def run_unanswered(self, incident_id: str, key: str, *, question: Question, text: str) -> Outcome:
        """The time to answer is over. A question that has its answer keeps it: then nothing changes."""
        values = {"seen": question.id, "answer": question.unanswered, "text": text, "run": question.run}
        return self._apply_all(incident_id, self._new("run_unanswered", MACHINE, key, **values))

    # How

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

    @property
    def routing(self) -> Routing:
        """By which channels people are reached."""
        return self._writer.routing

    def apply_together(self, connection: Connection, commands: Mapping[str, Command]) -> None:
        """Decide and record commands of the machine's by incident, inside a transaction; see `Writer.apply_all`."""
        self._writer.apply_all(connection, commands)

    def _change_two(self, change: Callable[[Connection], Outcome]) -> Outcome:
        """What changes two incidents in one transaction. No round of findings goes on meanwhile."""
        for _ in range(TRIES):
            try:
                with self._db.write() as connection:
                    self._db.one_at_a_time(connection, OBSERVING)
                    return change(connection)
            except Conflict:
                continue  # somebody else was first: decide again on what is there now
        raise Conflict("these incidents change too fast; try again", retry=True)

    def apply(self, connection: Connection, incident_id: str, command: Command) -> Outcome:
        """Decide and record one command inside a transaction, with everything that it causes."""
        return self._writer.apply(connection, incident_id, command)
