"""What every dashboard page must do, as a suite of tests: for built-in pages and for those of other packages."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from dash import dcc, html
from dash.development.base_component import Component
from plotly.io.json import to_json_plotly

from dashboard import shell
from dashboard.components.elements import Part
from dashboard.components.escaping import inert
from dashboard.drawing import drawing
from dashboard.example_site import (
    BOARD,
    HOSTILE,
    ONE_TRACE,
    SERVICES,
    CountingDatabase,
    CountingTelemetry,
    ExampleSite,
    watched,
)
from dashboard.figures.figure_table import figure_table
from dashboard.page import Page, PageRequest
from dashboard.reads.sources import Sources
from dashboard.registry import Pages
from dashboard.urls import View
from dashboard.viewer import viewer
from watchkeeper.errors import WatchkeeperError

Check = Callable[[Page, ExampleSite], None]
# What a browser must never be given: they run what they hold.
ACTIVE: Final = (html.Script, html.Iframe, html.Embed, html.ObjectEl, html.Base, html.Meta)
MARKUP: Final = re.compile(r"<\s*/?\s*(script|img|a|svg|iframe)\b", re.IGNORECASE)


def page_suite(parts: Mapping[str, Page] | None = None) -> type:
    """The tests that every page must pass, over `parts` by name or over all that are registered.

    They start a real store; each takes some seconds.
    """
    import pytest

    from dashboard.registry import page_registry

    pages = page_registry().values() if parts is None else dict(parts)

    class PageSuite:
        @pytest.fixture(scope="class")
        @classmethod
        def site(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ExampleSite]:
            site = ExampleSite.start(tmp_path_factory.mktemp("site"))
            yield site
            site.close()

        @pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
        @pytest.mark.parametrize("name", sorted(pages))
        def test_page(self, name: str, check: Check, site: ExampleSite) -> None:
            check(pages[name], site)

    return PageSuite


def it_is_described(page: Page, _site: ExampleSite) -> None:
    """The function has a docstring, whose first line `watchkeeper parts` shows."""
    assert (inspect.getdoc(page.render) or "").strip(), "its render function has no docstring"


def it_is_opened_by_its_address(page: Page, _site: ExampleSite) -> None:
    """Its address leads to it, and its title names what it shows."""
    path = page.path.replace("{argument}", "x%2Fy")
    opened = Pages(by_name={"page": page}).open(path)
    assert opened.page is page, f"{path} does not open it"
    assert opened.argument == ("x/y" if page.takes_argument else "")
    assert opened.title.strip(), "its title is empty"


def it_renders_with_nothing_there(page: Page, site: ExampleSite) -> None:
    """A new installation has no service, no incident and no label."""
    for argument in ("", "unknown") if page.takes_argument else ("",):
        _shown(page, site.with_nothing(), argument)


def it_renders_with_much(page: Page, site: ExampleSite) -> None:
    """Fifty services with an incident each, in both themes, on a phone, and in a time range of the past."""
    assert _rendered(page, site)


def it_has_one_heading(page: Page, site: ExampleSite) -> None:
    """A screen reader announces a page by its `H1`; it may have the class `unseen`."""
    for sources in (site.with_nothing(), site.with_much()):
        headings = [node for node in _nodes(_shown(page, sources, _argument(page, site))) if isinstance(node, html.H1)]
        assert len(headings) == 1, f"it has {len(headings)} H1, and must have one"


def it_runs_nothing(page: Page, site: ExampleSite) -> None:
    """No script, no frame, and no Markdown or grid that lets HTML through, whatever a name holds."""
    for part in _rendered(page, site):
        for node in _nodes(part):
            name = type(node).__name__
            assert not isinstance(node, ACTIVE), f"it renders a {name}"
            for allowed in ("dangerously_allow_html", "dangerously_allow_code"):
                assert not getattr(node, allowed, False), f"its {name} has {allowed}"
            if isinstance(node, dcc.Graph):
                markup = [text for text in _texts(node.figure) if MARKUP.search(text)]
                assert not markup, f"its plot holds markup from data: {markup[0][:100]!r}; use plot_text"


def its_plots_give_their_numbers(page: Page, site: ExampleSite) -> None:
    """Each plot names the reads that made it, and its figure can be saved as a table."""
    sources = site.with_much()
    reader = viewer({"scheme": "light", "zone": "UTC"}, sources.now())
    view = View(path=page.path)
    request = PageRequest(sources=sources, view=view, viewer=reader, argument=_argument(page, site))
    with drawing(view, reader.now) as of:
        page.render(request)
    for name, plotted in of.plots.items():
        assert plotted.reads, f"its plot {name} names no reads: plot(..., reads=(...))"
        assert figure_table(plotted.figure).num_columns > 1, f"its plot {name} has no numbers"


def its_links_stay_here(page: Page, site: ExampleSite) -> None:
    """An address is never made of a name as it is: every link is a path of the dashboard."""
    for part in _rendered(page, site):
        for node in _nodes(part):
            for attribute in ("href", "src", "action"):
                address = getattr(node, attribute, None)
                if address is not None:
                    _assert_own(attribute, str(address))


def it_reports_that_the_store_is_away(page: Page, site: ExampleSite) -> None:
    """Nothing unknown is shown as healthy: what needs the store shows its error."""
    sources = site.without_store()
    text = _text_without(page, sources, _argument(page, site))
    telemetry = sources.telemetry
    assert isinstance(telemetry, CountingTelemetry)
    if telemetry.queries:
        assert "cannot be reached" in text, "it asks the store, and does not show that it cannot be reached"


def it_reports_that_the_database_is_broken(page: Page, site: ExampleSite) -> None:
    """What needs the state database shows its error."""
    sources = site.without_database()
    text = _text_without(page, sources, _argument(page, site))
    assert isinstance(sources.db, CountingDatabase)
    if sources.db.uses:
        assert "state database" in text, "it asks the state database, and does not show that it failed"


def it_only_reads(page: Page, site: ExampleSite) -> None:
    """Rendering changes nothing; commands are given by buttons, by a person with a session."""
    for request in _requests(page, site):
        with watched(request.sources.db) as statements:
            _shown_for(page, request)
        for statement in statements:
            verb = statement.split(maxsplit=1)[0].upper()
            assert verb in ("SELECT", "WITH", "PRAGMA"), f"rendering gives the state database: {statement[:100]}"


def it_keeps_to_its_own_ids(page: Page, site: ExampleSite) -> None:
    """An id of the frame around the page belongs to the frame."""
    frame = set(_ids(shell.layout(Pages(by_name={"page": page}))))
    for part in _rendered(page, site):
        ids = list(_ids(part))
        assert not frame & set(ids), f"it uses ids of the frame: {sorted(frame & set(ids))}"
        assert len(ids) == len(set(ids)), f"it uses an id twice: {sorted({i for i in ids if ids.count(i) > 1})}"


def it_renders_the_same_twice(page: Page, site: ExampleSite) -> None:
    """At one moment, over the same data: a refresh must not replace what has not changed."""
    for request in _requests(page, site):
        assert _json(_shown_for(page, request)) == _json(_shown_for(page, request)), "two renderings differ"


CHECKS: tuple[Check, ...] = (
    it_is_described,
    it_is_opened_by_its_address,
    it_renders_with_nothing_there,
    it_renders_with_much,
    it_has_one_heading,
    it_runs_nothing,
    its_plots_give_their_numbers,
    its_links_stay_here,
    it_reports_that_the_store_is_away,
    it_reports_that_the_database_is_broken,
    it_only_reads,
    it_keeps_to_its_own_ids,
    it_renders_the_same_twice,
)


def _requests(page: Page, site: ExampleSite) -> Iterator[PageRequest]:
    """Requests for the page over the full site: each theme, a phone, the past, and hostile choices and arguments."""
    sources = site.with_much()
    arguments = (
        ("", *HOSTILE[:3], SERVICES[-1], ONE_TRACE, BOARD, *site.incident_ids()[:4]) if page.takes_argument else ("",)
    )
    day = site.now.replace(hour=0, minute=0, second=0, microsecond=0)
    views = (
        View(path=page.path),
        View(path=page.path, service=HOSTILE[0], state=HOSTILE[1], problem=HOSTILE[0]),
        View(path=page.path, service=SERVICES[-1], range="3h"),
        View(path=page.path, start=day, end=site.now) if site.now > day else View(path=page.path, range="24h"),
    )
    readers = ({"scheme": "light", "zone": "UTC"}, {"scheme": "dark", "zone": "Asia/Tokyo", "narrow": True})
    for number, argument in enumerate(arguments):
        for place, view in enumerate(views if number == 0 else views[:1]):
            reader = viewer(readers[(number + place) % 2], sources.now())
            yield PageRequest(sources=sources, view=view, viewer=reader, argument=argument)


def _rendered(page: Page, site: ExampleSite) -> list[Part]:
    """The page for each of the requests, rendered once for all checks that only look at it."""
    if page not in site.rendered:
        site.rendered[page] = [_shown_for(page, request) for request in _requests(page, site)]
    return site.rendered[page]


def _argument(page: Page, site: ExampleSite) -> str:
    """Something that there is: a trace for a page of traces, a service for one of services, else an incident."""
    if not page.takes_argument:
        return ""
    if "service" in page.path:
        return SERVICES[-1]
    if "board" in page.path:
        return BOARD
    return ONE_TRACE if "trace" in page.path else site.incident_ids()[0]


def _shown(page: Page, sources: Sources, argument: str = "") -> Part:
    reader = viewer({"scheme": "light", "zone": "UTC"}, sources.now())
    return _shown_for(page, PageRequest(sources=sources, view=View(path=page.path), viewer=reader, argument=argument))


def _shown_for(page: Page, request: PageRequest) -> Part:
    """The page as it goes to the browser, where nothing may have failed."""
    with drawing(request.view, request.viewer.now):
        part = inert(page.render(request))
    text = _json(part)
    assert "empty trouble" not in text, f"a part of it failed: {_text(part)[:500]}"
    return part


def _text_without(page: Page, sources: Sources, argument: str) -> str:
    """What the reader sees while something is away: the page, or the error that the frame shows in its place."""
    reader = viewer({"scheme": "light", "zone": "UTC"}, sources.now())
    request = PageRequest(sources=sources, view=View(path=page.path), viewer=reader, argument=argument)
    try:
        return _text(page.render(request))
    except WatchkeeperError as error:
        return error.message


def _json(part: Part) -> str:
    text = to_json_plotly(part)
    assert text is not None
    return str(text)


def _nodes(part: Part) -> Iterator[Component]:
    if isinstance(part, (list, tuple)):
        for child in part:
            yield from _nodes(child)
    elif isinstance(part, Component):
        yield part
        yield from _nodes(getattr(part, "children", None))


def _text(part: Part) -> str:
    if isinstance(part, (list, tuple)):
        return " ".join(_text(child) for child in part)
    if isinstance(part, Component):
        return _text(getattr(part, "children", None))
    return "" if part is None else str(part)


def _texts(tree: Any) -> Iterator[str]:
    if isinstance(tree, str):
        yield tree
    elif isinstance(tree, Mapping):
        for value in tree.values():
            yield from _texts(value)
    elif isinstance(tree, (list, tuple)):
        for value in tree:
            yield from _texts(value)


def _ids(part: Part) -> Iterator[str]:
    for node in _nodes(part):
        name: Any = getattr(node, "id", None)
        if name is not None:
            yield name if isinstance(name, str) else json.dumps(name, sort_keys=True)


def _assert_own(attribute: str, address: str) -> None:
    if attribute == "src" and address.startswith("data:image/svg+xml,"):
        return  # a picture runs no script
    starts = ("/",) if attribute == "src" else ("/", "#")
    assert address.startswith(starts), f"its {attribute} leads elsewhere: {address[:100]!r}"
    assert not address.startswith(("//", "/\\")), f"its {attribute} leads to another host: {address[:100]!r}"
    assert re.fullmatch(r"[!-~]+", address), f"its {attribute} holds a name as it is: {address[:100]!r}"
