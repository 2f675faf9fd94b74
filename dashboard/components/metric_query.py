"""One query of the page Metrics: its fields, and what can be shown of its metric."""

from __future__ import annotations

from collections.abc import Sequence

from dash import html

from dashboard.components.choices import choice_link, choices
from dashboard.components.elements import Part, note
from dashboard.components.query_form import Field, query_form
from dashboard.reads.metric_choices import SHOWS, Asked, choice_name
from dashboard.urls import View
from watchkeeper.store.metric_queries import AGGREGATIONS

OFFERED = 500  # metrics that a field offers
WORDS = {"value": "level", "rate": "rate", "mean": "mean"}
FIELDS = ("metric", "where", "by", "show", "agg")


def metric_query(view: View, letter: str, one: Asked | None, names: Sequence[str], labels: Sequence[str]) -> Part:
    """The fields of one query; `one` is None while nothing is asked there. `labels` are offered for grouping."""
    form = query_form(
        view,
        [
            Field(
                name=choice_name("metric", letter),
                label="Metric" if letter == "A" else f"Metric {letter}",
                placeholder="http.server.request.duration",
                offers=names[:OFFERED],
                wide=True,
            ),
            Field(
                name=choice_name("where", letter),
                label="Where",
                placeholder="http.route=/cart*, status!=200",
                wide=True,
            ),
            Field(
                name=choice_name("by", letter),
                label="Group by",
                placeholder="service, http.route",
                offers=("service", *labels),
            ),
        ],
        words="Show",
    )
    return html.Div(
        [
            html.Div([html.Span(letter, className="query-letter"), form], className="metric-query"),
            _choices(view, letter, one, one.metric.kind) if one is not None and one.metric is not None else None,
            note(one.problem) if one is not None else None,
        ]
    )


def without(view: View, letter: str) -> str:
    """The address without a query."""
    return view.link(**{choice_name(field, letter): None for field in FIELDS}, at=None)


def _choices(view: View, letter: str, one: Asked, kind: str) -> Part:
    groups: list[Part] = []
    shows = SHOWS[kind]
    if len(shows) > 1:
        groups.append(_group(view, "Show", choice_name("show", letter), [(s, _word(kind, s)) for s in shows], one.show))
    if one.aggregates:
        offers = [(name, name) for name in AGGREGATIONS]
        groups.append(_group(view, "Series of a group", choice_name("agg", letter), offers, one.aggregation))
    groups.append(choice_link("Remove", without(view, letter)))
    return html.Div(groups, className="metric-choices")


def _group(view: View, title: str, name: str, offers: Sequence[tuple[str, str]], chosen: str) -> Part:
    links = [choice_link(words, view.link(**{name: value}), on=value == chosen) for value, words in offers]
    return choices(*links, title=title)


def _word(kind: str, show: str) -> str:
    return "total" if kind == "counter" and show == "value" else WORDS.get(show, show)
