"""Idempotency keys, remembered on the disk: what was asked with a key is done once, also across restarts.

`keys.jsonl` has two rows a key: one before something is done, one with the answer. Both are synced before anything
goes on. A key whose second row is missing was being done when the agent died.
"""

from __future__ import annotations

import errno
import json
import os
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from agent.records import sync_folder

FILE: Final = "keys.jsonl"
KEPT: Final = 2000  # the newest; older ones are forgotten when the file has twice as many rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is known of a key.

    Attributes:
        request: a digest of what was asked, so that a key that is used for something else is noticed.
        before: what was so before, for whoever must find out whether it was done.
        status, answer: None while it is not known that it was done.
    """

    request: str
    before: str = ""
    status: int = 0
    answer: dict[str, Any] | None = None


class Keys:
    """The keys of one state folder. Threads may share it."""

    def __init__(self, root: Path) -> None:
        self._path = root / FILE
        self._lock = threading.Lock()
        self._known: dict[str, Known] = {}
        self._rows = 0
        self._read()

    def get(self, key: str) -> Known | None:
        with self._lock:
            return self._known.get(key)

    def begin(self, key: str, request: str, before: str = "") -> None:
        """What is asked with the key is about to be done. Raises OSError where the disk does not take it."""
        with self._lock:
            self._append({"key": key, "request": request, "before": before, "at": time.time()})

    def finish(self, key: str, status: int, answer: dict[str, Any]) -> None:
        """It was done, or refused for good. Raises OSError."""
        with self._lock:
            self._append({"key": key, "status": status, "answer": answer})

    def forget(self, key: str) -> None:
        """Nothing was done: the key may be used again. Raises OSError."""
        with self._lock:
            self._append({"key": key, "forgotten": True})

    def _append(self, row: dict[str, Any]) -> None:
        if self._rows >= 2 * KEPT:
            self._rewrite()
        line = (json.dumps(row) + "\n").encode()
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            size = os.fstat(descriptor).st_size
            if os.write(descriptor, line) != len(line):
                os.ftruncate(descriptor, size)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if not self._rows:
            sync_folder(self._path.parent)
        self._take(row)

    def _take(self, row: dict[str, Any]) -> None:
        self._rows += 1
        key = str(row["key"])
        if "forgotten" in row:
            self._known.pop(key, None)
        elif "request" in row:
            self._known[key] = Known(request=str(row["request"]), before=str(row.get("before", "")))
        elif key in self._known:
            self._known[key] = replace(self._known[key], status=int(row["status"]), answer=dict(row["answer"]))

    def _read(self) -> None:
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return
        for line in data.splitlines():
            try:
                self._take(json.loads(line))
            except (ValueError, KeyError, TypeError, AttributeError):
                continue  # a torn last line: what it was about was not done yet
        if data and not data.endswith(b"\n"):
            self._rewrite()

    def _rewrite(self) -> None:
        newest = list(self._known.items())[-KEPT:]
        self._known = dict(newest)
        draft = self._path.with_suffix(".draft")
        with draft.open("w", encoding="utf-8") as file:
            for key, known in newest:
                file.write(json.dumps({"key": key, "request": known.request, "before": known.before}) + "\n")
                if known.answer is not None:
                    file.write(json.dumps({"key": key, "status": known.status, "answer": known.answer}) + "\n")
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self._path)
        sync_folder(self._path.parent)
        self._rows = sum(1 if known.answer is None else 2 for _, known in newest)
