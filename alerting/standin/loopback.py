"""The stand-in has no sign-in, so only this machine's own names reach it, and only its own page may write.

A foreign name that was made to point at loopback would else let any web page read messages and press buttons.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from watchkeeper.config import is_loopback

PROTECTION: Final = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
}


class LoopbackOnly:
    """Refuses foreign hosts and origins; adds the headers that keep a browser from harm."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        host, origin = headers.get("host", ""), headers.get("origin")
        if not is_loopback(_name(f"//{host}")):
            await JSONResponse({"ok": False, "error": "unknown_host"}, status_code=421)(scope, receive, send)
            return
        if origin is not None and scope["method"] == "POST" and origin != f"{scope['scheme']}://{host}":
            await JSONResponse({"ok": False, "error": "foreign_origin"}, status_code=403)(scope, receive, send)
            return

        async def protected(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(PROTECTION)
            await send(message)

        await self._app(scope, receive, protected)


def _name(address: str) -> str:
    """The host's name in an address, or nothing where it is no address."""
    try:
        return urlsplit(address).hostname or ""
    except ValueError:
        return ""
