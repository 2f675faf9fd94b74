"""How on call falls on people: counted by a slow model, quarter of an hour by quarter of an hour."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from protocol import EDGES, Recorder, finding, turn
from typer.testing import CliRunner

from alerting.commands.oncall import app
from alerting.incidents.commands import Incidents
from alerting.oncall.load import Page, fairness, loads, pages_between
from alerting.oncall.schedule import Override, who_has_it
from alerting.oncall.versions import Part
from watchkeeper.clock import FrozenClock
from watchkeeper.config import LayerConfig, OnCallConfig, PersonConfig, ScheduleConfig
from watchkeeper.state.database import Database
from watchkeeper.vocabulary import Window

ANA = PersonConfig(id="ana", name="Ana", addresses={"slack": "UANA"}, timezone="Europe/Berlin")
BEN = PersonConfig(id="ben", name="Ben", addresses={"slack": "UBEN"}, timezone="America/New_York")
EVE = PersonConfig(id="eve", name="Eve", addresses={"slack": "UEVE"}, timezone="Asia/Kolkata")
ONCALL = OnCallConfig(
    people=(ANA, BEN, EVE, PersonConfig(id="boss", name="Boss", addresses={"slack": "UBOSS"})),
    schedules=(
        ScheduleConfig(
            id="primary",
            timezone="Europe/Berlin",
            layers=(LayerConfig(people=("ana", "ben", "eve"), start="2026-03-02T09:00", turn_hours=36),),
        ),
        ScheduleConfig(
            id="second",
            layers=(LayerConfig(people=("ben", "eve"), start="2026-03-02T00:00", turn_hours=24, hours="18:00-08:00"),),
            fallback="boss",
        ),
    ),
    escalation=(),
)
# Berlin's clock is set on the 29th, New York's on the 8th.
WINDOW = Window(start=datetime(2026, 3, 5, tzinfo=UTC), end=datetime(2026, 4, 2, tzinfo=UTC))
PARTS = (Part(window=WINDOW, oncall=ONCALL),)
QUARTER = timedelta(minutes=15)


def test_hours_nights_and_weekends_are_each_persons_own() -> None:
    """In their zone, through both changes of the clocks; hours that two schedules share count once."""
    cover = Override(
        schedule="primary", person="eve", start=WINDOW.start + timedelta(days=9), end=WINDOW.start + timedelta(days=11)
    )
    wanted = {name: [0.0, 0.0, 0.0] for name in ("ana", "ben", "eve")}
    at = WINDOW.start
    while at < WINDOW.end:
        holders = {
            found.id
            for schedule in ONCALL.schedules
            for found, source in [who_has_it(ONCALL, schedule.id, at, (cover,))]
            if found and source != "fallback"
        }
        for name in holders:
            local = at.astimezone(ZoneInfo(next(each.timezone for each in ONCALL.people if each.id == name)))
            counts = (True, local.hour >= 22 or local.hour < 7, local.weekday() >= 5)
            wanted[name] = [hours + 0.25 * count for hours, count in zip(wanted[name], counts, strict=True)]
        at += QUARTER
    shares = loads(PARTS, WINDOW, (cover,), ())
    assert {each.person: [each.hours, each.night_hours, each.weekend_hours] for each in shares} == wanted


def test_pages_of_nights_and_weekends_are_counted_where_the_person_is() -> None:
    """Saturday noon in Berlin is Saturday morning in New York; who is in no rotation counts once paged."""
    saturday = datetime(2026, 3, 14, 11, tzinfo=UTC)
    pages = [Page(at=saturday, person=name) for name in ("ana", "ben", "ben", "boss")]
    pages += [Page(at=WINDOW.end, person="ana")]
    counts = {
        each.person: (each.pages, each.night_pages, each.weekend_pages) for each in loads(PARTS, WINDOW, (), pages)
    }
    assert counts == {"ana": (1, 0, 1), "ben": (2, 0, 2), "eve": (0, 0, 0), "boss": (1, 0, 1)}


@pytest.mark.parametrize(("shares", "index"), [([1, 1, 1], 1.0), ([9, 0, 0], 1 / 3), ([2, 1], 0.9), ([0, 0], 1.0)])
def test_fairness_is_jains_index(shares: list[float], index: float) -> None:
    """1 is even, 1/n is one person alone."""
    assert fairness(shares) == pytest.approx(index)


def test_pages_are_counted_from_what_happened(
    db: Database, incidents: Incidents, oncall: OnCallConfig, clock: FrozenClock
) -> None:
    """Each step of an escalation is a page of whoever it paged."""
    begin = clock.now()
    (incident_id,) = incidents.observe([finding(clock.now(), "cart")], edges=EDGES)
    incidents.page(incident_id)
    turn(db, incidents, oncall, Recorder(), clock.advance(301))
    counted = pages_between(db, Window(start=begin, end=clock.now() + timedelta(seconds=1)))
    assert [page.person for page in counted] == ["ana", "ben"]
    assert (
        pages_between(db, Window(start=clock.now() + timedelta(seconds=1), end=clock.now() + timedelta(days=1))) == ()
    )


def test_the_command_prints_shares_and_evenness(tmp_path: Path) -> None:
    """Of the days to come, one person has everything."""
    file = tmp_path / "watchkeeper.yaml"
    file.write_text(f"data_dir: {tmp_path}/data\n", encoding="utf-8")
    arguments = ["load", "--config", str(file), "--days", "7", "--ahead"]
    answer = CliRunner().invoke(app, [*arguments, "--json"], catch_exceptions=False)
    report = json.loads(answer.stdout)
    assert report["people"][0] | {"night_hours": 0, "weekend_hours": 0} == {
        "person": "oncall",
        "hours": 168,
        "night_hours": 0,
        "weekend_hours": 0,
        "pages": 0,
        "night_pages": 0,
        "weekend_pages": 0,
    }
    shown = CliRunner().invoke(app, arguments, catch_exceptions=False).stdout
    assert "evenness" in shown
