"""The library's readers: an open-loop stream of requests through nginx, and what they experience."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import Final, Self

import aiohttp

TIMEOUT_S: Final = 5.0
MOST_AT_ONCE: Final = 200
KEPT: Final = 20_000  # requests that are remembered


@dataclass(frozen=True, slots=True, kw_only=True)
class Experienced:
    """One request: when it began (Unix seconds), how long it took, and whether it failed."""

    at: float
    seconds: float
    failed: bool


class Users:
    """Readers who come at random, `rate` times a second. `rate` and `scan` may be changed at any time.

    Attributes:
        rate: requests a second.
        scan: share of requests for pages that do not exist.
    """

    def __init__(self, url: str, rate: float, seed: int) -> None:
        self.rate, self.scan = rate, 0.0
        self._url, self._dice = url, random.Random(seed)
        self._seen: deque[Experienced] = deque(maxlen=KEPT)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._come()), name="users", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(TIMEOUT_S + 2)

    def since(self, at: float) -> list[Experienced]:
        """The requests that began after a moment."""
        return [one for one in list(self._seen) if one.at >= at]

    async def _come(self) -> None:
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
        running: set[asyncio.Task[None]] = set()
        due = time.monotonic()
        async with aiohttp.ClientSession(
            timeout=timeout, connector=aiohttp.TCPConnector(limit=MOST_AT_ONCE)
        ) as session:
            while not self._stop.is_set():
                due = max(due + self._dice.expovariate(max(self.rate, 0.1)), time.monotonic() - 1.0)
                if (wait := due - time.monotonic()) > 0:
                    await asyncio.sleep(wait)
                if len(running) < MOST_AT_ONCE:
                    task = asyncio.create_task(self._ask(session))
                    running.add(task)
                    task.add_done_callback(running.discard)
            for task in running:
                task.cancel()

    async def _ask(self, session: aiohttp.ClientSession) -> None:
        method, path, body = self._wish()
        began, clock = time.time(), time.monotonic()
        failed = True
        try:
            async with session.request(method, self._url + path, json=body) as answer:
                await answer.read()
                failed = answer.status >= 500
        except (aiohttp.ClientError, TimeoutError):
            pass
        self._seen.append(Experienced(at=began, seconds=time.monotonic() - clock, failed=failed))

    def _wish(self) -> tuple[str, str, dict[str, str] | None]:
        dice = self._dice
        if dice.random() < self.scan:
            return "GET", f"/{dice.choice(['admin', 'login', '.env', 'wp'])}/{dice.randrange(1000)}.php", None
        book, reader = str(dice.randrange(500)), f"r{dice.randrange(60)}"
        kind = dice.choices(("book", "find", "loan", "loans"), (0.45, 0.15, 0.2, 0.2))[0]
        match kind:
            case "book":
                return "GET", f"/books/{book}", None
            case "find":
                return "GET", f"/find?q={book[:2]}", None
            case "loan":
                return "POST", "/loans", {"reader": reader, "isbn": book}
            case _:
                return "GET", f"/readers/{reader}/loans", None
