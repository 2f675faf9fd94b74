"""The folder of boards: a file each, read again as soon as it changes, and written whole or not at all."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import secrets
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dashboard.boards.board import Board, read_board
from watchkeeper.errors import ConfigError, Conflict, NotFound
from watchkeeper.private_files import unusable
from watchkeeper.text import seen_name
from watchkeeper.yaml_file import LARGEST_BYTES

SUFFIX: Final = ".yaml"
MOST_FILES: Final = 500
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,60}")
_DRAFT: Final = ".board-draft-"
_NAMING: Final = f"name it with small letters, digits and dashes, ending with {SUFFIX}, such as checkout{SUFFIX}"


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardFile:
    """One file: its board, or the reason why it cannot be read. `digest` tells one content from another."""

    name: str
    path: Path
    digest: str = ""
    board: Board | None = None
    reason: str = ""


class BoardFolder:
    """Boards by name, which is the file's name without `.yaml`. Threads and processes may share one folder."""

    def __init__(self, folder: Path) -> None:
        self.path = folder
        self._known: dict[Path, tuple[tuple[int, ...], BoardFile]] = {}
        self._lock = threading.Lock()

    def files(self) -> Sequence[BoardFile]:
        """Every file, those with a board by their title, then those that cannot be read.

        Raises:
            ConfigError: the folder cannot be read.
        """
        try:
            found = sorted(
                path for path in self.path.iterdir() if path.suffix in (SUFFIX, ".yml") and path.name[0] != "."
            )
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise ConfigError(f"{self.path}: cannot be read ({error.strerror}). Check `boards.dir`.") from error
        read = [file for path in found[:MOST_FILES] if (file := self._file(path)) is not None]
        return sorted(
            read, key=lambda file: (file.board is None, file.board.title.lower() if file.board else file.name)
        )

    def get(self, name: str) -> BoardFile | None:
        """The file of one board; None if there is none of that name."""
        return self._file(self._path(name)) if _NAME.fullmatch(name) else None

    def create(self, name: str, text: str, record: Callable[[], None]) -> None:
        """Write a new file. `record` is called before it appears, and may refuse.

        Raises:
            Conflict: there is one already.
            ConfigError: the name cannot be a file's, the text is no board, or the disk refuses.
        """
        if not _NAME.fullmatch(name):
            raise ConfigError(f"{seen_name(name)!r} cannot be a board's name; {_NAMING}")
        path = self._path(name)
        read_board(path, text)
        with self._alone() as folder:
            if path.exists():
                raise Conflict(f"The board {name} exists already; choose another name.")
            self._write(folder, path, text, record, None)

    def change(self, name: str, seen: str, edit: Callable[[Path, str], str], record: Callable[[], None]) -> None:
        """Replace a file by what `edit` makes of its text. `seen` is the digest of what the reader saw; "" for any.

        Raises:
            NotFound: there is no such board.
            Conflict: the file has changed since.
            ConfigError: it cannot be changed so; says why.
        """
        with self._alone() as folder:
            path = self._path(name)
            raw = _raw(path) if _NAME.fullmatch(name) else None
            if raw is None:
                raise NotFound(f"There is no board {seen_name(name)}; its file may have been renamed.")
            if seen and seen != _digest(raw):
                raise _changed(path)
            self._write(folder, path, edit(path, _text(path, raw)), record, raw)

    def free_name(self, title: str) -> str:
        """A name that no file has, made of a title.

        >>> BoardFolder(Path("/nowhere")).free_name("Checkout & Payments!")
        'checkout-payments'
        """
        stem = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")[:50].strip("-") or "board"
        name, number = stem, 1
        while self._path(name).exists():
            number += 1
            name = f"{stem}-{number}"
        return name

    def _path(self, name: str) -> Path:
        return self.path / f"{name}{SUFFIX}"

    def _file(self, path: Path) -> BoardFile | None:
        """A file as it is now, parsed again only where it has changed; None if it is gone."""
        try:
            status = path.stat()
        except (OSError, ValueError):
            return None
        mark = (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        with self._lock:
            known = self._known.get(path)
        if known and known[0] == mark:
            return known[1]
        file = _read(path)
        with self._lock:
            if len(self._known) > 2 * MOST_FILES:
                self._known.clear()
            if file is not None:
                self._known[path] = (mark, file)
        return file

    @contextmanager
    def _alone(self) -> Iterator[int]:
        """One writer at a time, in all processes, with the folder's descriptor; a killed one's drafts are removed."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            raise unusable(self.path, error) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            for left in self.path.glob(f"{_DRAFT}*"):
                left.unlink(missing_ok=True)
            yield descriptor
        finally:
            os.close(descriptor)

    def _write(self, folder: int, path: Path, text: str, record: Callable[[], None], expected: bytes | None) -> None:
        """Put a whole file in its place: synced before it appears, and the folder after."""
        draft = self.path / f"{_DRAFT}{secrets.token_hex(6)}"
        try:
            with draft.open("xb") as file:
                file.write(text.encode())
                file.flush()
                os.fsync(file.fileno())
            record()
            if _raw(path) != expected:
                raise _changed(path)
            draft.replace(path)
            os.fsync(folder)
        except OSError as error:
            raise unusable(path, error) from error
        finally:
            draft.unlink(missing_ok=True)


def _changed(path: Path) -> Conflict:
    return Conflict(f"{path.name} was changed meanwhile; look at the board as it is now, and try again.")


def _read(path: Path) -> BoardFile | None:
    if not _NAME.fullmatch(path.stem) or path.suffix != SUFFIX:
        return BoardFile(name=path.stem, path=path, reason=f"{path.name}: {_NAMING}")
    raw = None
    try:
        raw = _raw(path)
        if raw is None:
            return None
        board = read_board(path, _text(path, raw))
    except OSError as error:
        return BoardFile(name=path.stem, path=path, reason=f"{path.name}: cannot be read ({error.strerror})")
    except ConfigError as error:
        shown = error.message.replace(f"{path}", path.name)
        return BoardFile(name=path.stem, path=path, digest=_digest(raw or b""), reason=shown)
    return BoardFile(name=path.stem, path=path, digest=_digest(raw), board=board)


def _text(path: Path, raw: bytes) -> str:
    if len(raw) > LARGEST_BYTES:
        raise ConfigError(f"{path}: is larger than {LARGEST_BYTES >> 20} MiB; that is no board")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise ConfigError(f"{path}:{line}: is not UTF-8 text; save it as UTF-8") from error


def _raw(path: Path) -> bytes | None:
    """At most as much of a file as a board may have, and one byte more; None if there is none."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        return file.read(LARGEST_BYTES + 1)


def _digest(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()[:16]
