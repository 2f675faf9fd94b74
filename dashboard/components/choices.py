"""Links that choose: filters, orders and tabs. Each holds its choice in its address, and the chosen one is marked."""

from __future__ import annotations

from collections.abc import Iterable

from dash import dcc, html

from dashboard.components.elements import Part


def choice_link(words: Part, href: str, *, on: bool = False, title: str = "") -> dcc.Link:
    """One choice; `on` marks the one in force, and `title` says more on hover. The page begins at its top again."""
    return dcc.Link(words, href=href, className=_look(on=on), **({"title": title} if title else {}))


def choice_in_place(words: Part, href: str, *, on: bool) -> html.A:
    """A choice that leaves the page where it is scrolled to, and that names the one in force to a screen reader."""
    return html.A(
        words, href=href, className=_look(on=on), **{"data-go": ""}, **({"aria-current": "true"} if on else {})
    )


def choices(*links: Part, title: str = "", kind: str = "") -> html.Div:
    """Choices in a row, after a `title` if there is one."""
    named = [html.Span(title, className="muted")] if title else []
    return html.Div([*named, *links], className=f"choices {kind}".strip())


def tabs(links: Iterable[tuple[Part, str, bool]], label: str) -> html.Nav:
    """The tabs of a page, as words, address and whether it is open; `label` says what they divide."""
    shown = [choice_in_place(words, href, on=on) for words, href, on in links]
    return html.Nav(shown, className="choices parts", **{"aria-label": label})


def _look(*, on: bool) -> str:
    return "choice on" if on else "choice"
