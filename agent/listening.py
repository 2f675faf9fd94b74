"""Which process listens on which TCP port of this host."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Final

from agent.processes import PROC, all_seen

_LISTEN: Final = "0A"


def sockets_listening() -> dict[str, int]:
    """The inode of every listening TCP socket in this network namespace, with its port."""
    found = {}
    for name in ("tcp", "tcp6"):
        with suppress(OSError):
            for line in (PROC / "net" / name).read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == _LISTEN:
                    found[fields[9]] = int(fields[1].rpartition(":")[2], 16)
    return found


def ports_of(pids: tuple[int, ...], listening: dict[str, int] | None = None) -> tuple[int, ...]:
    """The ports on which these processes listen, in ascending order, as far as this user may see."""
    known = sockets_listening() if listening is None else listening
    ports = set()
    for pid in pids:
        folder = f"{PROC}/{pid}/fd"
        with suppress(OSError):
            for entry in os.listdir(folder):  # noqa: PTH208 - as in `seen`: hundreds of them, and no `Path` for each
                with suppress(OSError):
                    link = os.readlink(f"{folder}/{entry}")  # noqa: PTH115
                    if link.startswith("socket:[") and (port := known.get(link[8:-1])):
                        ports.add(port)
    return tuple(sorted(ports))


def listeners(port: int) -> tuple[int, ...]:
    """The processes that listen on a port, the oldest first: those that hold the socket, parent and workers alike."""
    sockets = {inode: at for inode, at in sockets_listening().items() if at == port}
    if not sockets:
        return ()
    return tuple(sorted(process.pid for process in all_seen() if ports_of((process.pid,), sockets)))
