"""What Slack sends is believed only with a fresh signature, and counts once."""

from __future__ import annotations

import json

import pytest

from tests.alerting.channels.slack.running_site import Site, form, pressed


def test_a_wrong_signature_is_refused(site: Site) -> None:
    """Another secret: 401, and nothing happens."""
    incident_id = site.page()
    assert site.signed(form(pressed(incident_id)), secret="not the secret").status_code == 401
    assert site.incidents.get(incident_id).human_state == "paged"


def test_a_signature_of_another_body_is_refused(site: Site) -> None:
    """The signature is over the body's very bytes."""
    answer = site.signed(form(pressed("inc-1")))
    signature = answer.request.headers["X-Slack-Signature"]
    assert site.signed(form(pressed("inc-2")), **{"X-Slack-Signature": signature}).status_code == 401


@pytest.mark.parametrize("age_s", [400, -400])
def test_a_time_five_minutes_off_is_refused(site: Site, age_s: float) -> None:
    """An old request is a replay; one from the future could be replayed later."""
    assert site.signed(form(pressed("inc-1")), age_s=age_s).status_code == 401


@pytest.mark.parametrize("stamp", ["", "now", "1 2", "9" * 400, "-5"])
def test_a_senseless_time_is_refused(site: Site, stamp: str) -> None:
    """It is 401 and never 500."""
    assert site.signed(form(pressed("inc-1")), **{"X-Slack-Request-Timestamp": stamp}).status_code == 401


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\xfe\x00",
        b"payload=",
        b"payload=null",
        b"payload=[1]",
        b"payload={}",
        b'payload={"type":"block_actions"}',
        b'payload={"type":"block_actions","actions":[],"user":{"id":"U"}}',
        b'payload={"type":"block_actions","actions":[{"action_id":"acknowledge"}],"user":{"id":"U"}}',
        b'payload={"type":"view_submission","view":{"callback_id":"resolve","type":"modal"},"user":{"id":"U"}}',
        b'payload={"type":"view_submission","view":7}',
        b'payload={"type":"block_actions","user":"U","actions":"no"}',
        b"payload=" + b"[" * 20_000,
        b"payload=1&payload=2",
    ],
    ids=lambda body: body[:30].decode("latin-1"),
)
def test_signed_garbage_is_a_bad_request(site: Site, body: bytes) -> None:
    """A good signature does not make a good request: 400, never 500."""
    assert site.signed(body).status_code == 400


def test_a_body_over_a_megabyte_is_refused(site: Site) -> None:
    """Nobody makes the role hold more than that."""
    assert site.signed(b"payload=" + b"x" * (1 << 20)).status_code == 413


def test_a_repeat_changes_nothing(site: Site) -> None:
    """Slack sends again when it had no answer in time: the same press is one event."""
    incident_id = site.page()
    body = form(pressed(incident_id, at="1764042000.1"))
    assert site.signed(body).status_code == 200
    site.until(lambda: site.incidents.get(incident_id).acknowledged_by)
    again = {"X-Slack-Retry-Num": "1", "X-Slack-Retry-Reason": "http_timeout"}
    assert site.signed(body, **again).status_code == 200
    kinds = [entry.kind for entry in site.incidents.get(incident_id).timeline]
    assert kinds.count("acknowledged") == 1


def test_an_unknown_incident_is_answered_to_whoever_pressed(site: Site) -> None:
    """A button of an incident that is gone answers in words."""
    assert site.signed(form(pressed("inc-gone"))).status_code == 200
    site.until(lambda: [w for w in site.board()["whispers"] if "inc-gone" in w["text"]])


def test_slack_has_its_answer_before_the_command_is_done(site: Site) -> None:
    """The answer does not wait for what the press sets in motion: here, for a database that somebody holds."""
    incident_id = site.page()
    with site.db.write():  # no command gets through while this is open
        assert site.signed(form(pressed(incident_id))).status_code == 200
    site.until(lambda: site.incidents.get(incident_id).acknowledged_by)


def test_the_request_url_can_be_verified(site: Site) -> None:
    """Slack wants its challenge read back when the address is configured; only with a signature."""
    body = json.dumps({"type": "url_verification", "challenge": "abc"}).encode()
    assert site.signed(body).text == "abc"
    assert site.signed(body, secret="other").status_code == 401
