"""Folders and files that are their owner's alone, and the secrets in them.

Whatever is wrong with a folder or a file is said in one sentence that names it: not a folder, no right to write, the
disk full. A mode that lets others in is corrected, not only noticed.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from watchkeeper.errors import ConfigError

OTHERS: Final = 0o077  # what group and others may do: nothing
# What is made here has 43 characters; somebody may have written a secret of their own, which must not be guessable.
SHORTEST_SECRET: Final = 20
_ADVICE: Final = {
    errno.EACCES: "give this user the right to it, or set data_dir",
    errno.EPERM: "give this user the right to it, or set data_dir",
    errno.EROFS: "the file system is mounted read-only; mount it writable, or set data_dir",
    errno.ENOSPC: "the disk is full; free some space",
    errno.EDQUOT: "this user's share of the disk is used up; free some space",
    errno.ENOTDIR: "a part of that path is a file, not a folder; move it away, or set data_dir",
    errno.EEXIST: "a file, or a link that leads nowhere, is in its place; move it away, or set data_dir",
    errno.ELOOP: "symbolic links on that path lead to each other; correct them, or set data_dir",
    errno.EISDIR: "it is a folder, not a file; move it away",
}


def unusable(path: Path, error: OSError) -> ConfigError:
    """The error for a path that cannot be used: which, why, and what to do."""
    number = error.errno or 0
    advice = _ADVICE.get(number, "check that path")
    return ConfigError(f"{path} cannot be used ({os.strerror(number) if number else error}): {advice}.")


def private_folder(path: Path) -> Path:
    """The folder, made where it is missing, readable by its owner alone.

    Raises:
        ConfigError: it is no folder, or cannot be made; says what to do.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        close_to_others(path)
    except OSError as error:
        raise unusable(path, error) from error
    return path


def close_to_others(path: Path) -> None:
    """Take from group and others whatever they may do with a file or a folder of ours. Raises OSError."""
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & OTHERS:
        path.chmod(mode & ~OTHERS)


def secret(folder: Path, name: str) -> str:
    """A secret that Watchkeeper made for itself: read, or first written. Never empty, never guessable.

    One that was emptied, cut short or overwritten by what is no text is kept aside, and a new one is made.

    Raises:
        ConfigError: it cannot be read or written; says what to do.
    """
    path = private_folder(folder) / name
    try:
        found = _read(path)
        if found is None:
            with _alone(folder):
                found = _read(path) or _make(path)
    except OSError as error:
        raise unusable(path, error) from error
    return found


def _read(path: Path) -> str | None:
    """The secret, or None where there is none that may be used."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if stat.S_ISDIR(status.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if stat.S_IMODE(status.st_mode) & OTHERS:
            os.fchmod(descriptor, 0o600)  # not ours: PermissionError, and nothing is read
        text = file.read(4096).decode("ascii", "replace").strip()
    usable = len(text) >= SHORTEST_SECRET and text.isprintable() and "�" not in text and " " not in text
    return text if usable else None


def _make(path: Path) -> str:
    if path.exists():
        aside = path.with_name(f"{path.name}.damaged-{time.time_ns()}")
        path.rename(aside)
        import structlog  # seldom needed, and slow to import for a command

        structlog.get_logger().warning("secret.damaged", file=str(path), kept_as=aside.name, made="a new one")
    made = secrets.token_urlsafe(32)
    draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(made)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    return made


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Roles that start together make a secret once."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
