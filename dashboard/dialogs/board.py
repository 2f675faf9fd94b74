"""The dialog that puts what a page shows on a board, and the buttons that move and remove panels."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final
from uuid import uuid4

import dash_mantine_components as dmc
from dash import ALL, Input, Output, State, no_update

from dashboard.boards.addresses import panel_of
from dashboard.boards.board import LONGEST_TITLE, WIDTHS, Board, Panel
from dashboard.commands import NOT_SIGNED_IN, Notice, failed
from dashboard.dialogs.pressed import closing, notices, pressed_id, refresh
from dashboard.reads.sources import Sources
from dashboard.urls import board_path, parse
from dashboard.wiring import Wiring
from watchkeeper.errors import ConfigError, WatchkeeperError
from watchkeeper.text import one_line, seen_name
from watchkeeper.vocabulary import Actor

NEW: Final = "+new"  # no file can have this name


def dialog() -> Any:
    """A new board unless another one is chosen."""
    return dmc.Modal(
        id="board-dialog",
        title="Add to board",
        size="md",
        closeOnClickOutside=False,
        children=dmc.Stack(
            [
                dmc.TextInput(id="board-title", label="Title of the panel"),
                dmc.Select(id="board-into", label="Board", data=[], value=NEW, searchable=True, allowDeselect=False),
                dmc.TextInput(
                    id="board-new",
                    label="Title of a new board",
                    description="Used if A new board is chosen above.",
                ),
                dmc.Select(
                    id="board-width",
                    label="Width",
                    data=[
                        {"value": name, "label": f"{name} of a row" if name != "full" else "a full row"}
                        for name in WIDTHS
                    ],
                    value="half",
                    allowDeselect=False,
                ),
                closing("board", "Add"),
            ],
            gap="md",
        ),
    )


def connect(wiring: Wiring) -> None:
    """Add the callbacks of the dialog and of the panels' buttons."""
    _connect_opening(wiring)
    _connect_submitting(wiring)
    _connect_changes(wiring)


def _connect_opening(wiring: Wiring) -> None:
    sources = wiring.sources

    def opened(clicks: list[int | None], path: str | None, search: str | None) -> Any:
        if pressed_id(clicks) is None:
            return (no_update,) * 5
        if wiring.who() is None:
            return NOT_SIGNED_IN.shown(), *(no_update,) * 4
        try:
            panel = panel_of(parse(path, search))
            choices = _choices(sources)
        except WatchkeeperError as error:
            return _refused(error).shown(), *(no_update,) * 4
        chosen = choices[0]["value"] if choices else NEW
        return no_update, True, panel.title, [*choices, {"value": NEW, "label": "A new board"}], chosen

    wiring.server(
        opened,
        notices(),
        Output("board-dialog", "opened"),
        Output("board-title", "value"),
        Output("board-into", "data"),
        Output("board-into", "value"),
        Input({"board": ALL}, "n_clicks"),
        State("url", "pathname"),
        State("url", "search"),
    )


def _connect_submitting(wiring: Wiring) -> None:
    sources = wiring.sources

    def submitted(
        clicks: int,
        path: str | None,
        search: str | None,
        title: str | None,
        into: str | None,
        new: str | None,
        width: str | None,
    ) -> Any:
        actor = wiring.who()
        if not clicks:
            return (no_update,) * 4
        if actor is None:
            return NOT_SIGNED_IN.shown(), no_update, no_update, no_update
        try:
            panel = panel_of(parse(path, search))
            panel = replace(
                panel,
                title=one_line(title, LONGEST_TITLE) if (title or "").strip() else panel.title,
                width=next((name for name in WIDTHS if name == width), "half"),
            )
            words = _added(sources, panel, into or NEW, (new or "").strip(), actor)
        except WatchkeeperError as error:
            return _refused(error).shown(), no_update, no_update, no_update
        sources.forget()
        return Notice(title="Added to the board", message=words, good=True).shown(), False, uuid4().hex, ""

    wiring.server(
        submitted,
        notices(),
        Output("board-dialog", "opened", allow_duplicate=True),
        refresh(),
        Output("board-new", "value"),
        Input("board-submit", "n_clicks"),
        State("url", "pathname"),
        State("url", "search"),
        State("board-title", "value"),
        State("board-into", "value"),
        State("board-new", "value"),
        State("board-width", "value"),
    )


def _connect_changes(wiring: Wiring) -> None:
    sources = wiring.sources

    def changed(clicks: list[int | None]) -> Any:
        button = pressed_id(clicks)
        if button is None or not isinstance(button["panel"], int) or isinstance(button["panel"], bool):
            return no_update, no_update
        actor = wiring.who()
        if actor is None:
            return NOT_SIGNED_IN.shown(), no_update
        given = str(button["of"]), button["panel"], str(button["seen"])
        try:
            if button["change"] == "remove":
                words = f"{sources.boards.remove(*given, actor)} was removed; the audit trail keeps what it was."
            else:
                words = f"{sources.boards.move_earlier(*given, actor)} was moved."
        except WatchkeeperError as error:
            return failed(error).shown(), uuid4().hex
        return Notice(title="Board changed", message=words, good=True).shown(), uuid4().hex

    wiring.server(
        changed,
        notices(),
        refresh(),
        Input({"panel": ALL, "of": ALL, "change": ALL, "seen": ALL, "words": ALL}, "n_clicks"),
    )


def _choices(sources: Sources) -> list[dict[str, str]]:
    return [
        {"value": file.name, "label": seen_name(file.board.title, LONGEST_TITLE)}
        for file in sources.boards.folder.files()
        if file.board is not None
    ]


def _added(sources: Sources, panel: Panel, into: str, new: str, actor: Actor) -> str:
    """Put the panel on the board of that name, or on a new one; where it is now."""
    if into != NEW:
        sources.boards.add(into, panel, actor)
        return f"{panel.title} stands on {board_path(into)}."
    if not new:
        raise ConfigError("Give the new board a title.")
    name = sources.boards.create(Board(title=new, panels=(panel,)), actor)
    return f"{panel.title} stands on the new board {board_path(name)}."


def _refused(error: WatchkeeperError) -> Notice:
    return Notice(title="Nothing was added", message=error.message, good=False)
