"""Waiting for an event without asking how fast the machine is.

A test fails when what it waits for does not come and nothing moves any more, not when it is slow to come: on a busy
machine everything takes ten times as long and is right all the same.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
STALLED_S = 120.0  # nothing moved for so long: it will not come


def until(
    holds: Callable[[], T],
    *,
    moving: Callable[[], object] = lambda: None,
    tend: Callable[[], object] = lambda: None,
    stalled_s: float = STALLED_S,
    every_s: float = 0.05,
    what: str = "it",
) -> T:
    """What `holds` gives, as soon as it is true.

    Args:
        holds: asked again and again.
        moving: anything that changes while there is progress; a change starts the wait anew.
        tend: done before each question, for example to look after child processes.
        stalled_s: how long nothing may move.
    """
    seen, since = moving(), time.monotonic()
    while True:
        tend()
        if found := holds():
            return found
        now = moving()
        if now != seen:
            seen, since = now, time.monotonic()
        assert time.monotonic() - since < stalled_s, f"{what} did not come to pass, and nothing moved for {stalled_s} s"
        time.sleep(every_s)


def calls_of(work: Callable[[], object]) -> int:
    """How many functions a piece of work calls, Python's and C's: its size, the same on every machine."""
    count = 0

    def tally(_frame: object, event: str, _argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(tally)
    try:
        work()
    finally:
        sys.setprofile(before)
    return count
