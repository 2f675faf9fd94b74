"""The protocol between machine and human, driven at random through the real commands and a real database."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from protocol import EDGES, Recorder, finding, turn, unsent
from sqlalchemy import select
from structlog.testing import capture_logs

from alerting.incidents import journal
from alerting.incidents.commands import Incidents
from alerting.incidents.machine import Incident, TimelineEntry, replay
from alerting.incidents.silences import add_silence, end_silence, list_silences, new_silence
from alerting.oncall.escalation import LAST_WAIT
from watchkeeper.clock import FrozenClock
from watchkeeper.config import EscalationStep, LayerConfig, OnCallConfig, PersonConfig, ScheduleConfig
from watchkeeper.state.database import Database, from_micros
from watchkeeper.state.schema import metadata, timers
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
PAGES = ("paged", "escalated", "ack_timed_out", "snooze_ended", "silence_ended")
SILENCED = ("snoozed", "silenced")


class Protocol(RuleBasedStateMachine):
    """Random findings, words of humans, time, restarts and bad days of the channel."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.url = url
        self.db = Database.open(url)
        with self.db.write() as connection:
            for table in metadata.sorted_tables:
                connection.execute(table.delete())
        self.clock = FrozenClock(datetime(2026, 3, 1, 3, tzinfo=UTC))
        self.incidents = Incidents(self.db, self.clock, ONCALL, ack_timeout_s=600)
        self.channel = Recorder()
        self.firing: dict[str, Finding] = {}
        self.resolved: dict[str, str] = {}
        self.keys = 0
        self.raised: set[str] = set()

    def teardown(self) -> None:
        """Whatever happened: in the end every message is out and every page has an answer, or says it has none."""
        self.channel.broken = ""
        for _ in range(40):
            self.clock.advance(180)
            turn(self.db, self.incidents, ONCALL, self.channel, self.clock.now())
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

    @rule(number=st.integers(0, 5))
    def is_felt(self, number: int) -> None:
        """A ticket that goes on turns into a page: the same finding, more severe."""
        tickets = sorted(key for key, one in self.firing.items() if one.severity == "ticket")
        if tickets:
            key = tickets[number % len(tickets)]
            self.firing[key] = replace(self.firing[key], severity="page")
        self._observe()

    @rule(number=st.integers(0, 5))
    def ends(self, number: int) -> None:
        if self.firing:
            self.firing.pop(sorted(self.firing)[number % len(self.firing)])
        self._observe()

    def _observe(self) -> None:
        self.incidents.observe(list(self.firing.values()), edges=EDGES)

    @rule(number=st.integers(0, 5))
    def is_paged(self, number: int) -> None:
        if incident_id := self._some(number):
            self.incidents.page(incident_id)

    @rule(number=st.integers(0, 5), who=st.sampled_from(PEOPLE), twice=st.booleans())
    def acknowledges(self, number: int, who: Actor, twice: bool) -> None:
        if incident_id := self._some(number):
            key = self._key()
            self.incidents.acknowledge(incident_id, who, key)
            if twice:
                assert not self.incidents.acknowledge(incident_id, who, key).changed

    @rule(number=st.integers(0, 5), who=st.sampled_from(PEOPLE))
    def resolves(self, number: int, who: Actor) -> None:
        if incident_id := self._some(number):
            was_open = self.incidents.get(incident_id).is_open
            outcome = self.incidents.resolve(incident_id, who, self._key())
            assert outcome.changed == was_open
            if outcome.incident.human_state == "resolved":  # what is merged is not resolved
                self.resolved.setdefault(incident_id, who.name)

    @rule(number=st.integers(0, 5), who=st.sampled_from(PEOPLE), seconds=st.sampled_from((1, 90, 1800)))
    def snoozes(self, number: int, who: Actor, seconds: int) -> None:
        if incident_id := self._some(number):
            self.incidents.snooze(incident_id, who, self.clock.now() + timedelta(seconds=seconds), self._key())

    @rule(number=st.integers(0, 5), who=st.sampled_from(PEOPLE), person=st.sampled_from(("ana", "ben")))
    def assigns(self, number: int, who: Actor, person: str) -> None:
        if incident_id := self._some(number):
            outcome = self.incidents.assign(incident_id, who, person, self._key())
            if outcome.changed and outcome.incident.severity == "page" and who.name.lower() == person:
                assert outcome.incident.human_state == "acknowledged"

    @rule(number=st.integers(0, 5), other=st.integers(0, 5), who=st.sampled_from(PEOPLE), twice=st.booleans())
    def merges_or_splits(self, number: int, other: int, who: Actor, twice: bool) -> None:
        """What is merged is split off again, by whoever comes next; a repeat changes nothing."""
        incident_id, into = self._some(number), self._some(other)
        if incident_id is None or into is None:
            return
        key, is_merged = self._key(), self.incidents.get(incident_id).human_state == "merged"
        for _ in range(1 + twice):
            if is_merged:
                outcome = self.incidents.split(incident_id, who, key)
            else:
                outcome = self.incidents.merge(incident_id, into, who, key)
        assert not (twice and outcome.changed)

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

    @rule(quiet_s=st.sampled_from((2, 10, 60)), again_s=st.sampled_from((1, 10, 45)), times=st.integers(1, 12))
    def flaps(self, quiet_s: int, again_s: int, times: int) -> None:
        """Everything recovers and fires again, on and on."""
        for _ in range(times):
            self.incidents.observe([], edges=EDGES)
            for seconds in (quiet_s, again_s):
                self.clock.advance(seconds)
                self._observe()
                turn(self.db, self.incidents, ONCALL, self.channel, self.clock.now())

    @invariant()
    def nobody_s_turn_to_be_paged_is_put_off(self) -> None:
        """However it flaps: what fires was paged at its step's time, but for the seconds since the last round."""
        for incident in self.incidents.list(limit=1000):
            if incident.human_state != "paged" or incident.system_state != "firing":
                continue
            last = max(entry.at for entry in incident.timeline if entry.kind in (*PAGES, "assigned"))
            wait = 120 if incident.escalation_step == 0 else LAST_WAIT.total_seconds()
            with self.db.read() as connection:
                query = select(timers.c.due_at).where(
                    timers.c.incident_id == incident.id,
                    timers.c.done_at.is_(None),
                    timers.c.kind.in_(("escalate", "expire")),
                )
                due = from_micros(connection.execute(query).scalar_one())
            assert due <= last + timedelta(seconds=wait)

    @rule(seconds=st.sampled_from((1, 20, 130, 700, 1000, 4000)), rounds=st.integers(0, 2))
    def time_passes(self, seconds: int, rounds: int) -> None:
        self.clock.advance(seconds)
        self._observe()
        for _ in range(rounds):
            turn(self.db, self.incidents, ONCALL, self.channel, self.clock.now())

    @rule(how=st.sampled_from(("", "refuses", "hopeless", "crashes", "answer lost")))
    def channel_has_a_day(self, how: str) -> None:
        self.channel.broken = how

    @rule()
    def restarts(self) -> None:
        self.db.close()
        self.db = Database.open(self.url)
        self.incidents = Incidents(self.db, self.clock, ONCALL, ack_timeout_s=600)

    @invariant()
    def the_fold_beside_the_events_is_their_fold(self) -> None:
        with self.db.read() as connection:
            for incident in self.incidents.list(limit=1000):
                refolded = journal.refold(connection, incident.id)
                assert refolded.version == incident.version == len(incident.timeline)
                assert (refolded.human_state, refolded.system_state) == (incident.human_state, incident.system_state)
                assert refolded.findings == incident.findings

    @invariant()
    def a_ticket_pages_nobody_and_is_raised_once(self) -> None:
        for incident in self.incidents.list(limit=1000):
            kinds = [entry.kind for entry in incident.timeline]
            before = kinds[: kinds.index("raised")] if "raised" in kinds else kinds if incident.raised_at else []
            assert kinds.count("raised") == (incident.raised_at is not None) <= 1
            assert not {*before} & {*PAGES, "expired", "delivered"}
            if incident.severity == "ticket":
                assert incident.paged_at is None
                assert incident.id not in self.raised
                assert not {*kinds} & {*PAGES, "expired"}
                assert all(one.severity != "page" for one in incident.findings)
            elif incident.raised_at:
                self.raised.add(incident.id)

    @invariant()
    def a_service_has_one_open_ticket(self) -> None:
        tickets = [one for one in self.incidents.list("open", 1000, "ticket") if one.system_state == "firing"]
        tickets = [one for one in tickets if all(entry.kind != "split" for entry in one.timeline)]
        services = [incident.service for incident in tickets]
        assert len(services) == len(set(services))

    @invariant()
    def what_is_merged_goes_along(self) -> None:
        """Its findings are the other's, and it is in no list of what is open."""
        open_incidents = {incident.id for incident in self.incidents.list("open", 1000)}
        for incident in self.incidents.list("merged", 1000):
            assert incident.id not in open_incidents
            into = self.incidents.get(incident.merged_into)
            assert {one.key for one in incident.findings} <= {one.key for one in into.findings}
            assert incident.timeline[0] in [replace(e, text=e.text.partition(": ")[2]) for e in into.complete_timeline]

    @invariant()
    def nothing_reopens_what_a_human_resolved(self) -> None:
        for incident in self.incidents.list("resolved", 1000):
            if incident.id not in self.resolved:
                assert incident.severity == "ticket"  # it was over for an hour
                self.resolved[incident.id] = "Watchkeeper"
        for incident_id, who in self.resolved.items():
            incident = self.incidents.get(incident_id)
            assert incident.human_state == "resolved"
            assert incident.resolved_by is not None
            assert incident.resolved_by.name == who

    @invariant()
    def nobody_is_woken_and_nobody_acknowledges_what_somebody_holds(self) -> None:
        for incident in self.incidents.list(limit=1000):
            acknowledged = False
            for entry in incident.timeline:
                if entry.kind == "raised":
                    acknowledged = False  # who took the ticket has not answered the page
                elif entry.kind == "ack_timed_out":
                    assert acknowledged
                    acknowledged = False
                elif entry.kind in ("assigned", "snoozed", "silenced", "merged"):
                    acknowledged = acknowledged and entry.kind == "assigned" and not self._is_told(incident, entry)
                elif entry.kind == "split":
                    acknowledged = True
                elif entry.kind in ("paged", "escalated", "acknowledged", "expired"):
                    assert not acknowledged
                    acknowledged = entry.kind == "acknowledged"

    def _is_told(self, incident: Incident, assigned: TimelineEntry) -> bool:
        """Whether an assignment paged: as the incident stood then."""
        with self.db.read() as connection:
            events = journal.events(connection, incident.id)
        before = replay(incident.id, events[: incident.timeline.index(assigned)])
        return before.severity == "page" and before.system_state == "firing"

    @invariant()
    def every_wait_has_its_timer(self) -> None:
        with self.db.read() as connection:
            waiting = select(timers.c.incident_id, timers.c.kind).where(timers.c.done_at.is_(None))
            pending = {(row.incident_id, row.kind) for row in connection.execute(waiting)}
        for incident in self.incidents.list(limit=1000):
            kinds = {kind for incident_id, kind in pending if incident_id == incident.id}
            match incident.human_state:
                case "waiting" | "acknowledged" if incident.severity == "ticket":
                    assert kinds == ({"quiet"} if incident.system_state == "recovered" else set())
                case "waiting":
                    assert kinds == {"page"}
                case "paged" if incident.system_state == "recovered":
                    # The wait for the next step goes on, should it fire again; the page ends in any case.
                    assert {"expire"} <= kinds <= {"escalate", "expire"}
                case "paged":
                    assert len(kinds & {"escalate", "expire"}) == 1
                case "acknowledged":
                    assert incident.system_state == "recovered" or kinds == {"ack_timeout"}
                case "snoozed":
                    assert incident.system_state == "recovered" or kinds == {"snooze"}
                case "silenced":
                    assert incident.system_state == "recovered" or kinds == {"silence"}
                case "expired" | "merged":
                    assert not kinds
                case "resolved":
                    assert not kinds


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest) -> Iterator[tuple[str, int]]:
    """A database of each kind, and how many examples it gets."""
    if request.param == "postgresql":
        yield request.getfixturevalue("postgres_url"), 6
        return
    with tempfile.TemporaryDirectory() as folder:
        yield f"sqlite:///{Path(folder) / 'state.db'}", 25


def test_no_page_is_lost_and_nothing_reopens(url: tuple[str, int]) -> None:
    """No lost page, no double acknowledgement, no reopening, and every page ends answered or expired."""
    where, examples = url
    chosen = settings(
        max_examples=examples,
        stateful_step_count=25,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    with capture_logs():  # a channel with a bad day logs much
        run_state_machine_as_test(lambda: Protocol(where), settings=chosen)
