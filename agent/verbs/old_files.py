"""Files in a folder by pattern, looked at and taken away without ever following a link out of the folder.

Each part of a path is opened by itself, relative to the one before, with O_NOFOLLOW. Other file systems are not
entered.
"""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

from agent.processes import PROC

_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_UNSUPPORTED: Final = (errno.EINVAL, errno.EACCES, errno.EPERM, errno.ENOTSUP, errno.ENOLCK)


class LeftAlone(Exception):
    """Why a file stays as it is, in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OldFile:
    """A regular file as it was seen: its path in the folder, and what tells it from one that takes its name later."""

    parts: tuple[str, ...]
    size: int
    bytes_on_disk: int
    changed_ns: int
    device: int
    inode: int

    def path(self, folder: Path) -> str:
        """For people; a name that is no text has marks in it."""
        return os.path.join(folder, *self.parts).encode("utf-8", "replace").decode()  # noqa: PTH118


class Folder:
    """A folder that may be cleared. Made by `opened`."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor
        self.device = os.fstat(descriptor).st_dev

    def files(self, parts: Sequence[str]) -> list[OldFile]:
        """The regular files whose path matches, part by part; the oldest first."""
        return sorted(self._below(self._descriptor, tuple(parts), ()), key=lambda file: file.changed_ns)

    def _below(self, descriptor: int, parts: tuple[str, ...], above: tuple[str, ...]) -> Iterator[OldFile]:
        pattern, *rest = parts
        for name in os.listdir(descriptor):
            if not fnmatchcase(name, pattern) or (name.startswith(".") and not pattern.startswith(".")):
                continue
            with suppress(OSError):  # it went away, or is no folder any more
                seen = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
                if seen.st_dev != self.device:
                    continue
                if not rest and stat.S_ISREG(seen.st_mode):
                    yield _file((*above, name), seen)
                elif rest and stat.S_ISDIR(seen.st_mode):
                    inner = os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=descriptor)
                    try:
                        yield from self._below(inner, tuple(rest), (*above, name))
                    finally:
                        os.close(inner)

    @contextmanager
    def parent_of(self, parts: Sequence[str]) -> Iterator[int]:
        """The descriptor of the folder that holds a file. Raises OSError where a part of its path is a link."""
        descriptor = os.dup(self._descriptor)
        try:
            for name in parts[:-1]:
                inner = os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=descriptor)
                os.close(descriptor)
                descriptor = inner
            yield descriptor
        finally:
            os.close(descriptor)

    @contextmanager
    def unused(self, file: OldFile) -> Iterator[tuple[int, int]]:
        """Descriptors of the file and of its folder, where nobody else has the file open.

        Raises:
            LeftAlone: somebody has, it is another file by now, or it has another name.
        """
        try:
            with self.parent_of(file.parts) as parent:
                flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
                descriptor = os.open(file.parts[-1], flags, dir_fd=parent)
                try:
                    seen = os.fstat(descriptor)
                    if _file(file.parts, seen) != file:
                        raise LeftAlone("changed meanwhile")
                    if seen.st_nlink > 1:
                        raise LeftAlone("has another name (hard link)")
                    if _is_open(descriptor, seen):
                        raise LeftAlone("is open")
                    yield descriptor, parent
                finally:
                    os.close(descriptor)
        except OSError as error:
            raise LeftAlone(error.strerror or str(error)) from error

    def remove(self, file: OldFile) -> None:
        """Delete a file. Raises LeftAlone."""
        with self.unused(file) as (_, parent):
            self.unlink(file, parent)

    def unlink(self, file: OldFile, parent: int) -> None:
        """Delete the name, if it is still this file's: logs are renamed at any time. Raises LeftAlone."""
        name = file.parts[-1]
        if _file(file.parts, os.stat(name, dir_fd=parent, follow_symlinks=False)) != file:
            raise LeftAlone("changed meanwhile")
        os.unlink(name, dir_fd=parent)

    def used_share(self) -> float:
        """Of the file system, as `df` counts it: 0 to 1."""
        seen = os.fstatvfs(self._descriptor)
        used = seen.f_blocks - seen.f_bfree
        return used / max(1, used + seen.f_bavail)

    def share_of(self, size: int) -> float:
        """Which share of the file system so many bytes are."""
        seen = os.fstatvfs(self._descriptor)
        return size / max(1, (seen.f_blocks - seen.f_bfree + seen.f_bavail) * seen.f_frsize)


@contextmanager
def opened(path: Path) -> Iterator[Folder]:
    """The folder that the agent's file names; the path to it may go through links. Raises OSError."""
    descriptor = os.open(path, _FOLDER)
    try:
        yield Folder(path, descriptor)
    finally:
        os.close(descriptor)


def _file(parts: tuple[str, ...], seen: os.stat_result) -> OldFile:
    return OldFile(
        parts=parts,
        size=seen.st_size,
        bytes_on_disk=seen.st_blocks * 512,
        changed_ns=seen.st_mtime_ns,
        device=seen.st_dev,
        inode=seen.st_ino,
    )


def _is_open(descriptor: int, seen: os.stat_result) -> bool:
    """Whether anybody but us has the file open or mapped. Raises LeftAlone where this cannot be known."""
    try:
        # Who opens it meanwhile breaks the lease, of which this signal tells: SIGIO would end the process.
        fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)
        # The kernel gives a lease on a file that nobody else has open; it is over when the descriptor is closed.
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_WRLCK)
    except OSError as error:
        if error.errno == errno.EAGAIN:
            return True
        if error.errno not in _UNSUPPORTED:
            raise
        return _is_open_by_proc(seen)
    return False


def _is_open_by_proc(seen: os.stat_result) -> bool:
    """The same for file systems without leases: by what every process has open."""
    if os.geteuid() != 0:
        raise LeftAlone("whether it is open cannot be seen by this user")
    own = os.getpid()
    for link in PROC.glob("[0-9]*/fd/*"):
        with suppress(OSError):
            other = link.stat()
            if (other.st_dev, other.st_ino) == (seen.st_dev, seen.st_ino) and link.parts[2] != str(own):
                return True
    return False
