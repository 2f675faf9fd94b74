"""Snooze, assign, merge and split: whom an incident pages, and when, as a human decided it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from protocol import EDGES, Recorder, finding, next_due, turn, unsent
from sqlalchemy import select

from alerting.incidents.commands import Incidents
from alerting.incidents.findings import keys_of_incident
from alerting.oncall.clock_steps import ClockSteps
from watchkeeper.clock import FrozenClock
from watchkeeper.config import OnCallConfig
from watchkeeper.errors import NotFound
from watchkeeper.state.database import Database
from watchkeeper.state.schema import timers
from watchkeeper.vocabulary import Actor, Finding

ANA, BEN = Actor(name="Ana", via="cli"), Actor(name="Ben", via="cli")


@pytest.fixture
def channel() -> Recorder:
    return Recorder()


@pytest.fixture
def cart(clock: FrozenClock) -> Finding:
    return finding(clock.now(), "cart")


@pytest.fixture
def blog(clock: FrozenClock) -> Finding:
    """What no call connects with the cart."""
    return finding(clock.now(), "blog")


@pytest.fixture
def paged(incidents: Incidents, cart: Finding) -> str:
    (incident_id,) = incidents.observe([cart], edges=EDGES)
    incidents.page(incident_id)
    return incident_id


@pytest.fixture
def other(incidents: Incidents, paged: str, cart: Finding, blog: Finding) -> str:
    (incident_id,) = incidents.observe([cart, blog], edges=EDGES)
    incidents.page(incident_id)
    return incident_id


def waits(db: Database, incident_id: str) -> set[str]:
    query = select(timers.c.kind).where(timers.c.incident_id == incident_id, timers.c.done_at.is_(None))
    with db.read() as connection:
        return set(connection.scalars(query))


def mentions(channel: Recorder, incident_id: str) -> list[str]:
    return [message.mention for message in channel.pages(incident_id)]


def test_a_snooze_pages_again_when_it_still_fires(
    db: Database, incidents: Incidents, oncall: OnCallConfig, clock: FrozenClock, channel: Recorder, paged: str
) -> None:
    """Nobody is paged before, and whoever is on call is paged once after."""
    turn(db, incidents, oncall, channel, clock.now())
    until = clock.now() + timedelta(hours=2)
    outcome = incidents.snooze(paged, BEN, until, "s")
    assert (outcome.incident.human_state, outcome.incident.snoozed_until) == ("snoozed", until)
    assert waits(db, paged) == {"snooze"}
    turn(db, incidents, oncall, channel, clock.advance(7000))
    assert mentions(channel, paged) == ["UANA"]
    for _ in range(3):
        turn(db, incidents, oncall, channel, clock.advance(100))
    assert mentions(channel, paged) == ["UANA", "UANA"]
    assert waits(db, paged) == {"escalate"}


def test_a_snooze_of_what_is_over_pages_nobody_and_what_comes_back_later_pages_at_once(
    db: Database,
    incidents: Incidents,
    oncall: OnCallConfig,
    clock: FrozenClock,
    channel: Recorder,
    paged: str,
    cart: Finding,
) -> None:
    """The end of the snooze came while it was recovered: it is owed."""
    turn(db, incidents, oncall, channel, clock.now())
    incidents.snooze(paged, ANA, clock.now() + timedelta(seconds=60), "s")
    incidents.observe([], edges=EDGES, now=clock.advance(30))
    turn(db, incidents, oncall, channel, clock.advance(60))
    assert mentions(channel, paged) == ["UANA"]
    assert incidents.get(paged).human_state == "snoozed"
    incidents.observe([cart], edges=EDGES, now=clock.advance(5))
    turn(db, incidents, oncall, channel, clock.now())
    assert mentions(channel, paged) == ["UANA", "UANA"]


def test_a_page_that_waits_is_not_sent_after_a_snooze(
    db: Database, incidents: Incidents, oncall: OnCallConfig, clock: FrozenClock, channel: Recorder, paged: str
) -> None:
    """The channel was away; meanwhile somebody decided. It is shown, and mentions nobody."""
    incidents.snooze(paged, ANA, clock.now() + timedelta(hours=1), "s")
    turn(db, incidents, oncall, channel, clock.now())
    turn(db, incidents, oncall, channel, clock.advance(1))
    assert channel.pages(paged) == []
    assert paged in {message.incident.id for message in channel.shown.values()}
    assert unsent(db) == []


@pytest.mark.parametrize("step_s", [-1800, 1800])
def test_a_clock_that_is_set_moves_no_snooze(
    step_s: int,
    db: Database,
    incidents: Incidents,
    oncall: OnCallConfig,
    clock: FrozenClock,
    channel: Recorder,
    paged: str,
) -> None:
    """It lasts as long as it was meant to, and pages then."""
    steady = [0.0]
    steps = ClockSteps(db, monotonic=lambda: steady[0])
    incidents.snooze(paged, ANA, clock.now() + timedelta(seconds=600), "s")
    steps.check(clock.now())
    for moved, seconds in ((0, 60), (step_s, 60), (0, 400), (0, 100)):
        steady[0] += seconds
        clock.advance(moved + seconds)
        steps.check(clock.now())
        turn(db, incidents, oncall, channel, clock.now())
        assert len(channel.pages(paged)) == (steady[0] >= 600)


@pytest.mark.parametrize(
    ("seconds", "why"),
    [(0, "the end of a snooze must lie in the future"), (8 * 86_400, "a snooze lasts 7 days at most")],
)
def test_a_snooze_without_a_sensible_end_is_refused(
    seconds: int, why: str, incidents: Incidents, clock: FrozenClock, paged: str
) -> None:
    """With a sentence; nothing changes."""
    outcome = incidents.snooze(paged, ANA, clock.now() + timedelta(seconds=seconds), "s")
    assert not outcome.changed
    assert outcome.message.startswith(why)


def test_whoever_it_is_assigned_to_is_paged_and_the_escalation_follows(
    db: Database, incidents: Incidents, oncall: OnCallConfig, clock: FrozenClock, channel: Recorder, paged: str
) -> None:
    """An acknowledgement of somebody else does not stand in the way, and an unanswered assignment goes on."""
    turn(db, incidents, oncall, channel, clock.now())
    incidents.acknowledge(paged, ANA, "a")
    outcome = incidents.assign(paged, ANA, "ben", "to ben")
    assert outcome.message == "Ana assigned it to Ben"
    assert not incidents.assign(paged, ANA, "ben", "to ben").changed
    turn(db, incidents, oncall, channel, clock.now())
    assert mentions(channel, paged) == ["UANA", "UBEN"]
    assert "Ana assigned it to Ben" in channel.pages(paged)[-1].text
    turn(db, incidents, oncall, channel, next_due(db, paged))
    assert incidents.get(paged).timeline[-1].kind in ("escalated", "delivered")


def test_whoever_assigns_it_to_themselves_has_it(
    db: Database, incidents: Incidents, oncall: OnCallConfig, clock: FrozenClock, channel: Recorder, paged: str
) -> None:
    """No page, one owner; it takes it over from whoever acknowledged."""
    turn(db, incidents, oncall, channel, clock.now())
    incidents.acknowledge(paged, ANA, "a")
    after = incidents.assign(paged, BEN, "ben", "mine").incident
    turn(db, incidents, oncall, channel, clock.now())
    assert (after.human_state, after.acknowledged_by, after.assigned_to) == ("acknowledged", BEN, "ben")
    assert mentions(channel, paged) == ["UANA"]
    assert waits(db, paged) == {"ack_timeout"}


def test_nobody_unknown_gets_an_incident(incidents: Incidents, paged: str) -> None:
    """The sentence names those whom the configuration knows."""
    with pytest.raises(NotFound, match="there are: ana, ben"):
        incidents.assign(paged, ANA, "zoe", "a")


def test_a_ticket_gets_an_owner_and_pages_nobody(
    db: Database, incidents: Incidents, oncall: OnCallConfig, clock: FrozenClock, channel: Recorder
) -> None:
    """A ticket pages nobody, whoever has it; and there is nothing to snooze."""
    (ticket,) = incidents.observe([finding(clock.now(), "cart", severity="ticket", ago=300)])
    assert incidents.assign(ticket, ANA, "ben", "a").incident.assigned_to == "ben"
    assert "nothing to snooze" in incidents.snooze(ticket, ANA, clock.now() + timedelta(hours=1), "s").message
    turn(db, incidents, oncall, channel, clock.now())
    assert channel.shown == {}


def test_a_merged_incident_pages_nobody_and_its_findings_go_along(
    db: Database,
    incidents: Incidents,
    oncall: OnCallConfig,
    clock: FrozenClock,
    channel: Recorder,
    paged: str,
    other: str,
    cart: Finding,
    blog: Finding,
) -> None:
    """The other goes on with both: it recovers when both have, and its timeline is that of both."""
    incidents.merge(other, paged, ANA, "m")
    assert waits(db, other) == set()
    turn(db, incidents, oncall, channel, clock.now())
    turn(db, incidents, oncall, channel, clock.advance(301))
    assert channel.pages(other) == []
    assert mentions(channel, paged) == ["UANA", "UBEN"]
    into = incidents.get(paged)
    assert {one.service for one in into.findings} == {"cart", "blog"}
    assert f"{other}: blog: errors" in [entry.text for entry in into.complete_timeline]
    incidents.observe([blog], edges=EDGES, now=clock.advance(5))
    assert incidents.get(paged).system_state == "firing"
    incidents.observe([], edges=EDGES, now=clock.advance(5))
    assert incidents.get(paged).system_state == "recovered"
    with db.read() as connection:
        assert keys_of_incident(connection, other) == set()


def test_a_split_undoes_a_merge(
    db: Database,
    incidents: Incidents,
    clock: FrozenClock,
    paged: str,
    other: str,
    cart: Finding,
    blog: Finding,
) -> None:
    """Each has its own findings, as they stand now; whoever split it off has it, until that times out."""
    incidents.merge(other, paged, ANA, "m")
    incidents.observe([cart], edges=EDGES, now=clock.advance(5))
    incidents.observe([cart, blog], edges=EDGES, now=clock.advance(5))
    outcome = incidents.split(other, BEN, "s")
    assert not incidents.split(other, BEN, "s").changed
    assert [one.service for one in outcome.incident.findings] == ["blog"]
    assert (outcome.incident.system_state, outcome.incident.human_state) == ("firing", "acknowledged")
    assert [one.service for one in incidents.get(paged).findings] == ["cart"]
    assert waits(db, other) == {"ack_timeout"}
    assert incidents.observe([cart, blog], edges=EDGES, now=clock.advance(5)) == ()
    incidents.observe([cart], edges=EDGES, now=clock.advance(5))
    states = [incidents.get(one).system_state for one in (paged, other)]
    assert states == ["firing", "recovered"]


def test_what_fires_makes_what_it_is_merged_into_fire_again(
    db: Database,
    incidents: Incidents,
    oncall: OnCallConfig,
    clock: FrozenClock,
    channel: Recorder,
    paged: str,
    other: str,
    blog: Finding,
) -> None:
    """No page is lost by merging into what has recovered or expired."""
    for _ in range(3):
        turn(db, incidents, oncall, channel, clock.advance(1000))
    incidents.observe([blog], edges=EDGES, now=clock.now())
    assert (incidents.get(paged).system_state, incidents.get(paged).human_state) == ("recovered", "expired")
    incidents.merge(other, paged, ANA, "m")
    after = incidents.get(paged)
    assert (after.system_state, after.human_state) == ("firing", "paged")


def test_a_merge_that_would_lose_a_page_is_refused(
    incidents: Incidents, clock: FrozenClock, paged: str, other: str
) -> None:
    """Into a ticket, into what is resolved, in a circle, into itself; each with its reason."""
    later = clock.advance(1)
    blank = [finding(later, "depot", severity="ticket", ago=300)]
    (ticket,) = incidents.observe(blank, edges=EDGES, now=later, judged=lambda one: one.service == "depot")
    assert "is a ticket" in incidents.merge(paged, ticket, ANA, "1").message
    assert "itself" in incidents.merge(paged, paged, ANA, "2").message
    incidents.merge(other, paged, ANA, "3")
    assert f"merged into {paged}" in incidents.merge(paged, other, ANA, "4").message
    assert f"merged into {paged}" in incidents.acknowledge(other, ANA, "5").message
    incidents.resolve(paged, ANA, "6")
    assert "is resolved" in incidents.merge(ticket, paged, ANA, "7").message
    assert "is resolved" in incidents.split(other, ANA, "8").message
    with pytest.raises(NotFound):
        incidents.merge(ticket, "inc-gone", ANA, "9")


def test_a_ticket_that_got_worse_while_it_was_merged_pages_when_it_is_split_off(
    db: Database, incidents: Incidents, oncall: OnCallConfig, clock: FrozenClock, channel: Recorder
) -> None:
    """It is raised, as it would have been on its own."""
    now = clock.now()
    ticket_finding = finding(now, "blog", severity="ticket", ago=300)
    page, ticket = incidents.observe([finding(now, "cart"), ticket_finding], edges=EDGES)
    incidents.merge(ticket, page, ANA, "m")
    severe = replace(ticket_finding, severity="page")
    incidents.observe([finding(now, "cart"), severe], edges=EDGES, now=clock.advance(5))
    after = incidents.split(ticket, BEN, "s").incident
    assert (after.severity, after.human_state) == ("page", "waiting")
    turn(db, incidents, oncall, channel, clock.advance(16))
    assert mentions(channel, ticket) == ["UANA"]
