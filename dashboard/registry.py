"""The dashboard's pages, found by entry point in the group `watchkeeper.pages`; built-in ones come in the same way."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from urllib.parse import unquote

from dash import dcc, html

from dashboard.components.elements import Part, empty, trouble
from dashboard.page import Page, PageRequest
from watchkeeper.parts import BrokenPart, Registry, read_registry


def read_pages(declared: Iterable[EntryPoint] | None = None) -> Pages:
    """Load every registered page. One that cannot be loaded becomes a page that shows the reason."""
    return Pages.of(page_registry(declared))


def page_registry(declared: Iterable[EntryPoint] | None = None) -> Registry[Page]:
    """The registered pages by name; `declared` are entry points to use instead of the installed ones, for tests."""
    taken: dict[str, str] = {}

    def accept(name: str, loaded: object) -> Page:
        if not isinstance(loaded, Page):
            raise TypeError(f"must be a dashboard.page.Page, but is {type(loaded).__name__}")
        for field, value in (("path", loaded.path), ("key", loaded.key)):
            other = taken.get(f"{field} {value}")
            if value and other:
                raise ValueError(f"{field}: {value} belongs to the page {other!r}; choose another")
        taken.update({f"path {loaded.path}": name, f"key {loaded.key}": name})
        return loaded

    return read_registry("page", accept, declared)


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """The page of one address, and its argument. `name` is the part's name, `none` for an unknown address."""

    name: str
    page: Page
    argument: str = ""

    @property
    def title(self) -> str:
        """The title that the browser shows."""
        return self.page.name_of(self.argument)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pages:
    """All pages, by part name, and the parts that could not be loaded."""

    by_name: dict[str, Page]
    broken: tuple[BrokenPart, ...] = ()

    @classmethod
    def of(cls, registry: Registry[Page]) -> Pages:
        """The pages of a registry. A broken part gets a page at `/<name>`, unless another page is there."""
        pages = registry.values()
        paths = {page.path for page in pages.values()}
        for part in registry.broken:
            try:
                page = _broken_page(part)
            except ValueError:
                continue  # its name is no address; `watchkeeper parts` and the overview name it
            if page.path not in paths and part.name not in pages:
                pages[part.name] = page
                paths.add(page.path)
        return cls(by_name=pages, broken=registry.broken)

    @property
    def navigation(self) -> Sequence[Page]:
        """The pages of the navigation, in order."""
        pages = [page for page in self.by_name.values() if page.order is not None]
        return sorted(pages, key=lambda page: (page.order or 0, page.title))

    def open(self, path: str) -> Opened:
        """The page of an address; a page that shows that there is none, for an unknown address."""
        plain = path.rstrip("/") or "/"
        for name, page in self.by_name.items():
            if page.path == plain:
                return Opened(name=name, page=page)
        parent, _, last = plain.rpartition("/")
        for name, page in self.by_name.items():
            if last and page.path == f"{parent}/{{argument}}":
                return Opened(name=name, page=page, argument=unquote(last))
        return Opened(name="none", page=_MISSING)


LAST = 1_000_000


def _broken_page(part: BrokenPart) -> Page:
    """A page in the place of one that could not be loaded.

    Raises:
        ValueError: the part's name cannot be an address.
    """

    def render(_request: PageRequest) -> Part:
        return [html.H1(part.name), trouble(f"The page {part.name} of {part.origin}", part.reason)]

    return Page(path=f"/{part.name}", title=part.name, render=render, order=LAST)


def _render_missing(request: PageRequest) -> Part:
    return [
        html.H1("No such page"),
        empty(
            f"There is no page at {request.view.path}",
            html.Span(["Go to the ", dcc.Link("overview", href="/"), ", or press / to search."]),
        ),
    ]


_MISSING = Page(path="/no-such-page", title="No such page", render=_render_missing)
