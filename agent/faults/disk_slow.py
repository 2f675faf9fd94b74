"""The fault `disk_slow`."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from agent.faults.asked import number
from agent.forked import in_child
from agent.holders import marked
from agent.holders.cgroup import join
from agent.holders.put_back import stand_by
from agent.io_limits import NONE, disk_of, dissolve, home_group, limit, limited_group, limits, move
from agent.processes import PROC, is_alive
from watchkeeper.errors import AgentError

if TYPE_CHECKING:
    from agent.fault import Record
    from agent.instance import Instance

FOLDER: Final = "slow_folder"
TIMES: Final = 3  # as long as usual, and it counts as slow
LEAST_SLOWER_S: Final = 0.001
TRIED: Final = 5
PROBE_BYTES: Final = 65_536
WRITERS: Final = 8
MOST_MB: Final = 20_000.0  # that are written where the disk is under pressure


class DiskSlow:
    """Writes to the disk of `slow_folder` of the agent's file take longer.

    The kernel limits what the service may read and write a second, in its own control group (version 1 or 2), or, where
    it has none and there is version 1, in one that is made for it: only the service is hit. Where neither can be had,
    other processes write to the same disk, at most `slow_most_mb` of the agent's file, evenly over the fault's time.
    That hits whatever uses the disk, and how much depends on the disk: on a fast one, no effect may show.
    """

    name = "disk_slow"
    description = "the disk that it writes to is slow"
    arguments: Mapping[str, float | str] = MappingProxyType({"kilobytes_per_second": 256.0})

    def lacks(self, instance: Instance) -> str:
        folder = instance.settings.get(FOLDER, "")
        if not instance.pids:
            return "it does not run"
        if not folder:
            return f"the agent's file names no folder whose disk may be slow; set `{FOLDER}`"
        try:
            if not disk_of(_seen_from_here(instance, folder)):
                return f"{folder} is on no disk of this host"
            if not os.access(_seen_from_here(instance, folder), os.W_OK):
                return f"the agent may not write into {folder}"
        except OSError as error:
            return f"{folder}: {error.strerror or error}"
        return ""

    def plan(self, instance: Instance, seconds: float, arguments: Mapping[str, float | str]) -> dict[str, Any]:
        folder = _seen_from_here(instance, instance.settings[FOLDER])
        speed = int(number(arguments, "kilobytes_per_second", 64.0, 1e7) * 1000)
        text = instance.settings.get("slow_most_mb", f"{MOST_MB:g}")
        if not text.isdecimal() or not 0 < int(text) <= 1e7:
            raise AgentError(f"slow_most_mb of the agent's file must be a number of megabytes, not {text!r}")
        mark, disk, own = marked.new_mark(), disk_of(folder), limited_group(instance.pid)
        home = "" if own else home_group(instance.pid)
        group = own or (f"{home}/{mark}" if home else "")
        try:
            before = limits(group, disk) if own else {"read": NONE, "write": NONE}
        except OSError as error:
            raise AgentError(f"the limits of {group} cannot be read: {error.strerror or error}") from error
        return {
            "mark": mark,
            "pid": [instance.pid, instance.born],
            "home": home,
            "folder": folder,
            "shown": instance.settings[FOLDER],
            "group": group,
            "disk": disk,
            "before": before,
            "wanted": {"read": str(speed), "write": str(speed)},
            "most_bytes": int(text) * 1_000_000,
            "until": time.time() + seconds,
        }

    def begin(self, record: Record) -> None:
        record.note(usual_s=statistics.median(_write_s(record) for _ in range(TRIED)))
        left = record["until"] - time.time()
        if not record["group"]:
            asked = {
                "folder": record["folder"],
                "writers": WRITERS,
                "bytes_per_s": record["most_bytes"] / max(1.0, left),
            }
            marked.start("press_disk", record["mark"], seconds=left, **asked)
            return
        facts = {name: record[name] for name in ("mark", "group", "home", "disk", "before", "wanted")}
        stand_by(record["mark"], f"{__name__}:{type(self).__name__}", left, facts)
        try:
            if record["home"] and is_alive(*record["pid"]):
                move(record["pid"][0], record["group"])
            limit(record["group"], record["disk"], record["wanted"])
        except OSError as error:
            raise AgentError(f"the limits of {record['group']} cannot be set: {error.strerror or error}") from error

    def effect(self, record: Record) -> str:
        if record["group"] and not _is_limited(record):
            return ""
        if seen := record.get("seen"):  # another write would take from what the service may write
            return str(seen) if record["group"] or len(marked.marked(record["mark"])) > 1 else ""
        usual_s, now_s = record["usual_s"], statistics.median(_write_s(record) for _ in range(3))
        if now_s < max(TIMES * usual_s, usual_s + LEAST_SLOWER_S):
            return ""
        by = "in its control group" if record["group"] else "beside other writers"
        words = f"a synced write to {record['shown']} takes {1000 * now_s:.0f} ms {by}; it took {1000 * usual_s:.1f} ms"
        record.note(seen=words)
        return words

    def end(self, record: Record) -> None:
        try:
            if record["group"] and (own := _is_limited(record)):
                limit(record["group"], record["disk"], {what: record["before"][what] for what in own})
            if record["home"]:
                dissolve(record["group"], record["home"])
        except FileNotFoundError:
            pass  # the group is gone, and its limits with it
        except OSError as error:
            words = f"the limits of {record['group']} cannot be put back: {error.strerror or error}"
            raise AgentError(words) from error
        marked.end(record["mark"])

    def remains(self, record: Record) -> tuple[str, ...]:
        left = marked.remaining(record["mark"])
        if record["home"]:
            return (*left, f"the control group {record['group']}") if Path(record["group"]).exists() else left
        return (*left, f"a limit of {record['group']}") if record["group"] and _is_limited(record) else left


def _seen_from_here(instance: Instance, folder: str) -> str:
    """The service's folder, which may be in a mount namespace of its own."""
    return f"{PROC}/{instance.pid}/root{folder}"


def _is_limited(record: Record) -> list[str]:
    """Which of the limits are ours; somebody else's stay."""
    try:
        now = limits(record["group"], record["disk"])
    except OSError:
        return []
    return [what for what, value in record["wanted"].items() if now[what] == value != record["before"][what]]


def _write_s(record: Record) -> float:
    """How long a synced write takes, in the service's control group. Raises AgentError."""

    def write() -> str:
        try:
            # Its write may wait for as long as the limit holds, and nobody may have to wait for it then.
            os.setsid()
            if Path(record["group"] or "/nowhere").exists():
                join([record["group"]])
            return f"{_timed(record['folder'])}"
        except OSError as error:
            raise AgentError(f"{record['shown']} cannot be written: {error.strerror or error}") from error

    return float(in_child(write, "the process that tries the disk"))


def _timed(folder: str) -> float:
    descriptor = os.open(folder, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
    data = os.urandom(PROBE_BYTES)
    began = time.monotonic()
    os.pwrite(descriptor, data, 0)
    os.fsync(descriptor)
    return time.monotonic() - began
