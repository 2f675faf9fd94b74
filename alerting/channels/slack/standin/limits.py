"""Slack's rate limits: so many calls of a method at once, then so many a minute; a channel takes one message a second.

Source: Slack's documentation of rate limits (tiers of the Web API, and posting messages). Real limits allow short
bursts above these numbers and are not documented; a small burst is allowed here.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

POST: Final = "chat.postMessage"
POSTS_A_SECOND: Final = 1.0
POSTS_AT_ONCE: Final = 4
# Calls a minute of each method that we call: the lowest number of its tier.
A_MINUTE: Final = {
    "conversations.list": 20,
    "conversations.history": 50,
    "conversations.replies": 50,
    "chat.update": 50,
    "users.info": 100,
    "chat.postEphemeral": 100,
    "views.open": 100,
    "files.getUploadURLExternal": 100,
    "files.completeUploadExternal": 100,
}


class RateLimits:
    """Counts calls; not shared between threads. `clock` gives seconds that never go back."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._left: dict[tuple[str, str], tuple[float, float]] = {}

    def wait_s(self, method: str, channel: str) -> float:
        """How long a caller must wait before this call; 0 where it may happen now, which counts it."""
        if method == POST:
            return self._take((method, channel), POSTS_AT_ONCE, POSTS_A_SECOND)
        most = A_MINUTE.get(method)
        return self._take((method, ""), most, most / 60) if most else 0.0

    def _take(self, key: tuple[str, str], most: float, a_second: float) -> float:
        now = self._clock()
        left, at = self._left.get(key, (most, now))
        left = min(most, left + (now - at) * a_second)
        if left < 1:
            self._left[key] = left, now
            return (1 - left) / a_second
        self._left[key] = left - 1, now
        return 0.0
