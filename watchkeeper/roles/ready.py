"""How a role says that it is ready, and on which ports: `data_dir/run/<role>.json`.

The file names the process too, so a stale one (its process is gone) counts as not ready.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from watchkeeper.config import Config


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """A role that answers: its process id and its ports by name."""

    pid: int
    ports: Mapping[str, int]


def _path(config: Config, role: str) -> Path:
    return config.data_dir / "run" / f"{role}.json"


def announce(config: Config, role: str, ports: Mapping[str, int]) -> None:
    """Write the ready file, whole or not at all."""
    path = _path(config, role)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(f".{os.getpid()}")
    draft.write_text(json.dumps({"pid": os.getpid(), "ports": dict(ports)}))
    draft.replace(path)


def withdraw(config: Config, role: str) -> None:
    """Remove this process's own ready file, at the end of a role."""
    ready = read(config, role)
    if ready and ready.pid == os.getpid():
        _path(config, role).unlink(missing_ok=True)


def read(config: Config, role: str) -> Ready | None:
    """The role's ready file, or None where there is none or its process is gone."""
    try:
        data = json.loads(_path(config, role).read_text())
        ready = Ready(pid=int(data["pid"]), ports={str(k): int(v) for k, v in data["ports"].items()})
    except (FileNotFoundError, ValueError, KeyError):
        return None
    return ready if psutil.pid_exists(ready.pid) else None
