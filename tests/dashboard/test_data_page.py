"""The page Data over a real store: what arrives, who has stopped, and what was refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta

import pytest
from plotly.io.json import to_json_plotly

from bench.own_roles import loader_of
from collectors.ingest_log.quarantine import describe, set_aside
from dashboard.components.escaping import inert
from dashboard.example_site import SERVICES, ExampleSite
from dashboard.page import PageRequest
from dashboard.pages.data import PAGE
from dashboard.reads.sources import Sources
from dashboard.urls import View
from dashboard.viewer import viewer

# One service sent for twenty minutes, and stopped an hour ago; another sent once.
STOPPED = """
INSERT INTO otel.arrivals (bucket, signal, service, rows, bytes, lag_ms_sum, lag_ms_max)
SELECT toDateTime({at} - 60 * number, 'UTC'), 'logs', '{service}', 10, 1000, 10, 1 FROM numbers({minutes})
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ExampleSite]:
    """A real store, full of telemetry that has just arrived."""
    started = ExampleSite.start(tmp_path_factory.mktemp("site"))
    yield started
    started.close()


def shown(sources: Sources, site: ExampleSite, view: View | None = None) -> str:
    """The page as it goes to the browser a minute after everything arrived."""
    now = site.now + timedelta(minutes=2)
    request = PageRequest(
        sources=sources, view=view or View(path=PAGE.path), viewer=viewer({"scheme": "light", "zone": "UTC"}, now)
    )
    return json.dumps(json.loads(str(to_json_plotly(inert(PAGE.render(request))))))


def test_it_shows_who_sends_what(site: ExampleSite) -> None:
    """Each service is there with its signals, and a search finds one."""
    page = shown(site.with_much(), site)
    assert f"{3 * len(SERVICES)} sources" in page
    assert "empty trouble" not in page
    one = shown(site.with_much(), site, View(path=PAGE.path, words="service-39 logs"))
    assert "1 source," in one


def test_it_names_who_has_stopped_and_since_when(site: ExampleSite) -> None:
    """A service that came for twenty minutes and came no more; not one that came once."""
    store = loader_of(site.config)
    at = int(site.now.timestamp()) // 60 * 60 - 3600
    store.run(STOPPED.format(at=at, service="gone-away", minutes=20))
    store.run(STOPPED.format(at=at, service="came-once", minutes=1))
    page = shown(site.with_much(), site)
    assert "gone-away" in page
    assert "no logs" in page
    assert "came-once" not in page


def test_it_says_why_something_was_refused_and_what_to_do(site: ExampleSite) -> None:
    """The store's answer, whose telemetry it was, and the command that loads it again."""
    folder = site.config.ingest_log_dir
    folder.mkdir(parents=True, exist_ok=True)
    segment = folder / "1-1.logs.ready"
    segment.write_bytes(b"\x03abc")
    set_aside(segment, describe(segment, reason="Cannot parse <b>input</b>", code=27, now=site.now.timestamp()))
    page = shown(site.with_much(), site)
    assert "The store answered: Cannot parse <b>input</b>" in page
    assert "watchkeeper ingest refused retry 1-1.logs" in page
    assert "1 segment in quarantine" in page
