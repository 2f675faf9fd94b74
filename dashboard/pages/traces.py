"""Search among traces: by service, operation, attributes, result, duration and text."""

from __future__ import annotations

from dash import html

from dashboard.components.attempts import attempt
from dashboard.components.board_buttons import add_to_board
from dashboard.components.choices import choice_link, choices
from dashboard.components.elements import Part, card, folded, note
from dashboard.components.found_requests import durations_card, nothing_found, requests_card
from dashboard.components.query_form import Field, query_form
from dashboard.components.trace_comparison import comparison_card, comparison_choices
from dashboard.page import Page, PageRequest
from dashboard.reads.happenings import happenings
from dashboard.reads.trace_query import TraceQuery, trace_query
from watchkeeper.store.span_search import Scope

SCOPE_WORDS: dict[Scope, str] = {"roots": "whole traces", "served": "requests of services", "all": "all spans"}


def render(request: PageRequest) -> Part:
    """Search among traces: by service, operation, attributes, result, duration and text."""
    query = trace_query(request.view)
    return [
        html.H1("Traces", className="unseen"),
        *(note(problem) for problem in query.problems),
        attempt("The search", lambda: _search(query, request)),
        attempt("The requests", lambda: _found(query, request)),
    ]


def _search(query: TraceQuery, request: PageRequest) -> Part:
    view, sources = request.view, request.sources
    window = view.window(request.viewer.now)
    operations = sources.trace_search.operations(window, query.search.service)
    services = sources.traffic.services(window)
    fields = (
        Field(name="service", label="Service", placeholder="any", offers=services),
        Field(name="op", label="Operation", placeholder="any", offers=operations),
        Field(name="attr", label="Attributes", placeholder="http.route=/pay error.type", wide=True),
        Field(name="min", label="At least", placeholder="250ms"),
        Field(name="max", label="Less than", placeholder="2s"),
        Field(name="q", label="Text", placeholder="in names and messages"),
    )
    scope = query.search.scope
    status = {None: "", True: "failed", False: "ok"}[query.search.failed]
    scopes = [choice_link(words, view.link(scope=name), on=name == scope) for name, words in SCOPE_WORDS.items()]
    results = [
        choice_link(words or "any result", view.link(status=words or None), on=words == status)
        for words in ("", "failed", "ok")
    ]
    return card(
        "Search",
        query_form(view, fields),
        html.Div([choices(*scopes), choices(*results), add_to_board()], className="line"),
        _guide(),
    )


def _found(query: TraceQuery, request: PageRequest) -> Part:
    window = request.view.window(request.viewer.now)
    result = request.sources.trace_search.found(window, query)
    if not result.total:
        return nothing_found(query, request)
    shown = [
        durations_card(
            result, window, request.view, request.viewer, happenings(request.sources, window, query.search.service)
        ),
        comparison_choices(query, request.view),
        attempt("The comparison", lambda: comparison_card(query, request)),
        requests_card(result, query, request),
    ]
    return html.Div(shown, className="found")


def _guide() -> Part:
    examples = (
        ("http.route=/pay", "the attribute has this value, on the span or on its resource"),
        ('user.tier="very gold"', "a value with blanks"),
        ("error.type", "the attribute is there, whatever its value"),
        ("service.version!=2.1.0", "it has another value, or is not there"),
        ("http.response.status_code>=500", "a number: also <=, > and <"),
    )
    rows = [part for code, words in examples for part in (html.Dt(html.Code(code)), html.Dd(words))]
    return folded(
        "How to search",
        html.Dl(rows, className="facts"),
        html.P(
            "Blanks separate conditions; all must hold. Whole traces are spans without a parent. Requests of services "
            "are spans of kind server or consumer. All spans include calls to others and steps within a service.",
            className="muted",
        ),
    )


PAGE = Page(path="/traces", title="Traces", render=render, order=32, key="t", section="Explore")
