"""Tickets: listed and grouped, raised to a page once, and gone by themselves."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from protocol import EDGES, Recorder, finding, turn

from alerting.incidents.commands import Incidents
from alerting.incidents.grouping import LASTING
from alerting.oncall.escalation import QUIET
from watchkeeper.clock import FrozenClock
from watchkeeper.config import OnCallConfig
from watchkeeper.state.database import Database
from watchkeeper.vocabulary import Actor, Finding, Suppression

ANA = Actor(name="Ana", via="slack")


def ticket(clock: FrozenClock, service: str, *, signal: str = "heap", ago: float = 200) -> Finding:
    return finding(clock.now(), service, signal=signal, severity="ticket", ago=ago)


def test_a_ticket_that_lasts_opens_a_ticket_and_pages_nobody(
    incidents: Incidents, clock: FrozenClock, db: Database, oncall: OnCallConfig
) -> None:
    """It is listed by its severity, and no timer waits for an answer."""
    seen = ticket(clock, "payments", ago=5)
    assert incidents.observe([seen], edges=EDGES) == ()
    clock.advance(LASTING.total_seconds())
    (incident_id,) = incidents.observe([seen], edges=EDGES)
    assert [one.id for one in incidents.list("open", severity="ticket")] == [incident_id]
    assert incidents.list("open", severity="page") == ()
    channel = Recorder()
    clock.advance(3600)
    assert turn(db, incidents, oncall, channel, clock.now()) == 0
    assert channel.sends == []
    assert incidents.page(incident_id).message == "a ticket pages nobody"


def test_requests_that_fail_are_a_ticket_sooner(incidents: Incidents, clock: FrozenClock) -> None:
    """A minute of them is worth a look, though nobody is paged."""
    failing = replace(finding(clock.now(), "payments", ago=20), severity="ticket")
    assert incidents.observe([failing], edges=EDGES) == ()
    clock.advance(15)
    assert len(incidents.observe([failing], edges=EDGES)) == 1


def test_a_detail_opens_nothing_and_joins_what_is_near(incidents: Incidents, clock: FrozenClock) -> None:
    """However long it lasts. Nor does what a model version suppressed."""
    detail = replace(ticket(clock, "payments", ago=5000), severity="detail")
    suppression = Suppression(reason="false twice before", model_version="3")
    suppressed = replace(ticket(clock, "blog", ago=5000), suppression=suppression)
    assert incidents.observe([detail, suppressed], edges=EDGES) == ()
    near = replace(detail, onset=clock.now() - timedelta(seconds=20))
    (incident_id,) = incidents.observe([near, finding(clock.now(), "cart")], edges=EDGES)
    assert {one.severity for one in incidents.get(incident_id).findings} == {"page", "detail"}
    clock.advance(30)
    incidents.observe([near], edges=EDGES)
    assert incidents.get(incident_id).system_state == "recovered"


def test_a_service_has_one_ticket_however_late_its_findings_come(incidents: Incidents, clock: FrozenClock) -> None:
    """Another finding hours later joins, also while nothing fires; another service far away has its own."""
    first = ticket(clock, "payments")
    (incident_id,) = incidents.observe([first], edges=EDGES)
    clock.advance(7200)
    second = ticket(clock, "payments", signal="pool")
    assert incidents.observe([first, second], edges=EDGES) == ()
    incidents.observe([], edges=EDGES)
    clock.advance(1800)
    assert incidents.observe([ticket(clock, "payments", ago=5)], edges=EDGES) == ()
    assert incidents.get(incident_id).system_state == "firing"
    assert len(incidents.observe([first, ticket(clock, "blog")], edges=EDGES)) == 1


def test_a_page_of_the_same_service_raises_its_ticket_once(
    incidents: Incidents, clock: FrozenClock, db: Database, oncall: OnCallConfig
) -> None:
    """The incident is the same, named by what users feel, and whoever took the ticket is not taken to have answered."""
    leak = ticket(clock, "payments")
    (incident_id,) = incidents.observe([leak], edges=EDGES)
    incidents.acknowledge(incident_id, ANA, "a")
    clock.advance(7200)
    felt = finding(clock.now(), "payments")
    for _ in range(3):
        assert incidents.observe([leak, felt], edges=EDGES) == ()
    incident = incidents.get(incident_id)
    assert [entry.kind for entry in incident.timeline] == ["opened", "acknowledged", "raised"]
    assert (incident.severity, incident.human_state, incident.title) == ("page", "waiting", felt.summary)
    assert (incident.onset, incident.raised_at) == (felt.onset, clock.now())
    channel = Recorder()
    clock.advance(20)
    turn(db, incidents, oncall, channel, clock.now())
    assert [page.mention for page in channel.pages(incident_id)] == ["UANA"]


def test_the_same_finding_that_turns_severe_raises_its_ticket(incidents: Incidents, clock: FrozenClock) -> None:
    """A forecast that comes nearer is the same trouble."""
    leak = ticket(clock, "payments")
    (incident_id,) = incidents.observe([leak], edges=EDGES)
    clock.advance(60)
    near = replace(leak, severity="page", seen_at=clock.now(), summary="payments runs out of memory in 20 min")
    assert incidents.observe([near], edges=EDGES) == ()
    assert incidents.get(incident_id).title == near.summary
    clock.advance(60)
    incidents.observe([leak], edges=EDGES)
    assert incidents.get(incident_id).severity == "page"


def test_what_pages_joins_an_incident_that_paged_before_a_ticket(incidents: Incidents, clock: FrozenClock) -> None:
    """One trouble does not page twice because one of its services had a ticket."""
    leak = ticket(clock, "payments")
    (first,) = incidents.observe([leak], edges=EDGES)
    clock.advance(7200)
    felt = finding(clock.now(), "cart")
    (page,) = incidents.observe([leak, felt], edges=EDGES)
    clock.advance(10)
    incidents.observe([leak, felt, finding(clock.now(), "payments")], edges=EDGES)
    assert incidents.get(first).severity == "ticket"
    assert {one.service for one in incidents.get(page).findings} == {"cart", "payments"}


def test_a_ticket_that_is_over_is_resolved_after_a_quiet_hour(
    incidents: Incidents, clock: FrozenClock, db: Database, oncall: OnCallConfig
) -> None:
    """Nobody need do anything; what returns within the hour begins the wait anew."""
    leak = ticket(clock, "payments")
    (incident_id,) = incidents.observe([leak], edges=EDGES)
    for fires in ([], [leak], []):
        clock.advance(QUIET.total_seconds() / 2)
        incidents.observe(fires, edges=EDGES)
        turn(db, incidents, oncall, Recorder(), clock.now())
    clock.advance(QUIET.total_seconds() - 1)
    turn(db, incidents, oncall, Recorder(), clock.now())
    assert incidents.get(incident_id).is_open
    clock.advance(2)
    turn(db, incidents, oncall, Recorder(), clock.now())
    incident = incidents.get(incident_id)
    assert (incident.human_state, incident.timeline[-1].who) == ("resolved", "Watchkeeper")
    assert incident.timeline[-1].text == "resolved by itself: nothing fired for 1 h"


def test_a_ticket_that_somebody_resolved_stays_resolved_while_it_fires(
    incidents: Incidents, clock: FrozenClock
) -> None:
    """They know of it. When it begins anew, or users feel it, it is news."""
    leak = ticket(clock, "payments")
    (incident_id,) = incidents.observe([leak], edges=EDGES)
    incidents.resolve(incident_id, ANA, "r")
    for _ in range(5):
        clock.advance(600)
        assert incidents.observe([leak], edges=EDGES) == ()
    assert len(incidents.observe([replace(leak, severity="page")], edges=EDGES)) == 1
    incidents.observe([], edges=EDGES)
    clock.advance(900)
    assert len(incidents.observe([ticket(clock, "payments")], edges=EDGES)) == 1


def test_a_page_right_after_a_ticket_was_resolved_is_no_aftermath(incidents: Incidents, clock: FrozenClock) -> None:
    """Whoever closes a ticket must not silence the page that follows."""
    (incident_id,) = incidents.observe([ticket(clock, "payments")], edges=EDGES)
    incidents.resolve(incident_id, ANA, "r")
    clock.advance(5)
    assert len(incidents.observe([finding(clock.now(), "payments", ago=60)], edges=EDGES)) == 1


def test_a_finding_that_is_over_is_kept_at_its_worst(incidents: Incidents, clock: FrozenClock) -> None:
    """The value at clearing explains nothing."""
    seen = replace(finding(clock.now(), "cart"), value=0.9, expected=0.1, summary="cart fails 0.9/s")
    (incident_id,) = incidents.observe([seen], edges=EDGES)
    for value in (4.1, 0.1):
        clock.advance(10)
        later = replace(seen, value=value, seen_at=clock.now(), summary=f"cart fails {value}/s")
        incidents.observe([later], edges=EDGES)
    clock.advance(10)
    incidents.observe([], edges=EDGES)
    incident = incidents.get(incident_id)
    assert incident.findings[0].value == 4.1
    assert [entry.text for entry in incident.timeline if entry.kind == "cleared"] == [
        "cleared: cart fails 4.1/s (at its worst at 03:00:10 UTC)"
    ]
