"""From a page to a resolved incident: what humans see and press."""

from __future__ import annotations

import json
from typing import Any

from tests.alerting.channels.slack.running_site import Site, diagnosis, finding


def texts(message: dict[str, Any]) -> str:
    """Every word of a message."""
    return json.dumps(message.get("blocks") or message["text"], ensure_ascii=False)


def test_a_page_says_what_why_and_what_to_do(site: Site) -> None:
    """One message holds the service, the likely cause, the runbook with its blast radius and undo, and the buttons."""
    site.page()
    message = site.message()
    shown = texts(message)
    for part in ("payments: errors 31 %", "Likely cause: orders-db", "End the session", "_Touches:_", "_Undo:_"):
        assert part in shown
    assert "<@UANA>" in shown
    assert message["text"].startswith("Firing: payments: errors 31 %")
    assert "likely cause: orders-db" in message["text"]
    (details,) = message["replies"]
    assert "fails 31 % of requests" in texts(details)


def test_the_whole_way_through_the_buttons(site: Site) -> None:
    """Acknowledge, approve, resolve with a label: one message is edited, its thread tells the story."""
    incident_id = site.page()
    assert site.press("acknowledge").status_code == 200
    site.until(lambda: site.incidents.get(incident_id).acknowledged_by)
    assert site.press("approve").status_code == 200
    site.until(lambda: site.incidents.get(incident_id).approved_by)
    view = site.press("resolve").json()["view"]
    values = {"warranted": "yes", "cause": "orders-db", "mechanism": "database", "note": "a report held a lock"}
    assert site.submit(view, values).status_code == 200
    site.until(lambda: site.incidents.get(incident_id).labels)
    site.send()
    incident = site.incidents.get(incident_id)
    assert (incident.human_state, incident.proposal_state) == ("resolved", "cancelled")
    assert incident.acknowledged_by is not None
    assert incident.acknowledged_by.name == "Ana"
    (label,) = incident.labels
    assert (label.cause, label.mechanism, label.warranted) == ("orders-db", "database", True)
    assert label.note == "a report held a lock"
    message = site.message()
    assert "resolved" in texts(message)
    assert not any(block["type"] == "actions" for block in message["blocks"])


def test_an_edit_tells_its_line_once_in_the_thread(site: Site) -> None:
    """After an acknowledgement the message says who has it, and the thread holds one new line."""
    incident_id = site.page()
    site.press("acknowledge")
    site.until(lambda: site.incidents.get(incident_id).acknowledged_by)
    site.send()
    site.send()
    message = site.message()
    assert "acknowledged by Ana" in texts(message)
    assert [reply["text"] for reply in message["replies"]].count("Ana acknowledged") == 1


def test_whoever_comes_second_reads_who_was_first(site: Site) -> None:
    """A second acknowledgement changes nothing and is answered to that person alone."""
    incident_id = site.page()
    site.press("acknowledge", "UANA")
    site.until(lambda: site.incidents.get(incident_id).acknowledged_by)
    site.press("acknowledge", "UBEN")
    assert site.whisper("UBEN", "Already acknowledged by Ana at ")


def test_a_late_form_is_answered_that_it_is_resolved_already(site: Site) -> None:
    """Two people open the form; the second to submit learns who resolved it. Both judgements are kept."""
    incident_id = site.page()
    first, second = site.press("resolve", "UANA").json()["view"], site.press("resolve", "UBEN").json()["view"]
    site.submit(first, {"warranted": "yes"}, "UANA")
    site.until(lambda: site.incidents.get(incident_id).labels)
    site.submit(second, {"warranted": "no"}, "UBEN")
    assert site.whisper("UBEN", "Already resolved by Ana at ")
    incident = site.incidents.get(incident_id)
    assert incident.resolved_by is not None
    assert incident.resolved_by.name == "Ana"
    assert {(label.author, label.warranted) for label in incident.labels} == {("Ana", True), ("Ben", False)}


def test_not_sure_is_an_answer_in_slack(site: Site) -> None:
    """The form offers it, chooses nothing beforehand, and what comes of it is neither yes nor no."""
    incident_id = site.page()
    view = site.press("resolve").json()["view"]
    assert "initial_option" not in str(view)
    site.submit(view, {"warranted": "unsure"})
    site.until(lambda: site.incidents.get(incident_id).labels)
    (label,) = site.incidents.get(incident_id).labels
    assert (label.warranted, label.model_version) == (None, "detectors 0")


def test_the_form_needs_a_judgement(site: Site) -> None:
    """Nothing is chosen beforehand, so a form without an answer to the first question is refused."""
    site.page()
    view = site.press("resolve").json()["view"]
    assert site.submit(view, {"note": "?"}).json()["error"] == "missing_input"


def test_a_changed_diagnosis_edits_its_reply(site: Site) -> None:
    """The thread keeps one reply for diagnosis and evidence, and it shows the newest."""
    incident_id = site.page()
    site.incidents.diagnosed(incident_id, diagnosis("inventory"), None, "second")
    site.send()
    details = [reply for reply in site.message()["replies"] if reply["text"] == "Diagnosis and evidence"]
    assert len(details) == 1
    assert "inventory" in texts(details[0])
    assert "orders-db" not in texts(details[0])


def test_a_hostile_summary_mentions_nobody(site: Site) -> None:
    """What a log line or an alert says can't call the whole channel."""
    (incident_id,) = site.incidents.observe([finding("cart", summary="<!channel> *boom* & <@UBEN>")])
    site.incidents.page(incident_id)
    site.send()
    assert "<!channel>" not in json.dumps(site.message())
    assert "<@UBEN>" not in json.dumps(site.message())
