"""The state database as a file: who uses it, whether it is intact, and what happens where it is not.

A file that is damaged (cut short, overwritten, not a database), or that a newer Watchkeeper wrote, is moved aside,
never deleted; the newest good backup takes its place, or an empty database where there is none. Only whoever is alone
with the file may do that. A file that is locked, unreadable, or on a disk that fails is not damaged: that is
reported, and nothing moves.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import sqlite3
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from urllib.parse import quote

from watchkeeper.errors import StateError
from watchkeeper.private_files import unusable
from watchkeeper.state.revision import known_revisions

DAMAGE: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
LOCKED: Final = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
NOTE: Final = ".note"
# How what was moved aside is called: state.db.damaged-20260301T030000Z, and its note beside it.
ASIDE: Final = ("damaged", "newer", "replaced")
BUSY_S: Final = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Damage:
    """Why a file cannot be the state database: `kind` names it aside, `reason` is for a human."""

    kind: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Repair:
    """What was done about a damaged file: where it is kept, why, and which backup took its place, if any."""

    aside: Path
    reason: str
    backup: Path | None

    def __str__(self) -> str:
        if self.backup:
            instead = (
                f"the backup {self.backup} took its place: what happened since is missing. Earlier ones are beside it; "
                "with every role stopped, `watchkeeper restore FILE` puts one back"
            )
        else:
            instead = "there is no backup of it, so it begins empty"
        return f"the state database was not usable ({self.reason}). It is kept as {self.aside}; {instead}."


class Use:
    """This process's share in a database file: many may use it, one alone may move it."""

    def __init__(self, path: Path) -> None:
        name = path.with_name(f"{path.name}.use")
        self._file = -1
        try:
            self._file = os.open(name, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise StateError(unusable(name, error).message) from error

    def alone(self) -> bool:
        """Whether nobody else uses the file; if so, nobody does until `share`."""
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def share(self) -> None:
        """Use it beside others, until `close`."""
        fcntl.flock(self._file, fcntl.LOCK_SH)

    def __del__(self) -> None:  # a database that nobody closed
        self.close()

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


@contextmanager
def opening(path: Path) -> Iterator[None]:
    """One process opens, migrates or repairs at a time; others wait."""
    name = path.with_name(f"{path.name}.lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(name, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise StateError(unusable(name, error).message) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def repair(path: Path, backups: Sequence[Path], now: datetime | None = None) -> Repair | None:
    """Move a damaged file aside and put the newest good backup in its place; None where nothing is damaged.

    Raises:
        StateError: it cannot be read, is locked by another program, or others use it while it is damaged.
    """
    with opening(path):
        use = Use(path)
        try:
            if not use.alone():
                return None  # it works for whoever uses it
            return repair_alone(path, backups, now or datetime.now(UTC))
        finally:
            use.close()


def repair_alone(path: Path, backups: Sequence[Path], now: datetime) -> Repair | None:
    """As `repair`, for whoever is alone with the file already."""
    damage = damage_of(path)
    if damage is None and backups and path.exists() and path.stat().st_size == 0:
        damage = Damage(kind="damaged", reason="it is empty, though there are backups of it")
    if damage is None:
        return None
    aside = move_aside(path, damage.kind, now)
    backup = next((one for one in backups if put_in_place(one, path)), None)
    done = Repair(aside=aside, reason=damage.reason, backup=backup)
    with contextlib.suppress(OSError):  # a note less on a full disk must not keep the start from happening
        note = aside.with_name(aside.name + NOTE)
        note.write_text(f"{done}\n", encoding="utf-8")
        note.chmod(0o600)
    return done


def put_in_place(backup: Path, path: Path) -> bool:
    """Copy a backup to where the database is; False where the backup itself is not usable.

    Raises:
        StateError: the copy cannot be written.
    """
    draft = path.with_name(f"{path.name}.restoring-{os.getpid()}")
    try:
        if not backup.is_file() or backup.stat().st_size == 0:
            return False
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as copy, backup.open("rb") as source:
            shutil.copyfileobj(source, copy, 1 << 20)
            copy.flush()
            os.fsync(descriptor)
        if damage_of(draft, immutable=True):
            return False
        for suffix in ("-wal", "-shm"):  # of another file: replayed over this one, it would damage it
            stray = path.with_name(path.name + suffix)
            if stray.exists():
                stray.rename(path.with_name(f"{path.name}{suffix}.stray-{datetime.now(UTC):%Y%m%dT%H%M%S%fZ}"))
        marker_of(path).write_text(f"{backup}\n", encoding="utf-8")  # first: a kill in between must not hide it
        draft.replace(path)
        _sync_folder(path)
    except OSError as error:
        raise StateError(unusable(path, error).message) from error
    finally:
        draft.unlink(missing_ok=True)
    return True


def marker_of(path: Path) -> Path:
    """Stands beside a database that came from a backup, until what it had begun was looked at."""
    return path.with_name(f"{path.name}.restored")


def move_aside(path: Path, kind: str, now: datetime) -> Path:
    """Rename a database, with what belongs to it, so that nothing of it is lost. Raises StateError."""
    aside = path.with_name(f"{path.name}.{kind}-{now:%Y%m%dT%H%M%SZ}")
    while aside.exists():
        aside = aside.with_name(aside.name + "x")
    try:
        for suffix in ("-wal", "-shm", ""):
            part = path.with_name(path.name + suffix)
            if part.exists():
                part.rename(aside.with_name(aside.name + suffix))
        _sync_folder(path)
    except OSError as error:
        raise StateError(unusable(path, error).message) from error
    return aside


def notes(path: Path) -> dict[Path, str]:
    """What was moved aside from a database's place and is still there, by path, with what is reported of it."""
    found = {}
    for kind in ASIDE[:2]:
        for aside in sorted(path.parent.glob(f"{path.name}.{kind}-*")):
            if aside.name.endswith((NOTE, "-wal", "-shm")):
                continue
            try:
                text = aside.with_name(aside.name + NOTE).read_text(encoding="utf-8").strip()
            except (OSError, ValueError):
                text = f"a state database that was not usable is kept as {aside}"
            found[aside] = text
    return found


def damage_of(path: Path, *, immutable: bool = False) -> Damage | None:
    """Why a file cannot be the state database, or None. Reads all of it. `immutable`: nobody writes to it.

    Raises:
        StateError: it is unknown: no right to read, locked by another program, a disk that fails.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StateError(unusable(path, error).message) from error
    if not stat.S_ISREG(mode):
        return Damage(kind="damaged", reason="it is a folder" if stat.S_ISDIR(mode) else "it is no file")
    if path.stat().st_size == 0:
        return None  # a database that was never written to
    try:
        options = "mode=ro&immutable=1" if immutable else "mode=rw"
        with contextlib.closing(
            sqlite3.connect(f"file:{quote(str(path))}?{options}", uri=True, timeout=BUSY_S)
        ) as connection:
            return _damage_in(connection)
    except sqlite3.DatabaseError as error:
        code = primary(error)
        if code in DAMAGE:
            return Damage(kind="damaged", reason=str(error))
        advice = "another program holds it; stop that one" if code in LOCKED else "nothing was moved or changed"
        raise StateError(f"the state database {path} cannot be read: {error} ({advice})", retry=True) from error


def _damage_in(connection: sqlite3.Connection) -> Damage | None:
    found = [str(row[0]) for row in connection.execute("PRAGMA quick_check(1)")]
    if found != ["ok"]:
        return Damage(kind="damaged", reason=" ".join("; ".join(found).split()))
    tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if "alembic_version" not in tables:
        ours = tables & {"incidents", "incident_events", "timers", "outbox"}
        return Damage(kind="damaged", reason="it holds tables, but not their version") if ours else None
    known = known_revisions()
    for (version,) in connection.execute("SELECT version_num FROM alembic_version"):
        if version not in known:
            return Damage(kind="newer", reason=newer(str(version)))
    return None


def newer(version: str) -> str:
    """Why this version cannot use a schema that it does not know."""
    return f"a newer Watchkeeper wrote it: its schema is {version}, this version knows {max(known_revisions())}"


def primary(error: BaseException) -> int:
    """SQLite's own number of an error, without its finer parts; 0 where it has none."""
    return int(getattr(error, "sqlite_errorcode", 0) or 0) & 0xFF


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
