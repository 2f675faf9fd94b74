"""The dialog that lists the keys."""

from __future__ import annotations

from typing import Any

import dash_mantine_components as dmc
from dash import html

from dashboard.registry import Pages

KEYS = (
    (("/",), "Search services, incidents and pages"),
    (("j",), "Next row"),
    (("k",), "Previous row"),
    (("Enter",), "Open the row"),
    (("Esc",), "Leave a field, close a dialog, clear the selection"),
    (("?",), "This help"),
)


def dialog(pages: Pages) -> Any:
    """The fixed keys, and `g` with the key of each page of the navigation."""
    rows = [*KEYS[:-1], *((("g", page.key), page.title) for page in pages.navigation if page.key), KEYS[-1]]
    return dmc.Modal(
        id="help",
        title="Keys",
        size="md",
        children=[
            html.Dl(
                [
                    part
                    for keys, words in rows
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
    )
