"""Which incident a finding belongs to: one for a chain, another for another trouble, none for an aftermath."""

from __future__ import annotations

import math
from datetime import timedelta

import pytest
from protocol import EDGES, finding

from alerting.incidents import observation
from alerting.incidents.commands import Incidents
from alerting.incidents.grouping import AFTERMATH, CLOSE, FLAP, Neighbourhood
from tests.kept_findings import findings_between
from tests.waiting import calls_of
from watchkeeper.clock import FrozenClock
from watchkeeper.state.database import Database
from watchkeeper.vocabulary import Actor, Window

ANA = Actor(name="Ana", via="slack")


def test_two_calls_are_near_and_three_are_not() -> None:
    """Trouble is followed in both directions, two calls far."""
    near = Neighbourhood(EDGES)
    assert dict(near.near("payments")) == {"payments": 0, "cart": 1, "bank": 1, "web": 2}
    assert "bank" not in near.near("web")
    assert dict(near.near("unknown")) == {"unknown": 0}


def test_a_chain_is_one_incident_however_its_findings_arrive(incidents: Incidents, clock: FrozenClock) -> None:
    """The cause may be noticed last."""
    (incident_id,) = incidents.observe([finding(clock.now(), "web")], edges=EDGES)
    clock.advance(10)
    assert incidents.observe([finding(clock.now(), "web", ago=15), finding(clock.now(), "payments")], edges=EDGES) == ()
    entry = incidents.get(incident_id).timeline[-1]
    assert entry.text == "payments: errors (joins: web is 2 calls away, and they began within minutes)"


def test_a_neighbours_finding_much_later_is_another_trouble(incidents: Incidents, clock: FrozenClock) -> None:
    """Near in calls is not enough."""
    first = finding(clock.now(), "web")
    incidents.observe([first], edges=EDGES)
    clock.advance(CLOSE.total_seconds() + 10)
    assert len(incidents.observe([first, finding(clock.now(), "cart")], edges=EDGES)) == 1


def test_a_flap_is_the_same_incident_and_a_return_much_later_is_not(incidents: Incidents, clock: FrozenClock) -> None:
    """A flap pages nobody anew; a new onset after a calm while does."""
    (first,) = incidents.observe([finding(clock.now(), "cart")], edges=EDGES)
    for _ in range(3):
        clock.advance(30)
        incidents.observe([], edges=EDGES)
        clock.advance(FLAP.total_seconds() - 60)
        assert incidents.observe([finding(clock.now(), "cart")], edges=EDGES) == ()
    clock.advance(30)
    incidents.observe([], edges=EDGES)
    clock.advance(FLAP.total_seconds() + 60)
    assert len(incidents.observe([finding(clock.now(), "cart")], edges=EDGES)) == 1
    assert [entry.kind for entry in incidents.get(first).timeline].count("refired") == 3


def test_the_next_trouble_a_minute_after_a_resolve_opens_its_own(incidents: Incidents, clock: FrozenClock) -> None:
    """Nothing reopens the resolved one, and its leftovers open nothing."""
    old = finding(clock.now(), "payments")
    (first,) = incidents.observe([old], edges=EDGES)
    clock.advance(60)
    incidents.resolve(first, ANA, "r")
    clock.advance(20)
    late = finding(clock.now(), "cart", signal="latency", ago=30)
    assert incidents.observe([old, late], edges=EDGES) == ()
    clock.advance(40)
    (second,) = incidents.observe([old, late, finding(clock.now(), "cart", signal="timeouts")], edges=EDGES)
    assert second != first
    assert incidents.get(first).human_state == "resolved"


@pytest.mark.parametrize(("recovers", "seconds", "pages"), [(True, 10, True), (False, 10, False), (False, 25, True)])
def test_what_begins_after_the_resolve_of_a_recovered_incident_is_new(
    incidents: Incidents, clock: FrozenClock, recovers: bool, seconds: int, pages: bool
) -> None:
    """Where all was well, nothing was left behind; where it still fired, an onset says less."""
    old = finding(clock.now(), "payments")
    (first,) = incidents.observe([old], edges=EDGES)
    clock.advance(60)
    if recovers:
        incidents.observe([], edges=EDGES)
    incidents.resolve(first, ANA, "r")
    clock.advance(seconds)
    fires = [finding(clock.now(), "payments")] if recovers else [old, finding(clock.now(), "cart")]
    assert bool(incidents.observe(fires, edges=EDGES)) is pages


def test_what_still_fires_long_after_a_resolve_was_not_over(incidents: Incidents, clock: FrozenClock) -> None:
    """A mistaken resolve must not silence a trouble for ever."""
    old = finding(clock.now(), "payments")
    (first,) = incidents.observe([old], edges=EDGES)
    incidents.resolve(first, ANA, "r")
    clock.advance(AFTERMATH.total_seconds() - 1)
    assert incidents.observe([old], edges=EDGES) == ()
    clock.advance(2)
    assert len(incidents.observe([old], edges=EDGES)) == 1


def test_a_resolved_incident_still_recovers(incidents: Incidents, clock: FrozenClock) -> None:
    """A human may be faster than telemetry; the system's state follows."""
    (first,) = incidents.observe([finding(clock.now(), "payments")], edges=EDGES)
    incidents.resolve(first, ANA, "r")
    clock.advance(10)
    incidents.observe([], edges=EDGES)
    assert incidents.get(first).system_state == "recovered"
    assert incidents.get(first).human_state == "resolved"


def test_an_unrelated_trouble_during_an_aftermath_opens_its_own(incidents: Incidents, clock: FrozenClock) -> None:
    """Only what is near may be an aftermath."""
    old = finding(clock.now(), "payments")
    (first,) = incidents.observe([old], edges=EDGES)
    incidents.resolve(first, ANA, "r")
    clock.advance(5)
    assert len(incidents.observe([old, finding(clock.now(), "blog", ago=20)], edges=EDGES)) == 1


def test_a_refined_onset_is_still_one_finding(incidents: Incidents, clock: FrozenClock, db: Database) -> None:
    """A detector may correct itself while a finding fires."""
    began = clock.now()
    for ago in (5, 9, 12):
        incidents.observe([finding(clock.now(), "cart", ago=ago)], edges=EDGES)
        clock.advance(2)
    window = Window(start=began - timedelta(minutes=1), end=clock.now())
    assert len(findings_between(db, window)) == 1


def test_placing_findings_again_grows_with_their_number_alone(
    incidents: Incidents, clock: FrozenClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four times the findings are about four times the work, not sixteen times."""
    monkeypatch.setattr(observation, "WITHIN_S", math.inf)  # however slow the machine: each round places them all
    edges = [(f"s{n}", f"s{n + 1}") for n in range(400)]
    storm = [finding(clock.now(), f"s{n}") for n in range(400)]
    incidents.observe(storm[:100], edges=edges)
    few = calls_of(lambda: incidents.observe(storm[:100], edges=edges))
    incidents.observe(storm, edges=edges)
    assert calls_of(lambda: incidents.observe(storm, edges=edges)) < 8 * few
