"""Guessing a token gets slower with every failure.

Each source address that failed waits before its next try is checked: a little after a few failures, then twice as long
each time, up to `LONGEST_S`. A try with the right token waits, too, but is never refused for what others got wrong; who
comes from elsewhere does not wait. Nothing is remembered for longer than `FORGOTTEN_AFTER_S`, or of more than `MOST`
addresses.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

FREE: Final = 5  # failures that cost nothing: somebody pastes the wrong thing a few times
FIRST_S: Final = 0.25
LONGEST_S: Final = 4.0
FORGOTTEN_AFTER_S: Final = 600.0
MOST: Final = 4096
MOST_WAITING: Final = 16  # of one address
MOST_WAITING_IN_ALL: Final = 256


@dataclass(slots=True)
class _Record:
    failures: int = 0
    last: float = 0.0
    waiting: int = 0


class Slowing:
    """What is remembered of failed tries, in memory. All calls are made on one event loop."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._records: dict[str, _Record] = {}
        self._waiting = 0

    def delay_s(self, source: str) -> float:
        """How long the next try of an address waits."""
        record = self._records.get(source)
        if record is None or self._clock() - record.last > FORGOTTEN_AFTER_S or record.failures < FREE:
            return 0.0
        return float(min(LONGEST_S, FIRST_S * 2 ** min(record.failures - FREE, 16)))

    async def wait(self, source: str) -> bool:
        """Wait as long as this address must; False where too many wait already, and this one must come back later."""
        delay = self.delay_s(source)
        if not delay:
            return True
        record = self._records[source]
        if record.waiting >= MOST_WAITING or self._waiting >= MOST_WAITING_IN_ALL:
            return False
        record.waiting += 1
        self._waiting += 1
        try:
            await asyncio.sleep(delay)
        finally:
            record.waiting -= 1
            self._waiting -= 1
        return True

    def failed(self, source: str) -> None:
        """A wrong token came from this address."""
        now = self._clock()
        record = self._records.pop(source, None)
        if record is None or now - record.last > FORGOTTEN_AFTER_S:
            record = _Record(waiting=record.waiting if record else 0)
        record.failures += 1
        record.last = now
        self._records[source] = record  # the latest is last
        if len(self._records) > MOST:
            oldest = next(iter(self._records))
            del self._records[oldest]

    def succeeded(self, source: str) -> None:
        """The right token came from this address: what failed before was a slip."""
        record = self._records.get(source)
        if record and not record.waiting:
            del self._records[source]
