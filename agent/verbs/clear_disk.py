"""The verbs `clear-disk` and `restore-disk`: old files by pattern, in folders that the agent's file names."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final

from agent.refused import Refused
from agent.verbs.old_files import Folder, LeftAlone, OldFile, opened
from agent.verbs.trash import Trash
from watchkeeper.errors import AgentError
from watchkeeper.text import one_line

if TYPE_CHECKING:
    from agent.allowed import ServiceSection
    from agent.verb_sections import ClearDiskSection
    from agent.verbs.verb import Work

WITHIN_S: Final = 20.0  # whoever asks waits for 30
MOST_LISTED: Final = 50
LONGEST_PATTERN: Final = 500
TAKES: Final = frozenset({"pattern", "older_than_hours", "below", "keep", "batch", "dry_run"})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """What is to be cleared; `below` is a used share of the file system at which it stops, 0: at the last file."""

    folder: Path
    parts: tuple[str, ...]
    older_than_hours: float
    below: float
    keep: bool
    batch: str
    dry_run: bool


class ClearDisk:
    """Deletes, or moves to the trash, what matches and is old enough; the oldest first.

    Never what is open, what a link leads to, what has another name, or what is on another file system.
    """

    allowed_by = "clear_disk"
    repeats = True

    def is_allowed(self, section: ServiceSection) -> bool:
        return section.clear_disk is not None

    def check(self, service: str, section: ServiceSection, arguments: Mapping[str, Any]) -> None:
        if section.clear_disk:
            _asked(service, section.clear_disk, arguments, "")

    def do(self, work: Work) -> dict[str, Any]:
        section = work.section.clear_disk
        if section is None:
            raise AgentError(f"{work.service} has no `clear_disk` in the agent's file")
        asked = _asked(work.service, section, work.arguments, work.key)
        trash = Trash.of(work.section) if asked.keep else None
        try:
            with opened(asked.folder) as folder:
                if trash and (why := trash.why_not(folder.device)):
                    raise Refused(409, f"nothing was cleared: {why}")
                return _Clearing(folder, asked, section, trash).run()
        except OSError as error:
            raise AgentError(f"{asked.folder} cannot be cleared: {error.strerror or error}") from error


def clearing_lacks(section: ServiceSection) -> list[str]:
    """Which of its folders cannot be cleared, or not be kept, and why."""
    lacks: list[str] = []
    for path in section.clear_disk.folders if section.clear_disk else ():
        try:
            with opened(path) as folder:
                trash = Trash.of(section)
                if trash and (why := trash.why_not(folder.device)):
                    lacks.append(f"what is cleared in {path} cannot be kept: {why}")
        except OSError as error:
            lacks.append(f"{path} cannot be cleared: {error.strerror or error}")
    return lacks


class RestoreDisk:
    """{"batch": "…"}: brings back what `clear-disk` moved to the trash with that batch."""

    allowed_by = "clear_disk"
    repeats = True

    def is_allowed(self, section: ServiceSection) -> bool:
        return section.clear_disk is not None and section.clear_disk.trash is not None

    def check(self, service: str, section: ServiceSection, arguments: Mapping[str, Any]) -> None:  # noqa: ARG002
        if set(arguments) != {"batch"} or not _is_name(arguments["batch"]):
            raise Refused(422, 'restore-disk takes {"batch": "…"} and nothing else')

    def do(self, work: Work) -> dict[str, Any]:
        trash, batch = Trash.of(work.section), str(work.arguments["batch"])
        if trash is None or not trash.has_batch(batch):
            return {"did": "nothing: the trash has no such files, or no longer", "files": 0}
        try:
            back, left = trash.restore(batch)
        except OSError as error:
            raise AgentError(f"the trash cannot be read: {error.strerror or error}", retry=True) from error
        if left:
            raise Refused(409, f"brought back {back} files, but not {len(left)}: {'; '.join(left[:5])}")
        return {"did": f"brought back {back} files", "files": back}


class _Clearing:
    """One run over the files of a folder."""

    def __init__(self, folder: Folder, asked: _Asked, section: ClearDiskSection, trash: Trash | None) -> None:
        self._folder, self._asked, self._trash = folder, asked, trash
        self._most = section.most_files
        hours = max(asked.older_than_hours, section.least_age_hours)
        self._newest_ns = time.time_ns() - int(hours * 3600e9)
        self._done: list[OldFile] = []
        self._left = Counter[str]()

    def run(self) -> dict[str, Any]:
        deadline, ended = time.monotonic() + WITHIN_S, ""
        for file in self._folder.files(self._asked.parts):
            if file.changed_ns > self._newest_ns:
                break
            if self._asked.below and self._used() < self._asked.below:
                ended = f"{self._folder.path} is now used to {100 * self._used():.0f} %"
                break
            if len(self._done) >= self._most:
                ended = f"`most_files` of the agent's file allows no more than {self._most} at once"
                break
            if time.monotonic() > deadline:
                ended = f"{WITHIN_S:g} s are over, and there are more"
                break
            try:
                self._clear(file)
                self._done.append(file)
            except LeftAlone as why:
                self._left[str(why)] += 1
        return self._answer(ended)

    def _clear(self, file: OldFile) -> None:
        if self._asked.dry_run:
            with self._folder.unused(file):
                return
        if self._trash:
            self._trash.keep(self._asked.batch, self._folder, file)
        else:
            self._folder.remove(file)

    def _used(self) -> float:
        """The used share; in a dry run, as it would be."""
        used = self._folder.used_share()
        if self._asked.dry_run:
            used -= self._folder.share_of(sum(file.bytes_on_disk for file in self._done))
        return used

    def _answer(self, ended: str) -> dict[str, Any]:
        freed = sum(file.bytes_on_disk for file in self._done)
        verb = "moved to the trash" if self._trash else "deleted"
        verb = f"would be {verb}" if self._asked.dry_run else verb
        words = [f"{len(self._done)} files ({_size(freed)}) {verb}"]
        words += [f"{number} left alone: {why}" for why, number in self._left.items()]
        words += [ended] if ended else []
        if not self._trash and self._done and not self._asked.dry_run:
            words.append("nothing brings them back")
        answer = {
            "did": "; ".join(words),
            "files": [one_line(file.path(self._folder.path), 300) for file in self._done[:MOST_LISTED]],
            "count": len(self._done),
            "bytes": freed,
            "used_share": round(self._folder.used_share(), 4),
        }
        return answer | ({"batch": self._asked.batch} if self._trash else {})


def _asked(service: str, section: ClearDiskSection, arguments: Mapping[str, Any], key: str) -> _Asked:
    """Raises Refused for whatever is wrong, or beyond what the file allows."""
    if unknown := set(arguments) - TAKES:
        raise Refused(422, f"clear-disk takes no {one_line(', '.join(sorted(unknown)), 100)}")
    folder, parts = _where(service, section, arguments.get("pattern"))
    hours, below = arguments.get("older_than_hours", 24.0), arguments.get("below", 0.0)
    if not _is_number(hours, 87_600.0) or not _is_number(below, 1.0):
        raise Refused(422, "`older_than_hours` must be a number of hours, and `below` a share from 0 to 1")
    keep, dry_run = arguments.get("keep", False), arguments.get("dry_run", False)
    if not isinstance(keep, bool) or not isinstance(dry_run, bool):
        raise Refused(422, "`keep` and `dry_run` must be true or false")
    if keep and not section.trash:
        raise Refused(
            403, f"{service} has no trash, so nothing can be kept: set services.{service}.clear_disk.trash of the file"
        )
    batch = arguments.get("batch") or key or f"{time.time_ns()}"
    if not _is_name(batch):
        raise Refused(422, "`batch` must be a line of text")
    return _Asked(
        folder=folder,
        parts=parts,
        older_than_hours=float(hours),
        below=float(below),
        keep=keep,
        batch=str(batch),
        dry_run=dry_run,
    )


def _where(service: str, section: ClearDiskSection, pattern: object) -> tuple[Path, tuple[str, ...]]:
    """The folder of the agent's file that a pattern is in, and the rest of the pattern. Raises Refused."""
    if not isinstance(pattern, str) or len(pattern) > LONGEST_PATTERN or not pattern.isprintable():
        raise Refused(422, "`pattern` must be a line of text, such as /var/log/orders/*.log.gz")
    path = PurePosixPath(pattern)
    if not path.is_absolute() or ".." in path.parts or "**" in pattern:
        raise Refused(422, "`pattern` must be an absolute path without `..` and `**`")
    if set(path.name) <= set("*?"):
        raise Refused(422, "`pattern` is too wide: name more of the files than `*`")
    for folder in section.folders:
        if path.is_relative_to(folder) and path != PurePosixPath(folder):
            return folder, path.parts[len(folder.parts) :]
    raise Refused(
        403,
        f"{one_line(pattern, 100)} is in none of services.{service}.clear_disk.folders of the agent's file: "
        f"{', '.join(map(str, section.folders))}",
    )


def _is_number(value: object, most: float) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and math.isfinite(value) and 0 <= value <= most  # type: ignore[arg-type,operator]


def _is_name(value: object) -> bool:
    return isinstance(value, str) and value.isprintable() and 0 < len(value) <= LONGEST_PATTERN


def _size(number: float) -> str:
    for unit in ("B", "kB", "MB"):
        if number < 1000:
            return f"{number:.0f} {unit}"
        number /= 1000
    return f"{number:.1f} GB"
