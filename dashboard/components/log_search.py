"""The box for searches of log lines: the language in place, filters as links, and mistakes with their character."""

from __future__ import annotations

from typing import Final

from dash import html

from dashboard.components.choices import choice_link, choices
from dashboard.components.elements import Part, folded
from dashboard.components.query_form import Field, query_form
from dashboard.urls import View
from watchkeeper.errors import QueryError
from watchkeeper.store.log_query import MESSAGE, SEVERITIES, All, Node, Term, parse, quoted
from watchkeeper.text import is_unseen, seen_name

QUERY: Final = "query"  # the choices of the address
LEAST: Final = "least"
TAB: Final = "tab"
NUMBER: Final = "page"
LINE: Final = "line"
SINCE: Final = "since"
LEAST_CHOICES: Final = {"": "every severity", "warn": "warnings and worse", "error": "errors and worse"}
TABS: Final = {"": "Lines", "templates": "Templates"}
LANGUAGE: Final = (
    ("timeout", "the message contains it, in any case"),
    ('"timed out"', 'the message contains the words together; write \\" for a quote and \\* for a star'),
    ("service:checkout", "a field, exactly: service, severity, trace, span, instance, scope, event"),
    ("http.route:/cart*", "any other name is an attribute of the line or of its resource; * is any text"),
    ("k8s.pod.name:*", "the attribute is there"),
    ("http.status_code>=500", "an attribute as a number: >, >=, <, <="),
    ("severity>=warn", f"at least so severe: {', '.join(word.lower() for word in SEVERITIES)}"),
    ("-healthz", "not; also NOT healthz, or - before a group"),
    ("(refused OR reset) bank", "one of several; terms beside each other must all hold"),
)


def chosen_query(view: View) -> All:
    """What is searched: the text of the box, within the chosen service and severities.

    Raises:
        QueryError: the text is not written as the language wants.
    """
    nodes: list[Node] = []
    if view.service:
        nodes.append(Term("service", ":", (view.service,)))
    if view.choice(LEAST) in LEAST_CHOICES and view.choice(LEAST):
        nodes.append(Term("severity", ">=", (view.choice(LEAST).upper(),)))
    return All((*nodes, *parse(view.choice(QUERY)).of))


def search_box(view: View) -> Part:
    """The box with its language, and the filters beside it."""
    rows = [part for example, words in LANGUAGE for part in (html.Dt(html.Code(example)), html.Dd(words))]
    service = (
        choice_link(
            [f"service {seen_name(view.service)} ", html.Span("✕", **{"aria-hidden": "true"})],
            view.link(service=None, **{NUMBER: None, LINE: None}),
            on=True,
            title="Search all services",
        )
        if view.service
        else None
    )
    chosen = view.choice(LEAST) if view.choice(LEAST) in LEAST_CHOICES else ""
    least = [
        choice_link(words, view.link(**{LEAST: name, NUMBER: None, LINE: None}), on=name == chosen)
        for name, words in LEAST_CHOICES.items()
    ]
    field = Field(
        name=QUERY, label="Log lines with", placeholder='service:checkout severity>=warn "timed out"', wide=True
    )
    return html.Div(
        [
            query_form(view, [field], clears=(NUMBER, LINE)),
            choices(service, *least),
            folded("How to write a search", html.Dl(rows, className="facts language")),
        ],
        className="log-search",
    )


def mistake(text: str, error: QueryError) -> Part:
    """What is wrong with a search, and where: the text with a mark under the character."""
    begin = max(0, error.at - 60)
    shown = "".join(" " if is_unseen(c) or c.isspace() else c for c in text[begin : error.at + 60])
    cut = "…" if begin else ""
    marked = f"{cut}{shown}\n{' ' * (error.at - begin + len(cut))}▲"
    return html.Div(
        [
            html.P(f"The search has a mistake at character {error.at + 1}", className="empty-title"),
            html.Pre(marked, className="mistake"),
            html.P(error.message),
        ],
        className="empty trouble",
        role="alert",
    )


def narrowed(view: View, field: str, value: str, *, negate: bool = False) -> str:
    """The address of the same search with one term more; `field` is a name of the language or of an attribute."""
    term = quoted(value) if field == MESSAGE else f"{field}:{quoted(value)}"
    text = f"{view.choice(QUERY)} {'-' if negate else ''}{term}".strip()
    return view.link(**{QUERY: text, NUMBER: None, LINE: None, TAB: None})
