"""A press is recorded before Slack has its answer, so that a kill in between shows the human that it failed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, TypeVar

T = TypeVar("T")
RECORDED_WITHIN_S: Final = 2.0  # Slack waits for three seconds


async def recorded(record: Coroutine[Any, Any, T], ack: Callable[[], Awaitable[Any]]) -> asyncio.Future[T]:
    """Record, then answer Slack; where recording takes longer, Slack is answered meanwhile. What comes of it."""
    recording = asyncio.ensure_future(record)
    try:
        await asyncio.wait({recording}, timeout=RECORDED_WITHIN_S)
    finally:
        await ack()
    return recording
