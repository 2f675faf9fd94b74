"""The proxy's process: `python -m agent.proxy [--detach] ROUTES`, a JSON list of routes."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import struct
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from agent.proxy.control import LONGEST_LINE, address
from agent.proxy.listener import Listener, Route
from watchkeeper.errors import AgentError


class Proxy:
    """Every route of this process, each with its control socket."""

    def __init__(self) -> None:
        self._listeners: dict[int, tuple[Listener, asyncio.Server]] = {}
        self._empty = asyncio.Event()

    async def open(self, route: Route) -> None:
        """Begin a route, or lead one that is there elsewhere. Raises OSError where a port is taken."""
        if route.listen in self._listeners:
            await self._listeners[route.listen][0].lead(route)
            return
        listener = Listener(route)

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await self._serve(listener, reader, writer)

        control = await asyncio.start_unix_server(serve, address(route.listen), limit=LONGEST_LINE)
        try:
            await listener.open()
        except OSError:
            control.close()
            raise
        self._listeners[route.listen] = (listener, control)

    async def until_empty(self) -> None:
        """Until the last route is closed."""
        if self._listeners:
            await self._empty.wait()

    def close(self, port: int) -> None:
        """End a route."""
        listener, control = self._listeners.pop(port)
        listener.close()
        control.close()
        if not self._listeners:
            self._empty.set()

    async def _serve(self, listener: Listener, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if _user_of(writer) in {0, os.geteuid()}:
                while line := await reader.readline():
                    writer.write(json.dumps(await self._answer(listener, line)).encode() + b"\n")
                    await writer.drain()
        except (OSError, ValueError):  # it went away, or sent a line without an end
            pass
        finally:
            writer.close()

    async def _answer(self, listener: Listener, line: bytes) -> dict[str, Any]:
        try:
            question = json.loads(line)
            match question.get("do"):
                case "state":
                    pass
                case "set":
                    listener.set(question["rule"])
                case "clear":
                    if listener.rule and listener.rule.id == question["id"]:
                        listener.clear()
                case "open":
                    await self.open(Route(**question["route"]))
                case "close":
                    self.close(listener.route.listen)
                case other:
                    return {"error": f"the proxy cannot {other!r}"}
        except AgentError as error:
            return {"error": error.message}
        except OSError as error:
            return {"error": f"the proxy cannot listen: {error}"}
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            return {"error": f"the proxy does not understand this: {type(error).__name__}: {error}"}
        return {**listener.state(), "pid": os.getpid()}


def _user_of(writer: asyncio.StreamWriter) -> int:
    raw = writer.get_extra_info("socket")
    return int(struct.unpack("3i", raw.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[1])


async def run(routes: list[Route], report: Callable[[dict[int, str]], None]) -> None:
    """Serve until every route is closed, or the process is asked to end. `report` takes what cannot be served."""
    proxy = Proxy()
    problems = {}
    for route in routes:
        try:
            await proxy.open(route)
        except OSError as error:
            problems[route.listen] = f"the proxy cannot listen on port {route.listen}: {error.strerror or error}"
    report(problems)
    loop, over = asyncio.get_running_loop(), asyncio.current_task()
    if over:
        loop.add_signal_handler(signal.SIGTERM, over.cancel)
    await proxy.until_empty()


def main() -> None:
    """Run the routes of the command line; `--detach`: in a process of its own, once they are served."""
    *options, text = sys.argv[1:]
    routes = [Route(**route) for route in json.loads(text)]
    if "--detach" in options:
        answers, answer = os.pipe()
        if os.fork():
            os.close(answer)
            with os.fdopen(answers) as lines:
                sys.stdout.write(lines.read())
            return
        os.setsid()
        null = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(null, descriptor)

        def report(problems: dict[int, str]) -> None:
            os.write(answer, json.dumps(problems).encode())
            os.close(answer)
    else:

        def report(problems: dict[int, str]) -> None:
            for problem in problems.values():
                sys.stderr.write(f"{problem}\n")

    with suppress(asyncio.CancelledError):
        asyncio.run(run(routes, report))


if __name__ == "__main__":
    main()
