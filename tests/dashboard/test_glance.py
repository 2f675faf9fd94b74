"""The last hour and the last week as cells: what was open when."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

from alerting.incidents.commands import Incidents
from dashboard.components.elements import Part
from dashboard.components.glance_strips import cells, glance_card
from dashboard.reads.records import Spell
from dashboard.reads.sources import Sources
from dashboard.viewer import viewer
from tests.dashboard.conftest import ONCALL
from tests.dashboard.values import NOW, finding
from watchkeeper.clock import FrozenClock
from watchkeeper.config import Config
from watchkeeper.state.database import Database
from watchkeeper.store.telemetry import Telemetry
from watchkeeper.vocabulary import Actor

MINUTE = timedelta(minutes=1)
ANA = Actor(name="Ana Sousa", via="cli")


def sources_of(db: Database, clock: FrozenClock, incidents: Incidents) -> Sources:
    telemetry = Telemetry(url="http://127.0.0.1:9", database="otel", user="", password="")
    return Sources(telemetry=telemetry, incidents=incidents, db=db, config=Config(oncall=ONCALL), clock=clock)


def rows(part: Part, kind: str) -> list[Any]:
    """The strips of a kind, from top to bottom, each as its cells."""
    if isinstance(part, list):
        return [row for child in part for row in rows(child, kind)]
    if getattr(part, "className", "") == kind and getattr(part, "role", None):
        return [part]
    return rows(part.children, kind) if hasattr(part, "children") else []


def test_a_cell_counts_what_was_open_within_it() -> None:
    """From the opening until the end, touching neither the cell before nor the one after; an open one goes on."""
    spells = [
        Spell(severity="page", start=NOW + 2 * MINUTE, end=NOW + 10 * MINUTE),
        Spell(severity="ticket", start=NOW + 12 * MINUTE, end=None),
    ]
    made = cells(spells, NOW - 5 * MINUTE, 5 * MINUTE, 5)
    assert [(cell.pages, cell.tickets) for cell in made] == [(0, 0), (1, 0), (1, 0), (0, 1), (0, 1)]
    assert [cell.look[1] for cell in made] == ["", "◆", "◆", "▪", "▪"]


def test_the_week_is_in_the_readers_zone_and_a_day_of_the_clock_change_has_23_hours(
    db: Database, clock: FrozenClock, incidents: Incidents
) -> None:
    """Seven days of hours until now; in Stockholm the last Sunday of March lacks an hour."""
    clock.advance(timedelta(days=29, hours=9).total_seconds())  # Monday 30 March, noon
    reader = viewer({"scheme": "light", "zone": "Europe/Stockholm"}, clock.now())
    week = rows(glance_card(sources_of(db, clock, incidents), reader), "week-strip")
    assert [len(row.children) for row in week] == [24, 24, 24, 24, 24, 23, 15]
    assert clock.now().astimezone(ZoneInfo("Europe/Stockholm")).hour == 14


def test_stored_incidents_are_read_by_their_times_without_those_that_were_merged(
    db: Database, clock: FrozenClock, incidents: Incidents
) -> None:
    """One page of twelve minutes, another merged into it: one page, twelve minutes."""
    (first,) = incidents.observe([finding("web")], now=clock.now())
    (second,) = incidents.observe([finding("web"), finding("depot", key="depot")], now=clock.now())
    incidents.merge(second, first, ANA, "merge")
    clock.advance(720)
    incidents.resolve(first, ANA, "resolve")
    clock.advance(60)
    reader = viewer({"scheme": "light", "zone": "UTC"}, clock.now())
    card = glance_card(sources_of(db, clock, incidents), reader)
    (hour,) = rows(card, "hour-strip")
    assert hour.to_plotly_json()["props"]["aria-label"] == "1 page (12 min) in the last hour"
    assert [cell.children for cell in hour.children] == [""] * 9 + ["◆"] * 3
    assert hour.children[-1].title == "03:10: 1 page open"
    (today,) = rows(card, "week-strip")[-1:]
    assert [cell.children for cell in today.children] == ["", "", "", "◆"]
