"""A page always reaches somebody who is there: people leave, and ids are wrong."""

from __future__ import annotations

import pytest
from protocol import EDGES, SLACK, Recorder, delivery, finding
from structlog.testing import capture_logs

from alerting.channels.outbox import Draft
from alerting.incidents.commands import Incidents
from alerting.oncall.recipients import Reach, recipients
from watchkeeper.clock import FrozenClock
from watchkeeper.config import EscalationStep, LayerConfig, OnCallConfig, PersonConfig, ScheduleConfig
from watchkeeper.state.database import Database

BEN = PersonConfig(id="ben", name="Ben", addresses={"slack": "UBEN"})
EVE = PersonConfig(id="eve", name="Eve", addresses={"slack": "UEVE"})


def rota(*people: PersonConfig, on_call: str = "", notify: str = "primary", fallback: str = "") -> OnCallConfig:
    """A configuration as it is after somebody left."""
    # A rotation that begins in a later year has nobody on call today.
    layers = (LayerConfig(people=(on_call or "ben",), start="2025-01-06T09:00" if on_call else "2030-01-06T09:00"),)
    schedule = ScheduleConfig(id="primary", layers=layers, fallback=fallback or None)
    return OnCallConfig.model_construct(
        people=people, schedules=(schedule,), escalation=(EscalationStep(after_s=0, notify=notify),)
    )


@pytest.mark.parametrize(
    ("left", "paged", "why"),
    [
        (rota(BEN, EVE, on_call="eve"), "UEVE", "ana is no longer configured; paged Eve: on call in 'primary' now"),
        (rota(BEN, EVE, fallback="eve"), "UEVE", "ana is no longer configured; paged Eve: fallback of 'primary'"),
        (rota(EVE, BEN), "UBEN", "ana is no longer configured; paged Ben: named in the escalation"),
        (rota(EVE, notify="eve"), "UEVE", "ana is no longer configured; paged Eve: named in the escalation"),
        (rota(EVE), "UEVE", "ana is no longer configured; paged Eve: configured"),
        (rota(EVE, notify="a schedule that is gone"), "UEVE", "ana is no longer configured; paged Eve: configured"),
        (rota(), SLACK.everybody, "ana is no longer configured, and nobody else can be reached"),
    ],
)
def test_who_left_between_the_decision_and_the_send_is_replaced(
    left: OnCallConfig, paged: str, why: str, db: Database, incidents: Incidents, clock: FrozenClock
) -> None:
    """By whoever is on call now, the fallback, the escalation, anybody; the page says why, and it is a problem."""
    (incident_id,) = incidents.observe([finding(clock.now(), "cart")], edges=EDGES)
    incidents.page(incident_id)
    channel = Recorder()
    sender = delivery(db, incidents, left, channel)
    with capture_logs():
        sender.run(clock.now())
    (page,) = channel.pages()
    assert page.mention == paged
    assert why in page.text
    assert [problem.loop for problem in sender.problems.current()] == ["paging"]
    assert incidents.get(incident_id).delivered


def test_an_id_that_the_channel_does_not_know_is_no_delivery(
    db: Database, incidents: Incidents, oncall: OnCallConfig, clock: FrozenClock
) -> None:
    """Ana's id is wrong: the next who can be reached is paged at once, and the wrong id is a problem."""
    (incident_id,) = incidents.observe([finding(clock.now(), "cart")], edges=EDGES)
    incidents.page(incident_id)
    channel = Recorder()
    channel.unknown = {"UANA"}
    sender = delivery(db, incidents, oncall, channel)
    with capture_logs():
        sender.run(clock.now())
    assert [page.mention for page in channel.pages()] == ["UANA", "UBEN"]
    assert {problem.subject for problem in sender.problems.current()} == {"Ana", "Ben"}


def test_whoever_is_decided_comes_first_and_nobody_twice(oncall: OnCallConfig, clock: FrozenClock) -> None:
    """And the channel itself is last."""
    ben = Draft(kind="page", person="ben", step=1)
    chosen = recipients(oncall, ben, clock.now(), (), SLACK)
    assert [recipient.mention for recipient in chosen] == ["UBEN", "UANA", SLACK.everybody]
    assert chosen[0].instead == ""
    assert recipients(oncall, ben, clock.now(), (), Reach(channel="mail")) == ()
