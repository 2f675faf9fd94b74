"""Log lines: searched, counted by severity over time, newest first; as templates; and the lines around one."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from dash import dcc, html

from dashboard.components.attempts import attempt
from dashboard.components.board_buttons import add_to_board
from dashboard.components.choices import choice_link, choices
from dashboard.components.elements import Part, card, empty, moment, note, pill, plot
from dashboard.components.log_lines import AROUND, line_list, still
from dashboard.components.log_search import LINE, NUMBER, QUERY, TAB, TABS, chosen_query, mistake, narrowed, search_box
from dashboard.components.log_templates import templates_card
from dashboard.components.wording import clock_text, count
from dashboard.figures.log_histogram import by_severity, colour_of, histogram_figure, severity_words
from dashboard.page import Page, PageRequest
from dashboard.reads.happenings import happenings
from dashboard.reads.logs import MOST_PAGES, SHOWN, Search
from watchkeeper.errors import QueryError
from watchkeeper.store.log_query import SEVERITIES, All
from watchkeeper.text import seen_name

RANKED: Final = frozenset(word.lower() for word in SEVERITIES)


def render(request: PageRequest) -> Part:
    """Log lines by a search: over time, newest first, as templates, and the lines around one."""
    view = request.view
    tab = view.choice(TAB) if view.choice(TAB) in (*TABS, AROUND) else ""
    buttons = html.Div([_tabs(request, tab), add_to_board()], className="line")
    head = html.Div([html.H1("Logs"), buttons], className="page-head")
    problem = note(view.problem)
    box = search_box(view)
    try:
        query = chosen_query(view)
    except QueryError as error:
        return [head, problem, box, mistake(view.choice(QUERY), error)]
    if tab == AROUND:
        return [head, problem, box, attempt("The lines around this one", lambda: _around(request))]
    if tab == "templates":
        return [head, problem, box, attempt("The templates", lambda: templates_card(query, request))]
    return [head, problem, box, attempt("The log lines", lambda: _lines(query, request))]


def _tabs(request: PageRequest, tab: str) -> Part:
    link = request.view.link
    return choices(
        *(
            choice_link(words, link(**{TAB: name, LINE: None, NUMBER: None}), on=name == tab)
            for name, words in TABS.items()
        )
    )


def _lines(query: All, request: PageRequest) -> Part:
    view, viewer = request.view, request.viewer
    window = view.window(viewer.now)
    step_s = view.step_s(viewer.now)
    page = _page(view.choice(NUMBER))
    found = request.sources.logs.search(query, window, step_s, page)
    if not found.total:
        return card("No line", _nothing(request))
    marks = happenings(request.sources, window, view.service)
    words = severity_words(found.counts)
    head = [
        plot(
            "log-histogram",
            histogram_figure(found.counts, window, step_s, viewer, marks),
            f"Log lines over time: {words}",
            reads=("log-search",),
        ),
        _legend(found.counts, request),
        _cut(found, request),
    ]
    return [
        card("Over time", *head, aside=count(found.total, "line")),
        card(
            "Newest first"
            if page == 1
            else f"Lines {(page - 1) * SHOWN + 1:,} to {(page - 1) * SHOWN + len(found.lines):,}",
            line_list(found.lines, request)
            if found.lines
            else empty("There are no more lines", dcc.Link("Back to the newest", href=view.link(**{NUMBER: None}))),
            _pages(found, page, request),
            aside=_pace(request),
        ),
    ]


def _page(text: str) -> int:
    return min(int(text), MOST_PAGES) if text.isascii() and text.isdigit() and int(text[:6]) > 0 else 1


def _legend(counts: Mapping[str, Mapping[datetime, int]], request: PageRequest) -> Part:
    """The severities of the plot with their counts; each is a link to its lines."""
    palette = request.viewer.palette
    return html.Ul(
        [
            html.Li(
                [
                    html.Span(className="swatch", style={"background": colour_of(name, palette)}),
                    f"{sum(buckets.values()):,} ",
                    dcc.Link(name, href=narrowed(request.view, "severity", name)) if name in RANKED else name,
                ]
            )
            for name, buckets in by_severity(counts).items()
        ],
        className="log-legend",
    )


def _cut(found: Search, request: PageRequest) -> Part:
    """Where the search began, if it left something out."""
    if found.window.start <= request.view.window(request.viewer.now).start:
        return None
    since = clock_text(found.window.start, request.viewer.zone, request.viewer.now)
    return html.P(
        f"Only the newest lines were searched, those since {since}. Name a service or a severity, or choose a shorter "
        "time range, to search further back.",
        className="note",
        role="status",
    )


def _nothing(request: PageRequest) -> Part:
    view = request.view
    if view.choice(QUERY) or view.service or view.choice("least"):
        return empty(
            "No line in this time range is like that",
            "Take a term out, or choose a longer time range above. Fields and attributes compare exactly: "
            "write * for any text.",
        )
    return empty(
        "No log line has arrived in this time range",
        "Choose a longer time range above, or send logs by OTLP to the ingest role.",
    )


def _pages(found: Search, page: int, request: PageRequest) -> Part:
    """Links to newer and older lines. They fix the time range, so that no line moves to another page."""
    fixed = still(request.view, request)
    links = []
    if page > 1:
        links.append(
            dcc.Link("Newer lines", href=fixed.link(**{NUMBER: str(page - 1) if page > 2 else None, LINE: None}))
        )
    if page * SHOWN < found.total and page < MOST_PAGES:
        links.append(dcc.Link("Older lines", href=fixed.link(**{NUMBER: str(page + 1), LINE: None})))
    if page == MOST_PAGES:
        links.append(html.Span("Narrow the search to see older lines.", className="muted"))
    return html.Div(links, className="line pages") if links else None


def _pace(request: PageRequest) -> Part:
    """Whether the list follows the present, and how to stop or start that."""
    view = request.view
    if view.is_live:
        pause = dcc.Link("Pause", href=still(view, request).link())
        return html.Span([pill("live", "ok", "●"), " ", pause], className="line")
    live = dcc.Link("Follow live", href=view.link(range=view.range, **{LINE: None, NUMBER: None}))
    return html.Span([pill("paused", "unknown", "❚❚"), " ", live], className="line")


def _around(request: PageRequest) -> Part:
    view = request.view
    line = request.sources.logs.line(view.choice(LINE))
    back = dcc.Link("Back to the search", href=view.link(**{TAB: None}))
    if line is None:
        return card(
            "Lines around", empty("There is no such line", "It may be older than what the store keeps."), aside=back
        )
    lines = request.sources.logs.around(line.service, line.instance, line.at_ns)
    instance = f", instance {seen_name(line.instance)}" if line.instance else ""
    return card(
        "Lines around",
        html.P(
            [
                f"{count(len(lines), 'line')} of {seen_name(line.service)}{instance}, around ",
                moment(line.at, request.viewer),
                ".",
            ],
            className="muted",
        ),
        line_list(lines, request, marked=line.name, with_service=False),
        aside=back,
    )


PAGE = Page(path="/logs", title="Logs", render=render, order=34, section="Explore", key="w")
