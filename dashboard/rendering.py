"""The callback that renders pages: on navigation, on a change of theme, and at every refresh."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from dash import ctx, html, no_update
from dash.exceptions import PreventUpdate
from prometheus_client import Histogram

from dashboard.commands import Who
from dashboard.components.attempts import attempt
from dashboard.components.elements import Part
from dashboard.components.escaping import inert, named
from dashboard.components.incident_words import cause_text
from dashboard.components.wording import clock_text
from dashboard.drawing import drawing
from dashboard.page import PageRequest
from dashboard.reads.sources import Sources
from dashboard.registry import Opened, Pages
from dashboard.urls import RANGES, View, incident_path, parse
from dashboard.viewer import Viewer, viewer
from watchkeeper.errors import WatchkeeperError
from watchkeeper.text import page_text, seen_name
from watchkeeper.vocabulary import Actor

RENDERED = Histogram("watchkeeper_dashboard_page_seconds", "How long rendering a page took, by page.", ["page"])


def renderer(pages: Pages, sources: Sources, who: Who) -> Callable[..., Any]:
    """The callback's function. A refresh goes to the browser as data, which refresh.js compares with the page."""

    def render(
        path: str | None,
        search: str | None,
        stored: Mapping[str, Any] | None,
        _tick: object,
        pulse: Mapping[str, Any] | None,
    ) -> Any:
        if not stored:
            raise PreventUpdate  # the browser has not sent its theme and time zone yet
        at = f"{path}{search or ''}"
        # On a slow machine a tick overtakes the first answer, which the browser then drops: answer in full once more.
        refreshed = set(ctx.triggered_prop_ids) == {"tick.data"} and (pulse or {}).get("at") == at
        view = parse(path, search)
        reader = viewer(stored, sources.now())
        opened = pages.open(view.path)
        with RENDERED.labels(page=opened.name).time():
            shown = rendered(opened, PageRequest(sources=sources, view=view, viewer=reader, argument=opened.argument))
        now = {
            "at": at,
            "title": page_text(opened.title, 100),
            "nav": opened.page.marked,
            "open": _open_incidents(sources),
            "share": view.frozen(reader.now),
        }
        if refreshed:
            return no_update, {"at": at, "tree": shown}, now, _session(who()), no_update, no_update, no_update
        ranges, chosen = range_choices(view, reader)
        choices = _search_choices(pages, sources, view)
        return shown, no_update, now, _session(who()), choices, ranges, chosen

    return render


def rendered(opened: Opened, request: PageRequest) -> Part:
    """A page as it goes to the browser: every text inert, and an error in its place."""
    with drawing(request.view, request.viewer.now):
        return inert(attempt("This page", lambda: opened.page.render(request)))


def _session(actor: Actor | None) -> Part:
    """Who may act from this browser, or a link to sign in; the same link leads to signing out."""
    return html.A(named(actor.name) if actor else "Sign in", href="/sign-in")


def range_choices(view: View, reader: Viewer) -> tuple[list[dict[str, str]], str]:
    """The options of the time range, and the chosen one; a fixed time range is an option of its own."""
    choices = [{"value": key, "label": f"Last {key}"} for key in RANGES]
    if view.is_live:
        return choices, view.range
    window = view.window(reader.now)
    first = clock_text(window.start, reader.zone, reader.now, seconds=False)
    return [{"value": "fixed", "label": f"{first} – {window.end.astimezone(reader.zone):%H:%M}"}, *choices], "fixed"


def _open_incidents(sources: Sources) -> int:
    """How many of the newest pages are open; 0 if the database cannot be read, which the page shows itself."""
    try:
        return sum(incident.is_open for incident in sources.records.newest() if incident.severity == "page")
    except WatchkeeperError:
        return 0


def _search_choices(pages: Pages, sources: Sources, view: View) -> list[dict[str, Any]]:
    """What the search offers. A failing source leaves its part out."""
    groups: list[dict[str, Any]] = []
    try:
        items = [
            {"value": incident_path(i.id), "label": page_text(f"{i.title} · {cause_text(i)} · {i.id}", 300)}
            for i in sources.records.newest()[:60]
        ]
        groups.append({"group": "Incidents", "items": items})
    except WatchkeeperError:
        pass
    try:
        names = sources.traffic.known_services()
        items = [{"value": view.link("/services", service=name), "label": seen_name(name)} for name in names]
        groups.insert(0, {"group": "Services", "items": items})
    except WatchkeeperError:
        pass
    items = [{"value": page.path, "label": seen_name(page.title)} for page in pages.navigation]
    groups.append({"group": "Pages", "items": items})
    return groups
