"""Postmortems: drafted in the resolve's own transaction, filled in, and safe against any text."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from protocol import EDGES, finding

from alerting.incidents.commands import Incidents
from alerting.incidents.human_labels import Judgement
from alerting.incidents.machine import Event, begin
from alerting.postmortems import postmortem
from watchkeeper.clock import FrozenClock
from watchkeeper.config import OnCallConfig
from watchkeeper.errors import NotFound
from watchkeeper.state.changes import record_change
from watchkeeper.state.database import Database
from watchkeeper.state.labels import record_label
from watchkeeper.vocabulary import Actor, ChangeEvent, Diagnosis, Evidence, Finding, Label, Proposal, Suspect, utc

ANA = Actor(name="Ana", via="slack")


def judged(cause: str = "payments") -> Judgement:
    return Judgement(warranted=True, cause=cause, mechanism="latency")


def test_a_resolve_drafts_what_is_known(db: Database, incidents: Incidents, clock: FrozenClock) -> None:
    """Timeline, impact, suspects, changes, what was done, the detectors' record and the label."""
    record_change(
        db,
        ChangeEvent(
            id="c1", at=clock.now() - timedelta(minutes=9), kind="deploy", service="payments", title="payments 2.0"
        ),
    )
    (earlier,) = incidents.observe([finding(clock.now(), "blog")], edges=EDGES)
    incidents.resolve(earlier, ANA, "r0", judged())
    (incident_id,) = incidents.observe([finding(clock.now(), "payments"), finding(clock.now(), "web")], edges=EDGES)
    evidence = Evidence(kind="time", weight=2.5, sentence="its own time rose twentyfold")
    suspect = Suspect(service="payments", score=2.5, probability=0.8, mechanism="deploy", evidence=(evidence,))
    diagnosis = Diagnosis(
        onset=clock.now(), made_at=clock.now(), suspects=(suspect,), abstained=False, reason="r", engine_version="v1"
    )
    proposal = Proposal(
        runbook="roll-back", title="Roll back", service="payments", steps=("go",), blast_radius="one", undo="redo"
    )
    incidents.diagnosed(incident_id, diagnosis, proposal, "d")
    incidents.page(incident_id)
    incidents.acknowledge(incident_id, ANA, "a")
    incidents.approve(incident_id, ANA, "p", proposal.id)
    incidents.run_started(incident_id, "s")
    incidents.run_finished(incident_id, "f", succeeded=True, text="rolled back in 3 s")
    clock.advance(60)
    incidents.observe([], edges=EDGES)
    with pytest.raises(NotFound, match="watchkeeper postmortem new"):
        postmortem.show(db, incident_id)
    incidents.resolve(incident_id, ANA, "r", judged())
    written = postmortem.show(db, incident_id)
    for part in (
        "payments 2.0",
        "| 03:00:00 | 5 s | Ana (slack) | Ana acknowledged |",
        "It lasted 1 min 5 s. 2 services: payments, web.",
        "1. **payments** (deploy): 80%",
        "+2.5: its own time rose twentyfold",
        "rolled back in 3 s",
        "- test 1: 5 s after the onset; warranted 1 of 1 times.",
        "| true cause | payments |",
        "| was the page warranted | yes |",
    ):
        assert part in written.markdown
    assert written.label is not None


def test_chaos_truth_never_fills_in_a_humans_form(db: Database, incidents: Incidents, clock: FrozenClock) -> None:
    """The two sources stay apart."""
    (incident_id,) = incidents.observe([finding(clock.now(), "payments")], edges=EDGES)
    incidents.resolve(incident_id, ANA, "r")
    truth = Label(
        id="c", incident_id=incident_id, source="chaos", author="chaos", at=clock.now(), warranted=True, cause="cart"
    )
    record_label(db, truth)
    postmortem.draft(db, incident_id, clock.now(), OnCallConfig())
    written = postmortem.show(db, incident_id)
    assert written.label is None
    assert "| true cause | ? |" in written.markdown


def test_a_late_label_is_in_the_draft(db: Database, incidents: Incidents, clock: FrozenClock) -> None:
    """Nobody has to draft it anew."""
    (incident_id,) = incidents.observe([finding(clock.now(), "payments")], edges=EDGES)
    incidents.resolve(incident_id, ANA, "r")
    incidents.judge(incident_id, ANA, "l", judged("bank"))
    assert "| true cause | bank |" in postmortem.show(db, incident_id).markdown


def test_a_draft_of_what_is_not_over_can_be_asked_for(db: Database, incidents: Incidents, clock: FrozenClock) -> None:
    """It says so."""
    (incident_id,) = incidents.observe([finding(clock.now(), "payments")], edges=EDGES)
    assert "It is not over." in postmortem.draft(db, incident_id, clock.now(), OnCallConfig()).markdown


@given(
    st.text(min_size=1).filter(str.strip), st.floats(allow_nan=True) | st.none(), st.floats(0, 1), st.integers(0, 10**6)
)
def test_any_finding_can_be_described(summary: str, value: float | None, score: float, seen: int) -> None:
    """A resolve must never fail for its draft, and no text breaks out of its table."""
    at = utc(1_700_000_000)
    odd = Finding(
        detector="d",
        detector_version="1",
        kind="metric",
        service="s",
        summary=summary,
        onset=at,
        seen_at=at + timedelta(seconds=seen),
        score=score,
        value=value,
        expected=value,
    )
    event = Event(type="opened", at=at, actor=ANA, key="k", text=summary, finding=odd)
    text = postmortem.render(begin("inc-1", event), (), ())
    row = next(line for line in text.splitlines() if line.startswith("| s |"))
    assert row.replace("\\|", "").count("|") == 6
