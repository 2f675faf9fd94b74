"""The machine's clock is set at night: pages come as if it had not been."""

from __future__ import annotations

from datetime import timedelta

import pytest
from protocol import EDGES, Recorder, delivery, finding, unsent
from structlog.testing import capture_logs

from alerting.incidents.commands import Incidents
from alerting.oncall import timers
from alerting.oncall.clock_steps import ClockSteps
from alerting.oncall.escalation import PAGE_WITHIN, effects
from watchkeeper.clock import FrozenClock
from watchkeeper.config import OnCallConfig
from watchkeeper.state.database import Database
from watchkeeper.vocabulary import Actor

STEPS = [-1800, 1800, -7, 7, -86_400, 86_400]


class Night:
    """A worker, a clock that can be set, and one that cannot."""

    def __init__(self, db: Database, incidents: Incidents, oncall: OnCallConfig, clock: FrozenClock) -> None:
        self.db, self.incidents, self.oncall, self.clock = db, incidents, oncall, clock
        self.steady = 1000.0
        self.channel = Recorder()
        self.sender = delivery(db, incidents, oncall, self.channel)
        self.steps = self.worker()

    def worker(self) -> ClockSteps:
        return ClockSteps(self.db, monotonic=lambda: self.steady)

    def restarts(self) -> None:
        self.steps = self.worker()

    def opens(self) -> str:
        (incident_id,) = self.incidents.observe([finding(self.clock.now(), "cart", ago=0)], edges=EDGES)
        return incident_id

    def round(self) -> None:
        now = self.clock.now()
        with capture_logs():
            self.steps.check(now)
            timers.run_due(self.db, now, effects(self.incidents))
            self.sender.run(now)

    def passes(self, seconds: float) -> None:
        """Time, in rounds of at most five seconds."""
        while seconds > 0:
            self.steady += min(seconds, 5)
            self.clock.advance(min(seconds, 5))
            self.round()
            seconds -= 5

    def is_set(self, by_s: float) -> None:
        self.clock.advance(by_s)

    def paged(self) -> list[str]:
        return [message.mention for message in self.channel.pages()]


@pytest.fixture
def night(db: Database, incidents: Incidents, oncall: OnCallConfig, clock: FrozenClock) -> Night:
    night = Night(db, incidents, oncall, clock)
    night.round()
    return night


@pytest.mark.parametrize("by_s", STEPS)
def test_the_next_person_is_paged_when_their_time_has_come(night: Night, by_s: float) -> None:
    """Five minutes after the first page: not half an hour later, and not at once."""
    night.incidents.page(night.opens())
    night.passes(100)
    night.is_set(by_s)
    night.passes(190)
    assert night.paged() == ["UANA"]
    night.passes(15)
    assert night.paged() == ["UANA", "UBEN"]


@pytest.mark.parametrize("by_s", STEPS)
def test_an_acknowledgement_lasts_as_long_as_it_should(night: Night, by_s: float) -> None:
    """Half an hour."""
    incident_id = night.opens()
    night.incidents.page(incident_id)
    night.passes(5)
    night.incidents.acknowledge(incident_id, Actor(name="Ana", via="slack"), "a")
    night.is_set(by_s)
    night.passes(1790)
    assert night.incidents.get(incident_id).human_state == "acknowledged"
    night.passes(20)
    assert night.incidents.get(incident_id).human_state == "paged"


@pytest.mark.parametrize("by_s", [-1800, -86_400])
def test_a_clock_that_went_back_while_nobody_ran_makes_no_page_late(night: Night, by_s: float) -> None:
    """The next process sees that its time is before the last one's."""
    night.incidents.page(night.opens())
    night.passes(100)
    night.is_set(by_s)
    night.restarts()
    night.passes(215)
    assert night.paged() == ["UANA", "UBEN"]


@pytest.mark.parametrize("by_s", [-1800, 1800])
def test_what_is_opened_by_the_new_time_before_anybody_noticed_is_left_alone(night: Night, by_s: float) -> None:
    """Between the step and the next round: its first page comes within its seconds."""
    night.is_set(by_s)
    night.opens()
    night.passes(PAGE_WITHIN.total_seconds() - 5)
    assert night.paged() == []
    night.passes(10)
    assert night.paged() == ["UANA"]


def test_a_page_that_waits_to_be_tried_again_does_not_wait_longer(night: Night) -> None:
    """Pauses and leases are times, too."""
    night.channel.broken = "hopeless"
    night.incidents.page(night.opens())
    night.passes(5)
    night.channel.broken = ""
    night.is_set(-1800)
    night.passes(70)
    assert night.paged() == ["UANA"]
    assert unsent(night.db) == []


def test_two_workers_move_the_waits_once(night: Night) -> None:
    """Both see the step; Ben's time is still five minutes after Ana's."""
    other = night.worker()
    other.check(night.clock.now())
    night.incidents.page(night.opens())
    night.passes(5)
    other.check(night.clock.now())
    night.is_set(1800)
    with capture_logs():
        assert other.check(night.clock.now()) == timedelta(seconds=1800)
    night.passes(280)
    assert night.paged() == ["UANA"]
    night.passes(20)
    assert night.paged() == ["UANA", "UBEN"]
