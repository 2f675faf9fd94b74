"""The kernel's limit of what a control group may read and write from a disk. Version 1 (blkio) and 2 (io).

A limit is a number of bytes a second as text, or `max`.
"""

from __future__ import annotations

import errno
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from agent.holders.cgroup import folder_of, hierarchy
from agent.processes import with_children

NONE: Final = "max"
_V2: Final = {"read": "rbps", "write": "wbps"}
_V1: Final = {"read": "blkio.throttle.read_bps_device", "write": "blkio.throttle.write_bps_device"}
DISSOLVED_WITHIN_S: Final = 5.0
Limits = dict[str, str]  # `read` and `write`


def limited_group(pid: int) -> str:
    """The folder of the control group of a process whose input and output can be limited; empty: there is none.

    It is the process's own only where the agent is not in it, too.
    """
    for controller, file in (("io", "io.max"), ("blkio", _V1["write"])):
        folder = folder_of(pid, controller)
        if folder and folder != folder_of("self", controller) and os.access(folder / file, os.W_OK):
            return str(folder)
    return ""


def home_group(pid: int) -> str:
    """The group of version 1 that a process is in and where one may be made for it alone; empty: there is none.

    In version 2 that would take the process away from what else its group limits and counts.
    """
    top = hierarchy("blkio")
    if top is None:
        return ""
    folder = folder_of(pid, "blkio") or top
    return str(folder) if os.access(folder, os.W_OK) else ""


def move(pid: int, group: str) -> None:
    """Put a process, and all that descends from it, into a group that is made for it. Raises OSError."""
    Path(group).mkdir(exist_ok=True)
    moved: set[int] = set()
    while new := [each for each in with_children(pid) if each not in moved]:
        for each in new:
            with suppress(ProcessLookupError):
                (Path(group) / "cgroup.procs").write_text(str(each))
            moved.add(each)


def dissolve(group: str, home: str) -> None:
    """Put whoever is in a group that was made back, and remove the group; nothing where it is gone. Raises OSError."""
    folder, deadline = Path(group), time.monotonic() + DISSOLVED_WITHIN_S
    while folder.exists():
        back = Path(home) if Path(home).is_dir() else folder.parent
        for pid in (folder / "cgroup.procs").read_text().split():
            with suppress(ProcessLookupError):
                (back / "cgroup.procs").write_text(pid)
        try:
            folder.rmdir()
        except OSError as error:
            if error.errno != errno.EBUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)  # somebody was just born in it


def disk_of(folder: str) -> str:
    """The disk that a folder is on, as `major:minor`; empty: it is on none that the kernel could limit."""
    device = Path(folder).stat().st_dev
    place = Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}")
    if not os.major(device) or not place.exists():
        return ""  # a file system in memory, of the network, or of several disks
    if (place / "partition").exists():
        place = place.resolve().parent  # limits are those of whole disks
    return (place / "dev").read_text().strip()


def limits(group: str, disk: str) -> Limits:
    """What holds now. Raises OSError: the group is gone."""
    folder = Path(group)
    if (folder / "io.max").exists():
        rows = dict(word.split("=") for word in _row(folder / "io.max", disk).split())
        return {what: rows.get(name, NONE) for what, name in _V2.items()}
    return {what: _row(folder / name, disk) or NONE for what, name in _V1.items()}


def limit(group: str, disk: str, wanted: Limits) -> None:
    """Set what is named, and leave what is not. Raises OSError: the group is gone, or the kernel refuses."""
    folder = Path(group)
    if (folder / "io.max").exists():
        words = " ".join(f"{_V2[what]}={value}" for what, value in wanted.items())
        (folder / "io.max").write_text(f"{disk} {words}")
        return
    for what, value in wanted.items():
        (folder / _V1[what]).write_text(f"{disk} {0 if value == NONE else value}")


def _row(path: Path, disk: str) -> str:
    """What a file of limits has for a disk; empty: nothing."""
    for line in path.read_text().splitlines():
        device, _, rest = line.partition(" ")
        if device == disk:
            return rest
    return ""
