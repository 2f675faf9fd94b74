"""Whether the running experiment is to end now: what waits in an action, in whatever thread, wakes up and reverts."""

from __future__ import annotations

import threading
from typing import Final

_REQUESTED: Final = threading.Event()


def request() -> None:
    """Have every action end what it began."""
    _REQUESTED.set()


def reset() -> None:
    """A new experiment begins."""
    _REQUESTED.clear()


def is_requested() -> bool:
    return _REQUESTED.is_set()


def wait(seconds: float) -> bool:
    """Wait so long, or until the end is requested; says whether it is."""
    return _REQUESTED.wait(seconds)
