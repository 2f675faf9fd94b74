"""The fault `disk_full`."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from agent.faults.asked import number
from agent.holders import marked
from agent.holders.fill_disk import free_bytes
from watchkeeper.errors import AgentError

if TYPE_CHECKING:
    from agent.fault import Record
    from agent.instance import Instance

_MB: Final = 1_000_000
_NO_BOUND_MB: Final = 1e12


class DiskFull:
    """A file takes the space of the file system that holds `fill_folder` of the agent's file.

    Up to `mb` (0: all there is), but for `leave_mb`. In the agent's file, `fill_most_mb` is the most that may be taken,
    and `fill_leave_mb` (64) the least that stays. The file has no name: the kernel frees it when the process that holds
    it ends, however it ends.
    """

    name = "disk_full"
    description = "the file system that it writes to is full"
    arguments: Mapping[str, float | str] = MappingProxyType({"mb": 0.0, "leave_mb": 64.0})

    def lacks(self, instance: Instance) -> str:
        folder = instance.settings.get("fill_folder", "")
        if not folder:
            return "the agent's file names no folder that may be filled; set `fill_folder`"
        if not Path(folder).is_dir():
            return f"the folder {folder} does not exist"
        return "" if os.access(folder, os.W_OK) else f"the agent may not write into {folder}"

    def plan(self, instance: Instance, seconds: float, arguments: Mapping[str, float | str]) -> dict[str, Any]:
        folder = instance.settings["fill_folder"]
        leave = max(number(arguments, "leave_mb", 0.0, 1e9), _setting(instance, "fill_leave_mb", "64"))
        most = number(arguments, "mb", 0.0, 1e9) or _NO_BOUND_MB
        most = min(most, _setting(instance, "fill_most_mb", "0") or _NO_BOUND_MB)
        return {
            "mark": marked.new_mark(),
            "folder": folder,
            "bytes": int(most * _MB),
            "leave": int(leave * _MB),
            "free_before": free_bytes(folder),
            "until": time.time() + seconds,
        }

    def begin(self, record: Record) -> None:
        asked = {name: record[name] for name in ("folder", "bytes", "leave")}
        marked.start("fill_disk", record["mark"], seconds=record["until"] - time.time(), **asked)

    def effect(self, record: Record) -> str:
        free = free_bytes(record["folder"])
        wanted = min(record["bytes"], record["free_before"] - record["leave"])
        if record["free_before"] - free < wanted * 0.5:
            return ""
        return f"{record['folder']} has {free // _MB} MB free; it had {record['free_before'] // _MB} MB"

    def end(self, record: Record) -> None:
        marked.end(record["mark"])

    def remains(self, record: Record) -> tuple[str, ...]:
        return marked.remaining(record["mark"])


def _setting(instance: Instance, name: str, default: str) -> float:
    """Megabytes from the agent's file. Raises AgentError."""
    text = instance.settings.get(name, default)
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < _NO_BOUND_MB:
        raise AgentError(f"{name} of the agent's file must be a number of megabytes, not {text!r}")
    return value
