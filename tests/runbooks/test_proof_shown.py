"""The proof and the approvals stand on the proposal wherever a human sees it: Slack, dashboard, command line."""

from __future__ import annotations

import json

import pytest
from run_parts import ANA, proposal_for, proposed

from alerting.channels.slack.blocks import message
from alerting.commands.incident import print_proposal
from alerting.incidents.commands import Incidents
from dashboard.components.proposal import proposal_facts
from watchkeeper.clock import FrozenClock

PROOF = "repaired 9 of 10 faults (hang), in a median of 41 s; last tested 3 d ago"


@pytest.mark.parametrize("state_url", ["sqlite"], indirect=True)
def test_a_human_sees_the_proof_and_who_approved(
    incidents: Incidents, clock: FrozenClock, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same line everywhere; and after the first of two approvals, whose is missing."""
    incident_id = proposed(incidents, "cart", clock.now())
    proposal = proposal_for("cart", proof=PROOF, approvals=2)
    incidents.diagnosed(incident_id, incidents.get(incident_id).diagnosis, proposal, "again")
    incidents.approve(incident_id, ANA, "a", proposal.id)
    incident = incidents.get(incident_id)
    shown = json.dumps(message(incident, url="http://w/i"), ensure_ascii=False)
    assert f"_Proof:_ {PROOF}" in shown
    assert "1 of 2 approvals, Ana" in shown
    assert "Approve runbook" in shown
    facts = dict(proposal_facts(incident))
    assert (facts["Proof"], facts["Approvals"]) == (PROOF, "1 of 2, Ana")
    print_proposal(proposal)
    assert f"proof: {PROOF}" in capsys.readouterr().out


@pytest.mark.parametrize("state_url", ["sqlite"], indirect=True)
def test_a_proof_that_only_grew_older_is_no_other_proposal(incidents: Incidents, clock: FrozenClock) -> None:
    """An approval counts on, and nobody is asked anew."""
    incident_id = proposed(incidents, "cart", clock.now())
    proposal = proposal_for("cart", proof=PROOF, approvals=2)
    incidents.diagnosed(incident_id, incidents.get(incident_id).diagnosis, proposal, "b")
    incidents.approve(incident_id, ANA, "a", proposal.id)
    later = proposal_for("cart", proof=PROOF.replace("3 d", "4 d"), approvals=2)
    incidents.diagnosed(incident_id, incidents.get(incident_id).diagnosis, later, "c")
    assert [actor.name for actor in incidents.get(incident_id).approvals] == ["Ana"]
