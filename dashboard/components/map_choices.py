"""The choices of the page Services: by health, by name, and around one service. All of them stand in the address."""

from __future__ import annotations

from dash import html

from dashboard.components.choices import choice_link, choices
from dashboard.components.elements import Part
from dashboard.components.query_form import Field, query_form
from dashboard.components.wording import count
from dashboard.figures.neighbourhood import FARTHEST, Choice, Show
from dashboard.urls import View

SHOWS: tuple[tuple[Show, str], ...] = (("", "Suggested"), ("unwell", "Only unwell"), ("all", "All"))

NAME = Field(name="q", label="Name", placeholder="part of a name")


def choice_of(view: View) -> Choice:
    """What the address asks for: `show=unwell`, `q=cart`, `service=cart&near=2`; what cannot be read is left out."""
    show: Show = next((name for name, _ in SHOWS if name == view.choice("show")), "")
    near = view.choice("near")
    away = int(near) if near in {str(number) for number in range(1, FARTHEST + 1)} else 0
    return Choice(show=show, words=view.words.strip(), service=view.service or "", near=away)


def map_choices(view: View, choice: Choice) -> Part:
    """A link for each choice, and the search."""
    shows = [
        choice_link(words, view.link(show=name, near=None, words=""), on=_is_on(choice, name)) for name, words in SHOWS
    ]
    around: list[Part] = []
    if choice.service:
        around = [html.Span("around it:", className="muted"), *(_near(view, choice, n) for n in range(1, FARTHEST + 1))]
    return html.Div(
        [
            choices(*shows, *around),
            query_form(view, [NAME], words="Show", clears=("near", "show")),
        ],
        className="map-choices",
    )


def _is_on(choice: Choice, name: Show) -> bool:
    return choice.show == name and not choice.words and not (choice.near and choice.service)


def _near(view: View, choice: Choice, calls: int) -> Part:
    return choice_link(count(calls, "call"), view.link(near=str(calls)), on=choice.near == calls)
