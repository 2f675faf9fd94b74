"""Experiments that run on this machine now: noted while they run, so that anybody can see and end them.

A note is a file in a folder of this user's own, with the process and the experiment itself. Where the process is gone
and the note is still there, the experiment was cut short: faults of Watchkeeper's own have ended by their leases, but
the experiment's rollbacks were not played. The note has what is needed to play them.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

from chaos.blast_radius import own_folder
from watchkeeper.process_identity import identity, is_alive

# `method` began: something may be broken. `rollbacks` are being played, and must not be interrupted.
Phase = Literal["checking", "method", "rollbacks"]
STOP_WITHIN_S: Final = 2.0
ASK_AGAIN_AFTER_S: Final = 0.8  # an experiment that waits for activities in the background is asked twice
PRIVATE: Final = 0o600


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """One running experiment.

    `born` is its process' identity: a process id alone may be somebody else's by now. `content` is what is needed to
    play its rollbacks: values in place of names of variables. `folder` is where it was started.
    """

    id: str
    title: str
    source: str
    pid: int
    born: str
    began: float
    phase: Phase
    radius: str
    content: Mapping[str, Any]
    config: str = ""
    shop: str = ""
    folder: str = ""
    sealed: bool = False

    @property
    def is_alive(self) -> bool:
        """Whether its process is still there."""
        return is_alive(self.pid, self.born)

    def shown_title(self) -> str:
        return "a game day" if self.sealed else self.title


class Notes:
    """The notes in one folder."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = (folder or own_folder()) / "running"
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def write(self, note: Note) -> None:
        """Write or replace a note; on the disk before this returns."""
        draft = self._folder / f"{note.id}.draft"
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, PRIVATE), "w") as file:
            json.dump(asdict(note), file, default=str)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self._folder / f"{note.id}.json")

    def remove(self, note_id: str) -> None:
        (self._folder / f"{note_id}.json").unlink(missing_ok=True)

    @contextmanager
    def claimed(self, note_id: str) -> Iterator[bool]:
        """Whether this process alone clears up after an experiment; not where another one does it, or has done it."""
        path = self._folder / f"{note_id}.json"
        with ExitStack() as stack:
            try:
                fcntl.flock(stack.enter_context(path.open()), fcntl.LOCK_EX | fcntl.LOCK_NB)
            except (FileNotFoundError, BlockingIOError):
                yield False
            else:
                yield path.exists()

    def all(self) -> tuple[Note, ...]:
        """Every note that can be read, oldest first."""
        notes = []
        for path in self._folder.glob("*.json"):
            try:
                notes.append(Note(**json.loads(path.read_text())))
            except (OSError, ValueError, TypeError):
                continue  # removed meanwhile, or of another version
        return tuple(sorted(notes, key=lambda note: note.began))

    def alive(self) -> tuple[Note, ...]:
        return tuple(note for note in self.all() if note.is_alive)

    def cut_short(self) -> tuple[Note, ...]:
        """Experiments whose process is gone without having ended them; those that had not begun are forgotten."""
        gone = [note for note in self.all() if not note.is_alive]
        for note in gone:
            if note.phase == "checking":
                self.remove(note.id)
        return tuple(note for note in gone if note.phase != "checking")


def own_note(note_id: str, **facts: Any) -> Note:
    """A note about this process."""
    pid = os.getpid()
    return Note(id=note_id, pid=pid, born=identity(pid), began=time.time(), phase="checking", **facts)


def entered(note: Note, phase: Phase) -> Note:
    return replace(note, phase=phase)


def ask_to_stop(notes: Notes, chosen: tuple[Note, ...], within_s: float = STOP_WITHIN_S) -> tuple[Note, ...]:
    """Ask running experiments to end and wait for it. Returns those that still run after `within_s` seconds.

    One that plays its rollbacks is not disturbed: it is ending already.
    """
    _signal(notes, chosen)
    again_at, deadline = time.monotonic() + ASK_AGAIN_AFTER_S, time.monotonic() + within_s
    asked_again = False
    while (left := _still_running(notes, chosen)) and time.monotonic() < deadline:
        if not asked_again and time.monotonic() > again_at:
            _signal(notes, left)
            asked_again = True
        time.sleep(0.05)
    return left


def _still_running(notes: Notes, chosen: tuple[Note, ...]) -> tuple[Note, ...]:
    noted = {note.id for note in notes.all()}
    return tuple(note for note in chosen if note.id in noted and note.is_alive)


def _signal(notes: Notes, chosen: tuple[Note, ...]) -> None:
    phases = {note.id: note.phase for note in notes.all()}
    for note in chosen:
        if note.is_alive and phases.get(note.id, "rollbacks") != "rollbacks":
            try:
                os.kill(note.pid, signal.SIGTERM)
            except ProcessLookupError:
                continue
