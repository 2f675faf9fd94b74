"""Bodies are complete, small enough and in time before anybody behind this reads them.

A body is counted while it arrives. One that is too large is rejected after at most its limit was kept, one that takes
too long after `DEADLINE_S`; all bodies that are on their way share `MOST_BYTES`, and where that is used up, whoever has
been sending longest is rejected, so that slow senders block nobody.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from starlette.types import Message, Receive, Scope

DEADLINE_S: Final = 20.0  # for a whole body; forms and callbacks are small
MOST_BYTES: Final = 32 << 20  # of all bodies that are on their way
# What is still taken and thrown away after a refusal, so that the sender reads the answer instead of a broken pipe.
LINGER_S: Final = 1.0
LINGER_BYTES: Final = 4 << 20


class BodyRejected(Exception):
    """The body is not taken; `status` and `text` are the answer, `more` whether some of it is still to come."""

    def __init__(self, status: int, text: str, *, more: bool = True) -> None:
        super().__init__(text)
        self.status = status
        self.text = text
        self.more = more


class Gone(Exception):
    """The sender closed the connection before its body was complete."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How many bytes a body may have: by the longest path prefix that fits, else `otherwise`."""

    otherwise: int
    paths: Mapping[str, int] = field(default_factory=dict)

    def of(self, path: str) -> int:
        """The limit of a path."""
        fitting = [prefix for prefix in self.paths if path.startswith(prefix)]
        return self.paths[max(fitting, key=len)] if fitting else self.otherwise


@dataclass(slots=True)
class _Arriving:
    timer: asyncio.Timeout
    size: int = 0


class Bodies:
    """The bodies on their way to one port. All calls are made on one event loop."""

    def __init__(self, limits: Limits, *, deadline_s: float = DEADLINE_S, most_bytes: int = MOST_BYTES) -> None:
        self._limits = limits
        self._deadline_s = deadline_s
        self._most_bytes = most_bytes
        self._arriving: dict[int, _Arriving] = {}  # the one that began first is first
        self._number = 0

    async def complete(self, scope: Scope, receive: Receive) -> bytes:
        """The complete body.

        Raises:
            BodyRejected: it is too large, or takes too long.
            Gone: the sender is.
        """
        limit = self._limits.of(scope["path"])
        declared = _declared(scope)
        if declared is not None and declared > limit:
            raise BodyRejected(413, _too_large(limit))
        self._number += 1
        number = self._number
        try:
            async with asyncio.timeout(self._deadline_s) as timer:
                self._arriving[number] = arriving = _Arriving(timer)
                parts: list[bytes] = []
                while True:
                    message = await receive()
                    if message["type"] != "http.request":
                        raise Gone
                    part = message.get("body", b"")
                    arriving.size += len(part)
                    if arriving.size > limit:
                        raise BodyRejected(413, _too_large(limit), more=bool(message.get("more_body")))
                    if part:
                        parts.append(part)
                        self._bound_memory(number)
                    if not message.get("more_body"):
                        return b"".join(parts)
        except TimeoutError as error:
            raise BodyRejected(
                408, f"the body did not arrive within {self._deadline_s:g} s; send it at once"
            ) from error
        finally:
            self._arriving.pop(number, None)

    def _bound_memory(self, but: int) -> None:
        """Let the one that has been sending longest run out of time where all together hold too much."""
        total = sum(each.size for each in self._arriving.values())
        for number, each in list(self._arriving.items()):
            if total <= self._most_bytes:
                return
            if number != but:
                total -= each.size
                each.size = 0
                each.timer.reschedule(asyncio.get_running_loop().time())
                del self._arriving[number]


async def throw_away(receive: Receive) -> None:
    """Take what the sender of a rejected body still sends, for a moment and up to a bound."""
    taken = 0
    try:
        async with asyncio.timeout(LINGER_S):
            while taken < LINGER_BYTES:
                message: Message = await receive()
                taken += len(message.get("body", b""))
                if message["type"] != "http.request" or not message.get("more_body"):
                    return
    except TimeoutError:
        return


def _declared(scope: Scope) -> int | None:
    for name, value in scope["headers"]:
        if name == b"content-length":
            return int(value) if value.isdigit() and len(value) < 20 else 1 << 62
    return None


def _too_large(limit: int) -> str:
    size = f"{limit >> 20} MiB" if limit >= 1 << 20 else f"{limit >> 10} KiB"
    return f"the body is over {size}, the limit of this port; send less"
