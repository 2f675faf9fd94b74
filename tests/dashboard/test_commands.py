"""Commands given from a page, and the sentences about an incident."""

from __future__ import annotations

import pytest

from alerting.incidents.commands import Incidents
from alerting.incidents.human_labels import Judgement, read_form
from alerting.incidents.machine import Incident
from dashboard.commands import Command, Name, give
from dashboard.components.incident_words import cause_text, urgency, why_notified
from dashboard.dialogs.reopen import consequences, reopened
from dashboard.reads.sources import Sources
from detectors.learning.examples import examples
from detectors.learning.track_record import track_record
from tests.dashboard.values import NOW, diagnosis, finding
from watchkeeper.clock import FrozenClock
from watchkeeper.config import Config
from watchkeeper.state.database import Database
from watchkeeper.vocabulary import Actor, Suppression

ANA = Actor(name="Ana Sousa", via="dashboard")


def order(name: Name, incident_id: str, key: str, judgement: Judgement | None = None) -> Command:
    return Command(name=name, incident_id=incident_id, key=key, judgement=judgement)


@pytest.fixture
def incident(incidents: Incidents) -> Incident:
    """Paged and diagnosed."""
    (incident_id,) = incidents.observe(
        [finding("payments"), finding("orders")], edges=[("orders", "payments")], now=NOW
    )
    incidents.diagnosed(incident_id, diagnosis(("payments", 0.82), ("orders", 0.1)), None, "diagnosis:1")
    return incidents.page(incident_id).incident


def test_without_a_session_nothing_happens(incidents: Incidents, incident: Incident) -> None:
    """The message explains how to sign in, and the incident stays as it was."""
    notice = give(incidents, None, order("acknowledge", incident.id, "key"))
    assert not notice.good
    assert notice.title == "Not signed in"
    assert "Sign in" in notice.message
    assert incidents.get(incident.id).version == incident.version


def test_a_double_click_acknowledges_once(incidents: Incidents, incident: Incident) -> None:
    """The button's key makes the second click a repeat."""
    for _ in range(2):
        assert give(incidents, ANA, order("acknowledge", incident.id, "dashboard:1")).good
    after = incidents.get(incident.id)
    assert after.human_state == "acknowledged"
    assert [entry.kind for entry in after.timeline].count("acknowledged") == 1
    assert after.acknowledged_by == ANA


def test_a_late_acknowledgement_names_who_was_first(incidents: Incidents, incident: Incident) -> None:
    """It neither reopens the incident nor pretends to have done something."""
    give(incidents, Actor(name="Ben Okoro", via="slack"), order("resolve", incident.id, "slack:1"))
    notice = give(incidents, ANA, order("acknowledge", incident.id, "dashboard:2"))
    assert "already resolved by Ben Okoro" in notice.message
    assert incidents.get(incident.id).human_state == "resolved"


def test_an_unknown_incident_is_a_sentence_not_a_traceback(incidents: Incidents) -> None:
    """Somebody may have an old page open."""
    assert not give(incidents, ANA, order("acknowledge", "inc-none", "key")).good


def test_the_resolve_form_becomes_a_human_label(incidents: Incidents, incident: Incident) -> None:
    """Cause, mechanism, verdict and note are kept, with who judged which version of the detectors' model."""
    judgement = read_form("no", "payments", "deploy", " too eager ")
    give(incidents, ANA, order("resolve", incident.id, "dashboard:3", judgement))
    (label,) = incidents.get(incident.id).labels
    assert (label.source, label.author, label.cause, label.mechanism) == ("human", "Ana Sousa", "payments", "deploy")
    assert (label.warranted, label.note, label.model_version) == (False, "too eager", "detectors 0")


def test_what_a_person_leaves_open_stays_unknown() -> None:
    """Not sure is not no, and no answer at all is no judgement."""
    assert read_form("unsure", None, None, None) == Judgement(warranted=None)
    assert read_form(None, "", None, "  ") is None


def test_an_incident_explains_why_it_paged(incident: Incident) -> None:
    """One sentence with the services, the detector, the first finding, and why they are one incident."""
    sentence = why_notified(incident)
    assert sentence.startswith("red reported 2 findings on orders and payments that warranted a page.")
    assert "They form one incident because" in sentence
    assert cause_text(incident) == "payments (82 %)"


def test_what_waits_for_a_human_comes_first(incidents: Incidents, incident: Incident, clock: FrozenClock) -> None:
    """Unanswered before acknowledged before resolved."""
    taken = give(incidents, ANA, order("acknowledge", incident.id, "dashboard:4")) and incidents.get(incident.id)
    assert urgency(incident) < urgency(taken)
    clock.advance(60)
    give(incidents, ANA, order("resolve", incident.id, "dashboard:5"))
    assert urgency(taken) < urgency(incidents.get(incident.id))


def test_a_detectors_record_counts_incidents(db: Database, incidents: Incidents, incident: Incident) -> None:
    """Before the first label the record is empty; then it counts incidents, not findings."""
    seen = incident.findings[0]
    assert track_record(examples(db), seen).sentence().endswith("has not been judged yet")
    judgement = read_form("yes", "payments", None, "")
    give(incidents, ANA, order("resolve", incident.id, "dashboard:6", judgement))
    sentence = track_record(examples(db), seen).sentence()
    assert sentence == "This detector (red), version 3, was right 1 of 1 time here"


def test_reopening_needs_a_session_and_counts_once(db: Database, incidents: Incidents, clock: FrozenClock) -> None:
    """Without a session nothing changes; the second press names who was first; an unknown finding is a sentence."""
    suppressed = finding(
        "cart",
        severity="ticket",
        suppression=Suppression(reason="like two false pages", model_version="7"),
        key="red:cart",
    )
    incidents.observe([suppressed], now=NOW)
    sources = Sources(
        telemetry=None,  # type: ignore[arg-type] - nothing here reads telemetry
        incidents=incidents,
        db=db,
        config=Config(),
        clock=clock,
    )
    assert not reopened(sources, None, "red:cart", "").good
    assert sources.records.barred() == frozenset()
    assert reopened(sources, ANA, "red:cart", "customers called").title == "Reopened"
    sources.forget()
    assert sources.records.barred() == {("red", "cart")}
    ben = Actor(name="Ben Okoro", via="dashboard")
    assert "Already reopened by Ana Sousa" in reopened(sources, ben, "red:cart", "").message
    assert not reopened(sources, ANA, "red:none", "").good
    assert "like two false pages" in str(consequences(sources, "red:cart"))
