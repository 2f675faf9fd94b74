"""The panels of a board: what the pages of metrics, logs, traces and objectives show, smaller, each with its link."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context, copy_context
from dataclasses import replace
from typing import Final

from dash import dcc, html

from dashboard.boards.addresses import panel_view
from dashboard.boards.board import Board, Kind, Panel
from dashboard.boards.prometheus_names import translated
from dashboard.components.attempts import attempt
from dashboard.components.board_buttons import panel_buttons
from dashboard.components.budgets import forecast_words, left_words, promise, state_pill
from dashboard.components.elements import Part, empty, note, plot
from dashboard.components.found_requests import durations_plot, found_words, requests_table
from dashboard.components.log_lines import line_list
from dashboard.components.log_search import chosen_query
from dashboard.components.metric_lines import Answer, drawn_lines, last_value, plot_sentence, swatch
from dashboard.components.wording import count, listed, measured, percent
from dashboard.figures.budget import budget_figure
from dashboard.figures.duration_map import duration_figure
from dashboard.figures.log_histogram import histogram_figure, severity_words
from dashboard.figures.metrics import metric_figure
from dashboard.page import PageRequest
from dashboard.reads.happenings import happenings
from dashboard.reads.metric_choices import asked
from dashboard.reads.trace_query import trace_query
from detectors.slo.budget import course, left
from watchkeeper.errors import StoreError
from watchkeeper.store.recording import recording
from watchkeeper.text import seen_name
from watchkeeper.vocabulary import Window

AT_ONCE: Final = 4  # panels that are read beside each other; the store has more connections than that
LINES: Final = 5  # log lines and requests that a panel lists
IN_LEGEND: Final = 8
HEIGHT: Final = 210


def panel_cards(name: str, board: Board, digest: str, request: PageRequest, *, edits: bool) -> Sequence[Part]:
    """Every panel in its order; with `edits`, each has the buttons that move and remove it."""

    def draw(context: Context, place: int, panel: Panel) -> tuple[Panel, Part]:
        return context.run(_panel, place, panel, request)

    # Menus of plots and problems belong to the page that is being drawn, which a thread does not know by itself.
    contexts = [copy_context() for _ in board.panels]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        drawn = list(pool.map(draw, contexts, range(len(board.panels)), board.panels))
    cards = []
    for place, (panel, body) in enumerate(drawn):
        title = seen_name(panel.title, 120)
        link = panel_view(panel, request.view).address()
        head = html.Div(
            [
                html.H2(
                    title if panel.kind == "text" else dcc.Link(title, href=link, title=f"Open as {_PAGE[panel.kind]}")
                ),
                panel_buttons(name, place, len(board.panels), digest) if edits else None,
            ],
            className="card-head",
        )
        cards.append(html.Section([head, body], className=f"card board-panel {panel.width}"))
    return cards


_PAGE: Final[Mapping[Kind, str]] = {
    "metrics": "a query of Metrics",
    "logs": "a search of Logs",
    "traces": "a search of Traces",
    "slo": "the objective's page",
}


def _panel(place: int, written: Panel, request: PageRequest) -> tuple[Panel, Part]:
    """The panel under the names that the store has, and what it shows."""
    panel = _named(written, request)
    own = replace(request, view=panel_view(panel, request.view))
    with recording():  # of this panel alone: several may make reads of one name
        body = attempt(f"The panel {seen_name(panel.title)}", lambda: _DRAWN[panel.kind](panel, f"panel-{place}", own))
    return panel, body


def _named(panel: Panel, request: PageRequest) -> Panel:
    """The panel with the names that the store has, where it has those of Prometheus."""
    if "names" not in panel.choices:
        return panel
    metrics, window = request.sources.metrics, request.view.window(request.viewer.now)

    def labels_of(metric: str) -> list[str]:
        return [label for label, _ in metrics.labels(window, metric)]

    try:
        return replace(panel, choices=translated(panel.choices, metrics.dictionary(window), labels_of))
    except StoreError:
        return panel  # the panel itself says so


def _metrics(_panel: Panel, name: str, request: PageRequest) -> Part:
    sources, view, viewer = request.sources, request.view, request.viewer
    window, step_s = view.window(viewer.now), view.step_s(viewer.now)
    queries = asked(view, sources.metrics.dictionary(window))
    notes = [
        one.problem if one.metric else f"No metric named {seen_name(one.name)} arrived in this time range."
        for one in queries
        if one.problem
    ]
    answers = []
    for one in queries:
        if one.metric is not None:
            query = one.query(window, step_s, view.service)
            answers.append(Answer(asked=one, lines=sources.metrics.lines(query, one.show, one.aggregation)))
    drawn = drawn_lines(answers, viewer)
    if not drawn:
        return empty("No point in this time range", *notes, "Choose a longer time range above.")
    units = list(dict.fromkeys(one.unit for one in drawn))
    if len(units) > 2:
        notes.append(f"Lines in {listed(units[2:])} are left out: a panel has room for two units.")
    shown = [one for one in drawn if one.unit in units[:2]]
    figure = metric_figure(shown, viewer, window, moments=happenings(request.sources, window, view.service))
    figure["layout"]["height"] = HEIGHT
    for trace in figure["data"]:
        trace.pop("customdata", None)  # a point is chosen on the page of the query
    legend = [
        html.Li([swatch(one), f"{seen_name(one.name)} ", html.Strong(measured(last_value(one.line.values), one.unit))])
        for one in shown[:IN_LEGEND]
    ]
    if len(shown) > IN_LEGEND:
        legend.append(html.Li(f"and {count(len(shown) - IN_LEGEND, 'more line')}"))
    return html.Div(
        [
            *map(note, notes),
            plot(name, figure, plot_sentence(shown, None), reads=("lines",)),
            html.Ul(legend, className="log-legend"),
        ]
    )


def _logs(_panel: Panel, name: str, request: PageRequest) -> Part:
    view, viewer = request.view, request.viewer
    window, step_s = view.window(viewer.now), view.step_s(viewer.now)
    found = request.sources.logs.search(chosen_query(view), window, step_s, 1)
    if not found.total:
        return empty("No line in this time range is like that", "Choose a longer time range above.")
    marks = happenings(request.sources, window, view.service)
    figure = histogram_figure(found.counts, window, step_s, viewer, marks)
    words = severity_words(found.counts)
    return html.Div(
        [
            plot(name, figure, f"Log lines over time: {words}", reads=("log-search",)),
            html.P(f"{count(found.total, 'line')}: {words}. The newest:", className="muted"),
            line_list(found.lines[:LINES], request),
        ]
    )


def _traces(_panel: Panel, name: str, request: PageRequest) -> Part:
    view, viewer = request.view, request.viewer
    window = view.window(viewer.now)
    query = trace_query(view)
    found = request.sources.trace_search.found(window, query)
    if not found.total:
        return empty("No span matches in this time range", "Choose a longer time range above.")
    marks = happenings(request.sources, window, query.search.service)
    figure = duration_figure(found.cells, window, found.step_s, viewer, marks)
    figure["layout"]["height"] = HEIGHT
    figure["layout"]["dragmode"] = False if viewer.narrow else "zoom"
    requests = found.requests[:LINES]
    title = f"The {len(requests)} {query.order}"
    return html.Div(
        [
            durations_plot(name, figure, found),
            html.P(f"{found_words(found)}. {title}:", className="muted"),
            requests_table(requests, title, viewer),
        ]
    )


def _slo(panel: Panel, name: str, request: PageRequest) -> Part:
    viewer = request.viewer
    wanted = panel.choices.get("objective", "")
    slo = request.sources.objectives.all().by_name.get(wanted)
    if slo is None:
        return empty(f"No objective is named {seen_name(wanted)}", dcc.Link("All objectives", href="/slos"))
    minutes = request.sources.objectives.minutes(slo)
    share = left(slo, minutes)
    words: list[Part] = [
        html.Div([state_pill(slo, minutes, viewer), html.Span(left_words(slo, minutes))], className="line"),
        html.P(promise(slo), className="muted"),
    ]
    if share is not None:
        times, shares = course(slo, minutes)
        marks = happenings(request.sources, Window(start=times[0], end=times[-1]), slo.service)
        figure = budget_figure(times, shares, times[-1], viewer, marks)
        figure["layout"]["height"] = HEIGHT
        sentence = f"Error budget of {slo.title}: {percent(max(share, 0.0))} is left."
        words.append(plot(name, figure, sentence, reads=("minutes",)))
        words.append(html.P(forecast_words(slo, minutes, viewer)))
    return html.Div(words)


def _text(panel: Panel, _name: str, _request: PageRequest) -> Part:
    return html.P(panel.choices.get("text", ""), className="board-text")


_DRAWN: Final[Mapping[Kind, Callable[[Panel, str, PageRequest], Part]]] = {
    "metrics": _metrics,
    "logs": _logs,
    "traces": _traces,
    "slo": _slo,
    "text": _text,
}
