"""The fault `cpu`."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from agent.faults.asked import number
from agent.holders import marked
from agent.holders.cgroup import folder_of

if TYPE_CHECKING:
    from agent.fault import Record
    from agent.instance import Instance

FELT_S: Final = 0.2  # of processor time that the burners had
_TICKS: Final = os.sysconf("SC_CLK_TCK")


class Cpu:
    """Processes burn the cores that the service may use, within its control group where it has one of its own.

    `percent` of each of `cores`; 0 cores: all.
    """

    name = "cpu"
    description = "other processes take the processor from it"
    arguments: Mapping[str, float | str] = MappingProxyType({"percent": 90.0, "cores": 0.0})

    def lacks(self, instance: Instance) -> str:
        return "" if instance.pids else "it does not run"

    def plan(self, instance: Instance, seconds: float, arguments: Mapping[str, float | str]) -> dict[str, Any]:
        percent = number(arguments, "percent", 1.0, 100.0)
        usable = sorted(os.sched_getaffinity(instance.pid))
        cores = int(number(arguments, "cores", 0.0, len(usable)))
        return {
            "mark": marked.new_mark(),
            "percent": percent,
            "burners": cores or len(usable),
            "cores": usable,
            "groups": own_groups(instance.pid, "cpu"),
            "until": time.time() + seconds,
        }

    def begin(self, record: Record) -> None:
        asked = {name: record[name] for name in ("percent", "burners", "cores", "groups")}
        marked.start("burn", record["mark"], seconds=record["until"] - time.time(), **asked)

    def effect(self, record: Record) -> str:
        pids = marked.marked(record["mark"])
        burned = sum(_processor_s(pid) for pid in pids)
        where = " in its control group" if record["groups"] else ""
        return f"{len(pids)} processes burned {burned:.1f} s of processor time{where}" if burned >= FELT_S else ""

    def end(self, record: Record) -> None:
        marked.end(record["mark"])

    def remains(self, record: Record) -> tuple[str, ...]:
        return marked.remaining(record["mark"])


def own_groups(pid: int, controller: str) -> list[str]:
    """The control group that limits a process, where the agent may put others into it and is not in it itself."""
    folder = folder_of(pid, controller)
    if folder is None or folder == folder_of("self", controller) or not os.access(folder / "cgroup.procs", os.W_OK):
        return []
    return [str(folder)]


def _processor_s(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / _TICKS
