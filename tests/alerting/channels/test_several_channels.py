"""Several channels: a row for each channel and address, none of which waits for another."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from functools import partial
from importlib.metadata import EntryPoint

import pytest
from sqlalchemy import select
from structlog.testing import capture_logs

from alerting.channels import outbox
from alerting.channels.channel import ChannelPart
from alerting.channels.delivery import Delivery
from alerting.channels.registry import accept_channel, open_channels
from alerting.channels.slack.part import SLACK as SLACK_PART
from alerting.incidents.commands import Incidents
from alerting.oncall.escalation import page_command
from alerting.oncall.recipients import Reach, recipients
from tests.alerting.protocol import EDGES, Recorder, finding
from watchkeeper.clock import FrozenClock
from watchkeeper.config import Config, EscalationStep, LayerConfig, OnCallConfig, PersonConfig, ScheduleConfig
from watchkeeper.errors import DeliveryError
from watchkeeper.parts import Part, Registry, read_registry
from watchkeeper.problems import Problems
from watchkeeper.roles.paging import Paging
from watchkeeper.state.database import Database
from watchkeeper.state.schema import outbox as outbox_table
from watchkeeper.vocabulary import Actor

ANA = PersonConfig(id="ana", name="Ana", addresses={"slack": "UANA", "mail": "ana@example.org"})
BEN = PersonConfig(id="ben", name="Ben", addresses={"slack": "UBEN"})
ONCALL = OnCallConfig(
    people=(ANA, BEN),
    schedules=(ScheduleConfig(id="primary", layers=(LayerConfig(people=("ana",)),)),),
    escalation=(EscalationStep(after_s=0, notify="primary"), EscalationStep(after_s=300, notify="ben")),
)
CONFIG = Config(oncall=ONCALL, channels={"slack": {}, "mail": {"server": "127.0.0.1"}})


def rows(db: Database) -> list[tuple[str, str, str]]:
    """What waits: channel, address, and the kind of message."""
    with db.read() as connection:
        waiting = select(outbox_table).where(outbox_table.c.sent_at.is_(None)).order_by(outbox_table.c.id)
        found = connection.execute(waiting).all()
    return [(row.channel, row.address, "page" if '"page"' in row.body else "update") for row in found]


class Two:
    """Slack and mail, each a recorder, and a worker for each."""

    def __init__(self, db: Database, clock: FrozenClock, **mail: object) -> None:
        self.db, self.clock = db, clock
        self.incidents = Incidents.configured(CONFIG, db, clock)
        self.slack, self.mail = Recorder(), Recorder()
        self.workers = {
            "slack": self._worker("slack", self.slack),
            "mail": self._worker("mail", self.mail, **mail),
        }

    def _worker(self, name: str, channel: Recorder, **values: object) -> Delivery:
        return Delivery(
            db=self.db,
            channel=channel,
            name=name,
            incidents=self.incidents,
            recipients=partial(self._recipients, Reach(channel=name)),
            **values,  # type: ignore[arg-type]
        )

    @staticmethod
    def _recipients(reach: Reach, draft: outbox.Draft, now):  # type: ignore[no-untyped-def]
        return recipients(ONCALL, draft, now, (), reach)

    def page(self) -> str:
        (incident_id,) = self.incidents.observe([finding(self.clock.now(), "cart")], edges=EDGES)
        self.incidents.page(incident_id)
        return incident_id

    def send(self, later_s: float = 0) -> None:
        with capture_logs():
            for worker in self.workers.values():
                worker.run(self.clock.now() + timedelta(seconds=later_s))


@pytest.fixture
def two(db: Database, clock: FrozenClock) -> Two:
    return Two(db, clock)


def test_a_page_is_a_row_for_each_channel_and_address(two: Two) -> None:
    """Ana is reached by both; each has a key of its own, and a place of its own."""
    incident_id = two.page()
    assert rows(two.db) == [("slack", "UANA", "page"), ("mail", "ana@example.org", "page")]
    two.send()
    assert [page.mention for page in two.slack.pages()] == ["UANA"]
    assert [page.mention for page in two.mail.pages()] == ["ana@example.org"]
    assert not set(two.slack.shown) & set(two.mail.shown)
    texts = [entry.text for entry in two.incidents.get(incident_id).timeline if entry.kind == "delivered"]
    assert texts == ["the page was delivered by slack", "the page was delivered by mail"]


def test_who_has_no_address_in_a_channel_is_not_replaced_there(two: Two) -> None:
    """Ben has Slack only: mail shows the escalation to whoever reads it, and pages nobody in his place."""
    incident_id = two.page()
    two.send()
    with two.db.write() as connection:
        two.incidents.apply(connection, incident_id, page_command("escalated", 1, two.clock.now(), "t"))
    assert rows(two.db)[-2:] == [("slack", "UBEN", "page"), ("mail", "", "update")]
    two.send(10)
    assert [page.mention for page in two.mail.pages()] == ["ana@example.org"]


def test_who_has_no_address_at_all_is_replaced_in_every_channel(db: Database, clock: FrozenClock) -> None:
    """Whoever can be reached there is paged instead."""
    nobody = PersonConfig(id="ana", name="Ana")
    oncall = ONCALL.model_copy(update={"people": (nobody, BEN)})
    incidents = Incidents(db, clock, oncall, channels=("slack", "mail"))
    (incident_id,) = incidents.observe([finding(clock.now(), "cart")], edges=EDGES)
    incidents.page(incident_id)
    assert rows(db) == [("slack", "", "page"), ("mail", "", "page")]


@pytest.mark.parametrize("day", ["refuses", "hopeless", "crashes", "answer lost"])
def test_a_channel_that_fails_stops_no_other(two: Two, day: str) -> None:
    """Mail fails again and again; Slack's page is delivered at once, and mail's is tried on its own."""
    incident_id = two.page()
    two.mail.broken = day
    two.send()
    assert [page.mention for page in two.slack.pages()] == ["UANA"]
    assert two.incidents.get(incident_id).delivered
    for second in range(1, 20):
        two.send(second)
    assert len(two.slack.pages()) == 1
    two.mail.broken = ""
    two.send(200)
    assert len(two.mail.pages()) == 1
    assert rows(two.db) == []


def test_a_wait_that_one_channel_asks_for_is_its_own(two: Two, clock: FrozenClock) -> None:
    """Slack's rate limit is not mail's."""

    def asks_to_wait(_: object) -> None:
        raise DeliveryError("slow down", retry=True, retry_after_s=30, unsent=True)

    two.page()
    two.slack.send = asks_to_wait  # type: ignore[assignment,method-assign]
    two.send()
    assert len(two.mail.pages()) == 1
    assert [channel for channel, _, _ in rows(two.db) if channel == "slack"] == ["slack"]


def test_a_channel_that_can_only_page_gets_no_updates(db: Database, clock: FrozenClock) -> None:
    """Nor a page that somebody took before it was sent."""
    two = Two(db, clock, shows_updates=False)
    incident_id = two.page()
    two.send()
    two.incidents.acknowledge(incident_id, Actor(name="Ana", via="slack"), "a")
    two.send(5)
    assert [message.kind for message in two.mail.shown.values()] == ["page"]
    assert "update" in [message.kind for message in two.slack.shown.values()]
    assert rows(db) == []
    other = two.incidents.observe([finding(clock.now(), "blog")], edges=EDGES)[0]
    two.incidents.page(other)
    two.incidents.acknowledge(other, Actor(name="Ana", via="slack"), "b")
    two.send(10)
    two.send(20)  # what Slack shows of it follows
    assert [message.incident.id for message in two.mail.shown.values()] == [incident_id]
    assert rows(db) == []


def registry(*points: EntryPoint) -> Registry[ChannelPart]:
    return read_registry("channel", accept_channel, points)


def test_a_channel_that_cannot_be_loaded_is_a_problem_and_stops_no_other(db: Database, clock: FrozenClock) -> None:
    """Not installed, not importable, or of another kind: named with its reason, and pages go out by the others."""
    group = "watchkeeper.channels"
    good = EntryPoint("slack", "alerting.channels.slack.part:SLACK", group)
    for bad, reason in [
        (EntryPoint("mail", "nowhere.at.all:MAIL", group), "No module named 'nowhere'"),
        (EntryPoint("mail", "alerting.channels.slack.channel:SlackChannel", group), "must name an"),
        (EntryPoint("other", "alerting.channels.slack.part:SLACK", group), "no channel 'mail' is installed"),
        (EntryPoint("mail", "alerting.channels.slack.part:SLACK", group), "its settings are under `slack:`"),
    ]:
        problems = Problems(None)
        opened = open_channels(CONFIG, problems, registry=registry(good, bad))
        assert list(opened.channels) == ["slack"]
        assert reason in opened.broken["mail"]
        incidents = Incidents.configured(CONFIG, db, clock, channels=tuple(opened.channels))
        with capture_logs():
            Paging(CONFIG, db, incidents, problems, channels=opened).fire(clock.now())
        (problem,) = problems.current()
        assert (problem.loop, problem.subject) == ("channels", "mail")
        assert "pages go out by slack" in problem.reason


def test_a_setting_that_is_missing_is_named() -> None:
    """A channel of another package may read its settings as they are."""
    greedy = replace(SLACK_PART, open=lambda context: context.settings["path"])
    part = Part(kind="channel", name="mail", version="", origin="", summary="", value=greedy)
    known = Registry(kind="channel", parts={"mail": part}, broken=())
    opened = open_channels(CONFIG, Problems(None), registry=known)
    assert opened.broken["mail"] == "channel mail cannot be opened: `channels.mail` lacks the setting 'path'"


def test_what_waits_for_a_channel_that_is_gone_goes_out_by_the_others(two: Two, clock: FrozenClock) -> None:
    """Its pages, once; its updates are dropped. What the others hold stays as it was."""
    incident_id = two.page()
    two.workers["slack"].run(clock.now())
    two.incidents.acknowledge(incident_id, Actor(name="Ana", via="slack"), "a")
    assert [kind for channel, _, kind in rows(two.db) if channel == "mail"] == ["page", "update"]
    assert outbox.reroute(two.db, ["slack"], clock.now()) == 1
    assert outbox.reroute(two.db, ["slack"], clock.now()) == 0
    assert {channel for channel, _, _ in rows(two.db)} == {"slack"}
    assert [kind for _, _, kind in rows(two.db)].count("page") == 1


def test_slack_comes_in_by_the_same_door(two: Two) -> None:
    """Its part is the object that the entry point names, and nothing else registers it."""
    part = accept_channel("slack", SLACK_PART)
    assert part is SLACK_PART
    with pytest.raises(TypeError, match="must name an"):
        accept_channel("slack", replace)
