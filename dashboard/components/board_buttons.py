"""The buttons about boards: the one under a page's heading that adds what it shows, and those of each panel."""

from __future__ import annotations

from typing import Any

import dash_mantine_components as dmc
from dash import html

from dashboard.components.elements import Part


def add_to_board() -> Part:
    """Opens the dialog that puts what this page shows on a board."""
    return dmc.Button("Add to board", id={"board": "add"}, n_clicks=0, size="compact-sm", variant="default")


def panel_buttons(name: str, place: int, panels: int, digest: str) -> Part:
    """Move a panel, and take it away. A button knows the content of the file that it was drawn for."""
    buttons: list[Any] = []
    if place > 0:
        buttons.append(_button("Earlier", name, "earlier", place, digest))
    if place < panels - 1:
        buttons.append(_button("Later", name, "earlier", place + 1, digest))
    buttons.append(_button("Remove", name, "remove", place, digest))
    return html.Div(buttons, className="line")


def _button(words: str, name: str, change: str, place: int, digest: str) -> Any:
    # "Later" moves the next panel earlier: the same change, so its id differs by the words.
    wanted = {"panel": place, "of": name, "change": change, "seen": digest, "words": words}
    return dmc.Button(words, id=wanted, n_clicks=0, size="compact-sm", variant="default")
