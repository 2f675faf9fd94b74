"""Keeps the agent small. It runs for months beside somebody's services."""

from __future__ import annotations

import ctypes
from contextlib import suppress
from typing import Final

_ARENA_MAX: Final = -8  # M_ARENA_MAX of malloc.h


def keep_small() -> None:
    """Call it before the first thread.

    Each thread that finds the heap busy gets one of its own from glibc, which then grows to what its largest request
    took: some 8 MB after a few hundred requests. One heap for all is enough for a process that mostly waits. Other C
    libraries know no such setting, and need none.
    """
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(_ARENA_MAX, 1)
