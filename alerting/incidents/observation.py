"""What fires now, placed: findings open incidents, join them, and clear.

A round of many findings is several short transactions, so that a human's command comes in between. A finding that
cannot be placed is set aside, and the others are placed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import islice
from typing import Final

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError, OperationalError

from alerting.incidents import journal
from alerting.incidents.findings import clear_findings, store_findings, ticket_resolved_by_hand
from alerting.incidents.grouping import Neighbourhood, Placement, Recent, place
from alerting.incidents.levels import decides_urgency, level_of, with_urgency
from alerting.incidents.machine import SEVERITIES, Command, Event, EventType, Incident, decide, fold
from alerting.incidents.merge_lessons import Similar, Taught, similar_incident, taught
from alerting.incidents.merging import merge
from alerting.incidents.writer import Writer, opened_by
from alerting.oncall.escalation import MACHINE
from watchkeeper.config import OnCallConfig
from watchkeeper.errors import Conflict
from watchkeeper.problems import Problems
from watchkeeper.state.database import Database
from watchkeeper.vocabulary import Finding, Level

Judged = Callable[[Finding], bool]

TRIES: Final = 5  # times that somebody else may be first before a command or a round is given up
# Incidents that one transaction changes (one by one), findings that open and join some, and incidents that end
# (together), the pause after it in which others may write, and how long one round may go on like this. SQLite has one
# writer: a transaction takes well under a second, and an acknowledgement fits between two.
MOST_CHANGES: Final = 50
MOST_TOGETHER: Final = 500
MOST_ENDED: Final = 500
BREATH_S: Final = 0.11
WITHIN_S: Final = 5.0
# Findings that an incident lists. Of a storm on one service the others are counted to it, and fire with it.
MOST_FINDINGS: Final = 100
# Two watch roles must not open one incident each for the same findings (PostgreSQL; any number that is ours).
OBSERVING: Final = 8_274_002


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """One round's findings: those that fire, who calls whom, and which findings the round is about."""

    findings: Sequence[Finding]
    firing: frozenset[str]
    near: Neighbourhood
    now: datetime
    judged: Judged


@dataclass(frozen=True, slots=True)
class _Settled:
    """A finding that its incident knows: nothing is to be done for it, while both are as they are."""

    finding: Finding
    incident: Incident


@dataclass(frozen=True, slots=True)
class _Ruled:
    """A finding, the level that the rules of severities give it, and what that makes of it: a page or a ticket."""

    finding: Finding
    level: Level | None
    urgent: Finding


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """What one transaction of a round did: findings placed, incidents opened, and whether nothing is left to do."""

    placed: int
    opened: tuple[str, ...]
    complete: bool
    settled: Sequence[_Settled]


@dataclass(slots=True)
class _Joining:
    """An incident that findings join, as it was and as it will be; nothing of it is written yet."""

    before: Incident
    after: Incident
    events: list[Event] = field(default_factory=list)

    def fold(self, event: Event) -> None:
        self.after = fold(self.after, event)
        self.events.append(event)

    @property
    def change(self) -> journal.Change:
        return journal.Change(before=self.before, after=self.after, events=tuple(self.events))


@dataclass(slots=True)
class _Opening:
    """An incident that is not written yet: its first event, and what joined it since."""

    first: Event
    joining: _Joining

    @property
    def events(self) -> tuple[Event, ...]:
        return (self.first, *self.joining.events)


@dataclass(slots=True, kw_only=True)
class _Round:
    """One transaction of a round while it goes on.

    Attributes:
        opening: incidents, by id, that are not written yet.
        joining: incidents, by id, whose new findings are not written yet.
        settled: findings that their incidents know.
        similar: of incidents that this part opened, by id, the one that people would merge each with.
        placed: findings, each with the incident that it belongs to.
        changes: incidents that were changed one by one.
        together: findings that open an incident, or join one.
    """

    connection: Connection
    recent: Recent
    opening: dict[str, _Opening] = field(default_factory=dict)
    joining: dict[str, _Joining] = field(default_factory=dict)
    similar: dict[str, Similar] = field(default_factory=dict)
    settled: list[_Settled] = field(default_factory=list)
    opened: list[str] = field(default_factory=list)
    placed: list[tuple[Finding, str | None]] = field(default_factory=list)
    changes: int = 0
    together: int = 0
    _names: list[str] = field(default_factory=list)
    _taught: Taught | None = None

    @property
    def is_full(self) -> bool:
        return self.changes >= MOST_CHANGES or self.together >= MOST_TOGETHER

    def unused_name(self) -> str:
        """A name for one more incident."""
        if not self._names:
            self._names = journal.unused_ids(self.connection, MOST_TOGETHER)
        return self._names.pop()

    @property
    def taught(self) -> Taught:
        """What merges by people have taught; read when something opens, and once."""
        if self._taught is None:
            self._taught = taught(self.connection)
        return self._taught

    def open(self, incident: Incident, first: Event) -> None:
        """A finding opens an incident; it is written with the others."""
        self.recent.put(incident)
        self.opening[incident.id] = _Opening(first, _Joining(incident, incident))
        self.together += 1

    def join(self, incident: Incident, events: Sequence[Event]) -> None:
        """A finding joins an incident; it is written with the others, or with what opens the incident."""
        opening = self.opening.get(incident.id)
        known = opening.joining if opening else self.joining.setdefault(incident.id, _Joining(incident, incident))
        for event in events:
            known.fold(event)
        self.recent.put(known.after)
        self.together += 1

    def keep(self, incident_id: str, events: Sequence[Event]) -> None:
        """Events were written: their findings belong to the incident."""
        self.placed += [(event.finding, incident_id) for event in events if event.finding]

    def settle(self) -> None:
        """What was written, its incidents know."""
        for finding, incident_id in self.placed:
            incident = self.recent.get(incident_id or "")
            if incident and incident.is_open and incident.knows(finding):
                self.settled.append(_Settled(finding, incident))


@dataclass(slots=True, kw_only=True)
class Observation:
    """Places findings.

    Attributes:
        beat: called now and then in a round of many findings: it is long, and does not hang.
        worst: of each finding that fires, how it was at its worst.
        read: incidents as they were read last, by id: most do not change from round to round.
        settled: by key, findings that their incidents know.
        ruled: by key, what the rules of severities say of a finding; empty where the configuration decides on none.
        rota: the one that holds these rules.
    """

    db: Database
    writer: Writer
    problems: Problems
    beat: Callable[[], None]
    worst: dict[str, Finding] = field(default_factory=dict)
    read: dict[str, Incident] = field(default_factory=dict)
    settled: dict[str, _Settled] = field(default_factory=dict)
    ruled: dict[str, _Ruled] = field(default_factory=dict)
    rota: OnCallConfig | None = None

    def observe(self, observed: Observed) -> tuple[str, ...]:
        """Open and join incidents, and clear what fires no longer; the ids of the incidents that were opened."""
        observed = self._with_urgency(observed)
        waiting = _in_order(observed.findings)
        self._remember_the_worst(observed)
        opened: list[str] = []
        until = time.monotonic() + WITHIN_S
        while True:
            part = self._part(observed, waiting)
            opened += part.opened
            waiting = waiting[part.placed :]
            if part.complete or time.monotonic() > until:
                self._forget_what_is_over(observed)
                return tuple(opened)  # what still waits is for the next round
            time.sleep(BREATH_S)

    def _with_urgency(self, observed: Observed) -> Observed:
        """The findings as the rules of severities have them: pages and tickets."""
        oncall = self.writer.oncall
        if oncall is not self.rota:
            self.ruled, self.rota = {}, oncall
        if not decides_urgency(oncall):
            return observed
        return replace(observed, findings=[self._by_rules(oncall, finding).urgent for finding in observed.findings])

    def _by_rules(self, oncall: OnCallConfig, finding: Finding) -> _Ruled:
        known = self.ruled.get(finding.key)
        if known and known.finding is finding:
            return known  # the very value of the round before: what is settled stays so
        level = level_of(oncall, finding)
        new = self.ruled[finding.key] = _Ruled(finding, level, with_urgency(oncall, finding, level))
        return new

    def _level(self, finding: Finding) -> Level | None:
        """The level that a rule gives a finding of this round; None where no rule decides."""
        ruled = self.ruled.get(finding.key)
        return ruled.level if ruled else None

    def _remember_the_worst(self, observed: Observed) -> None:
        """Of each finding that fires, how it was when it was furthest from what is usual."""
        for finding in observed.findings:
            known = self.worst.get(finding.key)
            if known is None or _distance(finding) > _distance(known):
                self.worst[finding.key] = finding

    def _forget_what_is_over(self, observed: Observed) -> None:
        for key, finding in list(self.worst.items()):
            if key not in observed.firing and observed.judged(finding):
                del self.worst[key]
                self.ruled.pop(key, None)
                self.settled.pop(key, None)

    def _part(self, observed: Observed, waiting: Sequence[Finding]) -> _Part:
        for _ in range(TRIES):
            self.beat()
            try:
                with self.db.write() as connection:
                    self.db.one_at_a_time(connection, OBSERVING)
                    part = self._place_all(connection, observed, waiting)
            except Conflict:
                continue  # a human decision came in between: place the findings anew
            # What was rolled back settles nothing.
            self.settled.update((one.finding.key, one) for one in part.settled)
            return part
        raise Conflict("the incidents change too fast to place findings; the next round tries again", retry=True)

    def _place_all(self, connection: Connection, observed: Observed, waiting: Sequence[Finding]) -> _Part:
        known = journal.recent(connection, observed.now, self._unreadable, self.read)
        # Only what was read: what this transaction writes may yet be rolled back.
        self.read = {incident.id: incident for incident in known}
        recent = Recent(known)
        round_ = _Round(connection=connection, recent=recent)
        count = 0
        for finding in waiting:
            if round_.is_full:
                break  # others want to write, too
            count += 1
            if self._is_settled(finding, recent):
                continue
            with self._reported(f"{finding.service}: {finding.summary}"):
                self._place(round_, finding, observed)
        self._write(round_)
        stored = self._store(connection, round_.placed)
        self._merge_similar(round_, observed.now)
        if stored:
            round_.settle()
        complete = count == len(waiting)
        if complete:
            # What was set aside fires all the same.
            clear_findings(connection, observed.firing, observed.now, observed.judged, self.worst)
            room = max(0, MOST_ENDED - round_.changes)
            endings = (ending for incident in recent.all() if (ending := self._ending(incident, observed))[1])
            ended = list(islice(endings, room + 1))
            complete = len(ended) <= room
            self._end_all(connection, ended[:room])
        return _Part(placed=count, opened=tuple(round_.opened), complete=complete, settled=round_.settled)

    def _is_settled(self, finding: Finding, recent: Recent) -> bool:
        """Whether a finding and the incident that knows it are the very ones of an earlier round.

        An alert from outside is one value for as long as nobody repeats it, and so is an incident that nothing changed:
        of ten thousand alerts that fire, a round looks at those for which something may be to do.
        """
        known = self.settled.get(finding.key)
        return known is not None and known.finding is finding and recent.get(known.incident.id) is known.incident

    def _place(self, round_: _Round, finding: Finding, observed: Observed) -> None:
        """Open an incident for a finding, or join one, or count it to one."""
        connection, recent = round_.connection, round_.recent
        placement = place(finding, recent, observed.near, observed.now)
        known = placement.incident_id
        if placement.how == "open" and finding.severity != "page":
            with connection.begin_nested():
                known = ticket_resolved_by_hand(connection, finding.key)
        if placement.how == "open" and known is None:
            incident, event = opened_by(round_.unused_name(), finding, observed.now, self._level(finding))
            if similar := similar_incident(finding, recent, round_.taught):
                round_.similar[incident.id] = similar
            round_.open(incident, event)
            return
        joined = recent.get(known or "")
        joins = placement.how == "raise" or (placement.how == "join" and joined and not _is_full(joined, finding))
        if joined and joins and not joined.knows(finding):
            if _only_joins(joined, finding, placement) and (
                events := _decided(joined, self._commands(joined, finding, placement, observed.now))
            ):
                round_.join(joined, events)
                return
            self._write(round_)  # it may be one of them
            with connection.begin_nested():
                recent.put(self._join(connection, joined, finding, placement, observed.now))
            round_.changes += 1
        round_.placed.append((finding, known))

    def _write(self, round_: _Round) -> None:
        """Keep what this part opened, then what joined."""
        self._open_all(round_)
        self._join_all(round_)

    def _open_all(self, round_: _Round) -> None:
        """Keep the incidents that this part opened: all at once or, where one cannot be kept, the others."""
        opening, round_.opening = round_.opening, {}
        try:
            with round_.connection.begin_nested():
                self.writer.open_all(round_.connection, [(one.joining.after, one.events) for one in opening.values()])
            for incident_id, one in opening.items():
                round_.keep(incident_id, one.events)
                round_.opened.append(incident_id)
        except Exception:  # noqa: BLE001 - each is reported below with its own error
            for incident_id, one in opening.items():
                first = one.joining.before
                round_.recent.forget(incident_id)
                with self._set_aside(round_.connection, f"{first.service}: {first.title}"):
                    self.writer.open_all(round_.connection, [(first, [one.first])])
                    round_.recent.put(one.joining.after)
                    round_.keep(incident_id, [one.first])
                    round_.opened.append(incident_id)
                    if one.joining.events:  # joined apart: what cannot be kept must not keep the incident from opening
                        round_.joining[incident_id] = one.joining

    def _join_all(self, round_: _Round) -> None:
        """Keep the findings that joined: all at once or, where an incident cannot be kept, those of the others."""
        joining, round_.joining = list(round_.joining.values()), {}
        # One that could not be opened has nothing to join.
        joining = [one for one in joining if round_.recent.get(one.before.id)]
        try:
            with round_.connection.begin_nested():
                moved = self.writer.join_all(round_.connection, [one.change for one in joining])
            kept = joining
        except Conflict:
            raise  # somebody else was first: the round is placed anew
        except Exception:  # noqa: BLE001 - each is reported below with its own error
            kept, moved = [], []
            for one in joining:
                round_.recent.forget(one.before.id)
                round_.recent.put(one.before)
                with self._set_aside(round_.connection, one.before.id):
                    moved += self.writer.join_all(round_.connection, [one.change])
                    round_.recent.put(one.after)
                    kept.append(one)
        for one in kept:
            round_.keep(one.before.id, one.events)
        for incident in moved:
            round_.recent.put(incident)

    def _join(
        self, connection: Connection, incident: Incident, finding: Finding, placement: Placement, now: datetime
    ) -> Incident:
        for command in self._commands(incident, finding, placement, now):
            incident = self.writer.apply(connection, incident.id, command).incident
        return incident

    def _commands(
        self, incident: Incident, finding: Finding, placement: Placement, now: datetime
    ) -> tuple[Command, ...]:
        """What a finding does to the incident that it was placed in: it may fire again first."""
        refires = _refires(incident, finding)
        again = Command(type="refired", at=now, actor=MACHINE, key=f"refired:{incident.version}")
        kind: EventType = "raised" if placement.how == "raise" else "joined"
        text = f"{finding.summary} ({'raised to a page' if kind == 'raised' else 'joins'}: {placement.reason})"
        key, level = f"{kind}:{finding.key}:{incident.version + refires}", self._level(finding)
        joins = Command(type=kind, at=now, actor=MACHINE, key=key, finding=finding, text=text, level=level)
        return (again, joins) if refires else (joins,)

    def _merge_similar(self, round_: _Round, now: datetime) -> None:
        """Merge what this part opened with what people would merge it with: before anybody is paged for it."""
        connection, recent = round_.connection, round_.recent
        for incident_id, similar in round_.similar.items():
            if incident_id not in round_.opened:
                continue  # it could not be kept
            with self._set_aside(connection, incident_id):
                incident, into = (journal.load(connection, name) for name in (incident_id, similar.incident_id))
                if into.human_state == "merged":  # by this very loop: it goes on as another
                    into = journal.load(connection, into.merged_into)
                if (incident.severity, into.severity) == ("page", "ticket"):
                    incident, into = into, incident
                text = f"grouped by itself: {similar.reason}"
                key = f"merged:similar:{incident.version}"
                command = Command(type="merged", at=now, actor=MACHINE, key=key, other=into.id, text=text)
                merge(connection, self.writer, incident.id, command)
                for changed in (incident.id, into.id):
                    recent.put(journal.load(connection, changed))
            round_.changes += 1

    def _ending(self, incident: Incident, observed: Observed) -> tuple[Incident, list[Command]]:
        """What of an incident fires no longer: the commands that record it."""
        at, version = observed.now, incident.version
        commands: list[Command] = []
        gone = incident.firing_keys - observed.firing
        ended = [one for one in incident.findings if one.key in gone and observed.judged(one)]
        for finding in ended:
            worst = _worse(finding, self.worst.get(finding.key))
            text = f"cleared: {worst.summary}"
            text += f" (at its worst at {worst.seen_at:%H:%M:%S} UTC)" if worst != finding else ""
            key = f"cleared:{finding.key}:{version + len(commands)}"
            commands.append(Command(type="cleared", at=at, actor=MACHINE, key=key, finding=worst, text=text))
        fires = incident.firing_keys - {finding.key for finding in ended}
        if incident.system_state == "firing" and not incident.counting_keys & fires:
            key = f"recovered:{version + len(commands)}"
            commands.append(Command(type="recovered", at=at, actor=MACHINE, key=key))
        return incident, commands

    def _end_all(self, connection: Connection, endings: Sequence[tuple[Incident, list[Command]]]) -> None:
        """Record what fires no longer: all at once or, where one incident cannot be kept, the others."""
        try:
            with connection.begin_nested():
                self.writer.end_all(connection, endings)
        except Conflict:
            raise  # somebody else was first: the round is placed anew
        except Exception:  # noqa: BLE001 - each is reported below with its own error
            for incident, commands in endings:
                with self._set_aside(connection, incident.id):
                    self.writer.end_all(connection, [(incident, commands)])

    def _store(self, connection: Connection, placed: Sequence[tuple[Finding, str | None]]) -> bool:
        """Keep all findings at once, or, where one cannot be kept, the others; whether all are kept."""
        try:
            with connection.begin_nested():
                store_findings(connection, placed)
        except Exception:  # noqa: BLE001 - each is reported below with its own error
            for finding, incident_id in placed:
                with self._set_aside(connection, f"{finding.service}: {finding.summary}"):
                    store_findings(connection, [(finding, incident_id)])
            return False
        return True

    @contextmanager
    def _set_aside(self, connection: Connection, subject: str) -> Iterator[None]:
        """One item that writes: what fails in it is undone and reported, and the round goes on with the next."""
        with self._reported(subject), connection.begin_nested():
            yield

    @contextmanager
    def _reported(self, subject: str) -> Iterator[None]:
        """One item of a round: what fails in it is reported, and the round goes on with the next."""
        try:
            yield
        except Conflict:
            raise  # somebody else was first: the round is placed anew
        except DBAPIError as error:
            if error.connection_invalidated or isinstance(error, OperationalError):
                raise  # the database itself failed, not this item
            self.problems.report("tick", subject, error.orig)
        except Exception as error:  # noqa: BLE001 - whatever an item dies of, the others must be placed
            self.problems.report("tick", subject, error)

    def _unreadable(self, incident_id: str, why: Exception) -> None:
        journal.report_unreadable(self.problems, incident_id, why)


def _in_order(findings: Sequence[Finding]) -> list[Finding]:
    """Findings as they are placed: a service's one after the other, so that its incident is written once.

    Pages come first: a ticket may join an incident that is opened in this very round.
    """
    began: dict[tuple[int, str], datetime] = {}
    for finding in findings:
        group = SEVERITIES.index(finding.severity), finding.service
        began[group] = min(finding.onset, began.get(group, finding.onset))

    def order(finding: Finding) -> tuple[int, datetime, str, datetime, str]:
        urgency = SEVERITIES.index(finding.severity)
        return urgency, began[urgency, finding.service], finding.service, finding.onset, finding.key

    return sorted(findings, key=order)


def _refires(incident: Incident, finding: Finding) -> bool:
    return incident.system_state == "recovered" and incident.counts(finding) and incident.is_open


def _only_joins(incident: Incident, finding: Finding, placement: Placement) -> bool:
    """Whether a finding that joins causes what `Writer.join_all` keeps: no raise, no end of a silence.

    It may let fire again what somebody has acknowledged; who answers for another is asked anew, one by one.
    """
    if placement.how != "join" or incident.human_state == "silenced":
        return False
    if incident.system_state == "firing":
        return True
    return _refires(incident, finding) and incident.severity == "page" and incident.human_state == "acknowledged"


def _decided(incident: Incident, commands: Sequence[Command]) -> list[Event]:
    """The events of commands that follow each other; none where one of them is refused."""
    events: list[Event] = []
    for command in commands:
        decision = decide(incident, command)
        if not isinstance(decision, Event):
            return []
        incident = fold(incident, decision)
        events.append(decision)
    return events


def _distance(finding: Finding) -> float:
    """How far a finding is from what is usual, in its own unit; its score where it has no value."""
    if finding.value is None:
        return finding.score
    return abs(finding.value - (finding.expected or 0.0))


def _worse(finding: Finding, worst: Finding | None) -> Finding:
    """A finding as an incident keeps it when it is over: with the value of its worst moment."""
    if worst is None or _distance(worst) <= _distance(finding):
        return finding
    return replace(worst, onset=finding.onset, severity=finding.severity)


def _is_full(incident: Incident, finding: Finding) -> bool:
    """Whether an incident that fires holds so many findings that one more would add nothing."""
    if incident.system_state != "firing" or len(incident.findings) < MOST_FINDINGS:
        return False
    return all(known.key != finding.key for known in incident.findings)
