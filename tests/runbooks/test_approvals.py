"""Approvals: what a human saw is what runs, or nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from run_parts import (
    ANA,
    approved,
    diagnosis,
    proposal_for,
    proposed,
    run_of,
)

from alerting.incidents.commands import Incidents
from runbooks.run_rows import runs_of
from watchkeeper.clock import FrozenClock
from watchkeeper.state.database import Database


def test_an_approval_of_another_proposal_is_refused(incidents: Incidents, clock: FrozenClock, db: Database) -> None:
    """Somebody looks at A; B comes to stand in its place; their yes to A runs nothing, and they are told."""
    incident_id = proposed(incidents, "cart", clock.now())
    clock.advance(180)
    other = proposal_for("cart", title="Roll cart back")
    incidents.diagnosed(incident_id, diagnosis("cart2", clock.now()), other, "d2")
    answer = incidents.approve(incident_id, ANA, "a", proposal_for("cart").id)
    assert not answer.changed
    assert answer.message == "the proposal changed at 03:03:00 UTC to “Roll cart back”; look again"
    assert incidents.decline(incident_id, ANA, "b", proposal_for("cart").id).message == answer.message
    assert runs_of(db, incident_id) == ()
    assert incidents.approve(incident_id, ANA, "c", other.id).changed
    assert run_of(db, incident_id).proposal == other


@pytest.mark.parametrize(
    "change",
    [
        {"service": "payments"},
        {"steps": ("drain cart", "swap cart", "empty cart")},
        {"actions": ("drain", "swap", "drain")},
        {"arguments": {"version": "2"}},
        {"runbook": "swap-2"},
        {"blast_radius": "everything"},
        {"undo": "none"},
    ],
)
def test_every_part_of_a_proposal_is_part_of_what_was_seen(change: dict[str, Any]) -> None:
    """Whatever would run otherwise, or was read otherwise, has another id; the same content has the same."""
    assert proposal_for("cart", **change).id != proposal_for("cart").id
    assert proposal_for("cart", id="forged").id == proposal_for("cart").id


def test_an_approval_that_names_no_proposal_is_refused(incidents: Incidents, clock: FrozenClock) -> None:
    """A button of an older message says only which incident: its presser is asked to look again."""
    incident_id = proposed(incidents, "cart", clock.now())
    answer = incidents.approve(incident_id, ANA, "a")
    assert not answer.changed
    assert "look at" in answer.message
    assert incidents.get(incident_id).proposal_state == "proposed"


def test_an_abstention_withdraws_what_nobody_answered(incidents: Incidents, clock: FrozenClock) -> None:
    """When the newest diagnosis names no cause, its predecessor's runbook can no longer be approved."""
    incident_id = proposed(incidents, "cart", clock.now())
    incidents.diagnosed(incident_id, replace(diagnosis("cart", clock.now()), abstained=True), None, "d2")
    incident = incidents.get(incident_id)
    assert (incident.proposal, incident.proposal_state) == (None, "none")
    answer = incidents.approve(incident_id, ANA, "a", proposal_for("cart").id)
    assert (answer.changed, answer.message) == (False, "no runbook is proposed any more")


def test_an_abstention_leaves_a_run_alone(incidents: Incidents, clock: FrozenClock) -> None:
    """What somebody approved stays approved."""
    incident_id = approved(incidents, "cart", clock.now())
    incidents.diagnosed(incident_id, replace(diagnosis("cart", clock.now()), abstained=True), None, "d2")
    assert incidents.get(incident_id).proposal_state == "approved"
