"""Announces deploys to Watchkeeper, as a deploy pipeline would. Never delays the deploy."""

from __future__ import annotations

import asyncio
import logging
import secrets
from datetime import UTC, datetime
from typing import Any

import aiohttp

TRIES = 5  # eight seconds in all: a receiver that restarts is back by then
log = logging.getLogger("shop.changes")


class Changes:
    """Posts change events to POST /api/v1/changes; the same id on every try, so that a repeat is one event."""

    def __init__(self, url: str, token: str) -> None:
        self._url = url
        self._token = token
        self._tasks: set[asyncio.Task[None]] = set()

    def announce(self, service: str, version: str, title: str, *, rollback: bool = False) -> str:
        """Send the event in the background; returns its id. Must be called within an event loop."""
        event = {
            "id": f"deploy-{service}-{version}-{secrets.token_hex(3)}",
            "at": datetime.now(UTC).isoformat(),
            "kind": "deploy",
            "service": service,
            "title": title,
            "version": version,
            "author": "shop pipeline",
            "attributes": {"rollback": "true"} if rollback else {},
        }
        if self._url:
            task = asyncio.create_task(self._post(event))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return str(event["id"])

    async def _post(self, event: dict[str, Any]) -> None:
        headers = {"Authorization": f"Bearer {self._token}"}
        for attempt in range(TRIES):
            try:
                async with (
                    aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=3)) as session,
                    session.post(self._url, json=event, headers=headers) as response,
                ):
                    if response.status < 300:
                        return
                    log.warning("change event refused: %d %s", response.status, await response.text())
            except (aiohttp.ClientError, TimeoutError) as error:
                log.warning("change event not delivered: %r", error)
            await asyncio.sleep(0.5 * 2**attempt)
