"""A yes to a runbook, from Slack and from the API: it counts for what the human saw, and only where it can run."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.alerting.channels.slack.running_site import PROPOSAL, Site, diagnosis, finding, form, pressed

OTHER = replace(PROPOSAL, title="Restart orders-db", steps=("Restart it",))


def _replaced(site: Site) -> str:
    """An incident whose message still shows the first runbook, while another is proposed by now."""
    incident_id = site.page()
    site.incidents.diagnosed(incident_id, diagnosis("payments", "orders-db", reason="news"), OTHER, "second")
    return incident_id


@pytest.mark.parametrize("action", ["approve", "decline"])
def test_a_press_on_an_old_message_counts_for_nothing_else(site: Site, action: str) -> None:
    """Whoever presses reads which runbook it is by now; nothing is approved or declined."""
    incident_id = _replaced(site)
    site.press(action)
    assert "“Restart orders-db”; look again" in site.whisper("UANA", "The proposal changed at")
    assert site.incidents.get(incident_id).proposal_state == "proposed"
    site.send()
    site.press(action)
    site.until(lambda: site.incidents.get(incident_id).proposal_state != "proposed")


def test_a_button_from_before_says_only_which_incident(site: Site) -> None:
    """A signed press whose value names no proposal is refused, with what to do."""
    incident_id = site.page()
    assert site.signed(form(pressed(incident_id, "approve"))).status_code == 200
    assert incident_id in site.whisper("UANA", "The answer names no runbook")
    assert site.incidents.get(incident_id).approved_by is None


def test_what_cannot_run_has_no_button(site: Site) -> None:
    """The runbook stands there as advice, with the reason; a forged press is refused with it, too."""
    (incident_id,) = site.incidents.observe([finding("payments")])
    advice = replace(PROPOSAL, blocked="no target is configured: name one under `targets:`")
    site.incidents.diagnosed(incident_id, diagnosis("orders-db"), advice, "first")
    site.incidents.page(incident_id)
    site.send()
    message = site.message()
    buttons = [e.get("action_id") for b in message["blocks"] if b["type"] == "actions" for e in b["elements"]]
    assert "approve" not in buttons
    assert "decline" not in buttons
    assert "It cannot be run from here: no target is configured" in str(message["blocks"])
    site.signed(form(pressed(f"{incident_id} {advice.id}", "approve")))
    assert "no target is configured" in site.whisper("UANA", "Unlock-database cannot be run from here")
    path = f"/api/v1/incidents/{incident_id}/approve"
    answer = site.web.post(path, json={"proposal": advice.id}, headers=site.token())
    assert answer.status_code == 409
    assert "no target is configured" in answer.json()["message"]


def test_the_api_wants_to_know_what_was_read(site: Site) -> None:
    """Without the proposal's id, or with another's, 409 and a sentence; with the current one it is approved."""
    incident_id = _replaced(site)
    path = f"/api/v1/incidents/{incident_id}"
    missing = site.web.post(f"{path}/approve", json={}, headers=site.token())
    assert (missing.status_code, "names no runbook" in missing.json()["message"]) == (409, True)
    stale = site.web.post(f"{path}/approve", json={"proposal": PROPOSAL.id}, headers=site.token())
    assert (stale.status_code, "look again" in stale.json()["message"]) == (409, True)
    current = site.web.get(path).json()["proposal"]["id"]
    good = site.web.post(f"{path}/approve", json={"proposal": current}, headers=site.token())
    assert (good.status_code, good.json()["incident"]["proposal_state"]) == (200, "approved")
