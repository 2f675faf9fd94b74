"""How a role says that it is ready, and on which ports: `data_dir/run/<role>.json`.

The file names the process and when it began, so that a stale one counts as not ready: its process is gone, or its
number is another program's by now. What is no such file (cut short, a folder, another's) counts as not ready, too.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from watchkeeper.config import Config
from watchkeeper.private_files import private_folder, unusable
from watchkeeper.process_identity import began


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """A role that answers: its process id and its ports by name."""

    pid: int
    ports: Mapping[str, int]


def path_of(config: Config, role: str) -> Path:
    return config.data_dir / "run" / f"{role}.json"


def announce(config: Config, role: str, ports: Mapping[str, int]) -> None:
    """Write the ready file, whole or not at all."""
    path = path_of(config, role)
    private_folder(path.parent)
    draft = path.with_suffix(f".{os.getpid()}")
    facts = {"pid": os.getpid(), "began": began(os.getpid()), "ports": dict(ports)}
    try:
        draft.write_text(json.dumps(facts))
        draft.chmod(0o600)
        draft.replace(path)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise unusable(path, error) from error


def withdraw(config: Config, role: str) -> None:
    """Remove this process's own ready file, at the end of a role."""
    ready = read(config, role)
    if ready and ready.pid == os.getpid():
        path_of(config, role).unlink(missing_ok=True)


def read(config: Config, role: str) -> Ready | None:
    """The role's ready file, or None where there is none that can be read, or its process is gone."""
    try:
        data = json.loads(path_of(config, role).read_text(encoding="utf-8"))
        ready = Ready(pid=int(data["pid"]), ports={str(name): int(port) for name, port in data["ports"].items()})
        process_began = int(data["began"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        return None
    if ready.pid <= 0 or any(not 0 <= port <= 65535 for port in ready.ports.values()):
        return None
    return ready if began(ready.pid) == process_began else None
