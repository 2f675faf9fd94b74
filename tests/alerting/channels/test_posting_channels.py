"""Channels that post: the signed webhook, PagerDuty and Alertmanager, over an HTTP server that looks at what comes."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from alerting.channels.alertmanager import ALERTMANAGER, AlertmanagerChannel
from alerting.channels.channel import ChannelContext, Digest, Repeats
from alerting.channels.delivery import Delivery
from alerting.channels.pagerduty import PagerDutyChannel
from alerting.channels.preflight import broken_channels, channel_mistakes
from alerting.channels.receiver import Receiver, serving
from alerting.channels.registry import open_channels
from alerting.channels.webhook import WebhookChannel, sign
from alerting.conformance import incident, page
from alerting.incidents.commands import Incidents
from alerting.oncall.recipients import Reach, recipients
from tests.alerting.protocol import finding
from watchkeeper.clock import FrozenClock
from watchkeeper.config import Config, OnCallConfig, ReadConfig
from watchkeeper.errors import DeliveryError
from watchkeeper.problems import Problems
from watchkeeper.roles.registered import listed_parts
from watchkeeper.state.database import Database
from watchkeeper.vocabulary import Actor

SECRET = "a secret of sixteen characters"
HAND = Actor(name="Ana", via="cli")


class Posts:
    """What was posted; `answer` is what the server says."""

    def __init__(self) -> None:
        self.all: list[tuple[str, Mapping[str, str], bytes]] = []
        self.answer: tuple[int, object] = (200, {})

    def take(self, path: str, headers: Mapping[str, str], body: bytes) -> tuple[int, object]:
        self.all.append((path, headers, body))
        return self.answer

    def bodies(self) -> list[Any]:
        return [json.loads(body) for _, _, body in self.all]


class Reader:
    """Where a page goes in the suite's own helpers."""

    address = "+49 30 1234"


@pytest.fixture
def posts() -> Posts:
    return Posts()


@pytest.fixture
def url(posts: Posts, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The server's address, while it runs."""
    monkeypatch.setenv("GATEWAY_SECRET", SECRET)
    with serving(Receiver(posts.take)) as address:
        yield address


def webhook(url: str, folder: Path, **settings: object) -> WebhookChannel:
    people = [{"id": "ana", "name": "Ana", "addresses": {"phone": "+49 30 1234"}}]
    oncall = OnCallConfig.model_validate(
        {"people": people, "schedules": [], "escalation": [{"after_s": 0, "notify": "ana"}]}
    )
    config = Config(data_dir=folder, channels={"phone": {}}, oncall=oncall)
    given = {"url": f"{url}/hook", "secret_env": "GATEWAY_SECRET", **settings}
    return WebhookChannel(ChannelContext(name="phone", settings=given, config=config, problems=Problems(None)))


# The webhook


def test_a_page_is_signed_as_standard_webhooks_are(posts: Posts, url: str, tmp_path: Path) -> None:
    """By the specification, reckoned here by hand: id, timestamp and body, and nothing else, prove the sender."""
    webhook(url, tmp_path).send(page(Reader(), key="inc-7f3a01:3.1:phone"))  # type: ignore[arg-type]
    ((path, headers, body),) = posts.all
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    digest = base64.b64encode(hmac.new(SECRET.encode(), signed, hashlib.sha256).digest()).decode()
    assert (path, headers["webhook-signature"]) == ("/hook", f"v1,{digest}")
    assert "." not in headers["webhook-id"]
    assert abs(int(headers["webhook-timestamp"]) - datetime.now(UTC).timestamp()) < 600
    assert SECRET.encode() not in body


def test_a_page_says_whom_to_call_and_how_to_acknowledge(posts: Posts, url: str, tmp_path: Path) -> None:
    """What a gateway reads out or sends as a short message."""
    webhook(url, tmp_path).send(page(Reader()))  # type: ignore[arg-type]
    (call,) = posts.bodies()
    assert (call["type"], call["to"]) == ("page", "+49 30 1234")
    assert call["title"] == "firing: payments: errors 31 % (usually 0.2 %)"
    assert call["text"].startswith("paged Ana")
    assert "/acknowledge/" in call["acknowledge_url"]
    assert call["incident"]["state"] == "firing"


def test_a_secret_may_be_written_as_the_libraries_write_it() -> None:
    """`whsec_` and base64."""
    written = "whsec_" + base64.b64encode(SECRET.encode()).decode()
    assert sign(written, "id", 1, b"{}") == sign(SECRET, "id", 1, b"{}")


@pytest.mark.parametrize(
    ("answer", "retry", "words"),
    [
        ((503, {"error": "later"}), True, "webhook phone answered 503"),
        ((429, {}), True, "answered 429"),
        ((401, {"error": "wrong signature"}), False, "wrong signature"),
        ((302, {}), False, "redirects are not followed"),
    ],
)
def test_an_answer_says_whether_trying_again_can_help(
    posts: Posts, url: str, tmp_path: Path, answer: tuple[int, object], retry: bool, words: str
) -> None:
    """Only 2xx is accepted."""
    posts.answer = answer
    with pytest.raises(DeliveryError) as refused:
        webhook(url, tmp_path).send_test("+49 30 1234", "Test page")
    assert (refused.value.retry, words in refused.value.message) == (retry, True)
    assert len(posts.all) == 1


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"url": "ftp://x"}, "`url`"),
        ({"secret_env": "no variable"}, "`secret_env`"),
        ({"secret_env": "UNSET_SECRET"}, "names the environment variable UNSET_SECRET, which is not set"),
        ({"secret_env": "SHORT_SECRET"}, "SHORT_SECRET must hold at least 16 characters"),
        ({"secret_env": "BROKEN_SECRET"}, "BROKEN_SECRET must hold base64 after whsec_"),
        ({"methode": "PUT"}, "`methode` no such key"),
    ],
)
def test_wrong_settings_are_named_before_the_role_starts(
    url: str, tmp_path: Path, settings: dict[str, object], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With their place in the file; the other channels work."""
    monkeypatch.setenv("SHORT_SECRET", "short")
    monkeypatch.setenv("BROKEN_SECRET", "whsec_%")
    given = {"kind": "webhook", "url": url, "secret_env": "GATEWAY_SECRET"} | settings
    config = Config(data_dir=tmp_path, channels={"slack": {}, "phone": given})
    (line,) = broken_channels(ReadConfig(config=config, document=None))
    assert line.startswith("channels.phone: channel phone cannot be opened: ")
    assert words in line
    assert "Error" not in line
    assert SECRET not in line
    assert list(open_channels(config, Problems(None)).channels) == ["slack"]


def test_there_can_be_several_of_a_kind(posts: Posts, url: str, tmp_path: Path) -> None:
    """Short messages and telephone calls by one kind, each with settings of its own; addresses are checked by kind."""
    given = {"kind": "webhook", "url": url, "secret_env": "GATEWAY_SECRET"}
    channels = {"sms": given, "phone": {**given, "updates": True}, "letters": {"kind": "email"}, "slack": {}}
    people = [{"id": "ana", "name": "Ana", "addresses": {"sms": "+49", "letters": "nowhere"}}]
    oncall = {"people": people, "schedules": [], "escalation": [{"after_s": 0, "notify": "ana"}]}
    config = Config.model_validate({"data_dir": tmp_path, "channels": channels, "oncall": oncall})
    opened = open_channels(config, Problems(None))
    assert set(opened.channels) == {"sms", "phone", "slack"}
    shows = {name: opened.parts[name].updates_with(config.channels[name]) for name in opened.channels}
    assert shows == {"sms": False, "phone": True, "slack": True}
    (mistake,) = channel_mistakes(ReadConfig(config=config, document=None))
    assert (
        mistake
        == "oncall.people.0.addresses.letters: must be an e-mail address, such as ana@example.com (found 'nowhere')"
    )
    opened.channels["sms"].send_test("+49", "Test page")
    assert posts.bodies()[0]["type"] == "test"


# PagerDuty


def test_pagerduty_follows_an_incident(posts: Posts, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Triggered, acknowledged, resolved at the recovery, triggered again: one dedup key."""
    monkeypatch.setenv("PAGERDUTY_KEY", "R" * 32)
    posts.answer = (202, {"status": "success"})
    context = ChannelContext(
        name="pagerduty",
        settings={"routing_key_env": "PAGERDUTY_KEY", "url": url},
        config=Config(),
        problems=Problems(None),
    )
    channel, first = PagerDutyChannel(context), page(Reader())  # type: ignore[arg-type]
    update = replace(first, kind="update", mention="", text="")
    seen = first.incident
    states = [
        seen,
        replace(seen, human_state="acknowledged"),
        replace(seen, human_state="acknowledged", system_state="recovered"),
        replace(seen, human_state="acknowledged"),
        replace(seen, human_state="resolved"),
    ]
    channel.send(first)
    for state in states:
        channel.send(replace(update, incident=state))
    events = posts.bodies()
    actions = [event["event_action"] for event in events]
    assert actions == ["trigger", "trigger", "acknowledge", "resolve", "acknowledge", "resolve"]
    assert {(path, event["dedup_key"]) for (path, _, _), event in zip(posts.all, events, strict=True)} == {
        ("/v2/enqueue", "inc-7f3a01")
    }
    assert {event["routing_key"] for event in events} == {"R" * 32}
    assert events[0]["payload"]["severity"] == "critical"
    assert events[0]["payload"]["custom_details"]["Paged"] == "+49 30 1234"


def test_pagerduty_closes_a_gathered_alert_when_all_are_over(
    url: str, posts: Posts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that fires keeps it open; the daily list of tickets is no alert."""
    monkeypatch.setenv("PAGERDUTY_KEY", "R" * 32)
    context = ChannelContext(
        name="pagerduty",
        settings={"routing_key_env": "PAGERDUTY_KEY", "url": url},
        config=Config(),
        problems=Problems(None),
    )
    channel = PagerDutyChannel(context)
    firing = (incident("inc-000001"), incident("inc-000002"))
    over = tuple(replace(one, human_state="resolved") for one in firing)
    digest = Digest(key="batch-1", part="batch-1", incidents=firing, mention="Ana", text="paged Ana")
    thread = channel.send_digest(digest)
    for incidents in ((over[0], firing[1]), over):
        channel.send_digest(replace(digest, incidents=incidents, mention="", text="", thread=thread))
    channel.send_digest(replace(digest, mention="", tickets_at=datetime.now(UTC)))
    assert [event["event_action"] for event in posts.bodies()] == ["trigger", "trigger", "resolve"]


# Alertmanager


@contextmanager
def alertmanager(url: str, db: Database, clock: FrozenClock) -> Iterator[tuple[Incidents, Delivery]]:
    """An installation whose only channel is Alertmanager."""
    settings = {"url": url, "labels": {"team": "shop"}, "repeat_s": 30}
    people = [{"id": "oncall", "name": "On call", "addresses": {"alertmanager": "everybody"}}]
    config = Config.model_validate({"channels": {"alertmanager": settings}, "oncall": {"people": people}})
    context = ChannelContext(name="alertmanager", settings=settings, config=config, problems=Problems(None))
    channel = AlertmanagerChannel(context, clock)
    assert isinstance(channel, Repeats)
    incidents = Incidents.configured(config, db, clock)
    reach = Reach(channel="alertmanager", everybody=ALERTMANAGER.everybody)
    worker = Delivery(
        db=db,
        channel=channel,
        name="alertmanager",
        incidents=incidents,
        recipients=lambda draft, now: recipients(config.oncall, draft, now, (), reach),
        repeat_s=channel.repeat_s,
    )
    with capture_logs():
        yield incidents, worker


def test_an_alert_is_sent_again_while_it_fires_and_ends_at_the_recovery(
    posts: Posts, url: str, db: Database, clock: FrozenClock
) -> None:
    """As Prometheus does it; the rows do not pile up, and a repetition is the same alert."""
    with alertmanager(url, db, clock) as (incidents, worker):
        (incident_id,) = incidents.observe([finding(clock.now(), "cart")])
        incidents.page(incident_id)
        for _ in range(100):
            worker.run(clock.now())
            clock.advance(1)
        alerts = [alert for alerts in posts.bodies() for alert in alerts]
        assert 5 <= len(alerts) <= 6  # at once twice (the page, and what it shows), then every 30 s
        assert len({json.dumps(alert["labels"]) for alert in alerts}) == 1
        assert alerts[0]["labels"]["team"] == "shop"
        ends = datetime.fromisoformat(alerts[-1]["endsAt"])
        assert timedelta(seconds=80) < ends - clock.now() <= timedelta(seconds=120)
        incidents.recovered(incident_id, "r")
        recovered_at = incidents.get(incident_id).recovered_at
        for _ in range(100):
            worker.run(clock.now())
            clock.advance(1)
        over = [alert for alerts in posts.bodies()[len(alerts) :] for alert in alerts]
        assert {datetime.fromisoformat(alert["endsAt"]) for alert in over} == {recovered_at}
        assert len(over) <= 2
        incidents.refired(incident_id, "f")
        worker.run(clock.now())
        assert datetime.fromisoformat(posts.bodies()[-1][0]["endsAt"]) > clock.now()


def test_alerts_that_were_gathered_are_repeated_together(
    posts: Posts, url: str, db: Database, clock: FrozenClock
) -> None:
    """A storm is a few requests, at first and at each repetition."""
    with alertmanager(url, db, clock) as (incidents, worker):
        opened = incidents.observe([finding(clock.now(), f"s{number}") for number in range(40)])
        incidents.page_all(opened)
        for _ in range(70):
            worker.run(clock.now())
            clock.advance(1)
        sizes = [len(alerts) for alerts in posts.bodies()]
        assert sum(size > 30 for size in sizes) >= 3
        assert len(sizes) < 40
        names = {alert["labels"]["incident"] for alert in posts.bodies()[-1]}
        assert names <= set(opened)


def test_a_part_is_in_use_by_its_kind(tmp_path: Path) -> None:
    """`watchkeeper parts` shows the kind that an entry of another name uses."""
    config = Config(data_dir=tmp_path, channels={"slack": {}, "phone": {"kind": "webhook"}})
    used = {part.name: part.used for part in listed_parts(config, "channel")}
    assert (used["webhook"], used["email"]) == ("yes", "no")
