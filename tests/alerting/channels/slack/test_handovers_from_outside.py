"""Snooze, assign, merge, split and silences by Slack's menu and over the API: the same commands as in a terminal."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.alerting.channels.slack.running_site import Site, finding, form, pressed


def chosen(value: str, user: str = "UANA") -> bytes:
    """The signed form of a choice in a message's menu."""
    payload = pressed("", "more", at=secrets.token_hex(4), user=user)
    option = {"text": {"type": "plain_text", "text": "…"}, "value": value}
    payload["actions"] = [payload["actions"][0] | {"type": "overflow", "selected_option": option}]
    del payload["actions"][0]["value"]
    return form(payload)


def give(site: Site, incident_id: str, command: str, **body: Any) -> Any:
    return site.web.post(f"/api/v1/incidents/{incident_id}/{command}", json=body, headers=site.token())


def test_the_menu_snoozes_and_takes_over(site: Site) -> None:
    """What the message offers is what a choice does; a repeat of Slack's changes nothing."""
    incident_id = site.page()
    menu = [e for b in site.message()["blocks"] if b["type"] == "actions" for e in b["elements"] if "options" in e]
    offered = [option["value"] for option in menu[0]["options"]]
    choices = [f"snooze {incident_id} 3600", f"snooze {incident_id} 14400", f"take {incident_id}"]
    assert offered == [*choices, f"severity {incident_id}", f"merge {incident_id}"]
    body = chosen(offered[0])
    for _ in range(2):
        assert site.signed(body).status_code == 200
    site.until(lambda: site.incidents.get(incident_id).human_state == "snoozed")
    incident = site.incidents.get(incident_id)
    assert incident.snoozed_until is not None
    assert timedelta(minutes=50) < incident.snoozed_until - datetime.now(UTC) <= timedelta(hours=1)
    assert [entry.kind for entry in incident.timeline].count("snoozed") == 1
    site.signed(chosen(offered[2]))
    site.until(lambda: site.incidents.get(incident_id).human_state == "acknowledged")
    assert site.incidents.get(incident_id).assigned_to == "oncall"


@pytest.mark.parametrize("value", ["snooze", "snooze inc-1", "snooze inc-1 never", "take", "drop tables", "x" * 2000])
def test_a_choice_that_no_message_offers_changes_nothing(site: Site, value: str) -> None:
    """Slack gets its answer, and nothing happens."""
    incident_id = site.page()
    before = site.incidents.get(incident_id).version
    assert site.signed(chosen(value)).status_code == 200
    assert site.signed(chosen(f"snooze {incident_id} 3600", user="UEVE")).status_code == 200
    assert site.incidents.get(incident_id).version == before


def test_an_incident_is_handed_over_by_the_api(site: Site) -> None:
    """Each with what it needs; a refusal is 409 with its reason."""
    incident_id, (other,) = site.page(), site.incidents.observe([finding("ledger")], judged=lambda _: False)
    until = (datetime.now(UTC) + timedelta(hours=2)).isoformat()
    assert give(site, incident_id, "snooze").status_code == 422
    assert give(site, incident_id, "snooze", until="2026-03-01T12:00:00").status_code == 422
    assert give(site, incident_id, "snooze", until=until).json()["incident"]["human_state"] == "snoozed"
    assert give(site, incident_id, "assign", person="zoe").status_code == 404
    assert give(site, incident_id, "assign", person="oncall").json()["incident"]["assigned_to"] == "oncall"
    assert give(site, incident_id, "merge", into=incident_id).status_code == 409
    assert give(site, other, "merge", into=incident_id).json()["incident"]["merged_into"] == incident_id
    listed = site.web.get("/api/v1/incidents?state=open", headers=site.token()).json()
    assert [one["id"] for one in listed] == [incident_id]
    assert give(site, other, "split").json()["incident"]["human_state"] == "acknowledged"
    assert site.web.post(f"/api/v1/incidents/{other}/snooze", json={"until": until}).status_code == 401


def test_the_severity_is_changed_over_the_api(site: Site) -> None:
    """With a reason; the list is filtered by it, and the message's header names it."""
    incident_id = site.page()
    assert give(site, incident_id, "severity", level="SEV1").status_code == 422
    assert give(site, incident_id, "severity", level="SEV9", reason="x").status_code == 422
    answer = give(site, incident_id, "severity", level="SEV1", reason="no card is accepted", key="k")
    assert (answer.status_code, answer.json()["incident"]["level"]) == (200, "SEV1")
    assert give(site, incident_id, "severity", level="SEV1", reason="again").status_code == 409
    listed = [
        [one["id"] for one in site.web.get(f"/api/v1/incidents?severity={level}", headers=site.token()).json()]
        for level in ("SEV1", "SEV2")
    ]
    assert listed == [[incident_id], []]
    site.send()
    assert site.message()["blocks"][0]["text"]["text"].startswith("SEV1 · payments: ")


def test_silences_are_made_listed_and_ended_by_the_api(site: Site) -> None:
    """The owner is whoever the credential belongs to, whatever the body or a header claims."""
    end = (datetime.now(UTC) + timedelta(hours=2)).isoformat()
    body = {"service": "pay*", "reason": "move", "end": end}
    assert site.web.post("/api/v1/silences", json=body).status_code == 401
    claimed = site.token() | {"X-Watchkeeper-Actor": "Ben"}
    answer = site.web.post("/api/v1/silences", json=body, headers=claimed)
    assert (answer.status_code, answer.json()["owner"]) == (201, "local token")
    assert site.web.post("/api/v1/silences", json=body | {"owner": "Ben"}, headers=claimed).status_code == 422
    assert site.web.post("/api/v1/silences", json=body | {"service": ""}, headers=claimed).status_code == 422
    listed = site.web.get("/api/v1/silences", headers=site.token()).json()
    assert [one["service"] for one in listed] == ["pay*"]
    path = f"/api/v1/silences/{listed[0]['id']}/end"
    assert [site.web.post(path, headers=site.token()).status_code for _ in range(2)] == [200, 409]
    assert site.web.post("/api/v1/silences/sil-gone/end", headers=site.token()).status_code == 404
    assert site.web.get("/api/v1/silences", headers=site.token()).json() == []


def test_somebody_is_paged_by_name_over_the_api(site: Site) -> None:
    """201, and 409 for the same key; whose page it is says the credential."""
    body = {"person": "ben", "text": "the bank says that cards fail", "service": "payments", "key": "k1"}
    assert site.web.post("/api/v1/incidents", json=body).status_code == 401
    made = site.web.post("/api/v1/incidents", json=body, headers=site.token())
    again = site.web.post("/api/v1/incidents", json=body, headers=site.token())
    assert (made.status_code, again.status_code) == (201, 409)
    incident = made.json()["incident"]
    assert again.json()["incident"]["id"] == incident["id"]
    assert (incident["service"], incident["paged_person"]) == ("payments", "ben")
    for wrong, status in (({"person": "zoe"}, 404), ({"text": "  "}, 422), ({"text": ""}, 422), ({"x": 1}, 422)):
        assert site.web.post("/api/v1/incidents", json=body | wrong, headers=site.token()).status_code == status
    assert len(site.incidents.list()) == 1
