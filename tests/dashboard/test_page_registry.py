"""Pages come in by entry point: built-in ones and a stranger's; a broken one shows its reason and stops nothing."""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points

import pytest
from dash import html

from dashboard.page import Page, PageRequest
from dashboard.reads.sources import Sources
from dashboard.registry import Pages, read_pages
from dashboard.rendering import rendered
from dashboard.urls import View
from dashboard.viewer import Viewer
from watchkeeper.clock import FrozenClock
from watchkeeper.config import Config

BUILT_IN = tuple(entry_points(group="watchkeeper.pages"))


def render(_request: PageRequest) -> object:
    """Free capacity."""
    return html.H1("Capacity")


def failing(_request: PageRequest) -> object:
    """Fails."""
    raise KeyError("capacity")


CAPACITY = Page(path="/capacity", title="Capacity", render=render, order=25, key="p")
FAILING = Page(path="/failing", title="Failing", render=failing)
TAKEN = Page(path="/services", title="Mine", render=render)
TAKEN_KEY = Page(path="/mine", title="Mine", render=render, key="o")


def pages(**strangers: str) -> Pages:
    """The built-in pages and a stranger's, each named by its attribute of this module."""
    module = "tests.dashboard.test_page_registry"
    declared = [EntryPoint(name, value if ":" in value else f"{module}:{value}", "watchkeeper.pages")
                for name, value in strangers.items()]  # fmt: skip
    return read_pages([*BUILT_IN, *declared])


@pytest.fixture
def request_of(reader: Viewer, clock: FrozenClock) -> PageRequest:
    """A request of a page that reads nothing."""
    sources = Sources(
        telemetry=None,  # type: ignore[arg-type]
        incidents=None,  # type: ignore[arg-type]
        db=None,  # type: ignore[arg-type]
        config=Config(),
        clock=clock,
    )
    return PageRequest(sources=sources, view=View(), viewer=reader)


def test_a_strangers_page_stands_where_it_asks_to() -> None:
    """In the navigation by its order, and at its address."""
    titles = [page.title for page in pages(capacity="CAPACITY").navigation]
    own = titles.index("Capacity")
    assert titles[own - 1 : own + 2] == ["Incidents", "Capacity", "Services"]
    assert pages(capacity="CAPACITY").open("/capacity/").name == "capacity"


def test_an_address_opens_its_page_with_its_argument() -> None:
    """The last part is decoded; an unknown address opens a page that names it."""
    registered = pages()
    opened = registered.open("/incidents/inc%2F1")
    assert (opened.name, opened.argument) == ("incident", "inc/1")
    assert registered.open("/traces/abc").title == "Trace abc"
    assert [registered.open(path).name for path in ("/", "/incidents", "/incidents/", "/a/b/c", "")] == [
        "overview", "incidents", "incidents", "none", "overview",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("nowhere.at.all:PAGE", "No module named 'nowhere'"),
        ("render", "must be a dashboard.page.Page, but is function"),
        ("TAKEN", "path: /services belongs to the page 'services'"),
        ("TAKEN_KEY", "key: o belongs to the page 'overview'"),
    ],
)
def test_a_page_that_cannot_be_loaded_shows_why_in_its_place(value: str, reason: str, request_of: PageRequest) -> None:
    """The others are there, and its own address and its link in the navigation show the reason."""
    registered = pages(mine=value)
    assert [page.title for page in registered.navigation][-1] == "mine"
    assert reason in str(rendered(registered.open("/mine"), request_of))
    assert reason in registered.broken[0].reason
    assert registered.open("/services").name == "services"


def test_a_page_that_raises_shows_a_defect_in_its_place(request_of: PageRequest) -> None:
    """The frame stays, and no traceback reaches the reader."""
    text = str(rendered(pages(failing="FAILING").open("/failing"), request_of))
    assert "This page cannot be shown" in text
    assert "KeyError" not in text


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"path": "capacity"}, "path: 'capacity' must be like /capacity"),
        ({"path": "/api/capacity"}, "path: /api belongs to the web role"),
        ({"path": "/x/{other}"}, "path: "),
        ({"title": " "}, "title: must not be empty"),
        ({"path": "/x/{argument}", "order": 3}, "order: "),
        ({"path": "/x/{argument}", "key": "x"}, "key: "),
        ({"key": "XY"}, "key: 'XY' must be one letter"),
    ],
)
def test_a_page_that_cannot_work_is_refused_with_its_field(fields: dict[str, object], reason: str) -> None:
    """Before anybody opens it."""
    values: dict[str, object] = {"path": "/capacity", "title": "Capacity", "render": render}
    with pytest.raises(ValueError, match=reason):
        Page(**(values | fields))  # type: ignore[arg-type]
