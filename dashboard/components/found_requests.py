"""The requests that a search has found: their durations as a map that selects, and a list that opens traces."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from urllib.parse import quote

from dash import dcc, html

from dashboard.components.choices import choice_link, choices
from dashboard.components.elements import Part, card, empty, folded, moment, pill, plot, table
from dashboard.components.wording import count, listed, milliseconds, percent
from dashboard.figures.duration_map import band_ms, band_words, duration_figure
from dashboard.figures.frame import Figure
from dashboard.figures.marks import Moment
from dashboard.page import PageRequest
from dashboard.reads.trace_query import TraceQuery
from dashboard.reads.trace_search import Cell, FoundRequest, SearchResult
from dashboard.urls import View, trace_path
from dashboard.viewer import Viewer
from watchkeeper.store.span_search import BANDS
from watchkeeper.vocabulary import Window

GROUPED = BANDS // 2  # bands a row of the table beside the map
SHOWN_SERVICES = 4


def durations_card(
    result: SearchResult, window: Window, view: View, viewer: Viewer, marks: Sequence[Moment] = ()
) -> Part:
    """The map, and the same as a table whose rows are links."""
    figure = duration_figure(result.cells, window, result.step_s, viewer, marks)
    legend = html.P(
        "Darker: more spans. ✕: some of them failed. Drag over the map to select a time and a duration.",
        className="muted legend",
    )
    rows = [_band_row(band, spans, bad, view) for band, spans, bad in _grouped(result.cells)]
    by_duration = table(["Duration", "Spans", "Failed"], rows, caption="Spans by duration", numbers=["Spans", "Failed"])
    return card(
        "Durations",
        durations_plot("duration-map", figure, result),
        legend,
        folded("As a table", by_duration),
        aside=found_words(result),
    )


def durations_plot(name: str, figure: Figure, result: SearchResult) -> Part:
    """The map with its words for who cannot see it."""
    words = f"Durations over time: {found_words(result)}. {_sentence(result.cells)}"
    return plot(name, figure, words, reads=("trace-search",))


def found_words(result: SearchResult) -> str:
    """How many spans were found, and how many of them failed; there is one at least."""
    share = f"{result.failed:,} failed ({percent(result.failed / result.total)})" if result.failed else "none failed"
    return f"{count(result.total, 'span')}, {share}"


def requests_card(result: SearchResult, query: TraceQuery, request: PageRequest) -> Part:
    """The slowest or the newest of what was found."""
    shown = len(result.requests)
    title = f"The {shown:,} {query.order} of {result.total:,}" if result.total > shown else f"All {result.total:,}"
    order = choices(
        *(
            _choice(name, request.view.link(sort=value), is_on=query.order == name)
            for name, value in (("slowest", None), ("newest", "newest"))
        )
    )
    requests = requests_table(result.requests, title, request.viewer)
    return card(title, order, requests, aside="j and k move, Enter opens" if shown > 1 else None)


def requests_table(requests: Sequence[FoundRequest], title: str, viewer: Viewer) -> Part:
    """A row for each request, which opens its trace."""
    heads = ["When", "Request", "Took", "Result", "Path", "Spans"]
    rows = [_row(one, viewer) for one in requests]
    return table(heads, rows, caption=f"{title}: each opens its trace", kind="requests", numbers=["Took", "Spans"])


def nothing_found(query: TraceQuery, request: PageRequest) -> Part:
    """No span matches: what to try next."""
    view, search = request.view, query.search
    advice: list[Part] = []
    if search.least_ms is not None or search.most_ms is not None:
        advice.append(dcc.Link("Search spans of any duration", href=view.link(min=None, max=None)))
    if search.failed is not None:
        advice.append(dcc.Link("Search failed and successful ones", href=view.link(status=None)))
    if search.scope != "all":
        advice.append(dcc.Link("Search all spans, not only whole requests", href=view.link(scope="all")))
    if view.is_live and view.range != "24h":
        advice.append(dcc.Link("Search the last 24 hours", href=view.link(range="24h")))
    if not advice or (search.service == "" and not _narrowed(query)):
        advice.append(html.Span(["Run ", html.Code("watchkeeper traces"), " to see whether traces arrive."]))
    return card("Requests", empty("No span matches in this time range", *advice))


def _narrowed(query: TraceQuery) -> bool:
    search = query.search
    return bool(search.operation or search.attributes or search.text or search.failed is not None)


def _row(one: FoundRequest, viewer: Viewer) -> Part:
    address = f"{trace_path(one.trace_id)}?span={quote(one.span_id, safe='', errors='replace')}"
    is_root = (one.service, one.operation) == (one.root_service, one.root_operation)
    within = None if is_root else html.Div(f"within {one.root_service} {one.root_operation}", className="reason")
    failed_below = f"{count(one.failed_spans, 'failed span')}" if one.failed_spans else ""
    result = pill("failed", "failing", "✕") if one.failed else pill("ok", "ok", "●")
    why = one.message or ("" if one.failed else failed_below)
    return html.Tr(
        [
            html.Td(moment(one.at, viewer)),
            html.Th(
                [
                    dcc.Link([html.Strong(one.service), " ", html.Span(one.operation, className="mono")], href=address),
                    within,
                ],
                scope="row",
            ),
            html.Td(milliseconds(one.duration_ms), className="number"),
            html.Td([result, html.Div(why[:160], className="reason") if why else None]),
            html.Td(_path(one), className="path"),
            html.Td(f"{one.spans:,}", className="number"),
        ],
        tabIndex=0,
        **{"data-row": one.span_id},
    )


def _path(one: FoundRequest) -> str:
    shown = " → ".join(one.services[:SHOWN_SERVICES])
    more = one.service_count - min(len(one.services), SHOWN_SERVICES)
    return f"{shown} and {more} more" if more > 0 else shown


def _choice(words: str, address: str, *, is_on: bool) -> Part:
    on = {"aria-current": "true"} if is_on else {}
    return html.Span(choice_link(words, address, on=is_on), **on)


def _band_row(band: int, spans: int, failed: int, view: View) -> Part:
    address = view.link(min=f"{band_ms(band):g}ms", max=f"{band_ms(band + GROUPED):g}ms")
    return html.Tr(
        [
            html.Th(dcc.Link(band_words(band, GROUPED), href=address), scope="row"),
            html.Td(f"{spans:,}", className="number"),
            html.Td(f"{failed:,}", className="number"),
        ]
    )


def _grouped(cells: Sequence[Cell]) -> list[tuple[int, int, int]]:
    """Spans and failed ones by every few bands, the shortest durations first."""
    spans: Counter[int] = Counter()
    failed: Counter[int] = Counter()
    for cell in cells:
        band = cell.band // GROUPED * GROUPED
        spans[band] += cell.spans
        failed[band] += cell.failed
    return [(band, spans[band], failed[band]) for band in sorted(spans)]


def _sentence(cells: Sequence[Cell]) -> str:
    """Where most of them lie, for who cannot see the map."""
    groups = sorted(_grouped(cells), key=lambda group: -group[1])[:2]
    everything = sum(cell.spans for cell in cells)
    parts = [f"{percent(spans / everything)} took {band_words(band, GROUPED)}" for band, spans, _ in groups]
    return f"{listed(parts)}." if parts else ""
