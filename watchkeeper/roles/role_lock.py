"""One of each role on one data directory: whoever comes second learns who was first.

The claim is a lock that the kernel gives back when its process ends, however it ends.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from watchkeeper.config import Config
from watchkeeper.errors import WatchkeeperError
from watchkeeper.private_files import OTHERS, close_to_others, private_folder, unusable

FOLDERS: Final = ("run", "log", "secrets", "ingest-log", "store")
SUPERVISOR: Final = "up"


@contextmanager
def claimed(config: Config, name: str) -> Iterator[None]:
    """Be the one `name` (a role, or `up`) on this data directory, for the length of the block.

    Makes the data directory and its folders where they are missing, readable by their owner alone.

    Raises:
        ConfigError: the data directory cannot be used; says what to do.
        WatchkeeperError: another process has the claim; names it.
    """
    for folder in FOLDERS:
        private_folder(config.data_dir / folder)
    path = config.data_dir / "run" / f"{name}.lock"
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise unusable(path, error) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise _taken(config, name, path) from None
        try:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        except OSError as error:  # the first thing that is written: a full disk shows here
            raise unusable(path, error) from error
        yield
    finally:
        os.close(descriptor)


@contextmanager
def claimed_by_role(config: Config, role: str) -> Iterator[None]:
    """A claim for a whole process: whatever it writes from here on is its owner's alone."""
    with claimed(config, role):
        os.umask(OTHERS)
        for path in (*config.data_dir.glob("state.db*"), *(config.data_dir / "log").glob("*")):
            with contextlib.suppress(OSError):  # not ours to change; whoever opens it says so
                close_to_others(path)
        yield


def _taken(config: Config, name: str, path: Path) -> WatchkeeperError:
    pid = path.read_text(errors="replace").strip() or "unknown"
    if name == SUPERVISOR:
        return WatchkeeperError(
            f"`watchkeeper up` is already running on {config.data_dir} (pid {pid}). "
            "Stop that one first, or set another data_dir."
        )
    return WatchkeeperError(
        f"the role {name} is already running on {config.data_dir} (pid {pid}). "
        "Stop that one first (`watchkeeper up` runs every role), or set another data_dir."
    )
