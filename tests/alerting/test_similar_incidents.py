"""Earlier incidents that resemble one: what they share, and how they ended."""

from __future__ import annotations

import pytest

from alerting.incidents.commands import Incidents
from alerting.incidents.human_labels import Judgement
from alerting.incidents.machine import Incident
from alerting.incidents.similarity import cause_of, ending, similar
from watchkeeper.clock import FrozenClock
from watchkeeper.vocabulary import Actor, Diagnosis, Finding, FindingKind, Suspect

ANA = Actor(name="Ana", via="cli")


def opened(
    incidents: Incidents, clock: FrozenClock, service: str, cause: str, kind: FindingKind = "errors"
) -> Incident:
    """An incident of one finding, diagnosed."""
    at = clock.now()
    finding = Finding(
        detector="red", detector_version="1", kind=kind, service=service, summary=f"{service} is in trouble",
        onset=at, seen_at=at, score=0.9,
    )  # fmt: skip
    (incident_id,) = incidents.observe([finding], now=at)
    suspect = Suspect(service=cause, score=1.0, probability=0.8, mechanism="errors")
    found = Diagnosis(
        onset=at, made_at=at, suspects=(suspect,), abstained=False, reason=f"{cause} fails", engine_version="rca-1"
    )
    incidents.diagnosed(incident_id, found, None, "diagnosis:1")
    return incidents.get(incident_id)


def over(incidents: Incidents, clock: FrozenClock, incident: Incident, judgement: Judgement | None = None) -> Incident:
    """The same, resolved twelve minutes later; two hours pass."""
    clock.advance(720)
    incidents.observe([], now=clock.now())
    resolved = incidents.resolve(incident.id, ANA, f"resolve:{incident.id}", judgement).incident
    clock.advance(7200)
    return resolved


def test_the_same_cause_and_service_come_first(incidents: Incidents, clock: FrozenClock) -> None:
    """An incident elsewhere of another kind is no help, and stays out."""
    near = over(incidents, clock, opened(incidents, clock, "cart", "payments", "latency"))
    same = over(incidents, clock, opened(incidents, clock, "web", "payments"))
    over(incidents, clock, opened(incidents, clock, "depot", "disk", "metric"))
    found = similar(opened(incidents, clock, "web", "payments"), incidents.list())
    assert [one.incident.id for one in found] == [same.id, near.id]
    assert found[0].score == pytest.approx(1.0)
    assert found[0].reasons == (
        "the same cause, payments", "the same mechanism, errors", "on web, too", "the same kind of finding: errors",
    )  # fmt: skip


def test_what_is_still_open_and_the_incident_itself_are_no_precedent(incidents: Incidents, clock: FrozenClock) -> None:
    """Nobody knows yet how they end."""
    first = opened(incidents, clock, "web", "payments")
    assert similar(first, incidents.list()) == ()


def test_a_label_counts_in_place_of_the_diagnosis(incidents: Incidents, clock: FrozenClock) -> None:
    """The diagnosis named web; a human named the database: that is what the incident was."""
    wrong = opened(incidents, clock, "web", "web")
    judged = over(incidents, clock, wrong, Judgement(warranted=True, cause="orders-db", mechanism="latency"))
    assert cause_of(judged) == ("orders-db", "latency")
    assert ending(judged) == "Resolved by Ana after 12 min; cause: orders-db (latency)."


def test_an_ending_says_what_was_judged(incidents: Incidents, clock: FrozenClock) -> None:
    """A false page says so; without a label the cause is only likely; an open incident has no ending."""
    false_page = over(incidents, clock, opened(incidents, clock, "web", "cart"), Judgement(warranted=False))
    assert ending(false_page) == "Resolved by Ana after 12 min; likely cause: cart (errors); judged a false page."
    assert ending(opened(incidents, clock, "depot", "depot")) == "It is not resolved."
