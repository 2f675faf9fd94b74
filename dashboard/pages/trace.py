"""One trace: every call of one request as a bar on its time, what its time was spent on, and its log lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dash import dcc, html

from dashboard.components.attempts import attempt
from dashboard.components.choices import choice_link, choices
from dashboard.components.elements import Part, card, empty, folded, moment, note, pill
from dashboard.components.waterfall import SEARCHED_AROUND, log_list, page_of, span_facts, waterfall
from dashboard.components.wording import count, listed, milliseconds, percent
from dashboard.page import Page, PageRequest
from dashboard.reads.span_tree import SpanTree
from dashboard.reads.traces import MOST_LINES, MOST_SPANS
from dashboard.reads.visible_spans import MOST_ROWS, visible_rows
from watchkeeper.vocabulary import utc_ns

SHARES = 3  # of the critical path, in words
NEAR = 20  # calls above a chosen one that are shown of a very deep trace
ORIGINS = 5  # failures that are named above the calls


def render(request: PageRequest) -> Part:
    """One trace: every call of one request as a bar on its time, what its time was spent on, and its log lines."""
    trace_id = request.argument
    tree = request.sources.traces.tree(trace_id)
    if tree is None:
        days = f"{request.sources.config.store.retention_days:g} days"
        advice = f"It keeps traces for {days}. This trace may be older, or it was not sampled."
        search = dcc.Link("Search traces", href="/traces")
        return [html.H1("No such trace"), empty(f"The store has no span of trace {trace_id}", advice, search)]
    lines = request.sources.traces.lines(trace_id, tree)
    return [
        _head(trace_id, tree, request),
        attempt("The calls", lambda: _calls(trace_id, tree, lines, request)),
        _logs(lines, request),
    ]


def _head(trace_id: str, tree: SpanTree, request: PageRequest) -> Part:
    main, view = tree.main, request.view
    failed = sum(span.row.failed for span in tree.spans.values())
    began = utc_ns(tree.start_ns)
    words = [
        pill(f"{failed:,} failed", "failing", "✕") if failed else pill("no failure", "ok", "●"),
        html.Span([moment(began, request.viewer), f", {milliseconds(tree.duration_ns / 1e6)}"]),
        html.Span(trace_id, className="muted mono"),
    ]
    around = view.between(began - SEARCHED_AROUND, began + SEARCHED_AROUND)
    similar = around.link("/traces", service=main.row.service, op=main.row.operation)
    title = html.H1(f"{main.row.service}: {main.row.operation}")
    return html.Div(
        [
            html.Div([title, html.Div(words, className="line")]),
            choices(choice_link("Similar requests", similar)),
        ],
        className="page-head",
    )


def _calls(trace_id: str, tree: SpanTree, lines: Sequence[Mapping[str, Any]], request: PageRequest) -> Part:
    view = request.view
    chosen = view.choice("span")
    top = _top(tree, view.choice("under"), chosen)
    page = page_of(view)
    rows = visible_rows(tree, top, page, chosen)
    detail = None
    if chosen in tree.spans:
        read = request.sources.traces.detail(trace_id, chosen)
        detail = span_facts(tree.spans[chosen], read, lines, tree, request)
    missing = f"This trace has no span {chosen}." if chosen and chosen not in tree.spans else ""
    services = len({span.row.service for span in tree.spans.values()})
    shown = sum(row.span is not None for row in rows)
    some = f"{shown:,} of " if shown < len(tree.spans) else ""
    return card(
        "Calls",
        note(missing),
        _above(tree, top, request) if top or page else html.Ul(_summary(tree, request), className="trace-summary"),
        waterfall(rows, tree, top, request, detail),
        aside=f"{some}{count(len(tree.spans), 'span')}, {count(services, 'service')}",
    )


def _top(tree: SpanTree, asked: str, chosen: str) -> str:
    """The span that the calls are shown below, "" for all: as asked, or not too far above the chosen one."""
    top = asked if asked in tree.spans else ""
    if chosen not in tree.spans:
        return top
    above = tree.ancestors(chosen)
    if top and top != chosen and top not in above:
        top = ""
    begin = tree.spans[top].depth if top else 0
    return above[NEAR] if tree.spans[chosen].depth - begin > MOST_ROWS else top


def _above(tree: SpanTree, top: str, request: PageRequest) -> Part:
    """Where a part of a trace belongs: links to what is above it."""
    view = request.view
    way: list[Part] = [dcc.Link("Whole trace", href=view.link(under=None, page=None, span=None))]
    for span_id in [*reversed(tree.ancestors(top)), top] if top else ():
        row = tree.spans[span_id].row
        way += [" › ", dcc.Link(f"{row.service} {row.operation}", href=view.link(under=span_id, page=None, span=None))]
    return html.Nav(way if len(way) < 14 else [way[0], " › … ", *way[-8:]], className="line", **{"aria-label": "Above"})


def _summary(tree: SpanTree, request: PageRequest) -> list[Part]:
    """The critical path in words, where failures began, and what is to be known of the spans."""
    view = request.view
    shares, total = tree.path_shares(), tree.main.row.duration_ns or 1
    named = [
        f"{service} {operation} {milliseconds(ns / 1e6)} ({percent(ns / total)})" for service, operation, ns in shares
    ]
    rest = sum(ns for *_, ns in shares[SHARES:])
    words = listed([*named[:SHARES], *([f"others {milliseconds(rest / 1e6)}"] if rest else [])])
    items: list[Part] = [html.Li([html.Strong("◆ Critical path: "), f"{words}."])] if words else []
    origins = tree.origins()
    if origins:
        links: list[Part] = []
        for span in origins[:ORIGINS]:
            reason = f" ({span.row.message[:120]})" if span.row.message else ""
            href = view.link(span=span.row.span_id)
            links += [", " if links else "", dcc.Link(f"{span.row.service} {span.row.operation}", href=href), reason]
        more = f" and {len(origins) - ORIGINS:,} more" if len(origins) > ORIGINS else ""
        items.append(html.Li([html.Strong("✕ Failures began in: "), *links, more, "."]))
    if len(tree.roots) > 1:
        items.append(
            html.Li(
                f"{count(len(tree.roots), 'span')} have no recorded parent: not every call was recorded or has "
                "arrived. The critical path is that of the longest."
            )
        )
    moved = tree.moved()
    if moved:
        clocks = [f"{name} by {milliseconds(abs(ns) / 1e6)}" for name, ns in sorted(moved.items())[:5]]
        items.append(html.Li(f"Clocks differ: calls are moved to fit into their callers, those of {listed(clocks)}."))
    if len(tree.spans) >= MOST_SPANS:
        items.append(html.Li(f"Only the first {MOST_SPANS:,} spans are read."))
    return items


def _logs(lines: Sequence[Mapping[str, Any]], request: PageRequest) -> Part:
    if not lines:
        return card("Log lines of this trace", html.P("No log line has this trace id.", className="muted"))
    first, others = lines[:30], lines[30:]
    more = (
        folded(f"{count(len(others), 'more line')}", log_list(others, request.view, request.viewer)) if others else None
    )
    aside = f"the first {MOST_LINES:,}" if len(lines) >= MOST_LINES else count(len(lines), "line")
    return card("Log lines of this trace", log_list(first, request.view, request.viewer), more, aside=aside)


PAGE = Page(path="/traces/{argument}", title="Trace {argument}", render=render, under="/traces")
