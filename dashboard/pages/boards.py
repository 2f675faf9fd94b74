"""All boards, searched by name, and the files that cannot be read with their reason."""

from __future__ import annotations

from collections.abc import Sequence

from dash import dcc, html

from dashboard.boards.board import KINDS, Board
from dashboard.boards.folder import BoardFile
from dashboard.components.elements import Part, card, empty, note, table
from dashboard.components.query_form import Field, query_form
from dashboard.components.wording import count, listed
from dashboard.page import Page, PageRequest
from dashboard.urls import View, board_path
from watchkeeper.text import page_text, seen_name


def render(request: PageRequest) -> Part:
    """All boards, searched by name, and the files that cannot be read with their reason."""
    folder = request.sources.boards.folder
    files = folder.files()
    boards = [(file, file.board) for file in files if file.board is not None]
    broken = [file for file in files if file.board is None]
    words = request.view.words.lower().split()
    shown = [pair for pair in boards if all(word in _searched(*pair) for word in words)]
    return [
        html.H1("Boards"),
        note(request.view.problem),
        _broken(broken) if broken else None,
        card(
            "All boards",
            query_form(request.view, [Field(name="q", label="Title or panel", placeholder="checkout", wide=True)])
            if boards
            else None,
            _table(shown, request.view) if shown else _nothing(request, has_boards=bool(boards)),
            aside=count(len(boards), "board") if boards else None,
        ),
    ]


def _searched(file: BoardFile, board: Board) -> str:
    return " ".join([file.name, board.title, board.description, *(panel.title for panel in board.panels)]).lower()


def _table(shown: Sequence[tuple[BoardFile, Board]], view: View) -> Part:
    rows = []
    for file, board in shown:
        kinds = [kind for kind in KINDS if any(panel.kind == kind for panel in board.panels)]
        address = (
            View(path=board_path(file.name), range=board.range).address()
            if view.is_live
            else view.link(board_path(file.name), words=None)
        )
        rows.append(
            html.Tr(
                [
                    html.Th(
                        [
                            dcc.Link(seen_name(board.title, 120), href=address),
                            html.Div(page_text(board.description, 200), className="reason")
                            if board.description
                            else None,
                        ],
                        scope="row",
                    ),
                    html.Td(listed(kinds) or "nothing yet"),
                    html.Td(f"{len(board.panels)}", className="number"),
                    html.Td(file.path.name, className="mono"),
                ],
                tabIndex=0,
                **{"data-row": ""},
            )
        )
    return table(["Board", "Shows", "Panels", "File"], rows, caption="Boards", numbers=["Panels"])


def _nothing(request: PageRequest, *, has_boards: bool) -> Part:
    if has_boards:
        return empty("No board has these words", dcc.Link("All boards", href=request.view.link(words=None)))
    return empty(
        "There is no board yet",
        html.Span(
            [
                "Open ",
                dcc.Link("Metrics", href="/explore"),
                ", ",
                dcc.Link("Logs", href="/logs"),
                ", ",
                dcc.Link("Traces", href="/traces"),
                " or an ",
                dcc.Link("SLO", href="/slos"),
                ", and press Add to board.",
            ]
        ),
        html.Span(["A board is a YAML file in ", html.Code(str(request.sources.boards.folder.path)), "."]),
    )


def _broken(files: Sequence[BoardFile]) -> Part:
    return card(
        "Files that are not shown",
        *(html.Pre(page_text(file.reason, 2000), className="board-mistake mono") for file in files[:20]),
        html.P("A corrected file is shown within two seconds.", className="muted"),
        aside=count(len(files), "file"),
    )


PAGE = Page(path="/boards", title="Boards", render=render, order=38, section="Explore", key="v")
