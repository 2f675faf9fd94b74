"""Metrics: any metric by its labels on a plot, and a dictionary of all that arrive."""

from __future__ import annotations

from collections.abc import Sequence

from dash import dcc, html

from dashboard.components.attempts import attempt
from dashboard.components.board_buttons import add_to_board
from dashboard.components.choices import choice_link
from dashboard.components.elements import Part, card, note
from dashboard.components.metric_dictionary import dictionary_card, metric_card
from dashboard.components.metric_lines import Answer, lines_card
from dashboard.components.metric_query import metric_query
from dashboard.figures.marks import Moment
from dashboard.page import Page, PageRequest
from dashboard.reads.happenings import happenings
from dashboard.reads.metric_choices import LETTERS, Asked, asked
from dashboard.reads.metrics import Metric
from watchkeeper.errors import WatchkeeperError


def render(request: PageRequest) -> Part:
    """Metrics: any metric by its labels on a plot, and a dictionary of all that arrive."""
    return [
        html.Div([html.H1("Metrics"), add_to_board()], className="page-head"),
        note(request.view.problem),
        attempt("The metrics", lambda: _metrics(request)),
    ]


def _metrics(request: PageRequest) -> Part:
    sources, view, viewer = request.sources, request.view, request.viewer
    window = view.window(viewer.now)
    dictionary = sources.metrics.dictionary(window)
    queries = asked(view, dictionary)
    known = [(one, one.metric) for one in queries if one.metric is not None]
    return [
        _queries_card(request, queries, dictionary),
        attempt("The plot", lambda: _plot(request, [one for one, _ in known])) if known else None,
        *(
            attempt(f"The metric {metric.name}", lambda one=one, metric=metric: _about(request, one, metric))  # type: ignore[misc]
            for one, metric in known[:1]
        ),
        dictionary_card(view, dictionary, viewer),
    ]


def _queries_card(request: PageRequest, queries: Sequence[Asked], dictionary: Sequence[Metric]) -> Part:
    view = request.view
    by_letter = {one.letter: one for one in queries}
    free = [letter for letter in LETTERS if letter not in by_letter]
    open_letters = [letter for letter in LETTERS if letter in by_letter or (letter == free[0] if free else False)]
    if queries and view.choice("add") != "on":
        open_letters = [letter for letter in open_letters if letter in by_letter]
    names = [metric.name for metric in dictionary]
    forms: list[Part] = []
    for letter in open_letters:
        one = by_letter.get(letter)
        labels = _labels(request, one)
        forms.append(metric_query(view, letter, one, names, labels))
    return card(
        "Queries",
        *forms,
        html.Div(
            [
                choice_link("Add a query", view.link(add="on"))
                if queries and free and view.choice("add") != "on"
                else None,
                html.Span(
                    ["Only ", html.Strong(view.service), " ", dcc.Link("all services", href=view.link(service=None))]
                )
                if view.service
                else None,
            ],
            className="line",
        ),
    )


def _labels(request: PageRequest, one: Asked | None) -> Sequence[str]:
    if one is None or one.metric is None:
        return ()
    window = request.view.window(request.viewer.now)
    return [label for label, _ in request.sources.metrics.labels(window, one.metric.name)][:50]


def _plot(request: PageRequest, queries: Sequence[Asked]) -> Part:
    sources, view, viewer = request.sources, request.view, request.viewer
    window, step_s = view.window(viewer.now), view.step_s(viewer.now)
    answers = []
    for one in queries:
        query = one.query(window, step_s, view.service)
        lines = sources.metrics.lines(query, one.show, one.aggregation)
        band = None
        if one is queries[0] and view.choice("band") == "on" and len(lines.lines) == 1:
            band = sources.metrics.band(query, one.show, one.aggregation)
        answers.append(Answer(asked=one, lines=lines, band=band))
    marks, notes = _marks(request)
    return lines_card(answers, request, marks, notes)


def _marks(request: PageRequest) -> tuple[Sequence[Moment], Sequence[str]]:
    """Changes and onsets of the chosen service (of all without one); why there are none if they cannot be read."""
    view = request.view
    try:
        return happenings(request.sources, view.window(request.viewer.now), view.service), ()
    except WatchkeeperError as error:
        return (), (f"Changes and incidents are not marked: {error.message}",)


def _about(request: PageRequest, one: Asked, metric: Metric) -> Part:
    window = request.view.window(request.viewer.now)
    reads = request.sources.metrics
    senders = [sender for sender in reads.senders(window, metric.name) if sender.kind == metric.kind]
    labels = reads.labels(window, metric.name)
    return metric_card(one, metric, senders, labels, request.view, request.viewer)


PAGE = Page(path="/explore", title="Metrics", render=render, order=35, key="e", section="Explore")
