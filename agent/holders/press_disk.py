"""Writes to a disk again and again, past the host's memory, so that others have to wait for it.

Into files that have no name: the kernel frees them when these processes end.
"""

from __future__ import annotations

import errno
import mmap
import os
import time
from typing import Final

from agent.holders.bounded import Bounds, hold, ready, say
from agent.holders.fill_disk import free_bytes

BLOCK: Final = 1 << 20
BLOCKS: Final = 32  # of each writer's file, which it writes over and over
SYNC_EVERY: Final = 4


def work(bounds: Bounds) -> None:
    """`writers` processes write, all together no more than `bytes_per_s`."""
    folder, writers = str(bounds.asked["folder"]), int(bounds.asked["writers"])
    block_s = BLOCK * writers / float(bounds.asked["bytes_per_s"])
    if free_bytes(folder) < 4 * writers * BLOCK * BLOCKS:
        say(f"{folder} has too little space for files that are written over")
        return
    first = os.getpid()
    for _ in range(writers - 1):
        if os.fork() == 0:
            bounds.follow(first)
            break
    descriptor = _open(folder)
    block = mmap.mmap(-1, BLOCK)  # begins at a page, as writing past the memory wants it
    block.write(os.urandom(BLOCK))
    if os.getpid() == first:
        ready()
    number, began = 0, time.monotonic()
    while bounds.wait(began + number * block_s - time.monotonic()):
        os.pwrite(descriptor, block, number % BLOCKS * BLOCK)
        number += 1
        if number % SYNC_EVERY == 0:
            os.fsync(descriptor)


def _open(folder: str) -> int:
    flags = os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC
    try:
        return os.open(folder, flags | os.O_DIRECT, 0o600)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        return os.open(folder, flags, 0o600)  # this file system writes nothing past the memory


if __name__ == "__main__":
    hold(work)
