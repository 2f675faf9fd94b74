"""Serve an ASGI application until asked to stop, and say when it is ready."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Callable, Coroutine
from typing import Any

import structlog
import uvicorn

from watchkeeper.asgi.connections import MOST_CONNECTIONS, BoundedHttp
from watchkeeper.roles import ready
from watchkeeper.roles.lifecycle import Life


def serve(
    life: Life,
    app: Any,
    listener: socket.socket,
    *,
    grace_s: int = 3,
    on_ready: Callable[[int], None] | None = None,
    run: Callable[[Coroutine[Any, Any, None]], None] = asyncio.run,
) -> None:
    """Serve `app` on `listener` as the role that lives here, until SIGTERM or SIGINT.

    Args:
        grace_s: what requests in progress have at the end.
        on_ready: is called with the port when it is served; by default the port is announced as `http`.
        run: the event loop. uvloop's is faster, but an answer to somebody who hung up is a traceback in it.
    """
    announce = on_ready or (lambda port: ready.announce(life.config, life.role, {"http": port}))
    run(_serve(life, app, listener, grace_s, announce))


async def _serve(life: Life, app: Any, listener: socket.socket, grace_s: int, announce: Callable[[int], None]) -> None:
    config, role = life.config, life.role
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            http=BoundedHttp,
            ws="none",  # nothing here speaks over web sockets, which would pass by the session
            access_log=False,  # an address may hold a token
            log_level="warning",
            server_header=False,
            proxy_headers=False,  # anybody on this machine may write X-Forwarded-For
            limit_concurrency=MOST_CONNECTIONS,
            timeout_graceful_shutdown=grace_s,
        )
    )
    server.capture_signals = _no_capture  # type: ignore[method-assign]
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, setattr, server, "should_exit", True)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started and not serving.done():  # noqa: ASYNC110 - uvicorn offers no event to wait for
        await asyncio.sleep(0.01)
    port = listener.getsockname()[1]
    announce(port)
    structlog.get_logger().info(f"{role}.ready", port=port)
    beating = asyncio.create_task(life.beat())
    await serving
    beating.cancel()
    ready.withdraw(config, role)
    structlog.get_logger().info(f"{role}.stopped")


def _no_capture() -> Any:
    """uvicorn would raise the signal again after serving, and end the process before it has tidied up."""
    from contextlib import nullcontext

    return nullcontext()
