"""The pages, by address. One file each: a title, and `render` from what is read to what is shown."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from dash import ctx, html, no_update
from dash.exceptions import PreventUpdate
from prometheus_client import Histogram

from dashboard.commands import Who
from dashboard.components.attempts import attempt
from dashboard.components.elements import Part
from dashboard.components.escaping import inert, named
from dashboard.components.incident_words import cause_text, is_open
from dashboard.components.wording import clock_text
from dashboard.pages import incident, learning, missing, oncall, overview, services, trace
from dashboard.pages import incidents as incidents_page
from dashboard.reads.sources import Sources
from dashboard.urls import RANGES, View, incident_path, parse
from dashboard.viewer import Viewer, viewer
from watchkeeper.errors import WatchkeeperError
from watchkeeper.text import page_text, seen_name
from watchkeeper.vocabulary import Actor

DRAWN = Histogram("watchkeeper_dashboard_page_seconds", "How long drawing a page took, by page.", ["page"])
Render = Callable[[Sources, View, Viewer], Part]


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One address: where it stands in the navigation, its title, and what draws it."""

    nav: str
    title: str
    render: Render


PAGES: Mapping[str, Page] = {
    "/": Page(nav="overview", title="Overview", render=overview.render),
    "/incidents": Page(nav="incidents", title="Incidents", render=incidents_page.render),
    "/services": Page(nav="services", title="Services", render=services.render),
    "/oncall": Page(nav="oncall", title="On call", render=oncall.render),
    "/learning": Page(nav="learning", title="Learning", render=learning.render),
}


def find(path: str) -> Page:
    """The page of an address, or the page for an unknown address."""
    plain = path.rstrip("/") or "/"
    if plain.startswith("/incidents/"):
        incident_id = unquote(plain.removeprefix("/incidents/"))
        return Page(nav="incidents", title=incident_id, render=incident.renderer(incident_id))
    if plain.startswith("/traces/"):
        trace_id = unquote(plain.removeprefix("/traces/"))
        return Page(nav="services", title=f"Trace {trace_id[:8]}", render=trace.renderer(trace_id))
    return PAGES.get(plain) or Page(nav="", title="No such page", render=missing.render)


def renderer(sources: Sources, who: Who) -> Callable[..., Any]:
    """The callback that draws the page: on navigation, on a change of theme, and at every refresh.

    A refresh goes to the browser as data, which refresh.js compares with what is on the page.
    """

    def draw(
        path: str | None, search: str | None, stored: Mapping[str, Any] | None, _tick: object, _pulse: object
    ) -> Any:
        if not stored:
            raise PreventUpdate  # the browser has not sent its theme and time zone yet
        refreshed = set(ctx.triggered_prop_ids) == {"tick.data"}
        view = parse(path, search)
        reader = viewer(stored, sources.now())
        page = find(view.path)
        with DRAWN.labels(page=page.nav or "none").time():
            shown = inert(attempt("This page", lambda: page.render(sources, view, reader)))
        choices, opened = _chrome(sources, view)
        pulse = {"title": page_text(page.title, 100), "nav": page.nav, "open": opened, "share": view.frozen(reader.now)}
        if refreshed:
            fresh = {"at": f"{path}{search or ''}", "tree": shown}
            return no_update, fresh, pulse, _reader(who()), no_update, no_update, no_update
        ranges, chosen = range_choices(view, reader)
        return shown, no_update, pulse, _reader(who()), choices, ranges, chosen

    return draw


def _reader(actor: Actor | None) -> Part:
    """Who may act from this browser, or where to sign in; there is the way out, too."""
    return html.A(named(actor.name) if actor else "Sign in", href="/sign-in")


def range_choices(view: View, reader: Viewer) -> tuple[list[dict[str, str]], str]:
    """The time range's options, and which one is on; a fixed span of time is an option of its own."""
    choices = [{"value": key, "label": f"Last {key}"} for key in RANGES]
    if view.is_live:
        return choices, view.range
    window = view.window(reader.now)
    first = clock_text(window.start, reader.zone, reader.now, seconds=False)
    return [{"value": "fixed", "label": f"{first} – {window.end.astimezone(reader.zone):%H:%M}"}, *choices], "fixed"


def _chrome(sources: Sources, view: View) -> tuple[list[dict[str, Any]], int]:
    """What the search knows, and how many incidents are open. A failing source leaves its part out."""
    groups: list[dict[str, Any]] = []
    opened = 0
    try:
        incidents = sources.listed()
        opened = sum(1 for i in incidents if is_open(i))
        items = [
            {"value": incident_path(i.id), "label": page_text(f"{i.title} · {cause_text(i)} · {i.id}", 300)}
            for i in incidents[:60]
        ]
        groups.append({"group": "Incidents", "items": items})
    except WatchkeeperError:
        pass
    try:
        names = sorted(sources.red(View().window(sources.now()), 15))
        items = [{"value": view.link("/services", service=name), "label": seen_name(name)} for name in names]
        groups.insert(0, {"group": "Services", "items": items})
    except WatchkeeperError:
        pass
    groups.append({"group": "Pages", "items": [{"value": path, "label": page.title} for path, page in PAGES.items()]})
    return groups, opened
