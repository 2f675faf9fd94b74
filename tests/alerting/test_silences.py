"""Silences suppress pages, never data; what still fires when the last one ends pages then."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from protocol import EDGES, Recorder, finding, turn
from sqlalchemy import event

from alerting.incidents.commands import Incidents
from alerting.incidents.silences import (
    Silence,
    add_silence,
    end_silence,
    hidden_burns,
    list_silences,
    new_silence,
)
from watchkeeper.clock import FrozenClock
from watchkeeper.config import OnCallConfig
from watchkeeper.errors import ConfigError, NotFound, StateError
from watchkeeper.state.audit import audit_trail
from watchkeeper.state.database import Database
from watchkeeper.vocabulary import Actor, AlertDetails

ANA = Actor(name="Ana", via="cli")


@pytest.fixture
def channel() -> Recorder:
    return Recorder()


def silence(db: Database, clock: FrozenClock, seconds: float, **matcher: str) -> Silence:
    """A silence that begins now."""
    now = clock.now()
    given = {"service": "", "kind": "", "label": ""} | matcher
    made = new_silence(**given, reason="moving", start=now, end=now + timedelta(seconds=seconds), owner=ANA)
    add_silence(db, made, ANA, now)
    return made


def test_what_still_fires_at_the_end_pages_and_nothing_before(
    db: Database, incidents: Incidents, oncall: OnCallConfig, clock: FrozenClock, channel: Recorder
) -> None:
    """The incident is opened and shown, its page comes when the silence is over."""
    silence(db, clock, 3600, service="ca*")
    (incident_id,) = incidents.observe([finding(clock.now(), "cart")], edges=EDGES)
    incidents.page(incident_id)
    incident = incidents.get(incident_id)
    assert (incident.human_state, incident.silenced_until) == ("silenced", clock.now() + timedelta(hours=1))
    assert "Ana silenced it until 2026-03-01 04:00 UTC (service ca*): moving" in incident.timeline[-1].text
    for _ in range(4):
        turn(db, incidents, oncall, channel, clock.advance(890))
        incidents.observe([finding(clock.now(), "cart")], edges=EDGES)
    assert channel.pages() == []
    turn(db, incidents, oncall, channel, clock.advance(60))
    turn(db, incidents, oncall, channel, clock.advance(1))
    assert [page.mention for page in channel.pages()] == ["UANA"]
    assert channel.pages()[0].text.startswith("the silence is over and it still fires; paged Ana")


def test_a_silence_stops_the_next_step_of_an_escalation_too(
    db: Database, incidents: Incidents, oncall: OnCallConfig, clock: FrozenClock, channel: Recorder
) -> None:
    """What pages already goes on after it."""
    (incident_id,) = incidents.observe([finding(clock.now(), "cart")], edges=EDGES)
    incidents.page(incident_id)
    turn(db, incidents, oncall, channel, clock.now())
    silence(db, clock, 900, service="cart")
    turn(db, incidents, oncall, channel, clock.advance(301))
    assert incidents.get(incident_id).human_state == "silenced"
    turn(db, incidents, oncall, channel, clock.advance(600))
    assert [page.mention for page in channel.pages()] == ["UANA", "UANA"]


def test_acknowledgements_and_resolves_pass(
    db: Database, incidents: Incidents, oncall: OnCallConfig, clock: FrozenClock, channel: Recorder
) -> None:
    """And neither is undone by the end of the silence."""
    silence(db, clock, 600, kind="errors")
    opened = incidents.observe([finding(clock.now(), "cart"), finding(clock.now(), "blog")], edges=EDGES)
    incidents.page_all(opened)
    assert incidents.acknowledge(opened[0], ANA, "a").changed
    assert incidents.resolve(opened[1], ANA, "r").changed
    turn(db, incidents, oncall, channel, clock.advance(601))
    assert channel.pages() == []
    assert [incidents.get(one).human_state for one in opened] == ["acknowledged", "resolved"]


def test_what_recovers_meanwhile_pages_nobody_and_pages_at_once_when_it_is_back_later(
    db: Database, incidents: Incidents, oncall: OnCallConfig, clock: FrozenClock, channel: Recorder
) -> None:
    """A maintenance that went well is quiet."""
    silence(db, clock, 60, service="cart")
    cart = finding(clock.now(), "cart")
    (incident_id,) = incidents.observe([cart], edges=EDGES)
    incidents.page(incident_id)
    incidents.observe([], edges=EDGES, now=clock.advance(30))
    turn(db, incidents, oncall, channel, clock.advance(31))
    assert channel.pages() == []
    incidents.observe([cart], edges=EDGES, now=clock.advance(1))
    turn(db, incidents, oncall, channel, clock.now())
    assert len(channel.pages(incident_id)) == 1


def test_a_finding_that_is_not_silenced_pages_at_once(
    db: Database, incidents: Incidents, oncall: OnCallConfig, clock: FrozenClock, channel: Recorder
) -> None:
    """Each of the findings that fire must be matched."""
    silence(db, clock, 3600, service="cart")
    cart = finding(clock.now(), "cart")
    (incident_id,) = incidents.observe([cart], edges=EDGES)
    incidents.page(incident_id)
    incidents.observe([cart, finding(clock.now(), "payments")], edges=EDGES, now=clock.advance(2))
    turn(db, incidents, oncall, channel, clock.now())
    assert len(channel.pages(incident_id)) == 1


def test_two_silences_last_as_long_as_the_last_of_them(
    db: Database, incidents: Incidents, oncall: OnCallConfig, clock: FrozenClock, channel: Recorder
) -> None:
    """Ending one by hand pages nobody while the other matches; ending that one pages within a second."""
    first = silence(db, clock, 600, service="cart")
    second = silence(db, clock, 1200, service="c*")
    (incident_id,) = incidents.observe([finding(clock.now(), "cart")], edges=EDGES)
    incidents.page(incident_id)
    end_silence(db, first.id, ANA, clock.advance(10))
    turn(db, incidents, oncall, channel, clock.advance(1))
    assert channel.pages() == []
    end_silence(db, second.id, ANA, clock.advance(10))
    turn(db, incidents, oncall, channel, clock.advance(1))
    assert len(channel.pages()) == 1
    assert list_silences(db, clock.now()) == ()
    assert {one.id for one in list_silences(db, clock.now(), ended=True)} == {first.id, second.id}
    with pytest.raises(StateError, match="ended at"):
        end_silence(db, second.id, ANA, clock.now())
    with pytest.raises(NotFound):
        end_silence(db, "sil-gone", ANA, clock.now())
    actions = [entry.action for entry in audit_trail(db)]
    assert actions == ["silence.end", "silence.end", "silence.add", "silence.add"]


@pytest.mark.parametrize("step_s", [-1800, 1800])
def test_a_clock_that_is_set_ends_no_silence_early(
    step_s: int, db: Database, incidents: Incidents, oncall: OnCallConfig, clock: FrozenClock, channel: Recorder
) -> None:
    """A silence is over at a time of the calendar: nothing pages before, and what fires pages then."""
    made = silence(db, clock, 3600, service="cart")
    (incident_id,) = incidents.observe([finding(clock.now(), "cart")], edges=EDGES)
    incidents.page(incident_id)
    clock.advance(step_s)
    for _ in range(60):
        turn(db, incidents, oncall, channel, clock.advance(100))
        assert not channel.pages() or clock.now() >= made.end
    assert incidents.get(incident_id).paged_at is not None


def test_a_storm_under_a_silence_pages_nobody_and_costs_no_transaction_each(
    db: Database, incidents: Incidents, clock: FrozenClock
) -> None:
    """As a storm of pages: together."""
    silence(db, clock, 3600, service="s*")
    opened = incidents.observe([finding(clock.now(), f"s{number:03}") for number in range(60)], judged=lambda _: False)
    commits: list[object] = []
    event.listen(db.engine, "commit", commits.append)
    incidents.page_all(opened)
    assert len(commits) == 1
    assert {one.human_state for one in incidents.list(None, 100)} == {"silenced"}


def test_a_silence_over_a_burn_of_an_objective_says_so(db: Database, incidents: Incidents, clock: FrozenClock) -> None:
    """In the timeline, and where silences are listed."""
    made = silence(db, clock, 3600, service="cart")
    burn = replace(finding(clock.now(), "cart"), kind="slo", summary="checkout burns its budget 14 times too fast")
    (incident_id,) = incidents.observe([burn], edges=EDGES)
    incidents.page(incident_id)
    incident = incidents.get(incident_id)
    assert "while an objective's budget burns: checkout burns its budget 14 times" in incident.timeline[-1].text
    assert hidden_burns(made, [incident]) == ("checkout burns its budget 14 times too fast",)


def test_an_alert_is_silenced_by_one_of_its_labels(clock: FrozenClock) -> None:
    """The whole label, not a part of it."""
    labelled = replace(
        finding(clock.now(), "cart"),
        kind="alert",
        alert=AlertDetails(name="Down", labels="cluster=eu-1,severity=page", url="", runbook_url=""),
    )
    now = clock.now()
    made = new_silence(
        service="", kind="alert", label="cluster=eu-1", reason="r", start=now, end=now + timedelta(1), owner=ANA
    )
    assert made.matches(labelled)
    assert not replace(made, label="cluster=eu").matches(labelled)
    assert not replace(made, label="ster=eu-1").matches(labelled)
    assert not made.matches(finding(clock.now(), "cart"))


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({}, "needs a service, a kind or a label"),
        ({"kind": "fax"}, "kind fax: must be one of latency"),
        ({"label": "cluster"}, "label cluster: must be name=value"),
        ({"service": "cart", "reason": " "}, "needs a reason"),
        ({"service": "cart", "days": 91}, "within 90 days"),
        ({"service": "cart", "days": 0}, "must end after it starts"),
    ],
)
def test_a_silence_that_would_hide_too_much_is_refused(given: dict[str, object], why: str, clock: FrozenClock) -> None:
    """With a sentence that names what to give."""
    values = {"service": "", "kind": "", "label": "", "reason": "r", "days": 1} | given
    end = clock.now() + timedelta(days=int(str(values.pop("days"))))
    with pytest.raises(ConfigError, match=why):
        new_silence(**values, start=clock.now(), end=end, owner=ANA)  # type: ignore[arg-type]
