"""Security headers of every response: only our own scripts, nothing from other hosts, no framing."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class SecureHeaders:
    """Adds a content security policy to HTML, and the usual protections to everything."""

    def __init__(self, app: ASGIApp, *, script_hashes: Sequence[str]) -> None:
        self._app = app
        # Plotly, the grid and Mantine set styles from script, which is what 'unsafe-inline' for styles is for.
        self._policy = "; ".join(
            [
                "default-src 'none'",
                f"script-src 'self' {' '.join(script_hashes)}",
                "style-src 'self' 'unsafe-inline'",
                "img-src 'self' data: blob:",
                "font-src 'self' data:",
                "connect-src 'self'",
                "worker-src 'self' blob:",
                "manifest-src 'self'",
                "form-action 'self'",
                "base-uri 'none'",
                "frame-ancestors 'none'",
            ]
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.setdefault("X-Content-Type-Options", "nosniff")
                headers.setdefault("Referrer-Policy", "same-origin")
                headers.setdefault("X-Frame-Options", "DENY")
                if headers.get("content-type", "").startswith("text/html"):
                    headers.setdefault("Content-Security-Policy", self._policy)
            await send(message)

        await self._app(scope, receive, with_headers)
