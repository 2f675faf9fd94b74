"""Merges teach: the third pair of similar troubles groups by itself, says why, and a split takes that back."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
from protocol import EDGES, Recorder, finding, turn
from sqlalchemy import select

from alerting.incidents.commands import Incidents
from alerting.incidents.merge_lessons import forget_grouping, learned_groupings
from watchkeeper.clock import FrozenClock
from watchkeeper.config import OnCallConfig
from watchkeeper.errors import NotFound
from watchkeeper.state.database import Database
from watchkeeper.state.schema import findings as findings_table
from watchkeeper.vocabulary import Actor, AlertDetails, Finding

ANA, BEN = Actor(name="Ana", via="cli"), Actor(name="Ben", via="slack")


def trouble(clock: FrozenClock, service: str, signal_: str) -> Finding:
    """Errors of a service, as a detector names them that time."""
    return finding(clock.now(), service, signal=signal_)


def both(incidents: Incidents, clock: FrozenClock, occasion: int) -> tuple[str, str, list[Finding]]:
    """The cart fails, then the blog, which no call connects with it: two incidents, or one and what it took in."""
    cart = trouble(clock, "cart", f"errors {occasion}")
    (first,) = incidents.observe([cart], edges=EDGES, now=clock.now())
    blog = trouble(clock, "blog", f"errors {occasion}")
    (second,) = incidents.observe([cart, blog], edges=EDGES, now=clock.advance(20))
    return first, second, [cart, blog]


def end(incidents: Incidents, clock: FrozenClock, *names: str) -> None:
    """All is over, and was resolved; an hour passes."""
    incidents.observe([], edges=EDGES, now=clock.advance(60))
    for name in names:
        incidents.resolve(name, ANA, "over")
    clock.advance(3600)


def merged_by_people(incidents: Incidents, clock: FrozenClock, actors: Sequence[Actor] = (ANA, BEN)) -> list[str]:
    """One occasion for each person; the ids of the incidents in pairs."""
    names: list[str] = []
    for occasion, actor in enumerate(actors):
        first, second, _ = both(incidents, clock, occasion)
        assert incidents.merge(second, first, actor, "m").changed
        end(incidents, clock, first)
        names += [first, second]
    return names


def test_the_third_pair_groups_by_itself_and_says_why(
    db: Database, incidents: Incidents, oncall: OnCallConfig, clock: FrozenClock
) -> None:
    """Whoever is on call is paged once, for both, and reads which merges taught it."""
    one, two, three, four = merged_by_people(incidents, clock)
    channel = Recorder()
    cart = trouble(clock, "cart", "errors")
    (first,) = incidents.observe([cart], edges=EDGES, now=clock.now())
    incidents.page(first)
    blog = trouble(clock, "blog", "errors")
    (second,) = incidents.observe([cart, blog], edges=EDGES, now=clock.advance(20))
    grouped, into = incidents.get(second), incidents.get(first)
    assert (grouped.human_state, grouped.merged_into) == ("merged", first)
    why = f"as Ana merged {two} into {one} on 2026-03-01 and Ben merged {four} into {three} on 2026-03-01"
    assert f"grouped by itself: errors of blog with errors of cart, {why}" == grouped.timeline[-1].text
    assert why in into.timeline[-1].text
    assert second in into.timeline[-1].text
    assert {each.service for each in into.findings} == {"cart", "blog"}
    for seconds in (1, 20, 20):
        turn(db, incidents, oncall, channel, clock.advance(seconds))
    assert [message.incident.id for message in channel.pages()] == [first]
    with db.read() as connection:
        rows = connection.execute(select(findings_table.c.incident_id).where(findings_table.c.key == blog.key)).all()
    assert [row.incident_id for row in rows] == [first]
    assert incidents.observe([cart, blog], edges=EDGES, now=clock.advance(5)) == ()
    incidents.observe([blog], edges=EDGES, now=clock.advance(5))
    assert incidents.get(first).system_state == "firing"
    incidents.observe([], edges=EDGES, now=clock.advance(5))
    assert incidents.get(first).system_state == "recovered"


def test_which_of_them_comes_first_does_not_matter(incidents: Incidents, clock: FrozenClock) -> None:
    """And both may come in one round."""
    merged_by_people(incidents, clock)
    cart, blog = trouble(clock, "cart", "x"), replace(trouble(clock, "blog", "x"), onset=clock.now())
    opened = incidents.observe([blog, cart], edges=EDGES, now=clock.now())
    states = {incidents.get(name).human_state for name in opened}
    assert (len(opened), states) == (2, {"waiting", "merged"})


def test_one_occasion_is_no_lesson(incidents: Incidents, clock: FrozenClock) -> None:
    """Two merges into one incident are one occasion; and a merge that its sender repeats is one merge."""
    cart, *blogs = (trouble(clock, service, service) for service in ("cart", "blog", "blog"))
    (first,) = incidents.observe([cart], edges=(), now=clock.now())
    for blog in blogs:
        later = replace(blog, onset=clock.now(), key=f"blog {clock.advance(400)}")
        (second,) = incidents.observe([cart, later], edges=(), now=clock.now())
        for _ in range(2):
            incidents.merge(second, first, ANA, "m")
    end(incidents, clock, first)
    _, second, _ = both(incidents, clock, 7)
    assert incidents.get(second).human_state == "waiting"


def test_what_is_not_similar_or_not_close_stays_apart(incidents: Incidents, clock: FrozenClock) -> None:
    """Another kind, another service, or the same troubles half an hour apart."""
    merged_by_people(incidents, clock)
    cart = trouble(clock, "cart", "later")
    (first,) = incidents.observe([cart], edges=EDGES, now=clock.now())
    blog = trouble(clock, "blog", "later")
    others = [replace(blog, kind="latency", key="k"), replace(trouble(clock, "shelf", "s"), key="s")]
    opened = incidents.observe([cart, *others], edges=EDGES, now=clock.advance(20))
    assert [incidents.get(name).human_state for name in opened] == ["waiting", "waiting"]
    clock.advance(1800)
    late = replace(trouble(clock, "blog", "much later"), service="blog")
    (apart,) = incidents.observe([cart, late], edges=(), now=clock.now())
    assert incidents.get(apart).human_state == "waiting"
    assert incidents.get(first).is_open


def test_alerts_from_outside_are_similar_by_their_name(incidents: Incidents, clock: FrozenClock) -> None:
    """Each alert is of kind `alert`; two rules of one service are two troubles."""

    def alert(service: str, name: str, occasion: int) -> Finding:
        details = AlertDetails(name=name)
        return replace(trouble(clock, service, "a"), kind="alert", alert=details, key=f"{service}{name}{occasion}")

    for occasion in range(2):
        disk = alert("db", "DiskFull", occasion)
        (first,) = incidents.observe([disk], now=clock.now())
        (second,) = incidents.observe([disk, alert("web", "HttpErrors", occasion)], now=clock.advance(9))
        incidents.merge(second, first, ANA, "m")
        end(incidents, clock, first)
    disk, errors, other = (alert(*each, 9) for each in (("db", "DiskFull"), ("web", "HttpErrors"), ("shop", "Other")))
    opened = incidents.observe([disk, errors, other], now=clock.now())
    states = {incidents.get(name).service: incidents.get(name).human_state for name in opened}
    assert sorted(states.values()) == ["merged", "waiting", "waiting"]
    assert states["shop"] == "waiting"


def test_a_split_of_what_grouped_by_itself_takes_the_lesson_back(
    db: Database, incidents: Incidents, clock: FrozenClock
) -> None:
    """The next pair is two incidents again, until people merge it twice more."""
    merged_by_people(incidents, clock)
    first, second, _ = both(incidents, clock, 3)
    assert incidents.split(second, BEN, "s").changed
    end(incidents, clock, first, second)
    with db.read() as connection:
        (grouping,) = learned_groupings(connection)
    assert (grouping.lessons, {one.forgotten_by for one in grouping.forgotten}) == ((), {"Ben"})
    for occasion in (4, 5):
        first, second, _ = both(incidents, clock, occasion)
        assert incidents.get(second).human_state == "waiting"
        incidents.merge(second, first, ANA, "m")
        end(incidents, clock, first)
    _, second, _ = both(incidents, clock, 6)
    assert incidents.get(second).human_state == "merged"


def test_a_split_of_a_merge_by_a_person_takes_that_merge_back(incidents: Incidents, clock: FrozenClock) -> None:
    """The other merge still counts: one more is needed, not two."""
    merged_by_people(incidents, clock, [ANA])
    first, second, _ = both(incidents, clock, 1)
    incidents.merge(second, first, BEN, "m")
    incidents.split(second, BEN, "s")
    end(incidents, clock, first, second)
    first, second, _ = both(incidents, clock, 2)
    assert incidents.get(second).human_state == "waiting"
    incidents.merge(second, first, BEN, "m")
    end(incidents, clock, first)
    _, second, _ = both(incidents, clock, 3)
    assert incidents.get(second).human_state == "merged"


def test_what_the_machine_groups_teaches_nothing(db: Database, incidents: Incidents, clock: FrozenClock) -> None:
    """Else one wrong lesson would prove itself."""
    merged_by_people(incidents, clock)
    first, *_ = both(incidents, clock, 3)
    end(incidents, clock, first)
    with db.read() as connection:
        (grouping,) = learned_groupings(connection)
    assert {lesson.actor for lesson in grouping.lessons} == {"Ana", "Ben"}


def test_a_page_takes_a_similar_ticket_in(incidents: Incidents, clock: FrozenClock) -> None:
    """A page is never merged into a ticket: the ticket goes into the page."""
    for occasion in range(2):
        ticket = finding(clock.now(), "blog", signal=f"t{occasion}", severity="ticket", ago=200)
        (blog,) = incidents.observe([ticket], now=clock.now())
        page = trouble(clock, "cart", f"p{occasion}")
        (cart,) = incidents.observe([ticket, page], now=clock.advance(2))
        assert incidents.merge(blog, cart, ANA, "m").changed
        end(incidents, clock, cart)
    ticket = finding(clock.now(), "blog", signal="t", severity="ticket", ago=200)
    (blog,) = incidents.observe([ticket], now=clock.now())
    (cart,) = incidents.observe([ticket, trouble(clock, "cart", "p")], now=clock.advance(2))
    assert incidents.get(blog).merged_into == cart
    assert incidents.get(cart).human_state == "waiting"


def test_a_pair_is_forgotten_by_name(db: Database, incidents: Incidents, clock: FrozenClock) -> None:
    """By a command, with its name; an unknown one is an error that says where to look."""
    merged_by_people(incidents, clock)
    with db.write() as connection:
        (grouping,) = learned_groupings(connection)
        forget_grouping(connection, grouping.pair.id, BEN, clock.now())
        with pytest.raises(NotFound, match="watchkeeper grouping list"):
            forget_grouping(connection, "nonsense", BEN, clock.now())
    _, second, _ = both(incidents, clock, 3)
    assert incidents.get(second).human_state == "waiting"


KILLED = """
import os, signal, sys
from datetime import datetime
from alerting.incidents import merging
from alerting.incidents.commands import Incidents
from alerting.incidents.machine import Outcome
from watchkeeper.clock import FrozenClock
from watchkeeper.config import OnCallConfig
from watchkeeper.state.database import Database
from watchkeeper.vocabulary import Actor

def dies(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)

setattr(merging, sys.argv[5], dies)
clock = FrozenClock(datetime.fromisoformat(sys.argv[4]))
incidents = Incidents(Database.open(sys.argv[1]), clock, OnCallConfig())
incidents.merge(sys.argv[2], sys.argv[3], Actor(name="A", via="cli"), "m")
"""


@pytest.mark.parametrize("at", ["move_findings", "record_lessons"])
def test_a_kill_in_a_merge_leaves_both_or_neither(
    at: str, state_url: str, db: Database, incidents: Incidents, clock: FrozenClock
) -> None:
    """The merge and its lesson are one transaction."""
    first, second, _ = both(incidents, clock, 0)
    arguments = [sys.executable, "-c", KILLED, state_url, second, first, clock.now().isoformat(), at]
    killed = subprocess.run(arguments, check=False, timeout=60, env=os.environ)
    assert killed.returncode == -signal.SIGKILL
    with db.read() as connection:
        assert learned_groupings(connection) == ()
    assert incidents.get(second).human_state == "waiting"
    assert incidents.merge(second, first, ANA, "m").changed
    with db.read() as connection:
        assert len(learned_groupings(connection)) == 1
    assert incidents.get(first).version > 1
    assert timedelta(0) <= clock.now() - incidents.get(first).opened_at
