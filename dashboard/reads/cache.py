"""Answers that several open pages share for a moment, so that ten viewers cost the store one query."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from typing import TypeVar

from watchkeeper.store.recording import Statement, note, recording

T = TypeVar("T")
KEEP = 256
MOST = 1024  # also of what is not too old yet


@dataclass(frozen=True, slots=True)
class _Entry:
    at: float
    value: object
    statements: tuple[Statement, ...]


class Cache:
    """Remembers a reading for `ttl_s` seconds. Whoever asks meanwhile for the same waits for the first to finish.

    A reading's statements are remembered beside it, under its name: the first part of its key.
    """

    def __init__(self, ttl_s: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._ttl_s = ttl_s
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._entries: dict[Hashable, _Entry] = {}
        self._loading: dict[Hashable, threading.Lock] = {}

    def get(self, key: Hashable, load: Callable[[], T]) -> T:
        """The remembered value of `key`, or what `load` gives. An error is raised to its caller and not remembered."""
        with self._lock:
            loading = self._loading.setdefault(key, threading.Lock())
        try:
            with loading:
                entry = self._entries.get(key)
                if entry and self._monotonic() - entry.at < self._ttl_s:
                    note(entry.statements)
                    return entry.value  # type: ignore[return-value]
                with recording() as made:
                    value = load()
                name = str(key[0] if isinstance(key, tuple) else key)
                statements = tuple(replace(one, read=name) for one in made)
                note(statements)
                with self._lock:
                    self._entries[key] = _Entry(self._monotonic(), value, statements)
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
        for key in [k for k, entry in self._entries.items() if entry.at < limit]:
            del self._entries[key]
        while len(self._entries) > MOST:
            del self._entries[next(iter(self._entries))]
