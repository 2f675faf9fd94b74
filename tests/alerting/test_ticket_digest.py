"""The daily digest of open tickets: once a day, in each channel, without a mention, whatever dies meanwhile."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from protocol import Recorder, delivery, finding, unsent

from alerting.channels.slack.blocks import tickets
from alerting.incidents.commands import Incidents
from alerting.oncall import digest
from alerting.oncall.timers import run_due
from watchkeeper.clock import FrozenClock
from watchkeeper.config import DigestConfig, OnCallConfig
from watchkeeper.state.database import Database
from watchkeeper.vocabulary import Actor

ANA = Actor(name="Ana", via="cli")


def a_round(db: Database, incidents: Incidents, oncall: OnCallConfig, channel: Recorder, now: datetime) -> None:
    """Timers, then messages."""
    run_due(db, now, {digest.KIND: digest.effect(("slack",), oncall)})
    delivery(db, incidents, oncall, channel).run(now)


def test_open_tickets_are_listed_once_a_day(
    incidents: Incidents, clock: FrozenClock, db: Database, oncall: OnCallConfig
) -> None:
    """At nine, until none is open; pages are no part of it, and nobody is mentioned."""
    leak = finding(clock.now(), "stock", severity="ticket", ago=300)
    opened = incidents.observe([leak, finding(clock.now(), "web")])
    channel = Recorder()
    digest.schedule(db, oncall, clock.now())
    digest.schedule(db, oncall, clock.now())
    seen = []
    for _ in range(3):
        for _ in range(8):
            clock.advance(3 * 3600)
            a_round(db, incidents, oncall, channel, clock.now())
        seen.append(len(channel.digests))
        if len(seen) == 2:
            incidents.observe([])
            (ticket,) = incidents.list("open", severity="ticket")
            incidents.resolve(ticket.id, ANA, "r")
    assert seen == [1, 2, 2]
    first = channel.digests[0]
    assert (first.mention, first.tickets_at) == ("", datetime(2026, 3, 1, 9, tzinfo=UTC))
    assert [one.severity for one in first.incidents] == ["ticket"]
    assert len(opened) == 2
    assert unsent(db) == []


def test_a_channel_that_is_away_gets_the_newest_digest_alone(
    incidents: Incidents, clock: FrozenClock, db: Database, oncall: OnCallConfig
) -> None:
    """Two days of digests that could not be sent are one."""
    incidents.observe([finding(clock.now(), "stock", severity="ticket", ago=300)])
    channel = Recorder()
    channel.broken = "refuses"
    digest.schedule(db, oncall, clock.now())
    for _ in range(16):
        clock.advance(3 * 3600)
        a_round(db, incidents, oncall, channel, clock.now())
    channel.broken = ""
    channel.digests.clear()
    clock.advance(120)
    a_round(db, incidents, oncall, channel, clock.now())
    assert len(channel.digests) == 1
    assert unsent(db) == []


def test_it_can_be_moved_and_turned_off_at_any_start(
    incidents: Incidents, clock: FrozenClock, db: Database, oncall: OnCallConfig
) -> None:
    """The waits follow the configuration."""
    incidents.observe([finding(clock.now(), "stock", severity="ticket", ago=300)])
    channel = Recorder()
    for chosen in (DigestConfig(), DigestConfig(hour=7, timezone="Asia/Tokyo"), DigestConfig(enabled=False)):
        moved = oncall.model_copy(update={"digest": chosen})
        digest.schedule(db, moved, clock.now())
    clock.advance(86_400)
    a_round(db, incidents, moved, channel, clock.now())
    assert channel.digests == []


@pytest.mark.parametrize(
    ("now", "due"),
    [
        ("2026-03-28T12:00", "2026-03-29T07:00"),  # the night in which the clocks change
        ("2026-03-27T07:00", "2026-03-27T08:00"),
        ("2026-03-27T08:00", "2026-03-28T08:00"),
    ],
)
def test_nine_stays_nine_when_the_clocks_change(now: str, due: str) -> None:
    """In the zone that is configured."""
    oncall = OnCallConfig(digest=DigestConfig(timezone="Europe/Berlin"))
    at = datetime.fromisoformat(now).replace(tzinfo=UTC)
    assert digest.next_digest(oncall, at) == datetime.fromisoformat(due).replace(tzinfo=UTC)


def test_slack_shows_what_for_how_long_and_a_link(incidents: Incidents, clock: FrozenClock) -> None:
    """Fifteen of them, and a link to all."""
    leaks = [finding(clock.now(), f"stock-{number}", severity="ticket", ago=300) for number in range(20)]
    incidents.observe([replace(leak, summary=f"{leak.service} runs <out>") for leak in leaks])
    text, blocks = tickets(incidents.list(), at=clock.now() + timedelta(hours=5), url="http://w/incidents")
    shown = repr(blocks)
    assert text == "20 open tickets"
    assert shown.count("runs &lt;out&gt;") == 15
    assert "for 5 h" in shown
    assert "and 5 more" in shown
    assert "http://w/incidents?severity=ticket&state=open" in shown
