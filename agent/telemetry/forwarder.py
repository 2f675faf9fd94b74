"""Sends what the log holds to the platform, in order, one body at a time; what was acked is removed from the log.

1. The oldest body is sent as it came.
2. 200: the log goes on to the next one.
3. 429, 503 and whatever else may pass: it is sent again, after Retry-After or a growing wait.
4. 400, 413 and whatever else will be the same for this body next time: it is set aside with the reason. So is a body
   over which the platform fails again and again, while it takes a request without anything in it.
5. 401, 403, 404 and redirects are mistakes of a setting, not of the body: they are reported, and tried again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import aiohttp

from agent.telemetry.body import Signal
from agent.telemetry.body_log import BodyLog, Queued
from agent.telemetry.platform import Answer, Platform, describe_failure
from watchkeeper.durations import backoff_s, spread_s

FIRST_WAIT_S: Final = 0.5
LONGEST_WAIT_S: Final = 60.0
IDLE_S: Final = 5.0
# Statuses that say nothing of the body: the platform is busy, away, or set up otherwise than the agent's file says.
SETTING: Final = frozenset({401, 403, 404, 405, 407, 421})
PASSING: Final = frozenset({408, 425, 429, 502, 503, 504})
# An error of the platform's own may be due to the body. After so many in a row for one body, an empty request tells.
FAILURES_OF_ONE: Final = 10
EMPTY_KIND: Final = "application/x-protobuf"  # in which no bytes at all are a request


class Forwarder:
    """What was sent and what was not, since the agent's start.

    Args:
        report: called when the platform stops taking bodies, with the reason, and when it takes them again.
    """

    def __init__(
        self,
        log: BodyLog,
        platform: Platform,
        report: Callable[[str], None],
        *,
        first_wait_s: float = FIRST_WAIT_S,
        longest_wait_s: float = LONGEST_WAIT_S,
    ) -> None:
        self._waits_s = first_wait_s, longest_wait_s
        self.sent = 0
        self.set_aside = 0
        self.trouble = ""
        self._log = log
        self._platform = platform
        self._report = report
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="forwarder")
        self._errors = 0  # of the platform's own, for the oldest body
        self._takes_others = False  # it did, after so many of these errors

    async def run(self) -> None:
        """Send until cancelled."""
        failures = 0
        while True:
            queued = await self._in_thread(self._log.next)
            if queued is None:
                await self._log.wait(IDLE_S)
                continue
            wait_s = await self._send(queued, failures)
            failures = failures + 1 if wait_s else 0
            if wait_s:
                await asyncio.sleep(wait_s)

    async def _send(self, queued: Queued, failures: int) -> float:
        """Send one body; seconds to wait before it is sent again, 0 where it is done with."""
        body = queued.body
        headers = {"Content-Type": body.kind} | ({"Content-Encoding": body.encoding} if body.encoding else {})
        try:
            answer = await self._platform.post(f"/v1/{body.signal}", body.data, headers)
        except (OSError, aiohttp.ClientError, TimeoutError) as error:
            return self._try_again(describe_failure(error), failures)
        if answer.took:
            await self._in_thread(self._log.sent, queued)
            self.sent += 1
            if self.trouble:
                self._report("telemetry.sent_again")
            self.trouble, self._errors, self._takes_others = "", 0, False
            return 0.0
        self._errors += _is_error(answer)
        if _is_for_good(answer) or (_is_error(answer) and self._takes_others):
            self._errors, self._takes_others = 0, False
            await self._in_thread(self._log.refuse, queued, answer.reason)
            self.set_aside += 1
            self._report(f"telemetry.set_aside {body.signal}: {answer.reason}")
            return 0.0
        # It may have become well just now, so the body is sent once more before it is set aside.
        self._takes_others = self._errors >= FAILURES_OF_ONE and await self._takes_nothing(body.signal)
        return self._try_again(why_not(answer), failures, answer.retry_after_s)

    async def _takes_nothing(self, signal: Signal) -> bool:
        """Whether the platform takes a request in which nothing is."""
        try:
            answer = await self._platform.post(f"/v1/{signal}", b"", {"Content-Type": EMPTY_KIND})
        except (OSError, aiohttp.ClientError, TimeoutError):
            return False
        return answer.took

    def _try_again(self, why: str, failures: int, retry_after_s: float | None = None) -> float:
        trouble = f"{self._platform.url}: {why}"
        if trouble != self.trouble:
            self._report(f"telemetry.waits {trouble}")
        self.trouble = trouble
        wait_s = spread_s(backoff_s(failures + 1, *self._waits_s))
        return max(wait_s, retry_after_s or 0.0)

    async def _in_thread(self, do: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._reader, do, *arguments)

    async def close(self) -> None:
        """After `run` was cancelled: let what the disk does end."""
        await asyncio.to_thread(self._reader.shutdown)


def _is_for_good(answer: Answer) -> bool:
    """Whether the platform will refuse this body each time."""
    return 400 <= answer.status < 500 and answer.status not in SETTING | PASSING


def _is_error(answer: Answer) -> bool:
    """Whether the platform failed, perhaps over this body."""
    return answer.status >= 500 and answer.status not in PASSING


def why_not(answer: Answer) -> str:
    """Why a body was not taken, and what to do about it where a setting is the reason."""
    if answer.status in (401, 403):
        return f"it refuses the agent's token ({answer.reason}): set token_env or token_file"
    if answer.status in SETTING or answer.status < 400:
        return f"this is no OTLP receiver ({answer.reason}): set telemetry.to"
    return answer.reason
