"""The outermost layer of an HTTP application: foreign names and pages, large heads and large bodies end here."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from watchkeeper.asgi.bodies import Bodies, BodyRejected, Gone, Limits, throw_away
from watchkeeper.asgi.hosts import Names, is_foreign, name_of

LARGEST_HEAD: Final = 32 << 10  # bytes of all headers together
PROTECTION: Final = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
}


class Door:
    """Refuses what must not come in, and gives the rest to `app` with a complete body.

    Args:
        names: what it answers to.
        public_url: where its own pages are for their readers, if that is elsewhere.
        limits: how large bodies may be.
        protection: headers that every answer gets unless it has them.
        hint: what to do about an unknown name.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        names: Names,
        public_url: str | None = None,
        limits: Limits,
        protection: Mapping[str, str] = PROTECTION,
        hint: str = "",
    ) -> None:
        self._app = app
        self._names = names
        self._public_url = public_url
        self._bodies = Bodies(limits)
        self._protection = protection
        self._hint = hint

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            # Nothing here speaks over web sockets, and one that is open would pass by the session.
            await receive()
            await send({"type": "websocket.close", "code": 1008, "reason": "no web sockets here"})
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def protected(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._protection.items():
                    headers.setdefault(name, value)
            await send(message)

        refusal = self._refusal(scope)
        if refusal:
            await refuse(receive, protected, *refusal)
            return
        try:
            body = await self._bodies.complete(scope, receive)
        except BodyRejected as error:
            await refuse(receive, protected, error.status, error.text, more=error.more)
            return
        except Gone:
            return
        await self._app(scope, replayed(body, receive), protected)

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        """The status and the words with which a request is refused by its head alone."""
        if sum(len(name) + len(value) for name, value in scope["headers"]) > LARGEST_HEAD:
            return 431, f"the headers are over {LARGEST_HEAD >> 10} KiB; send fewer cookies"
        hosts = _values(scope, b"host")
        origins = _values(scope, b"origin")
        if len(hosts) > 1 or len(origins) > 1:
            return 400, "Host or Origin stands more than once; send each once"
        host = hosts[0] if hosts else ""
        if not self._names.fit(host):
            return 421, f"unknown host {name_of(host) or '(none)'}{self._hint}"
        if is_foreign(origins[0] if origins else None, host, self._public_url):
            return 403, "a page of another site may neither read nor act here"
        return None


async def refuse(receive: Receive, send: Send, status: int, text: str, *, more: bool = True) -> None:
    """Answer in JSON and close the connection; of what is still to come only a little is taken, and thrown away."""
    body = json.dumps({"error": text}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
        (b"cache-control", b"no-store"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    if more:
        await send({"type": "http.response.body", "body": body, "more_body": True})
        await throw_away(receive)
        body = b""
    await send({"type": "http.response.body", "body": body})


def _values(scope: Scope, name: bytes) -> list[str]:
    return [value.decode("latin-1") for key, value in scope["headers"] if key == name]


def replayed(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives the complete body once, and then whatever the server says."""
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again
