"""Mounts as a process sees them, in its mount namespace.

What is done there is done by a forked process that enters the namespace, does one thing and ends.
"""

from __future__ import annotations

import ctypes
import os
import re
import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agent.forked import in_child
from agent.processes import PROC, all_seen
from watchkeeper.errors import AgentError

_NEW_NAMESPACE: Final = 0x20000  # CLONE_NEWNS
_READ_ONLY: Final = 1
_REMOUNT: Final = 32
_BIND: Final = 4096
_DETACH: Final = 2
# What a mount may be besides; a remount that does not name them would take them away.
_OPTIONS: Final = {"nosuid": 2, "nodev": 4, "noexec": 8, "noatime": 1024, "nodiratime": 2048, "relatime": 1 << 21}
_CAP_SYS_ADMIN: Final = 21
_OPENAT2: Final = 437  # since Linux 5.6, the same number on every processor
_RESOLVE_IN_ROOT: Final = 0x10
_LIBC: Final = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """One line of /proc/PID/mountinfo: what is mounted where."""

    id: int
    device: str
    root: str
    point: str
    options: tuple[str, ...]

    @property
    def source(self) -> list[str]:
        """What shows that two mounts are of the same folder."""
        return [self.device, self.root]


def namespace(pid: int) -> str:
    """Which mount namespace a process is in. Raises AgentError."""
    try:
        return str((PROC / str(pid) / "ns/mnt").readlink())
    except OSError as error:
        raise AgentError(f"the mounts of process {pid} cannot be seen: {error.strerror or error}") from error


def somebody_in(wanted: str) -> int:
    """A process of a mount namespace, this one first; 0: there is none, so the namespace is gone."""
    if namespace(os.getpid()) == wanted:
        return os.getpid()
    for process in all_seen():
        with suppress(AgentError):
            if namespace(process.pid) == wanted:
                return process.pid
    return 0


def has_own_root(pid: int) -> bool:
    """Whether a process has another root than its mount namespace. Raises AgentError."""
    try:
        return str((PROC / str(pid) / "root").readlink()) != "/"
    except OSError as error:
        raise AgentError(f"the root of process {pid} cannot be seen: {error.strerror or error}") from error


def real_folder(pid: int, folder: str) -> str:
    """A folder without links, as a process sees it.

    Asked by an agent with threads, which must not fork: so the kernel resolves it below the root of the process.

    Raises:
        AgentError: there is none.
    """
    try:
        root = os.open(PROC / str(pid) / "root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise AgentError(f"the root of process {pid} cannot be seen: {error.strerror or error}") from error
    try:
        how = struct.pack("QQQ", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC, 0, _RESOLVE_IN_ROOT)
        descriptor = _LIBC.syscall(_OPENAT2, root, os.fsencode(folder), how, len(how))
        if descriptor < 0:
            raise AgentError(os.strerror(ctypes.get_errno()))
        try:
            return str((PROC / "self/fd" / str(descriptor)).readlink())
        finally:
            os.close(descriptor)
    finally:
        os.close(root)


def why_not() -> str:
    """Why this process may not mount, in words; empty: it may."""
    rows = dict(line.split(":", 1) for line in (PROC / "self/status").read_text().splitlines() if ":" in line)
    may = int(rows["CapEff"], 16) >> _CAP_SYS_ADMIN & 1
    return "" if may else "this user may not mount (CAP_SYS_ADMIN): run the agent as root"


def mounts(pid: int) -> tuple[Mount, ...]:
    """Every mount that a process sees, the later ones on top. Raises AgentError."""
    try:
        lines = (PROC / str(pid) / "mountinfo").read_text(errors="surrogateescape").splitlines()
    except OSError as error:
        raise AgentError(f"the mounts of process {pid} cannot be seen: {error.strerror or error}") from error
    found = []
    for line in lines:
        number, _, device, root, point, options, *_ = line.split(" ")
        found.append(
            Mount(
                id=int(number), device=device, root=_plain(root), point=_plain(point), options=tuple(options.split(","))
            )
        )
    return tuple(found)


def mount_of(pid: int, path: str) -> Mount:
    """The mount that a path is in. Raises AgentError."""
    within = [each for each in mounts(pid) if Path(path).is_relative_to(each.point)]
    if not within:
        raise AgentError(f"{path} is in no mount that process {pid} sees")
    longest = max(len(each.point) for each in within)
    return [each for each in within if len(each.point) == longest][-1]


def inside(pid: int, do: Callable[[], str]) -> str:
    """What a function returns that is run in the mount namespace of a process.

    Raises:
        AgentError: it cannot be entered, or the function raises OSError.
    """
    try:
        place = os.open(PROC / str(pid) / "ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise AgentError(f"the mounts of process {pid} cannot be entered: {error.strerror or error}") from error
    is_ours = namespace(pid) == namespace(os.getpid())

    def enter_and_do() -> str:
        if not is_ours:
            _call(_LIBC.setns(place, _NEW_NAMESPACE), "enter the mount namespace")
        return do()

    try:
        return in_child(enter_and_do, f"what was done in the mounts of process {pid}")
    finally:
        os.close(place)


def make_read_only(path: str, options: tuple[str, ...]) -> str:
    """Mount a folder over itself, read-only. Raises OSError."""
    name = os.fsencode(path)
    flags = sum(flag for option, flag in _OPTIONS.items() if option in options)
    _call(_LIBC.mount(name, name, None, _BIND, None), f"mount {path}")
    _call(_LIBC.mount(None, name, None, _REMOUNT | _BIND | _READ_ONLY | flags, None), f"make {path} read-only")
    return path


def unmount(path: str) -> str:
    """Take away the topmost mount at a path, also where files in it are open. Raises OSError."""
    _call(_LIBC.umount2(os.fsencode(path), _DETACH), f"unmount {path}")
    return path


def _call(status: int, what: str) -> None:
    if status:
        number = ctypes.get_errno()
        raise OSError(number, f"cannot {what}: {os.strerror(number)}")


def _plain(text: str) -> str:
    """A path without the escapes that mountinfo has for blanks."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), text)
