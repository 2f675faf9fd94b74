"""Heartbeats: what POST /api/v1/heartbeats/NAME takes from a job or a host that must show that it is alive."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

from collectors.receivers.exchange import Exchange
from collectors.receivers.http import RETRY_AFTER_S, HttpPort, error_body
from collectors.source import SourceContext
from watchkeeper.errors import WatchkeeperError

PATH: Final = "/api/v1/heartbeats"
SCOPE: Final = "heartbeats"


def serve_heartbeats(context: SourceContext) -> None:
    """Add a path for each heartbeat of the configuration."""
    for expected in context.config.heartbeats:
        context.http.add(f"{PATH}/{expected.name}", _Beat(name=expected.name, context=context))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Beat:
    """One heartbeat's path. Any body will do, and none: a job at the end of its script sends what it can."""

    name: str
    context: SourceContext

    async def __call__(self, port: HttpPort, exchange: Exchange) -> None:
        if not port.allows(exchange, SCOPE):
            text = f"a bearer token with the scope {SCOPE} is needed: `watchkeeper token new --scope {SCOPE}`"
            await exchange.answer(401, error_body(text), [("www-authenticate", "Bearer")])
            return
        try:
            await asyncio.to_thread(self.context.sinks.heartbeat, self.name)
        except WatchkeeperError as error:
            await exchange.answer(503, error_body(error.message), [("retry-after", str(RETRY_AFTER_S))])
            return
        await exchange.answer(200, b'{"heard": true}')
