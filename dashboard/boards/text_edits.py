"""Changes of a board's file as text: whatever a human wrote around a panel, comments too, stays as it is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from dashboard.boards.board import Board, Panel, board_document, read_board
from watchkeeper.errors import ConfigError

_BY_HAND = "cannot be changed from the page as it is written; edit the file by hand"


def new_text(board: Board) -> str:
    """The file of a new board."""
    head = {"title": board.title, "description": board.description, "range": board.range}
    text = _yaml({name: value for name, value in head.items() if value})
    if not board.panels:
        return f"{text}panels: []\n"
    return f"{text}panels:\n" + "".join(_item(panel, 2) for panel in board.panels)


def with_panel(path: Path, text: str, panel: Panel) -> str:
    """The text with one panel more, at the end. Raises ConfigError where the file is not written for that."""
    before = read_board(path, text)
    lines, starts = _panel_lines(path, text)
    if starts:
        end = _end(lines, starts)
        changed = "".join([*lines[:end], _item(panel, _indent(lines[starts[0]])), *lines[end:]])
    else:
        kept = [line for line in lines if line.split("#")[0].strip() not in ("panels:", "panels: []")]
        changed = "".join(kept) + "panels:\n" + _item(panel, 2)
    return _checked(path, changed, before, (*before.panels, panel))


def without_panel(path: Path, text: str, place: int) -> str:
    """The text without the panel at `place`. Raises ConfigError where the file is not written for that."""
    before = read_board(path, text)
    blocks, head, tail = _blocks(path, text)
    del blocks[place]
    if not blocks:
        head = [line if line.split("#")[0].strip() != "panels:" else "panels: []\n" for line in head]
    panels = [panel for number, panel in enumerate(before.panels) if number != place]
    return _checked(path, "".join([*head, *blocks, *tail]), before, panels)


def with_panel_earlier(path: Path, text: str, place: int) -> str:
    """The text with the panel at `place` one place earlier. Raises ConfigError, as `without_panel`."""
    before = read_board(path, text)
    blocks, head, tail = _blocks(path, text)
    panels = list(before.panels)
    blocks[place - 1], blocks[place] = blocks[place], blocks[place - 1]
    panels[place - 1], panels[place] = panels[place], panels[place - 1]
    return _checked(path, "".join([*head, *blocks, *tail]), before, panels)


def _blocks(path: Path, text: str) -> tuple[list[str], list[str], list[str]]:
    """The lines of each panel, as one text each, and those before and after all of them."""
    lines, starts = _panel_lines(path, text)
    if not starts:
        raise ConfigError(f"{path}: {_BY_HAND}")
    ends = [*starts[1:], _end(lines, starts)]
    blocks = ["".join(lines[start:end]) for start, end in zip(starts, ends, strict=True)]
    return blocks, lines[: starts[0]], lines[ends[-1] :]


def _panel_lines(path: Path, text: str) -> tuple[list[str], list[int]]:
    """The file's lines, each with its end, and the index of the one with each panel's dash."""
    lines = [f"{line}\n" for line in text.removesuffix("\n").split("\n")]
    document = board_document(path, text)
    panels = document.data.get("panels") or []
    starts = [document.line(("panels", place)) - 1 for place in range(len(panels))]
    if any(not lines[start].lstrip().startswith("- ") for start in starts) or len(set(starts)) != len(starts):
        raise ConfigError(f"{path}: panels: {_BY_HAND} (each panel must begin with a line `- kind: …`)")
    return lines, starts


def _end(lines: Sequence[str], starts: Sequence[int]) -> int:
    """The line after the last panel: the next one that is not indented deeper than its dash."""
    dash = _indent(lines[starts[-1]])
    end = starts[-1] + 1
    while end < len(lines) and (not lines[end].strip() or _indent(lines[end]) > dash):
        end += 1
    while not lines[end - 1].strip():  # blank lines belong to what follows
        end -= 1
    return end


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _item(panel: Panel, indent: int) -> str:
    record: dict[str, Any] = {"kind": panel.kind, "title": panel.title, "width": panel.width, **panel.choices}
    pad = " " * indent
    lines = _yaml([record]).splitlines(keepends=True)
    return "".join(line if line.isspace() else pad + line for line in lines)


def _yaml(data: Any) -> str:
    return str(yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=10_000))


def _checked(path: Path, text: str, before: Board, panels: Sequence[Panel]) -> str:
    """The text, if it says what it should: an edit of text must never change what it is not about."""
    try:
        after = read_board(path, text)
    except ConfigError as error:
        raise ConfigError(f"{path}: panels: {_BY_HAND} ({error.message.splitlines()[0]})") from error
    if after.panels != tuple(panels) or (after.title, after.range) != (before.title, before.range):
        raise ConfigError(f"{path}: panels: {_BY_HAND}")
    return text
