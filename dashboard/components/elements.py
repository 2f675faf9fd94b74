"""The elements that every page is built from: cards, pills, moments, facts, and empty states."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from dash import dcc, html

from dashboard.components.chart_menu import chart_menu
from dashboard.components.wording import ago, clock_text, utc_text
from dashboard.figures.frame import CONFIG, Figure
from dashboard.figures.marks import marked_words
from dashboard.reads.health import MARKS, Health
from dashboard.viewer import Viewer

Part = Any  # a Dash component, text, or a list of them


def card(title: str, *children: Part, aside: Part = None, kind: str = "", level: int = 2) -> html.Section:
    """A titled surface; `aside` stands at the right of its title."""
    heading = html.H2 if level == 2 else html.H3
    head = html.Div(
        [heading(title), html.Div(aside, className="card-aside") if aside is not None else None], className="card-head"
    )
    return html.Section([head, *children], className=f"card {kind}".strip())


def pill(text: str, tone: str, mark: str = "") -> html.Span:
    """A word in a tone (`failing`, `degraded`, `ok`, `silent`, `unknown`, `accent`), with a shape before it."""
    return html.Span(
        [html.Span(mark + " ", **{"aria-hidden": "true"}) if mark else None, text], className=f"pill {tone}"
    )


def health_pill(health: Health) -> html.Span:
    return pill(health.state, health.state, MARKS[health.state])


def moment(at: datetime, viewer: Viewer, *, relative: bool = False, seconds: bool = True) -> html.Time:
    """A time in the reader's zone, with UTC on hover."""
    shown = clock_text(at, viewer.zone, viewer.now, seconds=seconds)
    return html.Time(
        ago(at, viewer.now) if relative else shown,
        dateTime=at.isoformat(),
        title=f"{shown} {viewer.zone_label} · {utc_text(at)}" if relative else utc_text(at),
    )


def facts(*pairs: tuple[str, Part]) -> html.Dl:
    """Names and values, one pair a row."""
    return html.Dl([part for name, value in pairs for part in (html.Dt(name), html.Dd(value))], className="facts")


def empty(title: str, *advice: Part) -> html.Div:
    """Nothing to show, and what that means or what to do about it."""
    lines = [with_code(line) if isinstance(line, str) else line for line in advice]
    return html.Div([html.P(title, className="empty-title"), *map(html.P, lines)], className="empty")


def with_code(text: str) -> Part:
    """A sentence in which what stands between two backticks is code: messages are written so for every reader."""
    parts = text.split("`")
    if len(parts) == 1 or len(parts) % 2 == 0:  # nothing to show so, or one of them has no partner
        return text
    return [html.Code(part) if number % 2 else part for number, part in enumerate(parts) if part]


def trouble(what: str, why: str) -> html.Div:
    """A part of the page could not be read: what, why, and that the page retries."""
    return html.Div(
        [
            html.P(f"{what} cannot be shown", className="empty-title"),
            html.P(with_code(why)),
            html.P(
                [
                    "The page retries by itself. Run ",
                    html.Code("watchkeeper doctor"),
                    " to see the cause and the fix.",
                ]
            ),
        ],
        className="empty trouble",
        role="alert",
    )


def note(text: str) -> html.Div | None:
    """A line that the reader should know before the rest; nothing for no text."""
    return html.Div(with_code(text), className="note", role="status") if text else None


def plot(name: str, figure: Figure, words: str, *, reads: Sequence[str] = ()) -> html.Div:
    """A plotly figure with a sentence (and its marks) for who cannot see it, and a menu with its query and its data.

    `name` is unique on its page: letters, digits, - and _. `reads` name the reads that the figure is made of: the
    first part of their keys in the cache, such as `red_of`.
    """
    height = figure["layout"]["height"]
    picture = html.Div(
        dcc.Graph(id={"plot": name}, figure=figure, config=CONFIG, style={"height": f"{height}px"}),
        role="img",
        className="plot",
        **{"aria-label": words + marked_words(figure)},
    )
    return html.Div([picture, chart_menu(name, figure, words, reads)], className="charted")


def folded(text: str, *children: Part, is_open: bool = False) -> html.Details:
    """What few readers need: behind a line that opens it, and that closes it where it `is_open` at first."""
    return html.Details([html.Summary(text), *children], open=is_open)


def picture(source: str, words: str) -> html.Img:
    """A sparkline; `words` describe what it shows."""
    return html.Img(src=source, alt=words, className="spark", title=words)


def table(
    heads: Sequence[str], rows: Sequence[Part], *, caption: str, kind: str = "", numbers: Sequence[str] = ()
) -> html.Div:
    """A plain table that scrolls sideways on its own when the screen is narrow.

    `numbers` are the heads of columns of numbers, which stand at the right. A column of names may have no head.
    """
    return html.Div(
        html.Table(
            [
                html.Caption(caption, className="unseen"),
                html.Thead(html.Tr([_head(head, is_number=head in numbers) for head in heads])),
                html.Tbody(list(rows)),
            ],
            className=f"table {kind}".strip(),
        ),
        className="scroll",
        tabIndex=0,
        role="region",
        **{"aria-label": caption},
    )


def _head(text: str, *, is_number: bool) -> Part:
    return html.Th(text, scope="col", className="number" if is_number else "") if text else html.Td()
