"""Many pages at once, and rows that cannot be read: everybody is paged soon, and no row stops another."""

from __future__ import annotations

import json

import pytest
from protocol import Recorder, delivery, finding, next_due, unsent
from sqlalchemy import insert, update
from structlog.testing import capture_logs

from alerting.channels.channel import Digest, Message, Thread
from alerting.channels.slack import blocks as slack_blocks
from alerting.incidents.commands import Incidents
from alerting.oncall import timers
from alerting.oncall.escalation import effects
from watchkeeper.clock import FrozenClock
from watchkeeper.config import OnCallConfig
from watchkeeper.errors import DeliveryError
from watchkeeper.problems import Problems
from watchkeeper.state.database import Database
from watchkeeper.state.schema import incidents as incident_table
from watchkeeper.state.schema import outbox
from watchkeeper.vocabulary import Actor

ANA = Actor(name="Ana", via="slack")


def storm(incidents: Incidents, clock: FrozenClock, count: int, first: int = 0) -> tuple[str, ...]:
    """So many incidents at once, each paged."""
    now = clock.now()
    opened = incidents.observe(
        [finding(now, f"s{number:04}") for number in range(first, first + count)], judged=lambda _: False
    )
    incidents.page_all(opened)
    return opened


class Limited(Recorder):
    """A channel that takes a few messages and then one a second, as Slack does."""

    def __init__(self, clock: FrozenClock, burst: int = 3) -> None:
        super().__init__()
        self._clock = clock
        self._left, self._at = float(burst), clock.now()
        self._burst = burst

    def _take(self) -> None:
        now = self._clock.now()
        self._left = min(self._burst, self._left + (now - self._at).total_seconds())
        self._at = now
        if self._left < 1:
            raise DeliveryError("Slack asks to wait 1 s", retry=True, retry_after_s=1, unsent=True)
        self._left -= 1

    def send(self, message: Message) -> Thread:
        if message.kind == "page":
            self._take()
        return super().send(message)

    def send_digest(self, digest: Digest) -> Thread:
        if digest.mention:
            self._take()
        self.digests.append(digest)
        return digest.thread or Thread(conversation="C1", ts=digest.key)


@pytest.mark.parametrize("count", [6, 60, 300])
def test_a_storm_is_paged_within_ten_seconds(
    count: int, db: Database, incidents: Incidents, oncall: OnCallConfig, clock: FrozenClock
) -> None:
    """The first at once, the rest together: each delivered once, within the channel's own limits."""
    opened = storm(incidents, clock, count)
    channel = Limited(clock)
    sender = delivery(db, incidents, oncall, channel)
    with capture_logs():
        for _ in range(20):
            sender.run(clock.now())
            clock.advance(0.5)
    assert len(channel.pages()) == 1
    (digest,) = [digest for digest in channel.digests if digest.mention]
    assert digest.mention == "UANA"
    assert digest.text == "paged Ana: on call in 'primary' by rotation; step 1 of 2"
    shown = {channel.pages()[0].incident.id} | {incident.id for incident in digest.incidents}
    assert shown == set(opened)
    for incident_id in opened:
        assert [entry.kind for entry in incidents.get(incident_id).timeline].count("delivered") == 1
    assert unsent(db) == []


def test_what_comes_in_the_middle_of_a_storm_does_not_wait_behind_it(
    db: Database, incidents: Incidents, oncall: OnCallConfig, clock: FrozenClock
) -> None:
    """A page a second after 200 others is delivered within seconds."""
    channel = Limited(clock)
    sender = delivery(db, incidents, oncall, channel)
    storm(incidents, clock, 200)
    with capture_logs():
        sender.run(clock.now())
        clock.advance(1)
        (late,) = storm(incidents, clock, 1, first=900)
        for _ in range(10):
            sender.run(clock.advance(0.5))
    assert incidents.get(late).delivered


def test_the_next_step_of_a_storm_is_gathered_too_and_an_acknowledgement_ends_it(
    db: Database, incidents: Incidents, oncall: OnCallConfig, clock: FrozenClock
) -> None:
    """Ben gets one message about what nobody took; what somebody took is not in it."""
    opened = storm(incidents, clock, 40)
    channel = Recorder()
    sender = delivery(db, incidents, oncall, channel)
    sender.run(clock.now())
    for incident_id in opened[:10]:
        incidents.acknowledge(incident_id, ANA, "a")
    timers.run_due(db, clock.advance(301), effects(incidents))
    channel.digests.clear()
    sender.run(clock.now())
    (digest,) = [digest for digest in channel.digests if digest.mention]
    assert digest.mention == "UBEN"
    assert {incident.id for incident in digest.incidents} <= set(opened[10:])


def test_the_news_of_a_gathered_message_are_one_edit(
    db: Database, incidents: Incidents, oncall: OnCallConfig, clock: FrozenClock
) -> None:
    """Thirty acknowledgements are not thirty messages."""
    opened = storm(incidents, clock, 31)
    channel = Recorder()
    sender = delivery(db, incidents, oncall, channel)
    for _ in range(10):
        sender.run(clock.advance(1))
    channel.digests.clear()
    for incident_id in opened[1:]:
        incidents.acknowledge(incident_id, ANA, "a")
    for _ in range(10):
        sender.run(clock.advance(1))
    (edit,) = channel.digests
    assert {incident.human_state for incident in edit.incidents if incident.id != opened[0]} == {"acknowledged"}
    assert unsent(db) == []


def test_a_gathered_message_whose_answer_was_lost_is_sent_again_as_the_same(
    db: Database, incidents: Incidents, oncall: OnCallConfig, clock: FrozenClock
) -> None:
    """Only so can the channel know it again."""
    storm(incidents, clock, 20)
    channel = Recorder()
    sender = delivery(db, incidents, oncall, channel)
    send = channel.send_digest
    tries: list[Digest] = []

    def lose_the_first_answer(digest: Digest) -> Thread:
        tries.append(digest)
        where = send(digest)
        if len(tries) == 1:
            raise DeliveryError("timed out", retry=True)
        return where

    channel.send_digest = lose_the_first_answer  # type: ignore[method-assign]
    with capture_logs():
        for _ in range(10):
            sender.run(clock.advance(1))
    first, second = [digest for digest in tries if digest.mention]
    assert first.key == second.key
    assert [one.id for one in first.incidents] == [one.id for one in second.incidents]
    assert (first.first_try, second.first_try) == (True, False)
    assert unsent(db) == []


@pytest.mark.parametrize(
    "body", ["", "{", "[]", '{"kind": "fax"}', '{"kind": 7}', "null", '{"kind":"page","step":"x"}']
)
def test_a_message_that_cannot_be_read_holds_up_no_other(
    body: str, db: Database, incidents: Incidents, oncall: OnCallConfig, clock: FrozenClock
) -> None:
    """It is set aside, named, and tried again later."""
    row = {"key": "inc-bad:1", "incident_id": "inc-bad", "body": body, "created_at": 0, "due_at": 0}
    with db.write() as connection:
        connection.execute(insert(outbox).values(**row, leased_until=0, attempts=0))
    (incident_id,) = storm(incidents, clock, 1)
    channel = Recorder()
    sender = delivery(db, incidents, oncall, channel)
    with capture_logs():
        sender.run(clock.now())
        sender.run(clock.now())
    assert incidents.get(incident_id).delivered
    (problem,) = sender.problems.current()
    assert (problem.loop, problem.subject, problem.count) == ("outbox", "inc-bad:1", 1)
    assert unsent(db) == ["inc-bad:1"]


BODIES = ["{}", "not json", '{"id": "x"}', None]


@pytest.mark.parametrize("body", BODIES)
def test_an_incident_that_cannot_be_read_is_still_paged_and_hides_no_other(
    body: str | None, db: Database, incidents: Incidents, oncall: OnCallConfig, clock: FrozenClock
) -> None:
    """Its page says that its record cannot be read; the list, the rounds and the escalation of others go on."""
    bad, good = storm(incidents, clock, 2)
    service = incidents.get(good).service
    with db.write() as connection:
        if body is None:  # a state of a later version
            kept = incident_table.c.body
            body = str(
                connection.scalar(incident_table.select().with_only_columns(kept).where(incident_table.c.id == bad))
            )
            body = body.replace('"human_state":"paged"', '"human_state":"transmogrified"')
        connection.execute(update(incident_table).where(incident_table.c.id == bad).values(body=body))
    problems = Problems(None)
    again = Incidents(db, clock, oncall, problems=problems)
    channel = Recorder()
    sender = delivery(db, again, oncall, channel)
    with capture_logs():
        sender.run(clock.now())
        assert [incident.id for incident in again.list()] == [good]
        assert again.observe([finding(clock.now(), service)], judged=lambda _: False) == ()
        timers.run_due(db, clock.advance(301), effects(again), problems)
        sender.run(clock.now())
    assert {message.incident.id for message in channel.pages()} == {bad, good}
    assert "cannot be read" in channel.pages(bad)[0].incident.title
    assert [message.mention for message in channel.pages(good)] == ["UANA", "UBEN"]
    assert {problem.loop for problem in problems.current()} == {"incidents", "timers"}


@pytest.mark.parametrize("kind", ["escalate", "transmogrify", ""])
def test_a_timer_that_cannot_fire_is_put_off_and_holds_up_no_other(
    kind: str, db: Database, incidents: Incidents, oncall: OnCallConfig, clock: FrozenClock
) -> None:
    """A kind that nobody knows, an incident that is gone."""
    row = {"id": "inc-gone:1", "incident_id": "inc-gone", "kind": kind, "step": 0, "due_at": 0}
    with db.write() as connection:
        connection.execute(insert(timers.timers).values(**row))
    (incident_id,) = storm(incidents, clock, 1)
    problems = Problems(None)
    with capture_logs():
        timers.run_due(db, clock.advance(301), effects(incidents), problems)
    assert "escalated" in [entry.kind for entry in incidents.get(incident_id).timeline]
    (problem,) = problems.current()
    assert (problem.loop, problem.subject) == ("timers", f"{kind} of inc-gone".strip())
    assert next_due(db, "inc-gone") > clock.now()


def test_two_hundred_similar_troubles_do_not_hide_the_one_that_is_another(
    incidents: Incidents, clock: FrozenClock
) -> None:
    """A digest lists what stands alone first, and each kind once with how many similar ones there are."""
    opened = storm(incidents, clock, 200)
    odd = incidents.observe([finding(clock.advance(5), "ledger", signal="its disk is gone")], judged=lambda _: False)
    blocks = slack_blocks.digest([incidents.get(one) for one in (*opened, *odd)], key="k", url="http://here")
    lines = [line for line in json.dumps(blocks).split("\\n") if "http://here/inc-" in line]
    assert "its disk is gone" in lines[0]
    assert "and 199 similar" in lines[1]
    assert len(lines) == 2


@pytest.mark.parametrize(("count", "after_s", "anew"), [(40, 300, 0), (40, 700, 40), (5, 300, 5)])
def test_a_storm_that_comes_back_is_the_same_storm(
    count: int, after_s: int, anew: int, db: Database, incidents: Incidents, oncall: OnCallConfig, clock: FrozenClock
) -> None:
    """Acknowledged, over, and back within ten minutes: no new incident, no page, and one edit of the gathered message.

    A handful is no storm: what comes back of it is new trouble, as of a storm later.
    """
    opened = storm(incidents, clock, count)
    channel = Recorder()
    sender = delivery(db, incidents, oncall, channel)
    sender.run(clock.advance(1))
    for incident_id in opened:
        incidents.acknowledge(incident_id, ANA, "a")
    incidents.observe([], now=clock.advance(60))
    for _ in range(5):
        sender.run(clock.advance(1))
    channel.digests.clear()
    pages, now = len(channel.pages()), clock.advance(after_s)
    again = incidents.observe([finding(now, f"s{number:04}") for number in range(count)], now=now)
    assert len(again) == anew
    for _ in range(5):
        sender.run(clock.advance(1))
    if not anew:
        assert len(channel.pages()) == pages
        (edit,) = channel.digests
        assert not edit.mention
        assert all(incidents.get(name).system_state == "firing" for name in opened)
