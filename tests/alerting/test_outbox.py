"""Messages that wait: at least once, in order, and shown once, whatever the channel does."""

from __future__ import annotations

from dataclasses import replace

import pytest
from protocol import EDGES, Recorder, delivery, finding, turn, unsent
from structlog.testing import capture_logs

from alerting.incidents.commands import Incidents
from watchkeeper.clock import FrozenClock
from watchkeeper.config import OnCallConfig
from watchkeeper.problems import Problems
from watchkeeper.state.database import Database
from watchkeeper.vocabulary import Actor

ANA = Actor(name="Ana", via="slack")


@pytest.fixture
def paged(incidents: Incidents, clock: FrozenClock) -> str:
    """One incident whose page waits."""
    (incident_id,) = incidents.observe([finding(clock.now(), "cart")], edges=EDGES)
    incidents.page(incident_id)
    return incident_id


@pytest.mark.parametrize("day", ["refuses", "crashes", "answer lost"])
def test_a_failed_send_is_tried_again_and_shown_once(
    day: str, paged: str, db: Database, incidents: Incidents, oncall: OnCallConfig, clock: FrozenClock
) -> None:
    """A time-out whose message did arrive shows a human nothing twice."""
    channel = Recorder()
    channel.broken = day
    with capture_logs():
        turn(db, incidents, oncall, channel, clock.now())
    assert "undelivered" in [entry.kind for entry in incidents.get(paged).timeline]
    channel.broken = ""
    turn(db, incidents, oncall, channel, clock.advance(0.5))
    assert len(channel.sends) == 1
    turn(db, incidents, oncall, channel, clock.advance(1))
    assert channel.sends == [channel.sends[0]] * 2 + [f"{channel.sends[0]}:show"]
    assert len(channel.pages(paged)) == 1
    assert incidents.get(paged).delivered
    assert unsent(db) == []


def test_a_hopeless_send_is_tried_again_too_but_rarely(
    paged: str, db: Database, incidents: Incidents, oncall: OnCallConfig, clock: FrozenClock
) -> None:
    """A human may mend the token; a page is never given up."""
    channel = Recorder()
    channel.broken = "hopeless"
    with capture_logs():
        for _ in range(120):
            turn(db, incidents, oncall, channel, clock.advance(1))
    assert len(channel.sends) == 2


def test_one_incident_that_cannot_be_sent_holds_up_no_other(
    paged: str, db: Database, incidents: Incidents, oncall: OnCallConfig, clock: FrozenClock
) -> None:
    """Only its own messages wait for it, so that they stay in order."""

    class Picky(Recorder):
        def send(self, message):  # type: ignore[no-untyped-def]
            self.broken = "refuses" if message.incident.id == paged else ""
            return super().send(message)

    channel = Picky()
    (other,) = incidents.observe([finding(clock.now(), "cart"), finding(clock.now(), "blog")], edges=EDGES)
    incidents.page(other)
    with capture_logs():
        turn(db, incidents, oncall, channel, clock.now())
    assert [message.incident.id for message in channel.pages()] == [other]


def test_a_page_that_waited_until_somebody_took_it_wakes_nobody(
    paged: str, db: Database, incidents: Incidents, oncall: OnCallConfig, clock: FrozenClock
) -> None:
    """It still shows, as an update."""
    incidents.acknowledge(paged, ANA, "a")
    channel = Recorder()
    turn(db, incidents, oncall, channel, clock.now())
    assert channel.pages() == []
    assert {message.mention for message in channel.shown.values()} == {""}


def test_of_updates_that_wait_only_the_newest_is_sent(
    paged: str, db: Database, incidents: Incidents, oncall: OnCallConfig, clock: FrozenClock
) -> None:
    """One message shows once what five updates would show."""
    channel = Recorder()
    turn(db, incidents, oncall, channel, clock.now())
    before = len(channel.sends)
    incidents.acknowledge(paged, ANA, "a")
    incidents.observe([], edges=EDGES)
    incidents.resolve(paged, ANA, "r")
    turn(db, incidents, oncall, channel, clock.advance(1))
    assert len(channel.sends) == before + 1
    assert channel.shown[channel.sends[-1]].incident.human_state == "resolved"


def test_the_incident_knows_its_thread(
    paged: str, db: Database, incidents: Incidents, oncall: OnCallConfig, clock: FrozenClock
) -> None:
    """A page links to where the talk is."""
    assert incidents.thread(paged, "slack") is None
    turn(db, incidents, oncall, Recorder(), clock.now())
    thread = incidents.thread(paged, "slack")
    assert thread is not None
    assert (thread.conversation, thread.ts) == ("C1", paged)


def test_a_page_that_fails_again_and_again_is_one_problem_until_it_is_sent(
    paged: str, db: Database, incidents: Incidents, oncall: OnCallConfig, clock: FrozenClock
) -> None:
    """What is reported counts the tries; that a page can be prepared does not mean that it went out."""
    channel, problems = Recorder(), Problems(None)
    worker = replace(delivery(db, incidents, oncall, channel), problems=problems)
    channel.broken = "refuses"
    with capture_logs():
        for _ in range(3):
            worker.run(clock.advance(70))
    (problem,) = problems.current()
    assert (problem.loop, problem.count) == ("outbox", 3)
    channel.broken = ""
    worker.run(clock.advance(70))
    assert problems.current() == ()
