"""What people change on boards: from a page or the command line, with a line in the audit trail for each change."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from dashboard.boards.board import LONGEST_TITLE, MOST_PANELS, Board, Panel, read_board
from dashboard.boards.folder import BoardFolder
from dashboard.boards.text_edits import new_text, with_panel, with_panel_earlier, without_panel
from watchkeeper.clock import Clock
from watchkeeper.errors import ConfigError, Conflict
from watchkeeper.state.audit import record_audit
from watchkeeper.state.database import Database
from watchkeeper.text import one_line
from watchkeeper.vocabulary import Actor

Edit = Callable[[Path, str], str]


class Boards:
    """The boards of one folder. Every change is written to the file and to the audit trail, or to neither."""

    def __init__(self, folder: BoardFolder, db: Database, clock: Clock) -> None:
        self.folder = folder
        self._db = db
        self._clock = clock

    def create(self, board: Board, actor: Actor, name: str = "") -> str:
        """Write a new board; its name, made of its title unless one is given.

        Raises:
            Conflict: another board has the name.
            ConfigError: it cannot be written; says why.
        """
        if not board.title.strip():
            raise ConfigError("Give the board a title first.")
        board = replace(board, title=one_line(board.title, LONGEST_TITLE))
        name = name or self.folder.free_name(board.title)
        with self._audited(actor, "board.create", name, board.title) as record:
            self.folder.create(name, new_text(board), record)
        return name

    def add(self, name: str, panel: Panel, actor: Actor) -> None:
        """Put a panel at the end of a board. The same panel again is refused: a double click adds one.

        Raises:
            NotFound, Conflict, ConfigError: nothing was changed; says why.
        """

        def edit(path: Path, text: str) -> str:
            board = read_board(path, text)
            if panel in board.panels:
                raise Conflict(f"{board.title} has this panel already; give it another title to add it twice.")
            if len(board.panels) >= MOST_PANELS:
                raise Conflict(f"{board.title} has {MOST_PANELS} panels, and a board shows no more; choose another.")
            return with_panel(path, text, panel)

        self._change(name, "", edit, actor, "board.add", panel.title)

    def remove(self, name: str, place: int, seen: str, actor: Actor) -> str:
        """Take a panel away; its title. The audit trail keeps what it was.

        Raises:
            NotFound, Conflict, ConfigError: nothing was changed; says why.
        """
        panel = self._panel(name, place)
        kept = ", ".join(f"{key}: {value}" for key, value in panel.choices.items())
        self._change(
            name,
            seen,
            lambda path, text: without_panel(path, text, place),
            actor,
            "board.remove",
            f"{panel.title}: {kept}",
        )
        return panel.title

    def move_earlier(self, name: str, place: int, seen: str, actor: Actor) -> str:
        """Put a panel one place earlier; its title. Raises as `remove`."""
        panel = self._panel(name, place)
        if place == 0:
            raise Conflict(f"{panel.title} is the first panel already.")
        self._change(
            name, seen, lambda path, text: with_panel_earlier(path, text, place), actor, "board.move", panel.title
        )
        return panel.title

    def _panel(self, name: str, place: int) -> Panel:
        file = self.folder.get(name)
        if file is None or file.board is None or not 0 <= place < len(file.board.panels):
            raise Conflict("The board was changed meanwhile; look at it as it is now, and try again.")
        return file.board.panels[place]

    def _change(self, name: str, seen: str, edit: Edit, actor: Actor, action: str, detail: str) -> None:
        with self._audited(actor, action, name, detail) as record:
            self.folder.change(name, seen, edit, record)

    @contextmanager
    def _audited(self, actor: Actor, action: str, name: str, detail: str) -> Iterator[Callable[[], None]]:
        """A transaction of the state database, and what writes the change's line within it."""
        with self._db.write() as connection:

            def record() -> None:
                record_audit(connection, self._clock.now(), actor, action, name, one_line(detail, 1000))

            yield record
