"""Scripts and styles, compressed once: plotly alone is 4.8 MB, which every reader would otherwise have packed anew."""

from __future__ import annotations

import asyncio
import gzip
import threading
from collections.abc import Callable
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

COMPONENTS = "/_dash-component-suites/"
PREFIXES = (COMPONENTS, "/assets/")
LEVEL = 6
SMALLEST = 1000


class CompressedStatics:
    """Keeps gzip of static files in memory (2.5 MB in all) and compresses other answers as they come."""

    def __init__(self, app: ASGIApp, *, is_component: Callable[[str], bool] = lambda _: True) -> None:
        """`is_component`: whether a path below `COMPONENTS` is a file that Dash serves; Dash fails on others."""
        self._app = app
        self._is_component = is_component
        self._other = GZipMiddleware(app, minimum_size=SMALLEST, compresslevel=4)
        self._kept: dict[str, tuple[Message, bytes]] = {}
        self._lock = threading.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if scope["path"].startswith(COMPONENTS) and not self._is_component(scope["path"].removeprefix(COMPONENTS)):
            await JSONResponse({"error": "no such file"}, 404)(scope, receive, send)
            return
        if scope["method"] != "GET" or not scope["path"].startswith(PREFIXES):
            await self._other(scope, receive, send)
            return
        headers = Headers(scope=scope)
        if "gzip" not in headers.get("accept-encoding", "") or "if-none-match" in headers or "range" in headers:
            await self._app(scope, receive, send)
            return
        key = scope["path"]  # a query only makes browsers ask anew: the file is the same
        if key not in self._kept:
            start, body = await self._complete(scope, receive)
            if start["status"] != 200 or len(body) < SMALLEST:
                await send(start)
                await send({"type": "http.response.body", "body": body})
                return
            packed = await asyncio.to_thread(gzip.compress, body, LEVEL, mtime=0)
            changed = MutableHeaders(scope=start)
            changed["Content-Encoding"] = "gzip"
            changed["Content-Length"] = str(len(packed))
            changed.add_vary_header("Accept-Encoding")
            with self._lock:
                self._kept[key] = (start, packed)
        start, packed = self._kept[key]
        await send({**start, "headers": list(start["headers"])})  # others add headers to what they are given
        await send({"type": "http.response.body", "body": packed})

    async def _complete(self, scope: Scope, receive: Receive) -> tuple[Any, bytes]:
        """The complete answer of the app beneath."""
        start: Message = {"type": "http.response.start", "status": 500, "headers": []}
        parts: list[bytes] = []

        async def take(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start":
                start = message
            elif message["type"] == "http.response.body":
                parts.append(message.get("body", b""))

        await self._app(scope, receive, take)
        return start, b"".join(parts)
