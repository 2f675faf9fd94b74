"""What cannot be sent is kept for people: bodies that the platform refused for good, and damaged segments. Bounded."""

from __future__ import annotations

import json
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Final

from agent.records import replace_synced
from agent.telemetry.body import Body

MOST_FILES: Final = 1000


class Aside:
    """The folder of what was set aside; the oldest goes when there is too much.

    Args:
        most_bytes: of all files together; the newest stays, however large.
    """

    def __init__(self, folder: Path, most_bytes: int) -> None:
        self.folder = folder
        self._most_bytes = most_bytes
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for draft in folder.glob(".*"):
            draft.unlink()

    def keep_body(self, name: str, body: Body, reason: str) -> None:
        """A body, after one line of JSON that says what it is and why it is here. The same name again is the same body.

        Raises:
            OSError: the disk does not take it.
        """
        head = {
            "signal": body.signal,
            "content_type": body.kind,
            "content_encoding": body.encoding,
            "taken_at": body.at,
            "reason": reason,
        }
        replace_synced(self.folder / f"{name}.refused", json.dumps(head).encode() + b"\n" + body.data)
        self._prune()

    def keep_segment(self, path: Path) -> None:
        """A damaged segment, as it is. A disk that does not take it costs the copy alone."""
        with suppress(OSError):
            shutil.move(path, self.folder / f"{path.name}.damaged")
            self._prune()

    def _prune(self) -> None:
        files = sorted((path.stat().st_mtime_ns, path.stat().st_size, path) for path in self.folder.iterdir())
        total = sum(size for _, size, _ in files)
        while len(files) > 1 and (total > self._most_bytes or len(files) > MOST_FILES):
            _, size, path = files.pop(0)
            path.unlink(missing_ok=True)
            total -= size
