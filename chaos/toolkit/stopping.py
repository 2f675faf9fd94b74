"""Whether the running experiment is to end now: what waits in an action, in whatever thread, wakes up and reverts."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_REQUESTED: Final = threading.Event()
_HELD: Final[set[object]] = set()


@contextmanager
def held() -> Iterator[None]:
    """While something is broken that is put back by whoever broke it: nobody must leave without waiting for it."""
    token = object()
    _HELD.add(token)
    try:
        yield
    finally:
        _HELD.discard(token)


def is_held() -> bool:
    """Whether something is broken, or being put back."""
    return bool(_HELD)


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
