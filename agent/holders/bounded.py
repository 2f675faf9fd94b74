"""What every holder does: say that it is ready, and end when its time is over or its starter is gone."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

LOOK_EVERY_S: Final = 0.2


class Bounds:
    """How long this process may go on."""

    def __init__(self) -> None:
        self.asked: dict[str, Any] = json.loads(sys.stdin.buffer.read())
        self._parent = int(self.asked["parent"])
        self._ends_at = time.clock_gettime(time.CLOCK_BOOTTIME) + float(self.asked["seconds"])

    def follow(self, parent: int) -> None:
        """After a fork: end when this process is gone."""
        self._parent = parent

    @property
    def left_s(self) -> float:
        """Seconds until the end; 0 where the starter is gone."""
        if self._parent and os.getppid() != self._parent:
            return 0.0
        return max(0.0, self._ends_at - time.clock_gettime(time.CLOCK_BOOTTIME))

    def wait(self, seconds: float = 86400.0) -> bool:
        """Sleep, at most until the end. Whether there is more time."""
        until = time.monotonic() + seconds
        while (left := self.left_s) and (nap := until - time.monotonic()) > 0:
            time.sleep(min(left, nap, LOOK_EVERY_S))
        return bool(self.left_s)


def ready() -> None:
    """The fault takes effect from here on."""
    say("ready")


def say(line: str) -> None:
    """The one line that the starter reads: `ready`, or why not."""
    with suppress(BrokenPipeError):  # the starter is gone, which `left_s` says too
        os.write(1, line.replace("\n", " ").encode() + b"\n")


def hold(work: Callable[[Bounds], None]) -> None:
    """Run a holder's work. What it cannot do is its one line, and its end."""
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        work(Bounds())
    except KeyboardInterrupt:
        pass
    except OSError as error:
        say(f"it cannot be done: {error}")
        sys.exit(1)
