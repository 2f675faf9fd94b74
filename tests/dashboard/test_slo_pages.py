"""The pages of objectives over a real store: what is left, how fast it burns, when it is gone, and what used it up."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from dash.development.base_component import Component

from alerting.incidents.commands import Incidents
from bench.own_roles import OwnRoles, loader_of
from dashboard.page import PageRequest
from dashboard.reads.sources import Sources
from dashboard.registry import Pages, read_pages
from dashboard.rendering import rendered
from dashboard.urls import View
from dashboard.viewer import viewer
from tests.dashboard.values import finding
from watchkeeper.clock import FrozenClock
from watchkeeper.state.database import Database
from watchkeeper.vocabulary import utc

pytestmark = pytest.mark.xdist_group("slo pages")
NOW = utc(float(int(time.time()) // 60 * 60 + 30))
FILE = """
apiVersion: openslo/v1
kind: SLO
metadata: {{name: {name}, displayName: "{title}"}}
spec:
  service: {service}
  indicator:
    metadata: {{name: {name}-requests}}
    spec:
      ratioMetric:
        counter: true
        good: {{metricSource: {{type: watchkeeper, spec: {{service: {service}, signal: successes}}}}}}
        total: {{metricSource: {{type: watchkeeper, spec: {{service: {service}, signal: calls}}}}}}
  timeWindow: [{{duration: 1d, isRolling: true}}]
  objectives: [{{target: 0.99}}]
"""
# A day of a hundred requests a minute, of which some fail: from so many minutes ago until so many.
REQUESTS = """
INSERT INTO otel.red (bucket, service, operation, kind, calls, errors)
SELECT toDateTime({now} - 30 - number * 60), '{service}', 'GET /', 'Server', 100,
    if(number >= {last} AND number < {first}, {bad}, 0)
FROM numbers({minutes})
"""
Show = Callable[[str], str]


@pytest.fixture(scope="module")
def show(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Show]:
    """Shows the text of a page, over five objectives, one file that is broken, and an incident of orders."""
    folder = tmp_path_factory.mktemp("objectives")
    services = {"orders": "Orders <b>", "quiet": "Quiet", "burning": "Burning", "spent": "Spent", "nothing": "Nothing"}
    paths: list[Path] = []
    for service, title in services.items():
        paths.append(folder / f"{service}.yaml")
        paths[-1].write_text(FILE.format(name=f"{service}-slo", title=title, service=service))
    config = {"slo": [str(path) for path in paths]}
    with OwnRoles(folder, config) as own:
        own.start("store")
        loader = loader_of(own.config)
        history = {
            "orders": (300, 240, 12, 1440),  # 720 of the 1,440 that may fail, while the incident went on
            "quiet": (0, 0, 0, 1440),
            "burning": (60, 0, 20, 720),  # 1,200 of 720 in the last hour
            "spent": (1400, 1300, 50, 1440),
        }
        for service, (first, last, bad, minutes) in history.items():
            values = {"first": first, "last": last, "bad": bad, "minutes": minutes}
            loader.run(REQUESTS.format(now=int(NOW.timestamp()), service=service, **values))
        db = Database.open(f"sqlite:///{folder / 'state.db'}")
        clock = FrozenClock(NOW)
        incidents = Incidents(db, clock, own.config.oncall)
        onset = NOW - timedelta(minutes=305)
        (incident_id,) = incidents.observe([finding("orders", onset=onset, seen_at=onset)], now=onset)
        assert incident_id
        clock_then = FrozenClock(NOW - timedelta(minutes=200))
        Incidents(db, clock_then, own.config.oncall).observe([], now=clock_then.now())
        paths[-1].write_text("kind: SLO\n")  # broken after the start, as an edit would
        sources = Sources(telemetry=own.telemetry, incidents=incidents, db=db, config=own.config, clock=clock)
        pages: Pages = read_pages()

        def show(path: str) -> str:
            opened = pages.open(path)
            reader = viewer({"scheme": "light", "zone": "UTC"}, NOW)
            request = PageRequest(sources=sources, view=View(path=path), viewer=reader, argument=opened.argument)
            return words(rendered(opened, request))

        yield show
        db.close()


def words(part: Any) -> str:
    """The text of a page, blanks as one."""
    if isinstance(part, (list, tuple)):
        return " ".join(words(child) for child in part)
    if isinstance(part, Component):
        return " ".join(words(getattr(part, "children", None)).split())
    return "" if part is None else str(part)


def row(text: str, title: str) -> str:
    """What stands from an objective's title to the next promise."""
    return text.split(title, 1)[1].split(" succeed, over 1 d", 2)[1]


def test_each_objective_has_its_budget_burn_and_forecast(show: Show) -> None:
    """The one with the least left comes first; a file that cannot be read is named, and stops no other."""
    text = show("/slos")
    assert text.index("Spent") < text.index("Burning") < text.index("Orders <b>") < text.index("Quiet")
    assert "Not read: " in text
    assert "nothing.yaml:1" in text
    assert "Nothing" not in text.replace("nothing.yaml", "")
    assert "may run out 50 % 0× 2×" in row(text, "Orders <b>")
    assert "safe 100 % 0× 0×" in row(text, "Quiet")
    assert "used up overdrawn by 67 % 20× 3.33×" in row(text, "Burning")
    assert "used up overdrawn by 247 % 0× 0×" in row(text, "Spent")
    assert "Safe until" in row(text, "Quiet")
    assert "something is left again on" in row(text, "Spent")


def test_one_objective_says_what_used_it_up(show: Show) -> None:
    """The incident's hour used up half of the budget, and nothing failed outside of it."""
    text = show("/slos/orders-slo")
    assert "99 % of requests of orders succeed, over 1 d" in text
    assert "720 of 144,000 requests; 1,440 may" in text
    spent = text.split("What used it up", 1)[1]
    assert "orders: 41 % of requests fail" in spent
    assert "50 % 100 % 720 outside of every incident 0 % 0 % 0" in spent
    assert "1 h 0× 0 of 6,000 0.48× 6 h 2× 720 of 36,000 0.2×" in text
    assert "(likely not before" in text


def test_a_short_history_is_named(show: Show) -> None:
    """Half a day of requests is no day: the page says since when it counts."""
    text = show("/slos/burning-slo")
    assert "Counted since" in text
    assert "the store keeps 7 days" in text
    assert "Counted since" not in show("/slos/quiet-slo")


@pytest.mark.parametrize("name", ["unknown", "%3Cscript%3E", "..%2F..%2Fetc"])
def test_an_unknown_objective_leads_back(show: Show, name: str) -> None:
    """Whatever the address holds is named, and the list is one link away."""
    text = show(f"/slos/{name}")
    assert "No such objective" in text
    assert "All objectives" in text


def test_a_day_in_the_tests_is_today() -> None:
    """The store keeps a week: what these tests insert must be newer."""
    assert abs(datetime.now(UTC) - NOW) < timedelta(hours=1)
