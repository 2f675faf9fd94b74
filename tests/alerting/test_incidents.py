"""Incidents from the first finding to the label, on SQLite and on PostgreSQL."""

from __future__ import annotations

import secrets
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import count

import pytest

from alerting.incidents.commands import Incidents
from alerting.incidents.human_labels import Judgement
from watchkeeper.clock import FrozenClock
from watchkeeper.errors import NotFound
from watchkeeper.state.database import Database
from watchkeeper.state.labels import labels, record_label
from watchkeeper.vocabulary import Actor, Diagnosis, Finding, Label, Proposal

ANA = Actor(name="Ana", via="slack")
BEN = Actor(name="Ben", via="cli")
EDGES = (("web", "cart"), ("cart", "payments"), ("payments", "bank"), ("blog", "blog-db"))


def finding(
    clock: FrozenClock, service: str, *, kind: str = "errors", severity: str = "page", ago: float = 5
) -> Finding:
    return Finding(
        detector="test",
        detector_version="1",
        kind=kind,  # type: ignore[arg-type]
        service=service,
        summary=f"{service}: {kind}",
        onset=clock.now() - timedelta(seconds=ago),
        seen_at=clock.now(),
        score=0.99,
        severity=severity,  # type: ignore[arg-type]
    )


def test_findings_of_one_call_chain_open_one_incident(incidents: Incidents, clock: FrozenClock) -> None:
    """One cause that shows in three services wakes a human once."""
    findings = [finding(clock, "payments"), finding(clock, "cart"), finding(clock, "web")]
    assert len(incidents.observe(findings, edges=EDGES)) == 1
    (incident,) = incidents.list()
    assert {f.service for f in incident.findings} == {"payments", "cart", "web"}


def test_unrelated_services_open_incidents_of_their_own(incidents: Incidents, clock: FrozenClock) -> None:
    """Grouping is not too eager."""
    assert len(incidents.observe([finding(clock, "payments"), finding(clock, "blog")], edges=EDGES)) == 2


def test_a_young_ticket_opens_nothing_but_joins_as_evidence(incidents: Incidents, clock: FrozenClock) -> None:
    """What may be over in a moment is nobody's work, and still says something beside a page."""
    ticket = finding(clock, "payments", kind="metric", severity="ticket")
    assert incidents.observe([ticket], edges=EDGES) == ()
    incidents.observe([ticket, finding(clock, "cart")], edges=EDGES)
    assert {f.kind for f in incidents.list()[0].findings} == {"metric", "errors"}


def test_the_same_finding_at_the_next_tick_is_the_same_finding(incidents: Incidents, clock: FrozenClock) -> None:
    """A tick that sees nothing new writes nothing."""
    first = finding(clock, "cart")
    incidents.observe([first], edges=EDGES)
    version = incidents.list()[0].version
    clock.advance(2)
    assert incidents.observe([first], edges=EDGES) == ()
    assert incidents.list()[0].version == version


def test_it_recovers_when_nothing_fires_and_fires_again_when_it_does(incidents: Incidents, clock: FrozenClock) -> None:
    """A flap comes back to the same incident, not to a new page."""
    seen = finding(clock, "cart")
    (incident_id,) = incidents.observe([seen], edges=EDGES)
    incidents.page(incident_id)
    clock.advance(30)
    incidents.observe([], edges=EDGES)
    assert incidents.get(incident_id).system_state == "recovered"
    clock.advance(10)
    assert incidents.observe([finding(clock, "cart")], edges=EDGES) == ()
    assert incidents.get(incident_id).system_state == "firing"


def test_what_a_resolved_incident_left_behind_opens_nothing(incidents: Incidents, clock: FrozenClock) -> None:
    """A finding that is still clearing after the resolve is the old trouble."""
    seen = finding(clock, "cart")
    (incident_id,) = incidents.observe([seen], edges=EDGES)
    incidents.resolve(incident_id, ANA, "k")
    clock.advance(3)
    assert incidents.observe([seen, finding(clock, "web", ago=20)], edges=EDGES) == ()
    clock.advance(120)
    assert len(incidents.observe([finding(clock, "cart")], edges=EDGES)) == 1


def test_a_command_with_a_known_key_changes_nothing(incidents: Incidents, clock: FrozenClock) -> None:
    """Slack repeats requests; a repeat is the same request."""
    (incident_id,) = incidents.observe([finding(clock, "cart")], edges=EDGES)
    first = incidents.acknowledge(incident_id, ANA, "slack:1")
    again = incidents.acknowledge(incident_id, ANA, "slack:1")
    assert (first.changed, again.changed) == (True, False)
    assert first.incident == again.incident


def test_a_second_ack_says_who_has_it(incidents: Incidents, clock: FrozenClock) -> None:
    """Nobody is left wondering."""
    (incident_id,) = incidents.observe([finding(clock, "cart")], edges=EDGES)
    incidents.acknowledge(incident_id, ANA, "a")
    outcome = incidents.acknowledge(incident_id, BEN, "b")
    assert outcome.message == "already acknowledged by Ana at 03:00:00 UTC"


def test_a_late_ack_never_reopens(incidents: Incidents, clock: FrozenClock) -> None:
    """An ack that races a resolve loses, and gets the reason."""
    (incident_id,) = incidents.observe([finding(clock, "cart")], edges=EDGES)
    incidents.resolve(incident_id, ANA, "r")
    outcome = incidents.acknowledge(incident_id, BEN, "a")
    assert not outcome.changed
    assert outcome.message.startswith("already resolved by Ana")
    assert outcome.incident.human_state == "resolved"


def test_of_many_acks_at_once_exactly_one_wins(incidents: Incidents, clock: FrozenClock) -> None:
    """Compare-and-set holds under threads."""
    (incident_id,) = incidents.observe([finding(clock, "cart")], edges=EDGES)
    with ThreadPoolExecutor(8) as pool:
        outcomes = list(
            pool.map(lambda n: incidents.acknowledge(incident_id, Actor(name=f"p{n}", via="cli"), f"k{n}"), range(8))
        )
    assert sum(outcome.changed for outcome in outcomes) == 1


def test_an_approval_counts_once(incidents: Incidents, clock: FrozenClock) -> None:
    """A runbook never starts twice."""
    (incident_id,) = incidents.observe([finding(clock, "cart")], edges=EDGES)
    assert incidents.approve(incident_id, ANA, "a").message == "no runbook is proposed"
    diagnosis = Diagnosis(
        onset=clock.now(), made_at=clock.now(), suspects=(), abstained=True, reason="thin evidence", engine_version="1"
    )
    proposal = Proposal(
        runbook="restart",
        title="Restart cart",
        service="cart",
        steps=("restart cart",),
        blast_radius="cart",
        undo="none",
    )
    incidents.diagnosed(incident_id, diagnosis, proposal, "d")
    assert incidents.approve(incident_id, ANA, "b", proposal.id).changed
    assert incidents.approve(incident_id, BEN, "c").message == "the runbook is already approved by Ana"
    assert incidents.run_started(incident_id, "s").changed
    assert not incidents.run_started(incident_id, "t").changed
    assert incidents.run_finished(incident_id, "f", succeeded=True, text="done").incident.proposal_state == "done"


def test_a_label_is_kept_with_its_source(incidents: Incidents, clock: FrozenClock, db: Database) -> None:
    """Chaos truth and human judgement stay apart."""
    (incident_id,) = incidents.observe([finding(clock, "cart")], edges=EDGES)
    truth = Label(
        id="l2",
        incident_id=incident_id,
        source="chaos",
        author="chaos",
        at=clock.now(),
        warranted=True,
        cause="payments",
    )
    incidents.resolve(incident_id, ANA, "r", Judgement(warranted=True, cause="cart"))
    record_label(db, truth)
    assert [label.cause for label in labels(db, "human")] == ["cart"]
    assert [label.cause for label in labels(db, "chaos")] == ["payments"]
    assert [label.source for label in incidents.get(incident_id).labels] == ["human"]


def test_an_unknown_incident_is_a_clear_error(incidents: Incidents) -> None:
    """The message says where to look."""
    with pytest.raises(NotFound, match="watchkeeper incident list"):
        incidents.acknowledge("inc-nope", ANA, "k")


def test_a_short_name_that_is_taken_is_not_given_again(
    incidents: Incidents, clock: FrozenClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No two incidents collide, of one round or of two, however short their names."""
    opened: list[str] = []
    for services in (("payments", "blog"), ("search", "mail", "cart")):
        names = (f"{number // 2:06x}" for number in count())  # each comes twice, and from the first again
        monkeypatch.setattr(secrets, "token_hex", lambda _, names=names: next(names))
        opened += incidents.observe([finding(clock, service) for service in services], judged=lambda _: False)
    assert len(set(opened)) == len(opened) == 5
