"""How one person is reached: by their rules, each in its time, and by the next channel where one fails."""

from __future__ import annotations

import math
import threading
from datetime import datetime, timedelta
from functools import partial

import pytest
from sqlalchemy import func, select
from structlog.testing import capture_logs

from alerting.channels.deadline import Deadline
from alerting.channels.delivery import Delivery
from alerting.channels.failover import fail_over
from alerting.channels.outbox import due, grant_time, hold
from alerting.incidents.commands import Incidents
from alerting.oncall.clock_steps import ClockSteps
from alerting.oncall.escalation import effects
from alerting.oncall.recipients import Reach, recipients
from alerting.oncall.timers import run_due
from tests.alerting.protocol import EDGES, Recorder, finding, unsent
from watchkeeper.clock import FrozenClock
from watchkeeper.config import EscalationStep, LayerConfig, NotificationRule, OnCallConfig, PersonConfig, ScheduleConfig
from watchkeeper.errors import DeliveryError
from watchkeeper.problems import Problems
from watchkeeper.state.database import Database, from_micros, to_micros
from watchkeeper.state.schema import outbox, timers
from watchkeeper.vocabulary import Actor

CHANNELS = ("slack", "mail", "phone")
RULES = (
    NotificationRule(channel="slack"),
    NotificationRule(channel="mail", after_s=60),
    NotificationRule(channel="phone", after_s=180),
)
ANA = PersonConfig(
    id="ana", name="Ana", addresses={"slack": "UANA", "mail": "ana@x", "phone": "+1"}, notification_rules=RULES
)
BEN = PersonConfig(id="ben", name="Ben", addresses={"slack": "UBEN", "mail": "ben@x"})
HAND = Actor(name="Ana", via="slack")


class Reached:
    """Three channels, and the jobs of a watch role on a clock of the test's own."""

    def __init__(
        self, db: Database, clock: FrozenClock, *, ana: PersonConfig = ANA, ack_timeout_s: float = 1800
    ) -> None:
        self.db, self.clock = db, clock
        self.oncall = OnCallConfig(
            people=(ana, BEN),
            schedules=(ScheduleConfig(id="primary", layers=(LayerConfig(people=("ana",)),), fallback="ben"),),
            escalation=(EscalationStep(after_s=0, notify="primary"), EscalationStep(after_s=3600, notify="ben")),
        )
        self.incidents = Incidents(db, clock, self.oncall, channels=CHANNELS, ack_timeout_s=ack_timeout_s)
        self.channels = {name: Recorder() for name in CHANNELS}
        self.workers = {
            name: Delivery(
                db=db,
                channel=channel,
                name=name,
                incidents=self.incidents,
                recipients=partial(self._recipients, Reach(channel=name)),
                shows_updates=name == "slack",
            )
            for name, channel in self.channels.items()
        }
        self.firing = [finding(clock.now(), "cart")]
        (self.incident_id,) = self.incidents.observe(self.firing, edges=EDGES)
        self.incidents.page(self.incident_id)

    def _recipients(self, reach, draft, now):  # type: ignore[no-untyped-def]
        return recipients(self.oncall, draft, now, (), reach)

    def go(self, seconds: int) -> None:
        """The rounds of so many seconds, one a second; those in which nothing is due are left out."""
        end = self.clock.now() + timedelta(seconds=seconds)
        with capture_logs():
            while self.clock.now() <= end:
                self.round()
                wait_s = (self._next_due() - self.clock.now()).total_seconds()
                self.clock.advance(min(max(1, math.ceil(wait_s)), (end - self.clock.now()).total_seconds() + 1))

    def _next_due(self) -> datetime:
        with self.db.read() as connection:
            waiting = select(func.min(outbox.c.due_at), func.min(outbox.c.fails_over_at))
            dues = [*connection.execute(waiting.where(outbox.c.sent_at.is_(None))).one()]
            dues.append(connection.scalar(select(func.min(timers.c.due_at)).where(timers.c.done_at.is_(None))))
        return from_micros(min((due for due in dues if due is not None), default=to_micros(self.clock.now())))

    def round(self) -> None:
        now = self.clock.now()
        run_due(self.db, now, effects(self.incidents))
        fail_over(self.db, self.incidents.routing, self.incidents.apply_together, now, Problems(None))
        for worker in self.workers.values():
            worker.run(now)

    def paged(self) -> list[tuple[str, str]]:
        """Who was paged by which channel."""
        return [(name, page.mention) for name, channel in self.channels.items() for page in channel.pages()]

    def timeline(self, kind: str) -> list[str]:
        return [entry.text for entry in self.incidents.get(self.incident_id).timeline if entry.kind == kind]


@pytest.fixture
def reached(db: Database, clock: FrozenClock) -> Reached:
    return Reached(db, clock)


def test_each_rule_pages_in_its_own_time_and_says_why(reached: Reached) -> None:
    """Slack at once, mail after a minute, the telephone after three."""
    reached.go(58)
    assert reached.paged() == [("slack", "UANA")]
    reached.go(3)
    assert reached.paged() == [("slack", "UANA"), ("mail", "ana@x")]
    reached.go(115)
    assert reached.channels["phone"].pages() == []
    reached.go(5)
    (page,) = reached.channels["phone"].pages()
    assert page.text == "paged Ana: on call in 'primary' by rotation; step 1 of 2; nobody acknowledged for 3 min"
    assert unsent(reached.db) == []
    reached.go(60)
    assert len(reached.paged()) == 3


@pytest.mark.parametrize("answer", ["acknowledge", "resolve"])
def test_an_answer_stops_the_rules_that_have_not_come(reached: Reached, answer: str) -> None:
    """In the answer's own transaction: nothing waits any more."""
    reached.go(30)
    getattr(reached.incidents, answer)(reached.incident_id, HAND, "a")
    reached.go(200)
    assert reached.paged() == [("slack", "UANA")]
    assert unsent(reached.db) == []


def test_an_acknowledgement_that_times_out_begins_the_rules_anew(db: Database, clock: FrozenClock) -> None:
    """What the first page would have sent later stays stopped, though the incident is paged again by then."""
    reached = Reached(db, clock, ack_timeout_s=100)
    reached.go(10)
    reached.incidents.acknowledge(reached.incident_id, HAND, "a")
    reached.go(145)  # the second page at 111 s
    assert reached.paged() == [("slack", "UANA")] * 2
    reached.go(30)
    assert [name for name, _ in reached.paged()] == ["slack", "slack", "mail"]


def test_flapping_delays_no_rule_for_good(reached: Reached) -> None:
    """What has recovered rings nobody; what fires again rings at once, if its time is over."""
    reached.go(10)
    reached.incidents.recovered(reached.incident_id, "r")
    reached.go(200)
    assert reached.paged() == [("slack", "UANA")]
    reached.incidents.refired(reached.incident_id, "f")
    reached.go(1)
    assert reached.paged() == [("slack", "UANA"), ("mail", "ana@x"), ("phone", "+1")]


def test_what_fires_again_before_its_rule_keeps_the_rule_s_time(reached: Reached) -> None:
    """A short recovery changes nothing."""
    reached.go(10)
    reached.incidents.recovered(reached.incident_id, "r")
    reached.go(10)
    reached.incidents.refired(reached.incident_id, "f")
    reached.go(35)
    assert reached.paged() == [("slack", "UANA")]
    reached.go(10)
    assert reached.paged() == [("slack", "UANA"), ("mail", "ana@x")]


def test_a_page_is_not_held_for_what_fires_again_already(reached: Reached, clock: FrozenClock) -> None:
    """It fired again between the look and the hold."""
    reached.go(10)
    (page,), _ = due(reached.db, "mail", clock.now() + timedelta(minutes=2), Problems(None))
    hold(reached.db, [page], clock.now())
    reached.go(55)
    assert reached.paged() == [("slack", "UANA"), ("mail", "ana@x")]


def test_without_rules_every_channel_pages_at_once(db: Database, clock: FrozenClock) -> None:
    """As before there were rules."""
    reached = Reached(db, clock, ana=ANA.model_copy(update={"notification_rules": ()}))
    reached.go(1)
    assert reached.paged() == [("slack", "UANA"), ("mail", "ana@x"), ("phone", "+1")]


def test_a_channel_that_fails_is_replaced_by_the_next_within_30_seconds(reached: Reached) -> None:
    """The next rule comes early, once, and both the page and the timeline say why."""
    reached.channels["slack"].broken = "refuses"
    reached.go(29)
    assert reached.paged() == [("mail", "ana@x")]
    (page,) = reached.channels["mail"].pages()
    assert page.text.endswith("slack has not delivered the page to Ana (not today)")
    assert "slack has not delivered the page to Ana (not today): mail pages them now" in reached.timeline("undelivered")
    reached.channels["slack"].broken = ""
    reached.go(100)  # the late page is still tried; the second rule is not repeated
    assert reached.paged() == [("slack", "UANA"), ("mail", "ana@x")]
    assert reached.incidents.get(reached.incident_id).delivered


def test_a_channel_that_refuses_for_good_is_replaced_at_once(reached: Reached) -> None:
    """A token that was withdrawn does not come back within seconds."""
    reached.channels["slack"].broken = "hopeless"
    reached.go(2)
    assert reached.paged() == [("mail", "ana@x")]


def test_a_rule_that_fails_later_is_replaced_too(reached: Reached) -> None:
    """Slack was delivered and not answered; mail fails, so the telephone rings early."""
    reached.channels["mail"].broken = "refuses"
    reached.go(90)
    assert reached.paged() == [("slack", "UANA"), ("phone", "+1")]


def test_two_channels_that_fail_lead_to_the_third_once(db: Database, clock: FrozenClock) -> None:
    """Also where both are late in the same moment, and no rule names the third."""
    rules = (NotificationRule(channel="slack"), NotificationRule(channel="mail"))
    reached = Reached(db, clock, ana=ANA.model_copy(update={"notification_rules": rules}))
    reached.channels["slack"].broken = reached.channels["mail"].broken = "refuses"
    reached.go(29)
    assert reached.paged() == [("phone", "+1")]


def test_whoever_has_no_other_channel_is_replaced_where_others_are_reached(db: Database, clock: FrozenClock) -> None:
    """Ana has Slack only: mail pages Ben, who reads why it is him."""
    alone = PersonConfig(id="ana", name="Ana", addresses={"slack": "UANA"})
    reached = Reached(db, clock, ana=alone)
    reached.channels["slack"].broken = "refuses"
    reached.go(29)
    assert reached.paged() == [("mail", "ben@x")]
    (page,) = reached.channels["mail"].pages()
    assert "slack has not delivered the page to Ana" in page.text
    assert "paged Ben" in page.text


def test_a_page_that_another_channel_delivered_needs_no_replacement(db: Database, clock: FrozenClock) -> None:
    """Without rules all page at once: one that fails changes nothing for the others."""
    reached = Reached(db, clock, ana=ANA.model_copy(update={"notification_rules": ()}))
    reached.channels["slack"].broken = "refuses"
    reached.go(60)
    assert reached.paged() == [("mail", "ana@x"), ("phone", "+1")]


def test_an_answer_stops_the_replacement(reached: Reached) -> None:
    """Whoever saw it elsewhere has it: nobody is rung because Slack is away."""
    reached.channels["slack"].broken = "refuses"
    reached.go(15)
    reached.incidents.acknowledge(reached.incident_id, HAND, "a")
    reached.go(60)
    assert reached.paged() == []


def test_a_channel_that_hangs_delays_no_other_and_fails_over(reached: Reached) -> None:
    """Its calls end by a clock of their own, and there is never more than one thread that hangs."""
    hung = threading.Event()
    calls: list[str] = []

    class Hangs(Recorder):
        def send(self, message):  # type: ignore[no-untyped-def]
            calls.append(message.key)
            hung.wait()
            return super().send(message)

    reached.workers["slack"].channel = Deadline(Hangs(), "slack", call_s=0.05)
    try:
        reached.go(29)
        assert reached.paged() == [("mail", "ana@x")]
        assert len(calls) == 1
        assert any("slack did not answer within 50 ms" in text for text in reached.timeline("undelivered"))
        with pytest.raises(DeliveryError, match="slack has not answered a call for") as refused:
            reached.workers["slack"].channel.send_test("UANA", "test")
        assert refused.value.retry
    finally:
        hung.set()


def test_a_call_that_ends_in_time_gives_what_the_channel_gives() -> None:
    """Also its own error."""

    class Picky(Recorder):
        def send_test(self, address, text):  # type: ignore[no-untyped-def]
            if address == "U1":
                raise DeliveryError("no such user", retry=False)
            raise ZeroDivisionError(text)

    bounded = Deadline(Picky(), "slack")
    assert bounded.unreachable("U1") is None
    with pytest.raises(DeliveryError, match="no such user"):
        bounded.send_test("U1", "x")
    with pytest.raises(ZeroDivisionError, match="x"):
        bounded.send_test("U2", "x")


@pytest.mark.parametrize("minutes", [-30, 30])
def test_a_clock_that_is_set_moves_no_rule(reached: Reached, minutes: int) -> None:
    """The mail comes a minute after the page, whatever the machine's clock says meanwhile."""
    seconds = [0.0]
    steps = ClockSteps(reached.db, Problems(None), monotonic=lambda: seconds[0])
    with capture_logs():
        steps.check(reached.clock.now())
        reached.go(20)
        seconds[0] += 21
        steps.check(reached.clock.now())
        reached.clock.advance(minutes * 60)
        steps.check(reached.clock.now())
    reached.go(37)
    assert [name for name, _ in reached.paged()] == ["slack"]
    reached.go(4)
    assert [name for name, _ in reached.paged()] == ["slack", "mail"]


def test_a_storm_fails_over_as_a_whole(db: Database, clock: FrozenClock) -> None:
    """A hundred pages that a dead channel holds go out by the next one, gathered, in the same half minute."""
    reached = Reached(db, clock)
    reached.channels["slack"].broken = "refuses"
    more = [finding(clock.now(), f"s{number}") for number in range(120)]
    opened = reached.incidents.observe([*reached.firing, *more])
    reached.incidents.page_all(opened)
    reached.go(29)
    paged = {message.incident.id for message in reached.channels["mail"].pages()}
    assert paged == {reached.incident_id, *opened}
    assert len(reached.channels["slack"].sends) < 40  # it is left alone meanwhile, and not asked 120 times


def test_a_page_that_waited_while_nobody_ran_is_not_late_at_once(reached: Reached) -> None:
    """After a restart each channel has its own time first."""
    reached.clock.advance(600)
    grant_time(reached.db, reached.clock.now())
    reached.workers.pop("slack")
    reached.go(15)
    assert "slack" not in [name for name, _ in reached.paged()]
    assert not reached.timeline("undelivered")
