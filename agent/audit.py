"""The audit log: who asked for what on this host, and what came of it. One JSON object a line, no secret in any.

The agent and its keepers append to the same file. It is turned over at 4 MiB; one older file is kept.
"""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

LARGEST_BYTES: Final = 4 << 20
FILE: Final = "audit.jsonl"


def audit(root: Path, what: str, **fields: Any) -> None:
    """Append a row. Whatever is wrong with the disk must not keep a fault from ending: it goes to stderr instead."""
    row = json.dumps({"at": round(time.time(), 3), "what": what, **fields}, default=str) + "\n"
    path = root / FILE
    try:
        with suppress(FileNotFoundError):
            if path.stat().st_size > LARGEST_BYTES:
                path.replace(path.with_suffix(".1.jsonl"))
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(descriptor, row.encode())
        finally:
            os.close(descriptor)
    except OSError as error:
        with suppress(OSError):
            os.write(2, f"audit.unwritten {error}: {row}".encode())


def newest(root: Path, limit: int) -> list[dict[str, Any]]:
    """The newest rows, the newest first."""
    rows: list[dict[str, Any]] = []
    for name in (FILE, "audit.1.jsonl"):
        with suppress(FileNotFoundError):
            lines = (root / name).read_text(encoding="utf-8", errors="replace").splitlines()
            for line in reversed(lines[-limit:]):
                with suppress(ValueError):
                    rows.append(json.loads(line))
    return rows[:limit]
