"""A dashboard page: one address, a title, a place in the navigation, and a function that renders it.

A package adds a page with one entry point in the group `watchkeeper.pages` that names a `Page`:

    PAGE = Page(path="/capacity", title="Capacity", render=render, order=60, key="p")

    def render(request: PageRequest) -> Part:
        \"\"\"Free capacity of every service.\"\"\"
        members = fleet(request.sources, request.view)
        return [html.H1("Capacity"), card("Services", count(len(members), "service"))]
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal, Protocol, get_args

from dashboard.components.elements import Part
from dashboard.reads.sources import Sources
from dashboard.urls import View
from dashboard.viewer import Viewer

# The groups of the navigation, in order.
Section = Literal["Now", "Explore", "Respond", "Improve", "Platform"]
SECTIONS: Final[tuple[Section, ...]] = get_args(Section)
_PATH: Final = re.compile(r"/|(/[a-z0-9][a-z0-9-]*)+(/\{argument\})?")
# Addresses that the web role answers itself: a page there would never be reached.
RESERVED: Final = (
    "/acknowledge",
    "/api",
    "/assets",
    "/calendar",
    "/healthz",
    "/metrics",
    "/readyz",
    "/sign-in",
    "/sign-out",
    "/slack",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PageRequest:
    """What a page is rendered from.

    Attributes:
        sources: everything that pages read. Reads raise StoreError and StateError; a page may let them pass.
        view: the choices in the address: time range, service, state.
        viewer: the reader's theme and time zone, and `now`.
        argument: the last part of the address, decoded, where the page's path ends with `{argument}`.
    """

    sources: Sources
    view: View
    viewer: Viewer
    argument: str = ""


class Render(Protocol):
    """Renders a page. Its docstring's first line describes the page in `watchkeeper parts`."""

    def __call__(self, request: PageRequest, /) -> Part:
        """The page's components. A WatchkeeperError is shown in the page's place, with its message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One page.

    Attributes:
        path: its address, such as `/capacity`, or `/capacity/{argument}` for a page about one thing.
        title: its name in the navigation and the browser's title; may contain `{argument}`.
        order: its place in the navigation, ascending; None keeps it out.
        section: the group of the navigation that it stands in.
        key: the letter that opens it after `g`; empty for none.
        under: the path of the page that the navigation marks while this one is open; its own by default.
    """

    path: str
    title: str
    render: Render
    order: int | None = None
    section: Section = "Explore"
    key: str = ""
    under: str = ""

    def __post_init__(self) -> None:
        """Check the record.

        Raises:
            ValueError: a field cannot be used; the message names it.
        """
        if not _PATH.fullmatch(self.path):
            raise ValueError(f"path: {self.path!r} must be like /capacity or /capacity/{{argument}}")
        first = "/" + self.path.split("/")[1]
        if first in RESERVED or first.startswith("/_"):
            raise ValueError(f"path: {first} belongs to the web role; choose another")
        if not self.title.strip() or not self.name_of("x").strip():
            raise ValueError("title: must not be empty")
        if self.section not in SECTIONS:
            raise ValueError(f"section: {self.section!r} must be one of {', '.join(SECTIONS)}")
        if self.order is not None and self.takes_argument:
            raise ValueError("order: a page with {argument} in its path cannot stand in the navigation")
        if self.key and not re.fullmatch("[a-z]", self.key):
            raise ValueError(f"key: {self.key!r} must be one letter from a to z")
        if self.key and self.takes_argument:
            raise ValueError("key: a page with {argument} in its path cannot be opened by a key")

    @property
    def takes_argument(self) -> bool:
        """Whether the last part of the address is the page's argument."""
        return self.path.endswith("/{argument}")

    @property
    def described_by(self) -> Render:
        """Whose docstring describes the page."""
        return self.render

    @property
    def marked(self) -> str:
        """The path that the navigation marks."""
        return self.under or self.path

    def name_of(self, argument: str) -> str:
        """The title for one argument."""
        return self.title.replace("{argument}", argument)
