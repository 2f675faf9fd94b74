"""The frame around every page: header, navigation, search, time range, dialogs, and the stores that callbacks share."""

from __future__ import annotations

from typing import Any

import dash_mantine_components as dmc
from dash import dcc, html

from dashboard.dialogs import (
    answer,
    approve,
    board,
    decide,
    experiment,
    handover,
    judge,
    keys,
    note,
    override,
    postmortem,
    reopen,
    resolve,
    rota,
    severity,
    status,
)
from dashboard.page import SECTIONS, Page
from dashboard.registry import Pages
from dashboard.urls import RANGES
from watchkeeper.text import seen_name

REFRESH_MS = 5000
COUNTED = "/incidents"  # its link shows how many incidents are open
AT_THE_THUMB = ("/", "/incidents", "/services", "/oncall")
# Shade 6 is the filled button in light, shade 8 in dark: both carry white text at 4.5 to 1 or better.
HARBOR = (
    "#e6f5f6", "#cfe7e9", "#9fd0d4", "#6cb7bd", "#43a2a9", "#218a92", "#0b6b74", "#095c64", "#0a6f78", "#063f45",
)  # fmt: skip
SLATE = (
    "#e4eaef", "#c3ced6", "#96a5b1", "#6d7d8a", "#45525d", "#2f3a44", "#232c34", "#161d23", "#10161b", "#0b1014",
)  # fmt: skip
THEME: dict[str, Any] = {
    "primaryColor": "harbor",
    "colors": {"harbor": list(HARBOR), "dark": list(SLATE)},
    "fontFamily": "Inter, system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', 'DejaVu Sans', sans-serif",
    "fontFamilyMonospace": "ui-monospace, 'SFMono-Regular', Menlo, Consolas, 'DejaVu Sans Mono', monospace",
    "defaultRadius": "sm",
    "cursorType": "pointer",
}


def layout(pages: Pages) -> Any:
    """The frame before anything is read. Dialogs stand outside what is refreshed, so that nothing typed is lost."""
    return dmc.MantineProvider(
        id="theme",
        theme=THEME,
        forceColorScheme="light",
        children=[
            dcc.Location(id="url", refresh="callback-nav"),
            dcc.Store(id="viewer"),
            dcc.Store(id="pulse"),
            dcc.Store(id="tick", data=0),
            dcc.Store(id="asked"),
            dcc.Store(id="dragged"),
            dcc.Store(id="fresh"),
            dcc.Store(id="shown"),
            dcc.Interval(id="clock", interval=REFRESH_MS),
            dmc.NotificationContainer(id="notices", position="bottom-right", zIndex=1000),
            html.A("Skip to the page", href="#page", className="skip"),
            html.Div(id="cut-off", role="alert", hidden=True),
            html.Div(id="waiting", role="status", **{"aria-live": "polite"}),
            _header(),
            _navigation(pages),
            html.Main(
                html.Div(
                    html.Div([html.Span(className="unseen", children="Loading…"), *[html.Div(className="bone")] * 4]),
                    id="live",
                    **{"aria-live": "off"},
                ),
                id="page",
                tabIndex=-1,
            ),
            _tabs(pages),
            keys.dialog(pages),
            resolve.dialog(),
            judge.dialog(),
            note.dialog(),
            approve.dialog(),
            handover.dialog(),
            severity.dialog(),
            answer.dialog(),
            reopen.dialog(),
            experiment.dialog(),
            decide.dialog(),
            *postmortem.dialogs(),
            status.dialog(),
            board.dialog(),
            rota.dialog(),
            override.dialog(),
        ],
    )


def _navigation(pages: Pages) -> Any:
    """Every page in its section. On a narrow screen it opens over the page; page.js opens, closes and marks."""
    sections = [(name, [page for page in pages.navigation if page.section == name]) for name in SECTIONS]
    return html.Nav(
        [
            html.Div(
                [html.H2(name), html.Ul([html.Li(_link(page, "nav")) for page in members])],
                className="nav-section",
            )
            for name, members in sections
            if members
        ],
        id="navigation",
        className="nav",
        **{"aria-label": "Pages"},
    )


def _tabs(pages: Pages) -> Any:
    """What a phone shows at the thumb: the pages that matter at night, and the way to the others."""
    nearest = [page for page in pages.navigation if page.path in AT_THE_THUMB]
    return html.Nav(
        [*(_link(page, "tab") for page in nearest), _menu_button("More")],
        className="tabs",
        **{"aria-label": "Most used pages"},
    )


def _menu_button(words: str) -> Any:
    return html.Button(
        words,
        type="button",
        className="menu-button",
        **{"data-menu": "", "aria-expanded": "false", "aria-controls": "navigation"},
    )


def _link(page: Page, kind: str) -> Any:
    count = [html.Span(id=f"{kind}-open", className="open-count")] if page.path == COUNTED else []
    return html.Span(
        dcc.Link([seen_name(page.title), *count], href=page.path),
        className="nav-link",
        **{"data-nav": page.path, "data-key": page.key},
    )


def _header() -> Any:
    brand = [html.Img(src="/assets/mark.svg", alt="", width=22, height=22), html.Span("Watchkeeper")]
    tools = [
        _search(),
        _range(),
        _icon("share", "Copy a link to this page with its time range fixed"),
        _icon("scheme", "Theme"),
        _icon("keys", "Keys and help"),
        html.Span(id="who", className="who"),
    ]
    return html.Header(
        [
            _menu_button("Menu"),
            dcc.Link(brand, href="/", className="brand"),
            html.Div(tools, className="tools"),
        ],
        className="top",
    )


def _search() -> Any:
    return dmc.Select(
        id="search",
        data=[],
        placeholder="Search",
        searchable=True,
        clearable=False,
        nothingFoundMessage="No match: press Enter to ask it as a question",
        maxDropdownHeight=360,
        size="sm",
        className="search",
        rightSection=dmc.Kbd("/", size="xs"),
        rightSectionPointerEvents="none",
        selectFirstOptionOnChange=True,
        comboboxProps={"width": 320, "position": "bottom-end"},
        **{"aria-label": "Search services, incidents and pages, or ask a question"},
    )


def _range() -> Any:
    return dmc.Select(
        id="range",
        data=[{"value": key, "label": f"Last {key}"} for key in RANGES],
        value=None,
        allowDeselect=False,
        size="sm",
        className="range",
        withCheckIcon=False,
        **{"aria-label": "Time range"},
    )


def _icon(name: str, words: str) -> Any:
    return dmc.ActionIcon(
        html.Span(id=f"{name}-mark", className=f"glyph glyph-{name}", **{"aria-hidden": "true"}),
        id=name,
        n_clicks=0,
        variant="subtle",
        color="gray",
        size="lg",
        className="icon",
        **{"aria-label": words},
    )
