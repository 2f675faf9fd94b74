"""The fault `memory`."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from agent.faults.asked import number
from agent.faults.cpu import own_groups
from agent.holders import marked
from agent.holders.fill_memory import STEP, group_spare, host_spare
from watchkeeper.errors import AgentError

if TYPE_CHECKING:
    from agent.fault import Record
    from agent.instance import Instance

_MB: Final = 1_000_000


class Memory:
    """A process takes memory, within the service's control group where it has one of its own.

    Up to `mb`, and never more than leaves the host a fifth of its memory and the group 2 % of its limit. If memory gets
    scarce all the same, the kernel ends this process first.
    """

    name = "memory"
    description = "another process takes the memory that it needs"
    arguments: Mapping[str, float | str] = MappingProxyType({"mb": 512.0})

    def lacks(self, instance: Instance) -> str:
        if not instance.pids:
            return "it does not run"
        return "" if host_spare() > STEP else "the host has less than a fifth of its memory free"

    def plan(self, instance: Instance, seconds: float, arguments: Mapping[str, float | str]) -> dict[str, Any]:
        return {
            "mark": marked.new_mark(),
            "bytes": int(number(arguments, "mb", 16.0, 1e7) * _MB),
            "groups": own_groups(instance.pid, "memory"),
            "until": time.time() + seconds,
        }

    def begin(self, record: Record) -> None:
        asked = {name: record[name] for name in ("bytes", "groups")}
        if min(host_spare(), group_spare(next(iter(record["groups"]), ""))) <= STEP:
            raise AgentError("there is no memory to take: what is free must stay free")
        marked.start("fill_memory", record["mark"], seconds=record["until"] - time.time(), **asked)

    def effect(self, record: Record) -> str:
        taken = sum(_anonymous(pid) for pid in marked.marked(record["mark"]))
        where = " in its control group" if record["groups"] else ""
        return f"a process holds {taken // _MB} MB{where}" if taken >= min(record["bytes"] // 2, 4 * STEP) else ""

    def end(self, record: Record) -> None:
        marked.end(record["mark"])

    def remains(self, record: Record) -> tuple[str, ...]:
        return marked.remaining(record["mark"])


def _anonymous(pid: int) -> int:
    """Bytes of memory that the process wrote itself; shared mappings without a file count as such."""
    try:
        rows = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    except OSError:
        return 0
    return sum(int(rows[name].split()[0]) * 1024 for name in ("RssAnon", "RssShmem") if name in rows)
