"""One board: its panels over the page's time range."""

from __future__ import annotations

from dash import dcc, html

from dashboard.components.board_panels import panel_cards
from dashboard.components.choices import choice_link, choices
from dashboard.components.elements import Part, card, empty, note
from dashboard.page import Page, PageRequest
from watchkeeper.text import page_text, seen_name

EDIT = "edit"  # the choice that shows the buttons of the panels


def render(request: PageRequest) -> Part:
    """One board: its panels over the page's time range, each a link to its query."""
    file = request.sources.boards.folder.get(request.argument)
    if file is None:
        return [
            html.H1("No such board"),
            empty(
                f"No board is named {seen_name(request.argument)}",
                html.Span(["Its file may have been renamed. ", dcc.Link("All boards", href="/boards"), "."]),
            ),
        ]
    board = file.board
    if board is None:
        return [
            html.H1(seen_name(file.name)),
            card(
                "This board's file has mistakes",
                html.Pre(page_text(file.reason, 4000), className="board-mistake mono"),
                html.P("Correct the file; the board is shown within two seconds."),
            ),
        ]
    view = request.view
    edits = view.choice(EDIT) == "on"
    head = html.Div(
        [
            html.Div(
                [
                    html.H1(seen_name(board.title, 120)),
                    html.P(page_text(board.description, 1000), className="muted") if board.description else None,
                ]
            ),
            choices(
                choice_link("Done" if edits else "Change", view.link(**{EDIT: None if edits else "on"}), on=edits),
                choice_link("All boards", "/boards"),
            ),
        ],
        className="page-head",
    )
    notes = [note(view.problem)]
    if view.service:
        notes.append(note(f"Panels without a service of their own show {seen_name(view.service)} alone."))
        notes.append(choices(choice_link("All services", view.link(service=None))))
    if edits:
        words = f"The file is {file.path}. What is changed here or there is shown in both."
        notes.append(html.P(words, className="muted"))
    if not board.panels:
        advice = html.Span(
            [
                "Open ",
                dcc.Link("Metrics", href="/explore"),
                " or ",
                dcc.Link("Logs", href="/logs"),
                ", and press Add to board.",
            ]
        )
        return [head, *notes, card("No panel", empty("This board has no panel yet", advice))]
    cards = panel_cards(file.name, board, file.digest, request, edits=edits)
    return [head, *notes, html.Div(list(cards), className="board")]


PAGE = Page(path="/boards/{argument}", title="Board {argument}", render=render, under="/boards")
