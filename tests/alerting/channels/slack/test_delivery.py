"""Sends that fail, are repeated, or meet a changed channel: what the humans see is right all the same."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from alerting.channels.channel import Message
from alerting.channels.slack.channel import SlackChannel
from tests.alerting.channels.slack.running_site import Site, finding
from watchkeeper.errors import DeliveryError
from watchkeeper.vocabulary import Actor

KILLED = 9
KILLED_AFTER_SEND = """
import json, os, sys
from alerting.incidents.commands import Incidents
from alerting.channels.slack.channel import SlackChannel
from watchkeeper.clock import SystemClock
from watchkeeper.config import Config
from watchkeeper.roles.paging import Paging
from watchkeeper.state.database import Database

config = Config.model_validate_json(sys.stdin.read())
db = Database.open(config)
send = SlackChannel.send
SlackChannel.send = lambda self, message: (send(self, message), os.kill(os.getpid(), 9))
Paging(config, db, Incidents(db, SystemClock(), config.oncall)).run(SystemClock().now())
"""


def message(site: Site, key: str = "1", **changes: object) -> Message:
    """A page for a new incident that nothing was sent of yet."""
    (incident_id,) = site.incidents.observe([finding()])
    incident = site.incidents.get(incident_id)
    page = Message(key=f"{incident_id}:{key}", kind="page", incident=incident, mention="UANA", text="paged Ana")
    return replace(page, **changes)  # type: ignore[arg-type]


def test_a_kill_between_send_and_record_shows_a_human_one_page(site: Site) -> None:
    """SIGKILL after Slack has the page and before that is written down: the repeat adds nothing."""
    (incident_id,) = site.incidents.observe([finding()])
    site.incidents.page(incident_id)
    done = subprocess.run(
        [sys.executable, "-c", KILLED_AFTER_SEND],
        input=site.config.model_dump_json(),
        text=True,
        check=False,
        cwd=Path.cwd(),
    )
    assert done.returncode == -KILLED
    before = site.message()
    assert not site.incidents.get(incident_id).delivered
    # The lease of the dead process ends, and the next round sends again.
    site.send(later_s=30)
    after = site.message()
    assert site.incidents.get(incident_id).delivered
    assert (after["ts"], before["replies"]) == (before["ts"], [])
    assert [reply["text"] for reply in after["replies"]] == ["Diagnosis and evidence"]


@pytest.mark.parametrize("known", [True, False])
def test_a_lost_answer_leads_to_no_second_post(site: Site, channel: SlackChannel, known: bool) -> None:
    """Slack did it but the answer was lost: the repeat finds the post by its key."""
    first = message(site)
    if known:
        thread = channel.send(first)
        first = replace(first, key=f"{first.incident.id}:2", kind="update", text="a line", thread=thread)
    site.slack.post("/standin/trouble", json={"method": "chat.postMessage", "kind": "lost_answer"})
    with pytest.raises(DeliveryError) as failure:
        channel.send(first)
    assert failure.value.retry
    channel.send(first)
    channel.send(first)
    posts = [site.message(), *site.message()["replies"]]
    keys = [post["text"] for post in posts]
    assert len(keys) == len(set(keys))
    assert len([text for text in keys if text == "a line"]) == (1 if known else 0)


def test_a_rate_limit_says_when_to_try_again(site: Site, channel: SlackChannel) -> None:
    """429 with Retry-After becomes a failure that carries the wait."""
    site.slack.post("/standin/trouble", json={"method": "chat.postMessage", "retry_after_s": 7})
    page = message(site)
    with pytest.raises(DeliveryError) as failure:
        channel.send(page)
    assert (failure.value.retry, failure.value.retry_after_s) == (True, 7.0)
    channel.send(page)
    assert len(site.board()["messages"]) == 1


def test_a_deleted_message_is_posted_anew(site: Site) -> None:
    """Somebody deleted the incident's message: the next news brings a whole one, not silence."""
    incident_id = site.page()
    site.slack.post("/standin/delete", json={"channel": "C0INCIDENTS", "ts": site.message()["ts"]})
    site.incidents.acknowledge(incident_id, Actor(name="Ana", via="cli"), "1")
    site.send()
    assert site.message()["text"].startswith("Acknowledged by ana: ") or "by Ana" in site.message()["text"]


def test_an_escalation_wakes_the_next_in_the_thread_and_the_channel(site: Site, channel: SlackChannel) -> None:
    """A second page is a reply that mentions the next person and shows in the channel."""
    first = message(site)
    thread = channel.send(first)
    channel.send(
        replace(first, key=f"{first.incident.id}:2", mention="UBEN", text="no answer; paged Ben", thread=thread)
    )
    (reply,) = [reply for reply in site.message()["replies"] if "no answer" in reply["text"]]
    assert reply["text"].startswith("<@UBEN> ")
    assert reply["reply_broadcast"]


def test_a_wrong_token_is_not_worth_a_retry(site: Site) -> None:
    """The failure says what to check, and that trying again can't help."""
    channel = SlackChannel(site.config)
    site.slack.post("/standin/trouble", json={"method": "chat.postMessage", "kind": "unavailable"})
    with pytest.raises(DeliveryError) as outage:
        channel.send(message(site))
    assert outage.value.retry
    (site.config.data_dir / "secrets" / "slack-token").rename(site.config.data_dir / "kept")
    try:
        with pytest.raises(DeliveryError, match="watchkeeper doctor") as refused:
            SlackChannel(site.config).send(message_of(site))
    finally:
        (site.config.data_dir / "kept").replace(site.config.data_dir / "secrets" / "slack-token")
    assert not refused.value.retry


def message_of(site: Site) -> Message:
    """A page for the newest incident."""
    incident = site.incidents.list(limit=1)[0]
    return Message(key=f"{incident.id}:1", kind="page", incident=incident, mention="UANA", text="paged Ana")


def test_an_incident_is_found_again_among_many_messages(site: Site, channel: SlackChannel) -> None:
    """The channel's history is read to its end, page by page."""
    first = message(site)
    thread = channel.send(first)
    headers = {"Authorization": f"Bearer {site.config.slack_token()}"}
    for number in range(130):
        site.slack.post("/api/chat.postMessage", json={"channel": "incidents", "text": f"{number}"}, headers=headers)
    assert channel.send(first) == thread
