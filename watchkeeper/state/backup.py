"""Copies of the state database, made by SQLite's own means while everybody works on.

A copy holds incidents, timers, messages, labels and models: no telemetry, and no secret. PostgreSQL has backups of its
own; this is about the file beside the data.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final
from urllib.parse import quote

from sqlalchemy import make_url

from watchkeeper.config import Config
from watchkeeper.errors import NotFound, StateError
from watchkeeper.private_files import private_folder, unusable
from watchkeeper.state import sqlite_file

EVERY: Final = timedelta(days=1)
KEPT: Final = 7
FORM: Final = "state-%Y%m%dT%H%M%SZ.db"


def file_of(config: Config) -> Path | None:
    """Where the state database's file is; None where it is no file of ours (PostgreSQL)."""
    url = make_url(config.state_url)
    if url.get_backend_name() != "sqlite" or not url.database or url.database == ":memory:":
        return None
    return Path(url.database)


def restored_marker(config: Config) -> Path | None:
    """The file that stands where a backup took the database's place and its runs were not looked at yet."""
    source = file_of(config)
    return source and sqlite_file.marker_of(source)


def folder_of(config: Config) -> Path:
    return config.data_dir / "backups"


def backups(config: Config) -> list[Path]:
    """The daily copies, newest first."""
    return sorted(folder_of(config).glob("state-*.db"), reverse=True)


def back_up(config: Config, to: Path | None = None, now: datetime | None = None) -> Path:
    """Copy the state database to a file, or to the folder of the daily copies; whole or not at all.

    Raises:
        StateError: there is none, it is damaged, it is no file, or the copy cannot be written.
    """
    source = file_of(config)
    if source is None:
        raise StateError("the state is in PostgreSQL: back it up with its own means (`pg_dump`)")
    if not source.exists():
        raise NotFound(f"there is no state database at {source} yet")
    to = to or private_folder(folder_of(config)) / f"{now or datetime.now(UTC):{FORM}}"
    draft = to.with_name(f".{to.name}.{os.getpid()}")
    try:
        os.close(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600))
        uri = f"file:{quote(str(source))}?mode=ro"
        with (
            contextlib.closing(sqlite3.connect(uri, uri=True, timeout=sqlite_file.BUSY_S)) as live,
            contextlib.closing(sqlite3.connect(draft)) as copy,
        ):
            live.backup(copy)
            copy.execute("PRAGMA journal_mode = DELETE")  # one file, without a log beside it
        damage = sqlite_file.damage_of(draft, immutable=True)
        if damage:
            raise StateError(f"{source} is damaged ({damage.reason}): no copy was kept. Stop all roles and start again")
        with draft.open("rb+") as file:
            os.fsync(file.fileno())
        draft.replace(to)
    except OSError as error:
        raise StateError(unusable(to, error).message) from error
    except sqlite3.Error as error:
        raise StateError(f"{source} cannot be copied to {to}: {error}", retry=True) from error
    finally:
        for suffix in ("", "-journal", "-wal", "-shm"):
            draft.with_name(draft.name + suffix).unlink(missing_ok=True)
    return to


def back_up_daily(config: Config, now: datetime) -> Path | None:
    """Make the day's copy where the newest is a day old, and drop what is over `KEPT`; the copy, if one was made."""
    source = file_of(config)
    if source is None or not source.exists():
        return None
    known = backups(config)
    made = [at for path in known if (at := _made_at(path)) is not None and at <= now + timedelta(hours=1)]
    if made and now - max(made) < EVERY:
        return None
    copy = back_up(config, now=now)
    for old in backups(config)[KEPT:]:
        old.unlink(missing_ok=True)
    return copy


def restore(config: Config, backup: Path, now: datetime | None = None) -> Path | None:
    """Put a backup in the state database's place; what was there is kept, and its new path returned, if any.

    Raises:
        StateError: somebody uses the database, or the backup is not usable.
    """
    path = file_of(config)
    if path is None:
        raise StateError("the state is in PostgreSQL: restore it with its own means (`pg_restore`)")
    if not backup.is_file():
        raise NotFound(f"there is no backup {backup}; the daily copies are in {folder_of(config)}")
    with sqlite_file.opening(path):
        use = sqlite_file.Use(path)
        try:
            if not use.alone():
                raise StateError(f"{path} is in use. Stop every role first (`watchkeeper doctor` lists them)")
            if damage := sqlite_file.damage_of(backup, immutable=True):
                raise StateError(f"{backup} is not usable: {damage.reason}")
            aside = sqlite_file.move_aside(path, "replaced", now or datetime.now(UTC)) if path.exists() else None
            if not sqlite_file.put_in_place(backup, path):
                raise StateError(f"{backup} is not usable")
            return aside
        finally:
            use.close()


def _made_at(path: Path) -> datetime | None:
    try:
        return datetime.strptime(path.name, FORM).replace(tzinfo=UTC)
    except ValueError:
        return None
