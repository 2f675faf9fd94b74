"""Who presses in Slack, and the form that a press opens."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import structlog
from slack_sdk.errors import SlackClientError
from slack_sdk.web.async_client import AsyncWebClient

from watchkeeper.errors import WatchkeeperError
from watchkeeper.vocabulary import Actor


class People(Protocol):
    """Who presses, and a way to answer them alone."""

    async def actor(self, client: AsyncWebClient, body: dict[str, Any]) -> Actor | None: ...
    async def notify(self, client: AsyncWebClient, body: dict[str, Any], text: str) -> None: ...


async def open_form(
    people: People,
    client: AsyncWebClient,
    body: dict[str, Any],
    build: Callable[[], dict[str, Any] | str],
    **about: str,
) -> None:
    """Open the form that `build` returns; a sentence instead, or in a WatchkeeperError, goes to whoever pressed.

    `build` may wait for the state database: it runs in a thread. `about` says in the log what a form that did not
    open was about.
    """
    try:
        view = await asyncio.to_thread(build)
    except WatchkeeperError as error:
        view = error.message
    if isinstance(view, str):
        await people.notify(client, body, view)
    else:
        await opened(client, body, view, **about)


async def opened(client: AsyncWebClient, body: Mapping[str, Any], view: dict[str, Any], **about: str) -> bool:
    """Open a form, and say whether Slack took it; the log has the reason why not."""
    try:
        await client.views_open(trigger_id=body.get("trigger_id", ""), view=view)
    except (SlackClientError, OSError, TimeoutError) as error:
        structlog.get_logger().warning("slack.form_failed", **about, error=str(error))
        return False
    return True
