"""Network paths between the programs: a proxy each, which can be slowed, cut and mended while connections are open."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Coroutine
from typing import Any, Final

CHUNK: Final = 65536
START_WITHIN_S: Final = 10.0


class Path:
    """One path, to a port of this machine. Its state may be changed at any time, from any thread.

    Attributes:
        delay_s: by which each chunk of a request is late.
        is_cut: new connections are refused, open ones are broken.
    """

    def __init__(self, port: int, target: int) -> None:
        self.port, self.target = port, target
        self.delay_s = 0.0
        self.is_cut = False
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()

    async def listen(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)

    async def cut(self) -> None:
        """Refuse new connections and break those that are open."""
        self.is_cut = True
        if self._server:
            self._server.close()
            self._server = None
        for writer in list(self._open):
            writer.transport.abort()

    async def repair(self) -> None:
        """As at the beginning."""
        self.delay_s = 0.0
        if self.is_cut:
            self.is_cut = False
            await self.listen()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            answers, to_target = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.transport.abort()
            return
        self._open |= {writer, to_target}
        try:
            await asyncio.gather(self._pump(reader, to_target, late=True), self._pump(answers, writer, late=False))
        except OSError:
            pass
        finally:
            self._open -= {writer, to_target}
            for each in (writer, to_target):
                with contextlib.suppress(OSError, RuntimeError):
                    each.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, late: bool) -> None:
        """Pass chunks on in order; requests are late, answers are not: one delay a round trip."""
        while chunk := await reader.read(CHUNK):
            if late and self.delay_s:
                await asyncio.sleep(self.delay_s)
            writer.write(chunk)
            await writer.drain()
        writer.close()


class Paths:
    """Every path, in one thread of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="paths", daemon=True)
        self._thread.start()
        self._paths: list[Path] = []

    def add(self, port: int, target: int) -> Path:
        """A path from one port to another.

        Raises:
            OSError: the port is taken.
        """
        path = Path(port, target)
        self.run(path.listen())
        self._paths.append(path)
        return path

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something in the paths' thread, and wait for it."""
        asyncio.run_coroutine_threadsafe(work, self._loop).result(START_WITHIN_S)

    def close(self) -> None:
        """Close every path."""
        for path in self._paths:
            with contextlib.suppress(TimeoutError):
                self.run(path.cut())
        with contextlib.suppress(TimeoutError):
            self.run(_settled())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(START_WITHIN_S)
        self._loop.close()


async def _settled() -> None:
    """Let the connections that were broken end."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
