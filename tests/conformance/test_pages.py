"""Every registered page passes the suite, and the suite refuses pages that break its rules."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import count
from typing import Any

import pytest
from dash import dcc, html

from dashboard import conformance
from dashboard.example_site import ExampleSite
from dashboard.page import Page, PageRequest
from dashboard.reads.fleet import fleet
from watchkeeper.conformance import page_suite
from watchkeeper.errors import WatchkeeperError
from watchkeeper.state.labels import record_label
from watchkeeper.vocabulary import Label

TestPages = page_suite()

_CALLS = count()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ExampleSite]:
    """A site for the broken pages."""
    site = ExampleSite.start(tmp_path_factory.mktemp("site"))
    yield site
    site.close()


def good(request: PageRequest) -> Any:
    """Every service with its health."""
    members = fleet(request.sources, request.view)
    links = [dcc.Link(name, href=request.view.link("/services", service=name)) for name in members]
    return [html.H1("Health"), html.Div(links), html.P([member.health.reason for member in members.values()])]


def undescribed(request: PageRequest) -> Any:
    return good(request)


def expecting(request: PageRequest) -> Any:
    """Takes a service for granted."""
    members = fleet(request.sources, request.view)
    return [html.H1(next(iter(members)))]


def headless(request: PageRequest) -> Any:
    """Has no heading."""
    return good(request)[1:]


def linking(request: PageRequest) -> Any:
    """Makes an address of a name as it is."""
    return [html.H1("Links"), *[html.A(name, href=name) for name in fleet(request.sources, request.view)]]


def scripting(request: PageRequest) -> Any:
    """Lets HTML of data through."""
    names = fleet(request.sources, request.view)
    return [html.H1("Notes"), dcc.Markdown("\n".join(names), dangerously_allow_html=True)]


def plotting(request: PageRequest) -> Any:
    """Puts names into a plot as they are."""
    names = list(fleet(request.sources, request.view))
    return [html.H1("Plot"), dcc.Graph(figure={"data": [{"x": names}], "layout": {}})]


def silent(request: PageRequest) -> Any:
    """Hides every error."""
    try:
        return good(request)[:2]
    except WatchkeeperError:
        return [html.H1("Health"), "all well"]


def writing(request: PageRequest) -> Any:
    """Writes to the database."""
    at = datetime(2026, 1, 1, tzinfo=UTC)
    label = Label(id=f"x-{next(_CALLS)}", incident_id="i", source="human", author="a", at=at, warranted=True)
    record_label(request.sources.db, label)
    return good(request)


def intruding(request: PageRequest) -> Any:
    """Uses an id of the frame."""
    return [*good(request), html.Div(id="search")]


def changing(request: PageRequest) -> Any:
    """Renders something else each time."""
    return [*good(request), str(next(_CALLS))]


def made(render: Any) -> Page:
    return Page(path="/health", title="Health", render=render)


@pytest.mark.parametrize("check", conformance.CHECKS, ids=lambda check: check.__name__)
def test_a_good_page_passes(check: conformance.Check, site: ExampleSite) -> None:
    """The broken pages below differ from it in one thing each."""
    check(made(good), site)


@pytest.mark.parametrize(
    ("render", "check"),
    [
        (undescribed, conformance.it_is_described),
        (expecting, conformance.it_renders_with_nothing_there),
        (headless, conformance.it_has_one_heading),
        (linking, conformance.its_links_stay_here),
        (scripting, conformance.it_runs_nothing),
        (plotting, conformance.it_runs_nothing),
        (silent, conformance.it_reports_that_the_store_is_away),
        (silent, conformance.it_reports_that_the_database_is_broken),
        (writing, conformance.it_only_reads),
        (intruding, conformance.it_keeps_to_its_own_ids),
        (changing, conformance.it_renders_the_same_twice),
    ],
)
def test_a_broken_page_is_refused(render: Any, check: conformance.Check, site: ExampleSite) -> None:
    """By the check that is about what it breaks."""
    with pytest.raises((AssertionError, StopIteration)):
        check(made(render), site)
