"""The page itself is one call; whatever else Slack refuses, somebody is paged."""

from __future__ import annotations

import re
import socket
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Route
from structlog.testing import capture_logs

from alerting.channels.channel import Message
from alerting.channels.slack.channel import SlackChannel
from alerting.channels.slack.events import SlackEvents
from alerting.channels.slack.standin.limits import RateLimits
from alerting.channels.slack.standin.served import serving
from alerting.incidents.commands import Incidents
from tests.alerting.channels.slack.running_site import Site, finding, form, pressed
from watchkeeper.clock import SystemClock
from watchkeeper.config import Config, PersonConfig
from watchkeeper.problems import Problems
from watchkeeper.roles.paging import Paging

ROOT = Path(__file__).resolve().parents[4]
# The scope that Slack's documentation asks for each method; views need none.
SCOPES = {
    "chat.postMessage": "chat:write",
    "chat.update": "chat:write",
    "chat.postEphemeral": "chat:write",
    "conversations.history": "channels:history",
    "conversations.replies": "channels:history",
    "conversations.list": "channels:read",
    "files.getUploadURLExternal": "files:write",
    "files.completeUploadExternal": "files:write",
    "users.info": "users:read",
    "views.open": None,
    "views.publish": None,
}
OPTIONAL = ("conversations.list", "conversations.history", "conversations.replies", "chat.update", "users.info")


def refuse(site: Site, *methods: str, error: str = "missing_scope", times: int = 50) -> None:
    """Let Slack refuse the next calls of some methods."""
    for method in methods:
        body = {"method": method, "kind": "refused", "error": error, "times": times}
        assert site.slack.post("/standin/trouble", json=body).json()["ok"]


def open_incident(site: Site, service: str = "payments") -> str:
    (incident_id,) = site.incidents.observe([finding(service)], judged=lambda _: False)
    return incident_id


def paging(site: Site, problems: Problems, config: Config | None = None) -> Paging:
    return Paging(config or site.config, site.db, site.incidents, problems)


@pytest.mark.parametrize(
    "error", ["missing_scope", "ratelimited", "internal_error", "not_allowed_token_type", "fatal_error"]
)
def test_a_page_goes_out_though_slack_refuses_everything_else(site: Site, error: str) -> None:
    """The page and the next step are sent, once each; what was refused is a problem with a name."""
    refuse(site, *OPTIONAL, error=error)
    incident_id = open_incident(site)
    problems = Problems(None)
    with capture_logs():
        site.incidents.page(incident_id)
        paging(site, problems).run(site.now())
    assert site.incidents.get(incident_id).delivered
    assert "<@UANA>" in str(site.message()["blocks"])
    assert {problem.loop for problem in problems.current()} <= {"slack", "outbox"}
    assert problems.current()


def test_a_first_page_makes_no_other_call_before_it(site: Site) -> None:
    """Not even one that could fail: the method is the first and only one that is called for it."""
    refuse(site, "conversations.list", "conversations.history", error="must never be asked", times=1)
    incident_id = open_incident(site)
    problems = Problems(None)
    site.incidents.page(incident_id)
    paging(site, problems).run(site.now())
    assert [problem for problem in problems.current() if "must never be asked" in problem.reason] == []


@pytest.mark.parametrize("name", ["incidents", "#incidents", "C0INCIDENTS"])
def test_the_channel_may_be_configured_by_name_or_id(site: Site, name: str) -> None:
    """Both are found."""
    config = site.config.model_copy(update={"slack": site.config.slack.model_copy(update={"channel": name})})
    incident_id = open_incident(site)
    site.incidents.page(incident_id)
    paging(site, Problems(None), config).run(site.now())
    assert len(site.board()["messages"]) == 1


@pytest.mark.parametrize("error", ["channel_not_found", "not_in_channel", "is_archived", "restricted_action"])
def test_a_refused_channel_sends_the_page_to_the_person(site: Site, error: str) -> None:
    """Somebody took the app out of the channel at night: Ana is paged all the same, and doctor says why."""
    refuse(site, "chat.postMessage", error=error, times=1)
    incident_id = open_incident(site)
    problems = Problems(None)
    with capture_logs():
        site.incidents.page(incident_id)
        paging(site, problems).run(site.now())
    assert site.incidents.get(incident_id).delivered
    (direct,) = [post for post in site.board()["direct"]["UANA"] if incident_id in str(post)]
    assert "<@UANA>" in str(direct["blocks"])
    assert error in problems.current()[0].reason


@pytest.mark.parametrize("error", ["invalid_blocks", "msg_too_long", "msg_blocks_too_long", "metadata_too_large"])
def test_a_message_that_slack_rejects_is_sent_as_plain_text(site: Site, error: str) -> None:
    """Text alone, with the mention and a link."""
    refuse(site, "chat.postMessage", error=error, times=1)
    refuse(site, "chat.update", error=error)
    incident_id = open_incident(site)
    with capture_logs():
        site.incidents.page(incident_id)
        paging(site, Problems(None)).deliver(site.now(), "slack")
    assert site.message()["text"].startswith("<@UANA> ")
    assert site.incidents.get(incident_id).delivered


def test_a_message_that_the_models_refuse_is_sent_as_plain_text(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rule that a newer SDK knows and Slack perhaps does not: the page goes out, with its mention."""
    monkeypatch.setattr("slack_sdk.models.blocks.HeaderBlock.text_max_length", 3)
    incident_id = open_incident(site)
    site.incidents.page(incident_id)
    with capture_logs():
        paging(site, Problems(None)).deliver(site.now(), "slack")
    assert site.message()["text"].startswith("<@UANA> ")
    assert site.incidents.get(incident_id).delivered


def test_an_id_that_slack_does_not_know_is_followed_by_somebody_it_knows(site: Site) -> None:
    """Slack shows a mention of nobody as text and says ok: only asking for the user tells."""
    ana, *others = site.config.oncall.people
    people = (ana.model_copy(update={"addresses": {"slack": "UTYPO"}}), *others)
    config = site.config.model_copy(update={"oncall": site.config.oncall.model_copy(update={"people": people})})
    incident_id = open_incident(site)
    site.incidents.page(incident_id)
    problems = Problems(None)
    with capture_logs():
        paging(site, problems, config).run(site.now())
    message = site.message()
    assert "UTYPO" in str(message["blocks"])
    assert any(reply["text"].startswith("<@UBEN> ") for reply in message["replies"])
    assert "Slack knows no user 'UTYPO'" in " ".join(problem.reason for problem in problems.current())


def test_a_page_whose_repeat_cannot_be_recognised_is_sent_again(site: Site, channel: SlackChannel) -> None:
    """A doubled page beats none."""
    incident_id = open_incident(site)
    refuse(site, *OPTIONAL)
    site.slack.post("/standin/trouble", json={"method": "chat.postMessage", "kind": "lost_answer"})
    site.incidents.page(incident_id)
    worker = paging(site, Problems(None))
    with capture_logs():
        worker.deliver(site.now(), "slack")
        worker.deliver(site.now(later_s=5), "slack")
    assert site.incidents.get(incident_id).delivered
    assert len(site.board()["messages"]) == 2


def test_the_documented_scopes_are_those_of_the_methods_that_are_called() -> None:
    """Neither more nor less, and the table names each method."""
    folder = ROOT / "alerting" / "channels" / "slack"
    code = "\n".join(path.read_text(encoding="utf-8") for path in folder.glob("*.py"))
    called = {
        method
        for method in re.findall(r"\b((?:chat|conversations|users|views|reactions|auth|files)_\w+)\b", code)
        if re.search(rf"(?:_api\(\)|client)\.{method}\b", code)
    }
    methods = {re.sub("_", ".", name, count=1) for name in called}
    methods = {re.sub(r"_(\w)", lambda match: match[1].upper(), method) for method in methods}
    assert methods == set(SCOPES)
    docs = (ROOT / "docs" / "operating.md").read_text(encoding="utf-8")
    table = re.findall(r"^\| `([a-z:]+)` \| (yes|no) \| ([^|]+) \|", docs, re.MULTILINE)
    documented = {method: scope for scope, _, named in table for method in re.findall(r"`([\w.]+)`", named)}
    assert documented == {method: scope for method, scope in SCOPES.items() if scope}


def test_a_storm_is_paged_within_slack_s_limits_and_one_press_takes_it_all(site: Site) -> None:
    """Sixty alerts: a message, a gathered one that says why you, and a button whose press acknowledges the rest."""
    site.stand_in.limits = RateLimits()
    try:
        opened = site.incidents.observe([finding(f"s{number:02}") for number in range(60)], judged=lambda _: False)
        site.incidents.page_all(opened)
        worker = paging(site, Problems(None))
        with capture_logs():
            for second in range(12):
                worker.run(site.now(later_s=second))
    finally:
        site.stand_in.limits = None
    assert all(site.incidents.get(incident_id).delivered for incident_id in opened)
    (gathered,) = [message for message in site.board()["messages"] if "incidents, " in message["text"]]
    text = str(gathered["blocks"])
    assert "59 incidents: 59 firing" in text
    assert "pages were due at once" in text
    assert "Why you: paged Ana: on call in 'primary'" in text
    assert "and 58 similar" in text
    body = {"channel": "C0INCIDENTS", "ts": gathered["ts"], "action_id": "acknowledge_all", "user": "UANA"}
    assert site.slack.post("/standin/press", json=body).json()["ok"]
    members = [incident_id for incident_id in opened if incident_id not in str(site.board()["messages"][0]["text"])]
    site.until(lambda: sum(site.incidents.get(one).human_state == "acknowledged" for one in members) >= 59)
    with capture_logs():
        worker.run(site.now(later_s=60))
    (gathered,) = [message for message in site.board()["messages"] if message["ts"] == gathered["ts"]]
    assert "59 acknowledged" in str(gathered["blocks"])
    assert "acknowledge_all" not in str(gathered["blocks"])


@pytest.mark.parametrize("action", ["acknowledge", "approve", "decline", "resolve", "acknowledge_all"])
def test_who_is_not_configured_cannot_press_and_reads_how_to_be(site: Site, action: str) -> None:
    """A guest of the channel may look; the signature is Slack's, the person is nobody's."""
    incident_id = site.page()
    before = site.incidents.get(incident_id)
    assert site.signed(form(pressed(incident_id, action, at="7.1", user="UGUEST"))).status_code == 200
    assert "addresses: {slack: UGUEST}" in site.whisper("UGUEST", "Nothing was changed: you may look")
    assert site.incidents.get(incident_id).timeline == before.timeline


def test_two_people_with_one_address_are_never_taken_for_each_other(site: Site) -> None:
    """Copied and pasted: nobody can say who pressed, so nobody did."""
    people = (
        PersonConfig(id="ana", name="Ana Souza", addresses={"slack": "UANA"}),
        PersonConfig(id="ben", name="Ben Okoye", addresses={"slack": "UANA"}),
    )
    oncall = site.config.oncall.model_construct(**(dict(site.config.oncall) | {"people": people}))
    config = site.config.model_construct(**(dict(site.config) | {"oncall": oncall}))
    incident_id = site.page()
    events = SlackEvents(config, Incidents(site.db, SystemClock(), oncall))
    app = Starlette(routes=[Route("/slack/events", events.handle, methods=["POST"])])
    listener = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    with serving(app, listener), httpx.Client(base_url=url, trust_env=False) as to_web:
        answer = replace(site, web=to_web).signed(form(pressed(incident_id, at="7.2")))
        assert answer.status_code == 200
        assert "Ana Souza and Ben Okoye" in site.whisper("UANA", "Nothing was changed: Ana Souza")
    assert site.incidents.get(incident_id).human_state == "paged"


def test_a_page_without_a_known_thread_is_recognised_by_its_key(site: Site, channel: SlackChannel) -> None:
    """The same key again shows nothing new; another key in the same incident wakes the next."""
    incident = site.incidents.get(open_incident(site))
    page = Message(key=f"{incident.id}:1", kind="page", incident=incident, mention="UANA", text="paged Ana")
    thread = channel.send(replace(page, first_try=True))
    assert channel.send(page) == thread
    channel.send(replace(page, key=f"{incident.id}:2", mention="UBEN"))
    assert len(site.message()["replies"]) == 1
