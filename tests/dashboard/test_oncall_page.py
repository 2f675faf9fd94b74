"""The page of who is on call: each escalation, what was true until now, and shifts that somebody is asked to take."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta

import plotly.utils
import pytest

from alerting.incidents.commands import Incidents
from alerting.oncall.ownership import Owners
from alerting.oncall.swaps import Swap, answer, ask
from alerting.oncall.versions import record_version
from dashboard.page import PageRequest
from dashboard.pages.oncall import render
from dashboard.reads.sources import Sources
from dashboard.urls import View
from dashboard.viewer import Viewer
from watchkeeper.clock import FrozenClock
from watchkeeper.config import (
    Config,
    EscalationStep,
    LayerConfig,
    OnCallConfig,
    PersonConfig,
    PolicyConfig,
    ScheduleConfig,
)
from watchkeeper.state.database import Database
from watchkeeper.vocabulary import Actor, Window

Show = Callable[[OnCallConfig], str]
BOSS = Actor(name="root", via="cli")


def rota(*names: str) -> OnCallConfig:
    """The first of some people is on call; a policy pages two of them, and repeats often."""
    people = tuple(PersonConfig(id=name, name=name.title(), addresses={"slack": f"U{name}"}) for name in names)
    steps = (EscalationStep(after_s=0, notify=names[:2]),)
    return OnCallConfig(
        people=people,
        schedules=(ScheduleConfig(id="primary", layers=(LayerConfig(people=names[:1]),)),),
        escalation=(EscalationStep(after_s=0, notify=("primary",)),),
        policies=(PolicyConfig(id="money", steps=steps, repeat=20),),
    )


@pytest.fixture
def shown(db: Database, reader: Viewer, clock: FrozenClock) -> Show:
    """What the page shows now, as JSON."""

    def show(oncall: OnCallConfig) -> str:
        config = Config(oncall=oncall)
        incidents = Incidents(db, clock, oncall)
        sources = Sources(telemetry=None, incidents=incidents, db=db, config=config, clock=clock)  # type: ignore[arg-type]
        return json.dumps(
            render(PageRequest(sources=sources, view=View(), viewer=reader)), cls=plotly.utils.PlotlyJSONEncoder
        )

    return show


def test_it_shows_which_version_is_in_force_and_who_owns_what(db: Database, shown: Show, clock: FrozenClock) -> None:
    """Before the first version, that the file counts; then its file, and what somebody made through the API."""
    oncall = rota("ana", "ben")
    assert "becomes the first version when the watch role starts" in shown(oncall)
    owners = Owners(file="/etc/watchkeeper.yaml", others={"people/ben": "Kim (api)"})
    record_version(db, oncall, clock.now(), BOSS, owners=owners)
    page = shown(oncall)
    for words in ("Version 1, by root", "/etc/watchkeeper.yaml", "watchkeeper oncall apply", "person ben, made by Kim"):
        assert words in page


def test_it_shows_each_policy_and_the_swaps_that_wait(db: Database, shown: Show, clock: FrozenClock) -> None:
    """Whom a policy pages together, how much of it is left out, and how to answer a swap."""
    oncall, now = rota("ana", "ben"), clock.now()
    window = Window(start=now + timedelta(hours=1), end=now + timedelta(hours=9))
    swap_id = ask(db, oncall, Swap(schedule="primary", asker="ana", taker="ben", window=window), now, BOSS)
    page = shown(oncall)
    for words in ("Policy money", "Ana, Ben", "and 9 more steps", f"watchkeeper oncall swap accept {swap_id}"):
        assert words in page
    answer(db, oncall, swap_id, "declined", now, BOSS)
    assert "swap accept" not in shown(oncall)


def test_what_is_past_is_as_it_was(db: Database, shown: Show, clock: FrozenClock) -> None:
    """Somebody who was on call until an edit an hour ago stands in the plan of the last day."""
    record_version(db, rota("zoe", "ben"), clock.now() - timedelta(days=3), BOSS)
    record_version(db, rota("ana", "ben"), clock.now() - timedelta(hours=1), BOSS)
    assert "Zoe" in shown(rota("ana", "ben"))
