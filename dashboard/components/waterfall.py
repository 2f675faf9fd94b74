"""The calls of a trace as bars on its time, the critical path marked, and one span with all that it carries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any
from urllib.parse import quote

from dash import dcc, html

from dashboard.components.elements import Part, facts, folded, moment, pill
from dashboard.components.wording import count, milliseconds
from dashboard.page import PageRequest
from dashboard.palette import Palette
from dashboard.reads.span_tree import SpanTree, TreeSpan
from dashboard.reads.trace_query import condition_text
from dashboard.reads.traces import SpanDetail
from dashboard.reads.visible_spans import Hidden, VisibleRow
from dashboard.urls import View, trace_path
from dashboard.viewer import Viewer
from watchkeeper.vocabulary import utc_ns

INDENT_PX = 14
DEEPEST = 12  # indented; a deeper call stands below the twelfth
SEARCHED_AROUND = timedelta(minutes=15)


def waterfall(rows: Sequence[VisibleRow], tree: SpanTree, top: str, request: PageRequest, detail: Part) -> Part:
    """A bar for each shown span; below the chosen one stands its `detail`."""
    shown = [row.span for row in rows if row.span]
    start = tree.spans[top].start_ns if top else tree.start_ns
    total = (tree.spans[top].row.duration_ns if top else tree.duration_ns) or 1
    palette = request.viewer.palette
    services = sorted({span.row.service for span in tree.spans.values()})
    colours = {name: palette.people[i % len(palette.people)] for i, name in enumerate(services)}
    chosen = request.view.choice("span")
    items: list[Part] = []
    for row, after in zip(rows, [*rows[1:], None], strict=True):
        if row.hidden and not _is_inline(row.hidden, tree):
            items.append(_more(row.hidden, row.depth, request.view))
        if row.span is None:
            continue
        inline = after.hidden if after and after.hidden and _is_inline(after.hidden, tree) else None
        is_chosen = row.span.row.span_id == chosen
        items.append(
            _bar(row.span, row.depth, (start, total), colours, request.view, palette, is_chosen=is_chosen, below=inline)
        )
        if is_chosen:
            items.append(html.Li(detail, className="span-detail"))
    scale = ["0", *(milliseconds(total / 1e6 * share) for share in (0.25, 0.5, 0.75, 1))]
    axis = html.Span([html.Span(words) for words in scale], className="waterfall-axis")
    heads = [html.Span("Call"), axis, html.Span("Self"), html.Span("Took")]
    head = html.Div(heads, className="waterfall-head", **{"aria-hidden": "true"})
    label = f"{count(len(shown), 'call')} of the trace, each after its caller"
    return html.Div([head, html.Ol(items, className="waterfall", **{"aria-label": label})])


def _bar(
    span: TreeSpan,
    depth: int,
    scale: tuple[int, int],
    colours: Mapping[str, str],
    view: View,
    palette: Palette,
    *,
    is_chosen: bool,
    below: Hidden | None,
) -> Part:
    row, (start, total) = span.row, scale
    marks = ", ".join(
        words for words, holds in (("failed", row.failed), ("on the critical path", span.on_path)) if holds
    )
    took, own = milliseconds(row.duration_ns / 1e6), milliseconds(span.self_ns / 1e6)
    words = (
        f"{row.service} {row.operation}, {row.kind.lower()}, {took}, {own} of it itself{', ' if marks else ''}{marks}"
    )
    offset, share = (span.start_ns - start) / total, row.duration_ns / total
    left = min(max(offset, 0.0), 0.998)
    bar = {
        "left": f"{left:.2%}",
        "width": f"max(3px, {max(0.0, min(offset + share, 1.0) - left):.2%})",
        "background": palette.failing if row.failed else colours[row.service],
        "opacity": 0.55 if row.kind == "Client" else 1,
    }
    name = [html.Strong(row.service), " ", html.Span(row.operation, className="mono")]
    href = view.link(span=None if is_chosen else row.span_id)
    return html.Li(
        [
            html.Span(
                [
                    html.Span("◆ ", className="on-path", title="on the critical path") if span.on_path else None,
                    dcc.Link(name, href=href, title="Close" if is_chosen else "Everything about this call"),
                    html.Span(" ✕ failed", className="bad") if row.failed else None,
                    html.Span(f" {row.message}", className="muted") if row.message else None,
                    dcc.Link(f" +{below.spans:,} below", href=_address(below, view)) if below else None,
                ],
                className="waterfall-name",
                style={"paddingLeft": f"{min(depth, DEEPEST) * INDENT_PX}px"},
            ),
            html.Span(
                html.Span(style=bar, className="waterfall-bar path" if span.on_path else "waterfall-bar"),
                className="waterfall-lane",
                role="img",
                **{"aria-label": words},
            ),
            html.Span(own, className="number muted"),
            html.Span(took, className="number"),
        ],
        title=words,
        className="chosen-span" if is_chosen else "",
        tabIndex=0,
        **{"data-row": row.span_id},
    )


def _is_inline(hidden: Hidden, tree: SpanTree) -> bool:
    """Whether nothing below a call is shown: then its own row leads there."""
    return bool(hidden.parent) and hidden.calls == len(tree.spans[hidden.parent].children)


def _more(hidden: Hidden, depth: int, view: View) -> Part:
    failed = f", {hidden.failed:,} failed" if hidden.failed else ""
    below = hidden.spans - hidden.calls
    words = f"{count(hidden.calls, 'more call')}{f' with {below:,} below' if below else ''}{failed}"
    link = dcc.Link(f"Show {words}", href=_address(hidden, view))
    style = {"paddingLeft": f"{min(depth, DEEPEST) * INDENT_PX}px"}
    return html.Li(html.Span(link, className="waterfall-name", style=style), className="more-calls")


def _address(hidden: Hidden, view: View) -> str:
    """Where hidden calls are shown: those of what is on top already on the next page, others under their caller."""
    if view.choice("under") == hidden.parent:
        return view.link(page=str(page_of(view) + 1), span=None)
    return view.link(under=hidden.parent, page=None, span=None)


def page_of(view: View) -> int:
    """Which page of the calls is asked for; 0 for the choice of what explains the trace."""
    text = view.choice("page")
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 7 else 0


def span_facts(
    span: TreeSpan, detail: SpanDetail | None, lines: Sequence[Mapping[str, Any]], tree: SpanTree, request: PageRequest
) -> Part:
    """Everything about one span: times, attributes, events, links and log lines."""
    row, viewer, view = span.row, request.viewer, request.view
    at = utc_ns(span.start_ns)
    after = milliseconds((span.start_ns - tree.start_ns) / 1e6)
    pairs: list[tuple[str, Part]] = [
        ("Service", dcc.Link(row.service, href=view.link("/services", service=row.service))),
        ("Kind", row.kind.lower()),
        ("Began", [moment(at, viewer), f", {after} after the trace"]),
        ("Took", f"{milliseconds(row.duration_ns / 1e6)}, {milliseconds(span.self_ns / 1e6)} of it itself"),
    ]
    if span.path_ns:
        pairs.append(("Critical path", f"{milliseconds(span.path_ns / 1e6)} of it are spent here"))
    if span.moved_ns:
        pairs.append(("Clock", f"moved by {_signed(span.moved_ns)}: the clocks of {row.service} and its caller differ"))
    if row.failed or row.message:
        pairs.append(("Status", [pill("failed", "failing", "✕") if row.failed else None, f" {row.message}"]))
    if span.below:
        pairs.append(("Below", dcc.Link(f"{count(span.below, 'call')}", href=view.link(under=row.span_id, page=None))))
    parts: list[Part] = [facts(*pairs)]
    if detail is None:
        parts.append(html.P("The store no longer has this span.", className="muted"))
    else:
        parts += [
            _events(detail, viewer),
            _attributes("Attributes", detail.attributes, span, request),
            _attributes("Resource", detail.resource, span, request),
            _links(detail),
        ]
    own = [line for line in lines if line["span_id"] == row.span_id]
    if own:
        parts.append(folded(f"{count(len(own), 'log line')}", log_list(own, view, viewer)))
    return html.Div(parts, className="stack")


def _events(detail: SpanDetail, viewer: Viewer) -> Part:
    if not detail.events:
        return None
    items = [
        html.Li(
            [
                moment(event.at, viewer),
                html.Span(
                    [
                        html.Strong(event.name),
                        *(html.Div([html.Span(f"{key} ", className="muted"), value], className="event-value")
                          for key, value in sorted(event.attributes.items())),
                    ]
                ),
            ]
        )
        for event in detail.events[:100]
    ]  # fmt: skip
    failed = any(event.name == "exception" for event in detail.events)  # why it failed is what the reader came for
    return folded(count(len(detail.events), "event"), html.Ul(items, className="events"), is_open=failed)


def _attributes(title: str, values: Mapping[str, str], span: TreeSpan, request: PageRequest) -> Part:
    """Each value with a link that searches for others with it."""
    if not values:
        return None
    began = utc_ns(span.start_ns)
    around = request.view.between(began - SEARCHED_AROUND, began + SEARCHED_AROUND)
    pairs = []
    for key, value in sorted(values.items()):
        search = None
        if len(value) <= 200 and key and not set(key) & set(' =!<>"'):
            condition = condition_text(key, value)
            address = around.link("/traces", service=span.row.service, attr=condition, scope="all") if value else None
            search = (
                dcc.Link("search", href=address, className="find", title=f"Spans with {condition}") if address else None
            )
        pairs.append((key or "(blank)", [html.Span(value or "(empty)", className="mono"), " ", search]))
    return folded(f"{title} ({len(values):,})", facts(*pairs))


def _links(detail: SpanDetail) -> Part:
    if not detail.links:
        return None
    items = [
        html.Li(
            dcc.Link(
                f"trace {link.trace_id}, span {link.span_id}",
                href=f"{trace_path(link.trace_id)}?span={quote(link.span_id, safe='', errors='replace')}",
            )
        )
        for link in detail.links[:100]
    ]
    return folded(count(len(detail.links), "link to another span", "links to other spans"), html.Ul(items))


def log_list(lines: Sequence[Mapping[str, Any]], view: View, viewer: Viewer) -> Part:
    """Log lines by time; each leads to its span."""
    return html.Ul([_line(line, view, viewer) for line in lines], className="events")


def _line(line: Mapping[str, Any], view: View, viewer: Viewer) -> Part:
    tone = "failing" if line["severity_number"] >= 17 else "unknown"
    service = html.Strong(line["service"])
    named = dcc.Link(service, href=view.link(span=line["span_id"])) if line["span_id"] else service
    words = html.Span(
        [named, " ", pill(line["severity"], tone), " ", html.Span(str(line["body"])[:500], className="mono")]
    )
    return html.Li([moment(line["timestamp"], viewer), words])


def _signed(ns: int) -> str:
    return f"{'+' if ns > 0 else '−'}{milliseconds(abs(ns) / 1e6)}"
