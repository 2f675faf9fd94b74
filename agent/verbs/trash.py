"""The trash: files that were cleared are kept on another file system for a while, so that they can be brought back.

TRASH/BATCH/rows.jsonl    a row for each file, on the disk before the file is deleted in its place
TRASH/BATCH/N             its content
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from agent.records import sync_folder
from agent.verbs.old_files import LeftAlone, opened

if TYPE_CHECKING:
    from agent.allowed import ServiceSection
    from agent.verbs.old_files import Folder, OldFile

STEP: Final = 1 << 20
LEAST_FREE: Final = 0.1  # of the trash's file system, which others use too
ROWS: Final = "rows.jsonl"


@dataclass(frozen=True, slots=True)
class Trash:
    """The trash of one service."""

    folder: Path
    hours: float

    @classmethod
    def of(cls, section: ServiceSection) -> Trash | None:
        """The one that the agent's file names; None where it names none."""
        clear = section.clear_disk
        return cls(clear.trash, clear.trash_hours) if clear and clear.trash else None

    def why_not(self, device: int) -> str:
        """Why files of this file system cannot be kept, in words; empty: they can."""
        try:
            own = self.folder.stat().st_dev
        except OSError as error:
            return f"the trash {self.folder} cannot be used: {error.strerror or error}"
        return "" if own != device else f"the trash {self.folder} is on the same file system, so moving frees nothing"

    def has_batch(self, batch: str) -> bool:
        return (self._batch(batch) / ROWS).exists()

    def keep(self, batch: str, folder: Folder, file: OldFile) -> None:
        """Move a file here. Killed at any instant, it is in its place, or here with a row, or both.

        Raises:
            LeftAlone: it is in use, or there is no room; it stays in its place.
        """
        with folder.unused(file):
            pass  # before it is copied, which takes its time
        place = self._batch(batch)
        try:
            seen = os.statvfs(self.folder)
            if seen.f_bavail * seen.f_frsize - file.size < LEAST_FREE * seen.f_blocks * seen.f_frsize:
                raise LeftAlone("there is no room in the trash")
            place.mkdir(mode=0o700, exist_ok=True)
            rows = [*self._rows(place)]
            row = {"folder": str(folder.path), "parts": list(file.parts), "number": len(rows)} | _identity(file)
            if not any({**each, **row, "number": each["number"]} == each for each in rows):
                row |= _copy(folder, file, place / str(row["number"]))
                self._write_row(place, row)
            with folder.unused(file) as (_, parent):
                folder.unlink(file, parent)
        except OSError as error:
            raise LeftAlone(f"the trash does not take it: {error.strerror or error}") from error

    def restore(self, batch: str) -> tuple[int, list[str]]:
        """Bring files back to their places: how many, and why others could not be, in words. Raises OSError."""
        place, back, left = self._batch(batch), 0, []
        for row in self._rows(place):
            kept = place / str(row["number"])
            if not kept.exists():
                continue  # it was brought back before
            path = os.path.join(row["folder"], *row["parts"])  # noqa: PTH118 - as it was
            try:
                back += _bring_back(kept, row)
            except FileExistsError:
                if not _is_still_there(path, row):
                    left.append(f"{path}: there is another file of that name now")
                    continue
            except OSError as error:
                left.append(f"{path}: {error.strerror or error}")
                continue
            kept.unlink()
        if not left:
            shutil.rmtree(place, ignore_errors=True)
        return back, left

    def expire(self) -> None:
        """Remove the batches that nothing was added to for `hours`."""
        with suppress(OSError):
            for place in self.folder.iterdir():
                rows = place / ROWS
                # Only what we wrote: the folder may hold other things.
                if rows.is_file() and time.time() - rows.stat().st_mtime > self.hours * 3600:
                    shutil.rmtree(place, ignore_errors=True)

    def _batch(self, batch: str) -> Path:
        return self.folder / f"cleared-{hashlib.sha256(batch.encode()).hexdigest()[:24]}"

    def _rows(self, place: Path) -> Iterator[dict[str, Any]]:
        try:
            lines = (place / ROWS).read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return
        for line in lines:
            with suppress(ValueError):  # a torn last line: its file is in its place
                yield json.loads(line)

    def _write_row(self, place: Path, row: dict[str, Any]) -> None:
        data = (json.dumps(row) + "\n").encode()
        descriptor = os.open(place / ROWS, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if os.write(descriptor, b"\n" + data) != len(data) + 1:  # after a torn line, too
                raise LeftAlone("there is no room in the trash")
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        sync_folder(place)


def _identity(file: OldFile) -> dict[str, Any]:
    return {"inode": file.inode, "changed_ns": file.changed_ns, "size": file.size}


def _is_still_there(path: str, row: dict[str, Any]) -> bool:
    """Whether the very file of a row was never deleted: whoever moved it was killed before."""
    seen = os.lstat(path)
    return (seen.st_ino, seen.st_mtime_ns, seen.st_size) == (row["inode"], row["changed_ns"], row["size"])


def _copy(folder: Folder, file: OldFile, to: Path) -> dict[str, Any]:
    """Copy a file, synced; returns what its copy must have to be as it was. Raises OSError."""
    with folder.parent_of(file.parts) as parent:
        source = os.open(file.parts[-1], os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    try:
        seen = os.fstat(source)
        descriptor = os.open(to, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            _pump(source, descriptor)
        finally:
            os.close(descriptor)
    finally:
        os.close(source)
    return {"mode": seen.st_mode & 0o7777, "uid": seen.st_uid, "gid": seen.st_gid}


def _bring_back(kept: Path, row: dict[str, Any]) -> bool:
    """Copy a file back under its name, complete or not at all. Raises OSError."""
    parts = tuple(map(str, row["parts"]))
    with opened(Path(row["folder"])) as folder, folder.parent_of(parts) as parent, kept.open("rb") as source:
        # Without a name until it is complete: a kill leaves nothing.
        descriptor = os.open(".", os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o600, dir_fd=parent)
        try:
            _pump(source.fileno(), descriptor)
            os.fchown(descriptor, row["uid"], row["gid"])
            os.fchmod(descriptor, row["mode"])
            os.utime(descriptor, ns=(row["changed_ns"], row["changed_ns"]))
            os.link(f"/proc/self/fd/{descriptor}", parts[-1], dst_dir_fd=parent, follow_symlinks=True)
            os.fsync(parent)
        finally:
            os.close(descriptor)
    return True


def _pump(source: int, to: int) -> None:
    while data := os.read(source, STEP):
        while data:
            data = data[os.write(to, data) :]
    os.fsync(to)
