"""Socket Mode: presses, forms and commands come over a connection that the web role opens, so Slack need not reach it.

The SDK's client opens it, answers pings, and opens it anew when Slack asks for that or the network broke it. What
comes goes through the same checks and handlers as what is posted: the connection takes the place of the signature.
An envelope is acknowledged when its command is recorded; one that is not comes again, with the same key.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import threading
from typing import Any, Final

import structlog
from slack_sdk.socket_mode.aiohttp import SocketModeClient
from slack_sdk.socket_mode.async_client import AsyncBaseSocketModeClient
from slack_sdk.socket_mode.request import SocketModeRequest
from slack_sdk.socket_mode.response import SocketModeResponse
from slack_sdk.web.async_client import AsyncWebClient

from alerting.channels.slack.events import SlackEvents
from watchkeeper.config import Config
from watchkeeper.problems import Problems
from watchkeeper.text import one_line

LOOP: Final = "slack"
SUBJECT: Final = "Socket Mode"
LOOK_EVERY_S: Final = 0.5
AWAY_S: Final = 10.0  # without a connection, until it is a problem: Slack renews connections every few hours
PING_EVERY_S: Final = 5.0
# A token, and an address whose ticket opens a connection.
SECRET: Final = re.compile(r"xapp-\S+|wss?://\S+")


class SocketMode:
    """Keeps one connection to Slack open, and gives what comes to `events`."""

    def __init__(self, config: Config, events: SlackEvents, problems: Problems | None = None) -> None:
        """Raises ConfigError where the app-level token is not set."""
        self._token = config.slack_app_token()
        self._url = config.slack_api_url()
        self._is_real = config.slack_is_real
        self._events = events
        self._problems = problems or Problems(None)
        self._last = _Last()

    def follow(self, stopping: threading.Event) -> threading.Thread:
        """Keep it open, in a thread of its own, until stopped."""
        thread = threading.Thread(target=self._run, args=(stopping,), name="socket-mode", daemon=True)
        thread.start()
        return thread

    def _run(self, stopping: threading.Event) -> None:
        while not stopping.is_set():
            try:
                asyncio.run(self._connected(stopping))
            except Exception as error:  # noqa: BLE001 - whatever the SDK does, presses must come again
                self._problems.report(LOOP, SUBJECT, _readable(repr(error)))
                stopping.wait(AWAY_S)

    async def _connected(self, stopping: threading.Event) -> None:
        client = SocketModeClient(
            app_token=self._token,
            web_client=AsyncWebClient(base_url=self._url, timeout=10),
            logger=self._last.logger,
            ping_interval=PING_EVERY_S,
        )
        if not self._is_real:
            client.proxy = None  # it is on this machine
        client.socket_mode_request_listeners.append(self._receive)
        loop = asyncio.get_running_loop()
        opening = client.connect()  # type: ignore[no-untyped-call]
        connecting, known_at, was_connected = asyncio.create_task(opening), loop.time(), False
        try:
            while not stopping.is_set():
                await asyncio.sleep(LOOK_EVERY_S)
                if await client.is_connected():
                    if not was_connected:
                        structlog.get_logger().info("slack.socket_mode.connected")
                    known_at, was_connected = loop.time(), True
                    self._problems.solved(LOOP, SUBJECT)
                elif loop.time() - known_at > AWAY_S:
                    was_connected = False
                    self._problems.report(LOOP, SUBJECT, self._last.text or "Slack does not take the connection")
        finally:
            connecting.cancel()
            await client.close()  # type: ignore[no-untyped-call]

    async def _receive(self, client: AsyncBaseSocketModeClient, request: SocketModeRequest) -> None:
        response = await self._events.receive(request.type, request.payload, is_repeat=bool(request.retry_attempt))
        body = bytes(response.body).decode()
        answer: dict[str, Any] | None = json.loads(body) if response.status_code == 200 and body[:1] == "{" else None
        await client.send_socket_mode_response(SocketModeResponse(envelope_id=request.envelope_id, payload=answer))


class _Last(logging.Handler):
    """The SDK's last complaint. It would write a traceback at each try, with the address that opens a connection."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.text = ""
        self.logger = logging.getLogger("watchkeeper.slack.socket_mode")
        self.logger.setLevel(logging.WARNING)
        self.logger.propagate = False
        self.logger.handlers = [self]

    def emit(self, record: logging.LogRecord) -> None:
        self.text = _readable(record.getMessage())


def _readable(text: str) -> str:
    return one_line(SECRET.sub("…", text), 300)
