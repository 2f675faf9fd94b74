"""The frame around every page: header, navigation, search, time range, dialogs, and the stores that callbacks share."""

from __future__ import annotations

from typing import Any

import dash_mantine_components as dmc
from dash import dcc, html

from alerting.incidents.human_labels import ANSWERS
from dashboard.urls import RANGES
from watchkeeper.vocabulary import MECHANISMS

REFRESH_MS = 5000
NAVIGATION = (
    ("Overview", "/", "overview", "o"),
    ("Incidents", "/incidents", "incidents", "i"),
    ("Services", "/services", "services", "s"),
    ("On call", "/oncall", "oncall", "c"),
    ("Learning", "/learning", "learning", "l"),
)
KEYS = (
    (("/",), "Search services, incidents and pages"),
    (("j",), "Next row"),
    (("k",), "Previous row"),
    (("Enter",), "Open the row"),
    (("Esc",), "Leave a field, close a dialog, clear the selection"),
    (("g", "o"), "Overview"),
    (("g", "i"), "Incidents"),
    (("g", "s"), "Services"),
    (("g", "c"), "On call"),
    (("g", "l"), "Learning"),
    (("?",), "This help"),
)
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


def layout() -> Any:
    """The whole page before anything is read."""
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
            dcc.Store(id="fresh"),
            dcc.Store(id="shown"),
            dcc.Interval(id="clock", interval=REFRESH_MS),
            dmc.NotificationContainer(id="notices", position="bottom-right", zIndex=1000),
            html.A("Skip to the page", href="#page", className="skip"),
            html.Div(id="cut-off", role="alert", hidden=True),
            _header(),
            html.Main(
                html.Div(
                    html.Div([html.Span(className="unseen", children="Loading…"), *[html.Div(className="bone")] * 4]),
                    id="live",
                    **{"aria-live": "off"},
                ),
                id="page",
                tabIndex=-1,
            ),
            html.Nav(_links("tab"), className="tabs", **{"aria-label": "Pages"}),
            *_dialogs(),
        ],
    )


def _links(kind: str) -> list[Any]:
    """The navigation; page.js marks the place where the reader is."""
    return [
        html.Span(
            dcc.Link(
                [name, *([html.Span(id=f"{kind}-open", className="open-count")] if nav == "incidents" else [])],
                href=path,
            ),
            className="nav-link",
            **{"data-nav": nav},
        )
        for name, path, nav, _ in NAVIGATION
    ]


def _header() -> Any:
    return html.Header(
        [
            dcc.Link(
                [html.Img(src="/assets/mark.svg", alt="", width=22, height=22), html.Span("Watchkeeper")],
                href="/",
                className="brand",
            ),
            html.Nav(_links("nav"), className="nav", **{"aria-label": "Pages"}),
            html.Div(
                [
                    dmc.Select(
                        id="search",
                        data=[],
                        placeholder="Search",
                        searchable=True,
                        clearable=False,
                        nothingFoundMessage="No match",
                        maxDropdownHeight=360,
                        size="sm",
                        className="search",
                        rightSection=dmc.Kbd("/", size="xs"),
                        rightSectionPointerEvents="none",
                        selectFirstOptionOnChange=True,
                        comboboxProps={"width": 320, "position": "bottom-end"},
                        **{"aria-label": "Search services, incidents and pages"},
                    ),
                    dmc.Select(
                        id="range",
                        data=[{"value": key, "label": f"Last {key}"} for key in RANGES],
                        value=None,
                        allowDeselect=False,
                        size="sm",
                        className="range",
                        withCheckIcon=False,
                        **{"aria-label": "Time range"},
                    ),
                    _icon("share", "Copy a link to this page with its time range fixed"),
                    _icon("scheme", "Theme"),
                    _icon("keys", "Keys and help"),
                    html.Span(id="who", className="who"),
                ],
                className="tools",
            ),
        ],
        className="top",
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


def _dialogs() -> list[Any]:
    """The dialogs stand outside what is refreshed, so that nothing typed into them is lost."""
    return [
        dmc.Modal(
            id="help",
            title="Keys",
            size="md",
            children=[
                html.Dl(
                    [
                        part
                        for keys, words in KEYS
                        for part in (html.Dt([dmc.Kbd(key, size="sm") for key in keys]), html.Dd(words))
                    ],
                    className="keys",
                ),
                html.P(
                    "Times are in your own time zone. Hover over a time for UTC. The address contains the time range "
                    "and the selection. The link button copies it with a fixed time range.",
                    className="muted",
                ),
            ],
        ),
        dmc.Modal(
            id="resolve-dialog",
            title="Resolve this incident",
            size="lg",
            children=[
                html.P(
                    "Your answers become a label. Labels train the detectors and the diagnosis. "
                    "Leave a field empty if you do not know.",
                    className="muted",
                ),
                dmc.Stack(
                    [
                        dmc.Select(
                            id="label-cause",
                            label="Which service was the cause?",
                            placeholder="I don’t know",
                            data=[],
                            searchable=True,
                            clearable=True,
                        ),
                        dmc.Select(
                            id="label-mechanism",
                            label="What was the mechanism?",
                            placeholder="I don’t know",
                            data=[{"value": m, "label": m} for m in MECHANISMS if m != "unknown"],
                            clearable=True,
                        ),
                        dmc.RadioGroup(
                            dmc.Group([dmc.Radio(label=words, value=answer) for answer, words in ANSWERS]),
                            id="label-warranted",
                            label="Was the page warranted?",
                        ),
                        dmc.Textarea(id="label-note", label="Note", autosize=True, minRows=2, maxRows=6),
                        dmc.Group(
                            [
                                dmc.Button("Cancel", id="resolve-cancel", variant="default", n_clicks=0),
                                dmc.Button("Resolve", id="resolve-submit", n_clicks=0),
                            ],
                            justify="flex-end",
                        ),
                    ],
                    gap="md",
                ),
            ],
        ),
        dmc.Modal(
            id="approve-dialog",
            title="Run this runbook?",
            size="lg",
            children=[
                html.Div(id="approve-plan"),
                dmc.Group(
                    [
                        dmc.Button("Cancel", id="approve-cancel", variant="default", n_clicks=0),
                        dmc.Button("Approve and run", id="approve-submit", n_clicks=0),
                    ],
                    justify="flex-end",
                    mt="md",
                ),
            ],
        ),
        dmc.Modal(
            id="reopen-dialog",
            title="Should this finding have paged?",
            size="lg",
            children=[
                html.Div(id="reopen-plan", className="stack"),
                dmc.Textarea(id="reopen-note", label="Reason", autosize=True, minRows=2, maxRows=6, mt="md"),
                dmc.Group(
                    [
                        dmc.Button("Cancel", id="reopen-cancel", variant="default", n_clicks=0),
                        dmc.Button("Never suppress it again", id="reopen-submit", n_clicks=0),
                    ],
                    justify="flex-end",
                    mt="md",
                ),
            ],
        ),
    ]
