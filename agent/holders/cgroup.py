"""Control groups: which one a process is in, its limits, and how to join it. Version 1 and 2."""

from __future__ import annotations

from pathlib import Path
from typing import Final

_UNLIMITED: Final = 1 << 60


def folder_of(pid: int | str, controller: str) -> Path | None:
    """The folder of the group that limits a process's `cpu` or `memory`; None where it is in the root group."""
    try:
        lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    except OSError:
        return None
    unified = None
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controller in controllers.split(","):
            return _below(_mount("cgroup", controller), path)
        if not controllers:
            unified = path
    return _below(_mount("cgroup2", ""), unified) if unified else None


def _below(mount: Path | None, path: str) -> Path | None:
    if mount is None or path == "/":
        return None
    folder = mount / path.lstrip("/")
    return folder if folder.is_dir() else None  # the path is another namespace's


def hierarchy(controller: str) -> Path | None:
    """Where the hierarchy of version 1 of a controller is mounted; None: there is none."""
    return _mount("cgroup", controller)


def _mount(kind: str, controller: str) -> Path | None:
    for line in Path("/proc/mounts").read_text().splitlines():
        _, place, found, options, *_ = line.split(" ")
        if found == kind and (not controller or controller in options.split(",")):
            return Path(place)
    return None


def join(folders: list[str]) -> None:
    """Become a member of these groups. Raises OSError."""
    for folder in folders:
        (Path(folder) / "cgroup.procs").write_text("0")


def memory_left(folder: Path) -> int | None:
    """Bytes until the group's memory limit; None where it has none."""
    for limit, usage in (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes")):
        try:
            text = (folder / limit).read_text().strip()
            used = int((folder / usage).read_text())
        except OSError:
            continue
        return None if text == "max" or int(text) > _UNLIMITED else max(0, int(text) - used)
    return None


def memory_limit(folder: Path) -> int | None:
    """The group's memory limit in bytes; None where it has none."""
    for name in ("memory.max", "memory.limit_in_bytes"):
        try:
            text = (folder / name).read_text().strip()
        except OSError:
            continue
        return None if text == "max" or int(text) > _UNLIMITED else int(text)
    return None
