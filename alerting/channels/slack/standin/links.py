"""Socket Mode as Slack has it: an app opens web sockets, gets what would be posted to it, and acknowledges each.

Source: Slack's documentation, "Using Socket Mode". The sockets have a port of their own on loopback: nothing else of
Watchkeeper speaks over web sockets.
"""

from __future__ import annotations

import asyncio
import secrets
import uuid
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Final

from aiohttp import WSMsgType, web

from watchkeeper.asgi.plain import NotPlainError, plain_object

MOST: Final = 10  # open connections of one app
ACKNOWLEDGED_WITHIN_S: Final = 3.0
LARGEST_MESSAGE: Final = 1 << 20


@dataclass(eq=False, slots=True)
class _Link:
    socket: web.WebSocketResponse
    waiting: dict[str, asyncio.Future[dict[str, Any]]] = field(default_factory=dict)


class Links:
    """The connections that an app holds open; `mistakes` is what it did that Slack does not expect."""

    def __init__(self, app_id: str) -> None:
        self._app_id = app_id
        self._tickets: set[str] = set()
        self._links: list[_Link] = []
        self._done: deque[str] = deque(maxlen=1000)
        self._runner: web.AppRunner | None = None
        self._port = 0
        self._turn = 0
        self.mistakes: list[str] = []
        self.loop: asyncio.AbstractEventLoop | None = None  # that the connections live in

    def __len__(self) -> int:
        return len(self._links)

    async def url(self) -> str:
        """Where to open one connection; it can be used once."""
        if not self._port:
            application = web.Application()
            application.router.add_get("/link", self._accept)
            runner = web.AppRunner(application, access_log=None)
            await runner.setup()
            self._runner, self.loop = runner, asyncio.get_running_loop()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            self._port = runner.addresses[0][1]
        ticket = secrets.token_urlsafe(16)
        self._tickets.add(ticket)
        return f"ws://127.0.0.1:{self._port}/link?ticket={ticket}&app_id={self._app_id}"

    async def deliver(self, kind: str, payload: dict[str, Any], attempt: int) -> dict[str, Any] | None:
        """Send an envelope over one connection after another.

        Returns what it was acknowledged with; None where nobody is connected, or nobody acknowledged it in time.
        """
        if not self._links:
            return None
        link = self._links[self._turn % len(self._links)]
        self._turn += 1
        envelope_id = str(uuid.uuid4())
        envelope: dict[str, Any] = {
            "envelope_id": envelope_id,
            "type": kind,
            "payload": payload,
            "accepts_response_payload": kind != "events_api",
        }
        if attempt:
            envelope |= {"retry_attempt": attempt, "retry_reason": "timeout"}
        acknowledged = link.waiting[envelope_id] = asyncio.get_running_loop().create_future()
        try:
            await link.socket.send_json(envelope)
            return await asyncio.wait_for(acknowledged, ACKNOWLEDGED_WITHIN_S)
        except (TimeoutError, ConnectionError):
            return None
        finally:
            link.waiting.pop(envelope_id, None)

    async def refresh(self) -> None:
        """Ask every connection to be opened anew, as Slack does every few hours."""
        for link in list(self._links):
            await link.socket.send_json({"type": "disconnect", "reason": "refresh_requested"})

    async def cut(self) -> None:
        """Break every connection, as a network does."""
        for link in list(self._links):
            await link.socket.close()

    async def close(self) -> None:
        """Close every connection, and take no more."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _accept(self, request: web.Request) -> web.WebSocketResponse:
        ticket = request.query.get("ticket", "")
        if ticket not in self._tickets:
            raise web.HTTPForbidden(text="this address was used, or was never given")
        self._tickets.discard(ticket)
        socket = web.WebSocketResponse(max_msg_size=LARGEST_MESSAGE)
        await socket.prepare(request)
        if len(self._links) >= MOST:
            await socket.send_json({"type": "disconnect", "reason": "too_many_websockets"})
            await socket.close()
            return socket
        link = _Link(socket)
        self._links.append(link)
        try:
            known = {"app_id": self._app_id}
            await socket.send_json({"type": "hello", "num_connections": len(self._links), "connection_info": known})
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    self._acknowledged(link, message.data)
        finally:
            self._links.remove(link)
            for waiting in link.waiting.values():
                if not waiting.done():
                    waiting.set_exception(ConnectionResetError("the connection is closed"))
        return socket

    def _acknowledged(self, link: _Link, text: str) -> None:
        try:
            answer = plain_object(text)
        except NotPlainError as error:
            self.mistakes.append(f"no JSON object: {error}")
            return
        envelope_id, payload = str(answer.get("envelope_id")), answer.get("payload")
        waiting = link.waiting.get(envelope_id)
        if envelope_id in self._done:
            self.mistakes.append(f"{envelope_id} was acknowledged twice")
        elif waiting is None:
            self.mistakes.append(f"{envelope_id} is too late, or of another connection")
        elif not waiting.done():
            self._done.append(envelope_id)
            waiting.set_result(payload if isinstance(payload, dict) else {})
