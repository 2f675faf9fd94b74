"""Who is paged, when, and by what: durable timers on SQLite and on PostgreSQL."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor

import pytest
from protocol import EDGES, Recorder, finding, next_due, turn, unsent

from alerting.incidents import observation
from alerting.incidents.commands import Incidents
from alerting.incidents.machine import Incident
from alerting.oncall import timers
from alerting.oncall.escalation import LAST_WAIT, PAGE_WITHIN, effects
from tests.waiting import calls_of
from watchkeeper.clock import FrozenClock
from watchkeeper.config import OnCallConfig
from watchkeeper.state.database import Database
from watchkeeper.vocabulary import Actor

ANA = Actor(name="Ana", via="slack")
BEN = Actor(name="Ben", via="slack")


class Shift:
    """A night on call: a channel, a clock, and one incident that was paged."""

    def __init__(self, db: Database, incidents: Incidents, oncall: OnCallConfig, clock: FrozenClock) -> None:
        self.db, self.incidents, self.oncall, self.clock = db, incidents, oncall, clock
        self.channel = Recorder()
        self.finding = finding(clock.now(), "cart")
        (self.id,) = incidents.observe([self.finding], edges=EDGES)
        incidents.page(self.id)
        self.after(0)

    def after(self, seconds: float) -> Incident:
        now = self.clock.advance(seconds)
        turn(self.db, self.incidents, self.oncall, self.channel, now)
        return self.incidents.get(self.id)

    def paged(self) -> list[str]:
        return [message.mention for message in self.channel.pages(self.id)]


@pytest.fixture
def night(db: Database, incidents: Incidents, oncall: OnCallConfig, clock: FrozenClock) -> Shift:
    return Shift(db, incidents, oncall, clock)


def test_nobody_answers_so_the_next_is_paged_and_then_it_expires(night: Shift) -> None:
    """Each step is paged once, in order, and the end has a name."""
    night.after(299)
    assert night.paged() == ["UANA"]
    night.after(2)
    assert night.paged() == ["UANA", "UBEN"]
    assert night.after(LAST_WAIT.total_seconds()).human_state == "expired"
    night.after(86_400)
    assert night.paged() == ["UANA", "UBEN"]


def test_an_acknowledgement_halts_escalation(night: Shift) -> None:
    """After an ack nobody else is paged."""
    night.incidents.acknowledge(night.id, ANA, "a")
    night.after(1000)
    assert night.paged() == ["UANA"]


def test_an_expired_incident_can_still_be_acknowledged(night: Shift) -> None:
    """Late is better than never."""
    night.after(301)
    night.after(LAST_WAIT.total_seconds() + 1)
    assert night.incidents.acknowledge(night.id, ANA, "a").changed


def test_a_stale_acknowledgement_pages_the_acker_and_whoever_is_on_call(night: Shift) -> None:
    """Somebody who took it and was not heard of does not hold it for ever."""
    night.incidents.acknowledge(night.id, BEN, "a")
    night.after(1801)
    assert sorted(night.paged()) == ["UANA", "UANA", "UBEN"]
    assert night.incidents.get(night.id).human_state == "paged"


def test_a_stale_acknowledgement_of_what_recovered_wakes_nobody(night: Shift) -> None:
    """There is nothing to do any more at four in the morning."""
    night.incidents.acknowledge(night.id, ANA, "a")
    night.incidents.observe([], edges=EDGES)
    night.after(4000)
    assert night.paged() == ["UANA"]


def test_what_recovered_wakes_nobody_else_and_goes_on_when_it_fires_again(night: Shift) -> None:
    """A recovery pauses the escalation, it does not end the incident."""
    night.clock.advance(60)
    night.incidents.observe([], edges=EDGES)
    night.after(400)
    assert night.paged() == ["UANA"]
    night.clock.advance(-350)
    night.incidents.observe([finding(night.clock.now(), "cart")], edges=EDGES)
    night.after(310)
    assert night.paged() == ["UANA", "UBEN"]


@pytest.mark.parametrize(("quiet_s", "firing_s"), [(10, 10), (100, 3), (30, 90), (180, 20), (500, 5)])
def test_what_flaps_reaches_the_next_person_in_time(night: Shift, quiet_s: float, firing_s: float) -> None:
    """For two hours it recovers and fires again: the second is paged at the step's time, or as it next fires."""
    began = night.clock.now()
    second: float | None = None
    while (night.clock.now() - began).total_seconds() < 7200 and second is None:
        night.incidents.observe([], edges=EDGES)
        night.after(quiet_s)
        night.incidents.observe([finding(night.clock.now(), "cart", ago=0)], edges=EDGES)
        night.after(0)
        night.after(firing_s)
        if "UBEN" in night.paged():
            second = (night.clock.now() - began).total_seconds()
    assert len(night.incidents.list()) == 1
    assert second is not None
    assert second <= 300 + quiet_s + firing_s


def test_what_flaps_without_an_answer_is_asked_again_and_quiet_once_it_is_over(night: Shift) -> None:
    """Both were paged and nobody came: the round begins anew while it flaps; recovered for long, it wakes nobody."""
    for _ in range(40):
        night.incidents.observe([], edges=EDGES)
        night.after(60)
        night.incidents.observe([finding(night.clock.now(), "cart", ago=0)], edges=EDGES)
        night.after(20)
    paged = night.paged()
    assert paged[:4] == ["UANA", "UBEN", "UANA", "UBEN"]
    assert len(paged) < 8
    night.incidents.observe([], edges=EDGES)
    for _ in range(20):
        night.after(300)
    assert night.paged() == paged
    assert night.incidents.get(night.id).human_state == "expired"


def test_what_flaps_does_not_put_off_the_end_of_an_acknowledgement(night: Shift) -> None:
    """Somebody took it half an hour ago and was not heard of since, however often it recovered meanwhile."""
    night.incidents.acknowledge(night.id, ANA, "a")
    for _ in range(32):
        night.incidents.observe([], edges=EDGES)
        night.after(50)
        night.incidents.observe([finding(night.clock.now(), "cart", ago=0)], edges=EDGES)
        night.after(10)
    assert night.paged() == ["UANA", "UANA"]


def test_a_wait_that_ended_while_it_was_recovered_is_owed_when_it_fires_again(night: Shift) -> None:
    """Though no round of the worker ever sees it firing."""
    for _ in range(20):
        night.incidents.observe([], edges=EDGES)
        night.after(20)  # the only rounds there are find it recovered
        night.incidents.observe([finding(night.clock.now(), "cart", ago=0)], edges=EDGES)
    night.after(0)
    assert night.paged() == ["UANA", "UBEN"]


def test_an_expired_incident_that_fires_again_pages_anew(night: Shift) -> None:
    """Nobody ever answered: it is asked again."""
    night.after(301)
    night.after(LAST_WAIT.total_seconds() + 1)
    night.incidents.observe([], edges=EDGES)
    night.clock.advance(30)
    night.incidents.observe([finding(night.clock.now(), "cart")], edges=EDGES)
    night.after(1)
    assert night.paged() == ["UANA", "UBEN", "UANA"]


def test_a_first_page_goes_out_though_whoever_opened_the_incident_died(
    db: Database, incidents: Incidents, oncall: OnCallConfig, clock: FrozenClock
) -> None:
    """An incident sets its first timer in the transaction that opens it."""
    (incident_id,) = incidents.observe([finding(clock.now(), "cart")], edges=EDGES)
    channel = Recorder()
    turn(db, incidents, oncall, channel, clock.advance(PAGE_WITHIN.total_seconds() + 1))
    assert [message.mention for message in channel.pages(incident_id)] == ["UANA"]
    incidents.page(incident_id)
    turn(db, incidents, oncall, channel, clock.advance(1))
    assert len(channel.pages(incident_id)) == 1


def test_after_an_outage_of_ours_everybody_still_gets_their_time(night: Shift) -> None:
    """Steps are counted from the page that was really sent, and none is skipped."""
    night.after(86_400)
    assert night.paged() == ["UANA", "UBEN"]
    assert night.after(60).human_state == "paged"


def test_a_page_says_why_it_was_you(night: Shift) -> None:
    """The first question of whoever is paged has its answer in the message."""
    night.after(301)
    assert [message.text for message in night.channel.pages()] == [
        "paged Ana: on call in 'primary' by rotation; step 1 of 2",
        "no answer; paged Ben: named in step 2 of 2",
    ]


def test_of_two_workers_one_fires_a_timer(night: Shift) -> None:
    """Two watch roles page nobody twice."""
    now = night.clock.advance(301)
    deeds = effects(night.incidents)
    with ThreadPoolExecutor(4) as pool:
        fired = list(pool.map(lambda _: timers.run_due(night.db, now, deeds), range(4)))
    assert sum(fired) == 1
    assert [e.kind for e in night.incidents.get(night.id).timeline].count("escalated") == 1


def test_one_bad_timer_does_not_stop_the_others(night: Shift) -> None:
    """It is put off and tried again."""
    with night.db.write() as connection:
        timers.set_timers(connection, [timers.timer_row("inc-gone", "escalate", night.clock.now(), version=1)])
    night.after(301)
    assert night.paged() == ["UANA", "UBEN"]
    assert next_due(night.db, "inc-gone") > night.clock.now()


def test_an_hour_of_two_hundred_incidents_is_one_hour_of_work(
    db: Database, incidents: Incidents, oncall: OnCallConfig, clock: FrozenClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Time is an argument, and work per step does not grow with what is over."""
    monkeypatch.setattr(observation, "WITHIN_S", math.inf)  # however slow the machine: one round places them all
    incidents.observe([finding(clock.now(), f"s{n}") for n in range(200)])
    channel = Recorder()
    for _ in range(30):
        turn(db, incidents, oncall, channel, clock.advance(60))
    idle = calls_of(lambda: turn(db, incidents, oncall, channel, clock.advance(60)))
    for _ in range(29):
        turn(db, incidents, oncall, channel, clock.advance(60))
    assert calls_of(lambda: turn(db, incidents, oncall, channel, clock.advance(60))) <= 2 * idle
    assert len(channel.pages()) == 400
    assert {incident.human_state for incident in incidents.list(limit=1000)} == {"expired"}
    assert unsent(db) == []
