"""A form that Slack does not open: the log says why, nothing else fails, and `/watch` says what to write instead."""

from __future__ import annotations

from typing import Any

import pytest
from structlog.testing import capture_logs

from alerting.channels.slack.events import FAILED
from tests.alerting.channels.slack.running_site import Site, form, pressed


@pytest.fixture
def refused(site: Site) -> Site:
    """A site whose Slack opens no form, as it does once a trigger is older than three seconds."""
    trouble = {"method": "views.open", "kind": "refused", "error": "expired_trigger_id", "times": 50}
    site.slack.post("/standin/trouble", json=trouble)
    return site


def press(site: Site, action: str, value: str, **menu: Any) -> None:
    payload = pressed(value, action, at="3.1")
    payload["actions"][0] |= menu
    site.signed(form(payload))


def choose(site: Site, value: str) -> None:
    press(site, "more", "", type="overflow", selected_option={"value": value})


@pytest.mark.parametrize("name", ["resolve", "merge", "severity"])
def test_a_form_that_slack_does_not_open_is_logged(refused: Site, name: str) -> None:
    """With the incident and with Slack's own word; it is no failure of ours, and the next press works."""
    incident_id = refused.page()
    refused.incidents.page(refused.page("ledger"))
    failures = FAILED._value.get()
    with capture_logs() as logs:
        if name == "resolve":
            press(refused, "resolve", incident_id)
        else:
            choose(refused, f"{name} {incident_id}")
        (log,) = refused.until(lambda: [log for log in logs if log["event"] == "slack.form_failed"])
    assert log["incident"] == incident_id
    assert "expired_trigger_id" in log["error"]
    assert FAILED._value.get() == failures
    press(refused, "acknowledge", incident_id)
    refused.until(lambda: refused.incidents.get(incident_id).human_state == "acknowledged")


def test_watch_says_what_to_write_instead(refused: Site) -> None:
    """Whoever asked for the label's form reads it as the answer."""
    incident_id = refused.page()
    with capture_logs():
        answer = refused.slack.post("/standin/command", json={"text": f"label {incident_id}", "user": "UANA"}).json()
    assert f"`/watch label {incident_id} yes cause SERVICE`" in str(answer)


@pytest.mark.parametrize("name", ["resolve", "merge", "severity"])
def test_a_form_for_an_incident_that_is_not_there_is_a_sentence(site: Site, name: str) -> None:
    """A message outlives its incident: whoever presses reads so, and no form opens."""
    site.stand_in.interactions._views.clear()
    if name == "resolve":
        press(site, "resolve", "inc-000000")
    else:
        choose(site, f"{name} inc-000000")
    site.whisper("UANA", "no incident inc-000000")
    assert not site.stand_in.interactions._views
