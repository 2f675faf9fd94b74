"""Takes the space of a file system with a file that has no name: the kernel frees it when this process ends."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Final

from agent.holders.bounded import Bounds, hold, ready, say
from agent.holders.fill_memory import host_spare

STEP: Final = 64 << 20


def work(bounds: Bounds) -> None:
    """Fill up to `bytes`, but for `leave` bytes. What others write later is not made up for: they get the rest."""
    folder, wanted, leave = str(bounds.asked["folder"]), int(bounds.asked["bytes"]), int(bounds.asked["leave"])
    # A file without a name needs no removal, whoever is killed when.
    descriptor = os.open(folder, os.O_TMPFILE | os.O_RDWR, 0o600)
    in_memory, size = _is_in_memory(folder), 0
    while bounds.left_s:
        step = min(STEP, wanted - size, free_bytes(folder) - leave)
        if in_memory:
            step = min(step, host_spare())
        if step <= 0:
            break
        try:
            os.posix_fallocate(descriptor, size, step)
        except OSError as error:
            if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
                raise
            break
        size += step
    if not size:
        say(f"{folder} has no space to take: {leave // 1_000_000} MB must stay free")
        return
    ready()
    bounds.wait()


def _is_in_memory(folder: str) -> bool:
    """Whether this file system takes memory, not a disk."""
    kinds = {}
    for line in Path("/proc/mounts").read_text().splitlines():
        _, place, kind, *_ = line.split(" ")
        kinds[place] = kind
    path = Path(folder).resolve()
    place = next(str(each) for each in (path, *path.parents) if str(each) in kinds)
    return kinds[place] in {"tmpfs", "ramfs"}


def free_bytes(folder: str) -> int:
    """What an ordinary user may still write."""
    stat = os.statvfs(folder)
    return stat.f_bavail * stat.f_frsize


if __name__ == "__main__":
    hold(work)
