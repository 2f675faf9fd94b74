"""Severity levels: which one an incident has, what each does, and what a person's change of it does."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from protocol import EDGES, Recorder, finding, turn
from sqlalchemy import select, update

from alerting.incidents import journal
from alerting.incidents.commands import Incidents
from alerting.incidents.machine import Incident
from watchkeeper.clock import FrozenClock
from watchkeeper.config import EscalationStep, OnCallConfig, PolicyConfig
from watchkeeper.config_oncall import SeveritiesConfig, SeverityRule
from watchkeeper.state.codec import dump, parse
from watchkeeper.state.database import Database
from watchkeeper.state.schema import incidents as table
from watchkeeper.state.schema import timers
from watchkeeper.vocabulary import Actor, AlertDetails, Finding

ANA = Actor(name="Ana", via="cli")
RULES = (
    SeverityRule(severity="SEV1", services=("pay-*",), users_feel=True),
    SeverityRule(severity="SEV4", services=("batch",)),
    SeverityRule(severity="SEV2", labels={"severity": "critical"}),
)


@pytest.fixture
def channel() -> Recorder:
    return Recorder()


def configured(oncall: OnCallConfig, **severities: object) -> OnCallConfig:
    """The rota with rules, and with a policy that pages Ben for SEV1."""
    policy = PolicyConfig(id="all", severities=("SEV1",), steps=(EscalationStep(after_s=0, notify="ben"),))
    made = SeveritiesConfig.model_validate({"rules": RULES, **severities})
    return oncall.model_copy(update={"policies": (policy,), "severities": made})


@pytest.fixture
def ruled(oncall: OnCallConfig) -> OnCallConfig:
    return configured(oncall)


@pytest.fixture
def incidents(db: Database, clock: FrozenClock, ruled: OnCallConfig) -> Incidents:
    return Incidents(db, clock, ruled)


def opened(incidents: Incidents, *findings: Finding) -> Incident:
    (incident_id,) = incidents.observe(findings, edges=EDGES)
    incidents.page(incident_id)
    return incidents.get(incident_id)


def waits(db: Database, incident_id: str) -> set[str]:
    query = select(timers.c.kind).where(timers.c.incident_id == incident_id, timers.c.done_at.is_(None))
    with db.read() as connection:
        return set(connection.scalars(query))


def lasting(clock: FrozenClock, service: str, severity: str = "ticket") -> Finding:
    return finding(clock.now(), service, severity=severity, ago=600)


def test_without_a_rule_the_findings_decide(incidents: Incidents, clock: FrozenClock) -> None:
    """What users feel is SEV2, another page SEV3, a ticket SEV4."""
    slow = finding(clock.now(), "cart")
    full = replace(finding(clock.now(), "blog"), kind="metric", key="disk")
    late = lasting(clock, "mail")
    incidents.observe([slow, full, late], edges=EDGES)
    levels = {one.service: (one.level, one.severity) for one in incidents.list()}
    assert levels == {"cart": ("SEV2", "page"), "blog": ("SEV3", "page"), "mail": ("SEV4", "ticket")}


def test_the_first_rule_that_fits_decides_on_severity_and_urgency(incidents: Incidents, clock: FrozenClock) -> None:
    """A page becomes a ticket, and a ticket a page; it stays so round after round."""
    low = finding(clock.now(), "batch", ago=600)
    critical = replace(lasting(clock, "erp"), alert=AlertDetails(name="disk", labels="severity=critical"))
    for _ in range(3):
        incidents.observe([low, critical], edges=EDGES, now=clock.advance(5))
    listed = {one.service: one for one in incidents.list()}
    assert (listed["batch"].level, listed["batch"].severity) == ("SEV4", "ticket")
    assert (listed["erp"].level, listed["erp"].severity) == ("SEV2", "page")
    assert [entry.kind for entry in listed["batch"].timeline] == ["opened"]


def test_what_joins_raises_the_severity_and_never_lowers_it(incidents: Incidents, clock: FrozenClock) -> None:
    """A person's severity stays for what joins."""
    full = replace(finding(clock.now(), "cart"), kind="metric", key="disk")
    incident = opened(incidents, full)
    assert incident.level == "SEV3"
    felt = finding(clock.now(), "cart")
    incidents.observe([full, felt], edges=EDGES)
    assert incidents.get(incident.id).level == "SEV2"
    incidents.set_severity(incident.id, ANA, "SEV3", "one shop only", "s")
    incidents.observe([full, felt, finding(clock.now(), "web")], edges=EDGES)
    assert (incidents.get(incident.id).level, len(incidents.get(incident.id).findings)) == ("SEV3", 3)


def test_a_severity_with_its_own_policy_begins_the_escalation_anew(
    db: Database, incidents: Incidents, ruled: OnCallConfig, clock: FrozenClock, channel: Recorder
) -> None:
    """Ana was paged and has not answered; SEV1 pages Ben. The same press again pages nobody."""
    incident = opened(incidents, finding(clock.now(), "cart"))
    turn(db, incidents, ruled, channel, clock.now())
    outcome = incidents.set_severity(incident.id, ANA, "SEV1", "no card is accepted", "s")
    assert outcome.message == "Ana raised it from SEV2 to SEV1: no card is accepted"
    assert not incidents.set_severity(incident.id, ANA, "SEV1", "no card is accepted", "s").changed
    turn(db, incidents, ruled, channel, clock.advance(1))
    assert [page.mention for page in channel.pages(incident.id)] == ["UANA", "UBEN"]
    after = incidents.get(incident.id)
    assert (after.human_state, after.paged_person, after.chain and after.chain.policy) == ("paged", "ben", "all")
    assert waits(db, incident.id) == {"expire", "update"}


def test_after_an_acknowledgement_a_severity_pages_nobody(
    db: Database, incidents: Incidents, ruled: OnCallConfig, clock: FrozenClock, channel: Recorder
) -> None:
    """Somebody has it already."""
    incident = opened(incidents, finding(clock.now(), "cart"))
    turn(db, incidents, ruled, channel, clock.now())
    incidents.acknowledge(incident.id, ANA, "a")
    incidents.set_severity(incident.id, ANA, "SEV1", "no card is accepted", "s")
    turn(db, incidents, ruled, channel, clock.advance(20))
    assert [page.mention for page in channel.pages(incident.id)] == ["UANA"]
    assert incidents.get(incident.id).human_state == "acknowledged"


def test_a_ticket_that_a_person_raises_pages_and_keeps_firing(
    db: Database, incidents: Incidents, ruled: OnCallConfig, clock: FrozenClock, channel: Recorder
) -> None:
    """Its findings alone would be a ticket: they keep it firing, clear it, and bring it back."""
    late = lasting(clock, "mail")
    (incident_id,) = incidents.observe([late])
    incidents.set_severity(incident_id, ANA, "SEV2", "the newsletter of the year", "s")
    turn(db, incidents, ruled, channel, clock.now())
    assert [page.mention for page in channel.pages(incident_id)] == ["UANA"]
    incidents.observe([late], now=clock.advance(5))
    assert incidents.get(incident_id).system_state == "firing"
    incidents.observe([], now=clock.advance(5))
    assert incidents.get(incident_id).system_state == "recovered"
    incidents.observe([replace(late, seen_at=clock.now())], now=clock.advance(5))
    assert incidents.get(incident_id).system_state == "firing"


def test_a_page_that_a_person_lowers_pages_nobody_until_users_feel_something_new(
    db: Database, incidents: Incidents, ruled: OnCallConfig, clock: FrozenClock, channel: Recorder
) -> None:
    """The escalation ends; what fires already changes nothing, and a new finding that pages raises it."""
    felt = finding(clock.now(), "cart")
    incident = opened(incidents, felt)
    turn(db, incidents, ruled, channel, clock.now())
    incidents.set_severity(incident.id, ANA, "SEV4", "a test of the shop", "s")
    assert waits(db, incident.id) == set()
    for _ in range(3):
        incidents.observe([felt], edges=EDGES, now=clock.advance(300))
        turn(db, incidents, ruled, channel, clock.now())
    lowered = incidents.get(incident.id)
    assert (lowered.severity, lowered.human_state, lowered.level) == ("ticket", "waiting", "SEV4")
    assert len(channel.pages(incident.id)) == 1
    incidents.observe([felt, finding(clock.now(), "cart", signal="latency")], edges=EDGES, now=clock.advance(5))
    raised = incidents.get(incident.id)
    assert (raised.severity, raised.level) == ("page", "SEV2")


def test_a_status_update_is_due_again_and_again_until_the_end(
    db: Database, incidents: Incidents, ruled: OnCallConfig, clock: FrozenClock, channel: Recorder
) -> None:
    """Every half hour of SEV1, also while somebody has it; never of SEV2."""
    incident = opened(incidents, finding(clock.now(), "pay-api"))
    incidents.acknowledge(incident.id, ANA, "a")
    for _ in range(3):
        turn(db, incidents, ruled, channel, clock.advance(1799))
        turn(db, incidents, ruled, channel, clock.advance(1))
    due = [entry for entry in incidents.get(incident.id).timeline if entry.kind == "update_due"]
    assert [entry.at - incident.opened_at for entry in due] == [timedelta(minutes=30 * n) for n in (1, 2, 3)]
    assert due[0].text == "a status update is due: the incident is SEV1"
    incidents.set_severity(incident.id, ANA, "SEV2", "half of the cards work", "s")
    assert "update" not in waits(db, incident.id)
    incidents.set_severity(incident.id, ANA, "SEV1", "none works", "t")
    assert "update" in waits(db, incident.id)
    incidents.resolve(incident.id, ANA, "r")
    assert waits(db, incident.id) == set()


@pytest.mark.parametrize(
    ("level", "reason", "why"),
    [("SEV2", "so", "already SEV2"), ("SEV1", " ", "give the reason"), (None, "so", "name the severity")],
)
def test_a_change_that_says_nothing_is_refused(
    incidents: Incidents, clock: FrozenClock, level: object, reason: str, why: str
) -> None:
    incident = opened(incidents, finding(clock.now(), "cart"))
    outcome = incidents.set_severity(incident.id, ANA, level, reason, "s")  # type: ignore[arg-type]
    assert not outcome.changed
    assert why in outcome.message


def test_incidents_are_listed_by_severity(db: Database, incidents: Incidents, clock: FrozenClock) -> None:
    """The column follows the fold, and an incident of an older version gets its severity from its findings."""
    cart = opened(incidents, finding(clock.now(), "cart"))
    opened(incidents, finding(clock.now(), "cart"), finding(clock.now(), "blog"))
    incidents.set_severity(cart.id, ANA, "SEV1", "no card is accepted", "s")
    assert [one.id for one in incidents.list(severity="SEV1")] == [cart.id]
    assert len(incidents.list(severity="page")) == 2
    with db.write() as connection:
        assert journal.refold(connection, cart.id) == incidents.get(cart.id)
        old = dump(replace(cart, level=None)).replace('"level":"SEV2"', '"level":null')
        connection.execute(update(table).where(table.c.id == cart.id).values(body=old))
    assert '"level":null' in old
    assert parse(Incident, old).level == "SEV2"


def test_what_is_merged_brings_its_severity(incidents: Incidents, clock: FrozenClock) -> None:
    cart = opened(incidents, finding(clock.now(), "cart"))
    pay = opened(incidents, finding(clock.now(), "cart"), finding(clock.now(), "pay-api"))
    incidents.merge(pay.id, cart.id, ANA, "m")
    assert incidents.get(cart.id).level == "SEV1"
