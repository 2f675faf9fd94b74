"""A form whose answers are choices in the address: it needs no callback, works with Enter, and back undoes it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dash import dcc, html

from dashboard.components.elements import Part
from dashboard.urls import LONGEST_CHOICE, View
from watchkeeper.text import seen_name


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One text field of a form.

    Attributes:
        name: the choice that it sets, as it stands in the address (`service` and `q` are shared by all pages).
        label: the words before it.
        placeholder: an example of what may be written.
        offers: values to choose from; others may be written too.
        wide: it takes what is left of the line.
    """

    name: str
    label: str
    placeholder: str = ""
    offers: Sequence[str] = ()
    wide: bool = False


def query_form(view: View, fields: Sequence[Field], *, words: str = "Search", clears: Sequence[str] = ()) -> html.Form:
    """The fields with what the address has for them, and a button with `words`. An empty field takes its choice out.

    Sending it also takes out the choices that `clears` names: what was chosen among the answers to the last search.

    query.js writes the address when the form is sent. While the page refreshes, what is being typed stays.
    """
    return html.Form(
        [
            *(_field(view, field) for field in fields),
            *(dcc.Input(type="hidden", name=name, value="") for name in clears),
            html.Button(words, type="submit", className="query-send"),
        ],
        className="query",
        role="search",
        **{"data-query": view.path},
    )


def _field(view: View, field: Field) -> Part:
    offers = f"offers-{field.name}"
    box = dcc.Input(
        type="search",
        name=field.name,
        value=_chosen(view, field.name),
        placeholder=field.placeholder,
        list=offers if field.offers else None,
        maxLength=str(LONGEST_CHOICE),
        debounce=True,
        autoComplete="off",
        spellCheck=False,
        className="query-box",
    )
    choices = html.Datalist([html.Option(value=seen_name(value)) for value in field.offers], id=offers)
    return html.Label(
        [html.Span(field.label), box, choices if field.offers else None],
        className="query-field wide" if field.wide else "query-field",
    )


def _chosen(view: View, name: str) -> str:
    shared = {"service": view.service or "", "q": view.words, "state": view.state, "severity": view.severity}
    return shared.get(name, view.choice(name))
