"""The protocol between machine and human, driven at random through the real commands and a real database.

Workers die at any statement, commands come late, twice and in another order, rounds of findings overtake each other,
and the clock is set both ways. `promises` says what holds after each step. The whole test takes
`WATCHKEEPER_PROTOCOL_STEPS=100000`.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from promises import PAGES, PROMISES, SILENCED, Moment, is_the_fold_of_its_events, nobody_s_turn_to_be_paged_is_put_off
from protocol import EDGES, Recorder, finding, turn, unsent
from sqlalchemy import event
from structlog.testing import capture_logs

from alerting.incidents.commands import Incidents
from alerting.incidents.machine import Outcome
from alerting.incidents.silences import add_silence, end_silence, list_silences, new_silence
from alerting.oncall.clock_steps import ClockSteps
from watchkeeper.clock import FrozenClock
from watchkeeper.config import EscalationStep, LayerConfig, OnCallConfig, PersonConfig, ScheduleConfig
from watchkeeper.state.database import Database
from watchkeeper.state.schema import metadata
from watchkeeper.vocabulary import Actor, Finding

PEOPLE = (Actor(name="Ana", via="slack"), Actor(name="Ben", via="cli"))
ONCALL = OnCallConfig(
    people=(
        PersonConfig(id="ana", name="Ana", addresses={"slack": "UANA"}),
        PersonConfig(id="ben", name="Ben", addresses={"slack": "UBEN"}),
    ),
    schedules=(ScheduleConfig(id="primary", layers=(LayerConfig(people=("ana",)),), fallback="ben"),),
    escalation=(EscalationStep(after_s=0, notify="primary"), EscalationStep(after_s=120, notify="ben")),
)
SERVICES = ("web", "payments", "blog")
STEPS = int(os.environ.get("WATCHKEEPER_PROTOCOL_STEPS", "0"))
STEPS_OF_ONE = 40
# Of so many steps, the first example that fails is enough: to make it smaller takes longer than to find it.
LONG_RUN = (Phase.explicit, Phase.generate)
REFOLDED_EVERY = 10
INCIDENT = st.integers(0, 5)
WHO = st.sampled_from(PEOPLE)


class Killed(BaseException):
    """The process is gone: nothing catches this but the test."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Press:
    """A human's command: under its key it may arrive late, twice, and after others that were given later."""

    verb: str
    incident: str
    who: Actor
    key: str
    more: tuple[Any, ...] = ()


class Protocol(RuleBasedStateMachine):
    """Random findings, words of humans, time, restarts and bad days of the channel."""

    def __init__(self, url: str, taken: list[int]) -> None:
        """`taken` counts the steps of all examples."""
        super().__init__()
        self.url = url
        self.taken = taken
        self.db = self._open()
        with self.db.write() as connection:
            for table in metadata.sorted_tables:
                connection.execute(table.delete())
        self.clock = FrozenClock(datetime(2026, 3, 1, 3, tzinfo=UTC))
        self.steady = 1000.0
        self._start()
        self.channel = Recorder()
        self.firing: dict[str, Finding] = {}
        self.round_before: tuple[list[Finding], datetime] = ([], self.clock.now())
        self.resolved: dict[str, str] = {}
        self.keys = 0
        self.under_way: list[Press] = []
        self.arrived: list[tuple[Press, bool]] = []
        self.raised: set[str] = set()
        self.set_by = timedelta(0)
        self.seen: dict[tuple[str, int], timedelta] = {}
        self.refolded: dict[str, int] = {}
        self.steps_here = 0
        self._round()

    def _open(self) -> Database:
        self.lives: int | None = None  # statements until the process is killed
        db = Database.open(self.url)

        @event.listens_for(db.engine, "before_cursor_execute")
        def _count(*_: object) -> None:
            if self.lives is not None:
                self.lives -= 1
                if self.lives < 0:
                    raise Killed

        @event.listens_for(db.engine, "commit")
        def _commits(_: object) -> None:
            if self.lives == 0:
                raise Killed

        return db

    def _start(self) -> None:
        self.incidents = Incidents(self.db, self.clock, ONCALL, ack_timeout_s=600)
        self.steps = ClockSteps(self.db, monotonic=lambda: self.steady)

    def _restart(self) -> None:
        self.lives = None
        self.db.close()
        self.db = self._open()
        self._start()

    def teardown(self) -> None:
        """Whatever happened: in the end every message is out and every page has an answer, or says it has none."""
        self.channel.broken = ""
        self._observe()
        while list_silences(self.db, self.clock.now()):
            self._pass(180)
            self._round()
        for _ in range(40):
            self._pass(180)
            self._round()
        assert unsent(self.db) == []
        for incident in self.incidents.list(limit=1000):
            if incident.severity == "ticket":
                assert self._shown(incident.id) == []
                continue
            # An acknowledgement of what has recovered stands; of what still fires it times out, and then expires. So do
            # snoozes, and silences: the last of those ended an hour ago.
            assert incident.human_state in ("acknowledged", *SILENCED, "merged", "resolved", "expired")
            assert incident.human_state not in ("acknowledged", *SILENCED) or incident.system_state == "recovered"
            paged = [entry for entry in incident.timeline if entry.kind in PAGES]
            assert len(self._shown(incident.id)) >= len(paged)
        self.db.close()

    def _shown(self, incident_id: str) -> list[str]:
        """Keys that reached the channel and stand for somebody called (a late one shows without waking)."""
        return [key for key in self.channel.shown if key.split(":")[0] == incident_id]

    def _some(self, number: int) -> str | None:
        known = self.incidents.list(limit=1000)
        return known[number % len(known)].id if known else None

    def _key(self) -> str:
        self.keys += 1
        return f"k{self.keys}"

    def _round(self) -> None:
        self.steps.check(self.clock.now())
        turn(self.db, self.incidents, ONCALL, self.channel, self.clock.now())

    def _pass(self, seconds: float) -> None:
        self.steady += seconds
        self.clock.advance(seconds)

    # What the machine sees

    @rule(service=st.sampled_from(SERVICES), signal=st.sampled_from(("errors", "latency")))
    def begins(self, service: str, signal: str) -> None:
        one = finding(self.clock.now(), service, signal=signal)
        self.firing.setdefault(one.key, one)
        self._observe()

    @rule(service=st.sampled_from(SERVICES), severity=st.sampled_from(("ticket", "detail")), ago=st.integers(5, 400))
    def shows_something_less(self, service: str, severity: str, ago: int) -> None:
        one = finding(self.clock.now(), service, signal="pool", severity=severity, ago=ago)
        self.firing.setdefault(one.key, one)
        self._observe()

    @rule(number=INCIDENT)
    def is_felt(self, number: int) -> None:
        """A ticket that goes on turns into a page: the same finding, more severe."""
        tickets = sorted(key for key, one in self.firing.items() if one.severity == "ticket")
        if tickets:
            key = tickets[number % len(tickets)]
            self.firing[key] = replace(self.firing[key], severity="page")
        self._observe()

    @rule(number=INCIDENT)
    def ends(self, number: int) -> None:
        if self.firing:
            self.firing.pop(sorted(self.firing)[number % len(self.firing)])
        self._observe()

    def _observe(self) -> None:
        self.round_before = list(self.firing.values()), self.clock.now()
        self.incidents.observe(self.round_before[0], edges=EDGES)

    @rule()
    def a_round_overtakes_another(self) -> None:
        """Of two workers' rounds, the older one comes last; the next one sees what is so."""
        findings, at = self.round_before
        self._observe()
        self.incidents.observe(findings, edges=EDGES, now=at)
        self._observe()

    @rule(quiet_s=st.sampled_from((2, 10, 60)), again_s=st.sampled_from((1, 10, 45)), times=st.integers(1, 12))
    def flaps(self, quiet_s: int, again_s: int, times: int) -> None:
        """Everything recovers and fires again, on and on."""
        for _ in range(times):
            self.incidents.observe([], edges=EDGES)
            for seconds in (quiet_s, again_s):
                self._pass(seconds)
                self._observe()
                self._round()

    @rule(number=INCIDENT)
    def is_paged(self, number: int) -> None:
        if incident_id := self._some(number):
            self.incidents.page(incident_id)

    # What humans do

    @rule(number=INCIDENT, who=WHO, late=st.booleans())
    def acknowledges(self, number: int, who: Actor, late: bool) -> None:
        self._press("acknowledge", number, who, late)

    @rule(number=INCIDENT, who=WHO, late=st.booleans())
    def resolves(self, number: int, who: Actor, late: bool) -> None:
        self._press("resolve", number, who, late)

    @rule(number=INCIDENT, who=WHO, seconds=st.sampled_from((1, 90, 1800)), late=st.booleans())
    def snoozes(self, number: int, who: Actor, seconds: int, late: bool) -> None:
        self._press("snooze", number, who, late, self.clock.now() + timedelta(seconds=seconds))

    @rule(number=INCIDENT, who=WHO, person=st.sampled_from(("ana", "ben")), late=st.booleans())
    def assigns(self, number: int, who: Actor, person: str, late: bool) -> None:
        self._press("assign", number, who, late, person)

    @rule(number=INCIDENT, other=INCIDENT, who=WHO, late=st.booleans())
    def merges(self, number: int, other: int, who: Actor, late: bool) -> None:
        if into := self._some(other):
            self._press("merge", number, who, late, into)

    @rule(number=INCIDENT, who=WHO, late=st.booleans())
    def splits(self, number: int, who: Actor, late: bool) -> None:
        merged = self.incidents.list("merged", 1000)
        if merged:
            press = Press(verb="split", incident=merged[number % len(merged)].id, who=who, key=self._key())
            self._give(press, late)

    def _press(self, verb: str, number: int, who: Actor, late: bool, *more: Any) -> None:
        if incident_id := self._some(number):
            self._give(Press(verb=verb, incident=incident_id, who=who, key=self._key(), more=more), late)

    def _give(self, press: Press, late: bool) -> None:
        if late:
            self.under_way.append(press)
        else:
            self._arrives(press)

    @rule(number=st.integers(0, 20))
    def a_late_command_arrives(self, number: int) -> None:
        """In whichever order."""
        if self.under_way:
            self._arrives(self.under_way.pop(number % len(self.under_way)))

    @rule(number=st.integers(0, 50))
    def a_command_arrives_again(self, number: int) -> None:
        """What was done is not done twice."""
        if self.arrived:
            press, changed = self.arrived[number % len(self.arrived)]
            assert not (self._arrives(press).changed and changed)

    def _arrives(self, press: Press) -> Outcome:
        was_open = self.incidents.get(press.incident).is_open
        outcome = self._do(press)
        if press.verb == "resolve":
            assert outcome.changed == was_open
        if press.verb == "assign" and outcome.changed and outcome.incident.severity == "page":
            assert outcome.incident.human_state == "acknowledged" or press.who.name.lower() != press.more[0]
        self.arrived.append((press, outcome.changed))
        return outcome

    def _do(self, press: Press) -> Outcome:
        """The command; a resolve is remembered, also where its answer was lost."""
        given = (press.more[0], press.who) if press.verb == "merge" else (press.who, *press.more)
        try:
            outcome: Outcome = getattr(self.incidents, press.verb)(press.incident, *given, press.key)
        except Killed:
            self._restart()
            self._note_resolve(press)
            raise
        self._note_resolve(press)
        return outcome

    def _note_resolve(self, press: Press) -> None:
        incident = self.incidents.get(press.incident)
        if press.verb == "resolve" and incident.human_state == "resolved" and incident.resolved_by == press.who:
            self.resolved.setdefault(press.incident, press.who.name)

    @rule(service=st.sampled_from((*SERVICES, "*")), seconds=st.sampled_from((5, 100, 900, 3000)))
    def silences(self, service: str, seconds: int) -> None:
        now = self.clock.now()
        end = now + timedelta(seconds=seconds)
        made = new_silence(service=service, kind="", label="", reason="r", start=now, end=end, owner=PEOPLE[0])
        add_silence(self.db, made, PEOPLE[0], now)

    @rule()
    def ends_a_silence(self) -> None:
        now = self.clock.now()
        for silence in list_silences(self.db, now)[:1]:
            end_silence(self.db, silence.id, PEOPLE[0], now)

    # What time and machines do

    @rule(seconds=st.sampled_from((1, 20, 130, 700, 1000, 4000)), rounds=st.integers(0, 2))
    def time_passes(self, seconds: int, rounds: int) -> None:
        self._pass(seconds)
        self._observe()
        for _ in range(rounds):
            self._round()

    @rule(by_s=st.sampled_from((-1800, -300, -30, 30, 300, 1800)), down=st.booleans())
    def the_clock_is_set(self, by_s: int, down: bool) -> None:
        """Between two rounds, or while no worker runs: then only a step back is noticed, and one ahead ends waits."""
        self._pass(11)
        self._round()
        self._note_when_entries_came(Moment.of(self.db, self.incidents))
        if down:
            self._restart()
        self.clock.advance(by_s)
        if by_s > 0 or not down:
            self.set_by += timedelta(seconds=by_s)
        self._round()
        if down and by_s < 0:
            self.set_by += timedelta(seconds=by_s)

    @rule(how=st.sampled_from(("", "refuses", "hopeless", "crashes", "answer lost")))
    def channel_has_a_day(self, how: str) -> None:
        self.channel.broken = how

    @rule()
    def restarts(self) -> None:
        self._restart()

    @rule(statements=st.integers(0, 60), job=st.sampled_from(("findings", "round")), seconds=st.sampled_from((0, 130)))
    def a_worker_is_killed(self, statements: int, job: str, seconds: int) -> None:
        """At any statement, between two transactions and before a commit; the next one begins anew."""
        self._pass(seconds)
        self._is_killed(statements, self._observe if job == "findings" else self._round)
        self._observe()

    @rule(statements=st.integers(0, 40), number=st.integers(0, 20), again=st.booleans())
    def a_command_dies_on_its_way(self, statements: int, number: int, again: bool) -> None:
        """Whoever gave it does not know whether it counted, and gives it again, or not."""
        if not self.under_way:
            return
        press = self.under_way.pop(number % len(self.under_way))
        if self._is_killed(statements, lambda: self._arrives(press)) and again:
            self.under_way.append(press)

    def _is_killed(self, statements: int, work: Callable[[], object]) -> bool:
        self.lives = statements
        try:
            work()
        except Killed:
            self._restart()
            return True
        finally:
            self.lives = None
        return False

    # What holds

    @invariant()
    def every_promise_is_kept(self) -> None:
        self.steps_here += 1
        if self.steps_here > 1:
            self.taken[0] += 1
        moment = Moment.of(self.db, self.incidents)
        self._note_when_entries_came(moment)
        for incident in moment.incidents.values():
            if self.refolded.get(incident.id) != incident.version or self.steps_here % REFOLDED_EVERY == 0:
                with self.db.read() as connection:
                    is_the_fold_of_its_events(connection, incident)
                self.refolded[incident.id] = incident.version
            assert incident.severity == "page" or incident.id not in self.raised
            if incident.raised_at:
                self.raised.add(incident.id)
        for promise in PROMISES:
            promise(moment)
        nobody_s_turn_to_be_paged_is_put_off(moment, lambda name, number: self.set_by - self.seen[name, number])
        self._nothing_reopens_what_a_human_resolved(moment)

    def _note_when_entries_came(self, moment: Moment) -> None:
        """By how much the clock had been set when each entry of a timeline was first seen."""
        for incident in moment.incidents.values():
            for number in range(len(incident.timeline)):
                self.seen.setdefault((incident.id, number), self.set_by)

    def _nothing_reopens_what_a_human_resolved(self, moment: Moment) -> None:
        for incident in moment.incidents.values():
            if incident.human_state == "resolved" and incident.id not in self.resolved:
                assert incident.severity == "ticket"  # it was over for an hour
                self.resolved[incident.id] = "Watchkeeper"
        for incident_id, who in self.resolved.items():
            incident = moment.incidents[incident_id]
            assert incident.human_state == "resolved"
            assert incident.resolved_by is not None
            assert incident.resolved_by.name == who


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest) -> Iterator[tuple[str, int]]:
    """A database of each kind, and how many steps it gets."""
    if request.param == "postgresql":
        yield request.getfixturevalue("postgres_url"), STEPS or 160
        return
    with tempfile.TemporaryDirectory() as folder:
        yield f"sqlite:///{Path(folder) / 'state.db'}", STEPS or 640


@pytest.mark.timeout(0 if STEPS else 900)
def test_no_page_is_lost_and_nothing_reopens(url: tuple[str, int]) -> None:
    """No lost page, no double acknowledgement, no reopening, and every page ends answered or expired."""
    where, steps = url
    taken = [0]
    while taken[0] < steps:
        chosen = settings(
            max_examples=max(1, (steps - taken[0]) // STEPS_OF_ONE),
            stateful_step_count=STEPS_OF_ONE,
            deadline=None,
            database=None,
            phases=LONG_RUN if STEPS else tuple(Phase),
            suppress_health_check=list(HealthCheck),
        )
        with capture_logs():  # a channel with a bad day logs much
            run_state_machine_as_test(lambda: Protocol(where, taken), settings=chosen)
    print(f"{taken[0]} steps")
