"""A question in plain words, answered from queries that are shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from dash import dcc, html

from alerting.ask.answer import Answer, Read
from dashboard.components.attempts import attempt
from dashboard.components.elements import Part, card, folded, note
from dashboard.components.query_form import Field, query_form
from dashboard.components.wording import count
from dashboard.page import Page, PageRequest
from dashboard.urls import View

QUESTION: Final = Field(name="q", label="Question", placeholder="why is checkout slow?", wide=True)


def render(request: PageRequest) -> Part:
    """A question in plain words, answered from queries that are shown."""
    view = request.view
    return [
        html.H1("Ask"),
        query_form(view, [QUESTION], words="Ask"),
        attempt("The answer", lambda: _answer(request.sources.ask(view.words), view)),
    ]


def _answer(answer: Answer, view: View) -> Part:
    notes = [note(text) for text in answer.notes]
    if not view.words:
        return card("What can be asked", _suggested(answer.suggestions, view), *notes)
    parts: list[Part] = []
    if answer.lines:
        parts.append(html.Ul([html.Li(line) for line in answer.lines], className="answer-lines"))
    parts += notes
    if answer.links:
        parts.append(html.P([dcc.Link(words, href=path) for words, path in answer.links], className="line"))
    if answer.suggestions:
        parts += [html.P("Ask instead:", className="muted"), _suggested(answer.suggestions, view)]
    if answer.reads:
        queries = count(len(answer.reads), "query", "queries")
        parts.append(folded(f"What was read: {queries}", *map(_read, answer.reads)))
    return card(answer.heading, *parts)


def _suggested(questions: Sequence[str], view: View) -> Part:
    return html.Ul(
        [html.Li(dcc.Link(each, href=view.link(words=each))) for each in questions], className="answer-lines"
    )


def _read(read: Read) -> Part:
    values = ", ".join(f"{name} = {value}" for name, value in sorted(read.parameters.items()))
    return html.Div([html.Pre(read.text, className="read"), html.P(values, className="muted mono") if values else None])


PAGE = Page(path="/ask", title="Ask", render=render, order=15, section="Now", key="q")
