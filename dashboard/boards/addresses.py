"""A panel as the address of its page, and the address of a page as a panel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote

from dashboard.boards.board import KEYS, Kind, Panel, usual_title
from dashboard.urls import View, objective_path
from watchkeeper.errors import ConfigError

PATHS: Final[Mapping[str, Kind]] = {"/explore": "metrics", "/logs": "logs", "/traces": "traces"}
_OF_KIND: Final[Mapping[Kind, str]] = {kind: path for path, kind in PATHS.items()}
_SHARED: Final = ("service", "q")


def panel_view(panel: Panel, around: View) -> View:
    """The view that the panel's page has of the time range of `around`; its service too, unless the panel has one."""
    own = {name: value for name, value in panel.choices.items() if name not in (*_SHARED, "names", "objective", "text")}
    path = objective_path(panel.choices.get("objective", "")) if panel.kind == "slo" else _OF_KIND.get(panel.kind, "/")
    return View(
        path=path,
        range=around.range,
        start=around.start,
        end=around.end,
        service=panel.choices.get("service") or around.service,
        words=panel.choices.get("q", ""),
        choices=own,
    )


def panel_of(view: View) -> Panel:
    """The panel that shows what the page at this address shows.

    Raises:
        ConfigError: the page has no panel, or nothing is asked there yet.
    """
    if view.path.startswith("/slos/"):
        name = unquote(view.path.removeprefix("/slos/"))
        return Panel(kind="slo", title=usual_title("slo", {"objective": name}), choices={"objective": name})
    kind = PATHS.get(view.path)
    if kind is None:
        raise ConfigError("This page cannot stand on a board; add metrics, logs, traces or an objective.")
    given = {**view.choices, "service": view.service or "", "q": view.words}
    choices = {name: given[name] for name in KEYS[kind] if given.get(name)}
    if kind == "metrics" and "metric" not in choices:
        raise ConfigError("No metric is chosen; choose one as query A first.")
    return Panel(kind=kind, title=usual_title(kind, choices), choices=choices)
