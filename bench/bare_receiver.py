"""The least that a receiver which keeps its promise can do: read a request, append it, sync in groups, answer.

The baseline of `watchkeeper bench ingest`. It validates nothing, understands nothing and loads nothing.
Prints its port on its first line, and runs until it is stopped.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import cast

import uvloop

_ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"


class _Log:
    """Appends what has gathered and syncs it off the event loop, then tells the waiting connections."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._waiting: list[tuple[bytes, asyncio.Transport]] = []
        self._busy = False

    def append(self, body: bytes, transport: asyncio.Transport) -> None:
        self._waiting.append((body, transport))
        if not self._busy:
            self._busy = True
            asyncio.get_running_loop().create_task(self._drain())

    async def _drain(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            await asyncio.to_thread(self._sync, [body for body, _ in batch])
            for _, transport in batch:
                transport.write(_ANSWER)
        self._busy = False

    def _sync(self, bodies: list[bytes]) -> None:
        data = memoryview(b"".join(bodies))
        while data:
            data = data[os.write(self._file, data) :]
        os.fdatasync(self._file)


class _Connection(asyncio.Protocol):
    def __init__(self, log: _Log) -> None:
        self._log = log
        self._parts: list[bytes] = []
        self._missing: int | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self._missing is None:
            head, _, data = data.partition(b"\r\n\r\n")
            self._missing = int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0])
        self._parts.append(data)
        self._missing -= len(data)
        if self._missing == 0:
            self._log.append(b"".join(self._parts), self._transport)
            self._parts, self._missing = [], None


async def _serve(path: Path) -> None:
    log = _Log(path)
    server = await asyncio.get_running_loop().create_server(lambda: _Connection(log), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve(Path(sys.argv[1])))
