"""Makes what a page is about to show inert: names and messages from outside only stand there.

The browser's library escapes markup by itself. What is left are characters that nobody sees but that turn, hide or
join what stands beside them, names that look like nothing, and texts without an end. One pass over the finished tree
covers every page, whoever wrote it.
"""

from __future__ import annotations

from typing import Any, Final

from dash import dcc, html
from dash.development.base_component import Component

from watchkeeper.text import BLANK, page_text

LONGEST_NAME: Final = 1000
LONGEST_TEXT: Final = 4000
# Elements that hold one thing's name or text, which must not look like nothing.
_NAMING: Final = (dcc.Link, html.H1, html.H2, html.H3, html.Strong, html.Th, html.Td, html.Dd)
_SHOWN_WORDS: Final = ("title", "alt", "aria-label", "label")


def inert(part: Any) -> Any:
    """The same part, with every text in it made inert. Plots and Markdown escape their own, where they are made."""
    if isinstance(part, str):
        return page_text(part, LONGEST_TEXT)
    if isinstance(part, (list, tuple)):
        return [inert(child) for child in part]
    if not isinstance(part, Component) or isinstance(part, (dcc.Markdown, dcc.Graph)):
        return part
    for word in _SHOWN_WORDS:
        if isinstance(text := getattr(part, word, None), str):
            setattr(part, word, page_text(text, LONGEST_TEXT))
    children = getattr(part, "children", None)
    if isinstance(children, str) and isinstance(part, _NAMING):
        part.children = named(children)
    elif children is not None:
        part.children = inert(children)
    return part


def named(text: str) -> str:
    """A text that stands alone: never invisible."""
    return page_text(text, LONGEST_NAME) if text.strip() else BLANK
