"""Answers that several open pages share for a moment, so that ten viewers cost the store one query."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from typing import TypeVar

T = TypeVar("T")
KEEP = 256
MOST = 1024  # also of what is not too old yet


class Cache:
    """Remembers a reading for `ttl_s` seconds. Whoever asks meanwhile for the same waits for the first to finish."""

    def __init__(self, ttl_s: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._ttl_s = ttl_s
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._entries: dict[Hashable, tuple[float, object]] = {}
        self._loading: dict[Hashable, threading.Lock] = {}

    def get(self, key: Hashable, load: Callable[[], T]) -> T:
        """The remembered value of `key`, or what `load` gives. An error is raised to its caller and not remembered."""
        with self._lock:
            loading = self._loading.setdefault(key, threading.Lock())
        try:
            with loading:
                entry = self._entries.get(key)
                if entry and self._monotonic() - entry[0] < self._ttl_s:
                    return entry[1]  # type: ignore[return-value]
                value = load()
                with self._lock:
                    self._entries[key] = (self._monotonic(), value)
                    self._forget()
                return value
        finally:
            with self._lock:
                # A key holds what a reader wrote into the address: none may stay for ever, failed or not.
                if self._loading.get(key) is loading:
                    del self._loading[key]

    def clear(self) -> None:
        """Forget everything: somebody has just changed what was read."""
        with self._lock:
            self._entries.clear()

    def _forget(self) -> None:
        """Drop what is too old, when there is much of it."""
        if len(self._entries) <= KEEP:
            return
        limit = self._monotonic() - self._ttl_s
        for key in [k for k, (at, _) in self._entries.items() if at < limit]:
            del self._entries[key]
        while len(self._entries) > MOST:
            del self._entries[next(iter(self._entries))]
