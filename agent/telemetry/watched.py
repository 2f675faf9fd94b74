"""The services of the agent's file as processes: which run now, and what they use, summed for each instance.

Finding a service may ask other programs. What was found is kept while its main processes live, for a minute at most.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

import psutil

from agent.instance import Instance
from agent.processes import all_seen, is_alive
from agent.services import Services
from agent.telemetry.points import Point
from watchkeeper.errors import AgentError

FIND_AGAIN_S: Final = 60.0


@dataclass(slots=True)
class _Used:
    """What an instance has used so far. Children that ended are still counted."""

    at: float
    cpu: dict[str, float] = field(default_factory=lambda: {"user": 0.0, "system": 0.0})
    disk: dict[str, int] = field(default_factory=lambda: {"read": 0, "write": 0})
    before: dict[int, tuple[float, float, float, int, int]] = field(default_factory=dict)  # of each process


class WatchedServices:
    """Threads may share it.

    Args:
        names: the services of the file.
        missing_s: for how long one that was not found is taken as missing before it is looked for again.
    """

    def __init__(self, services: Services, names: tuple[str, ...], missing_s: float) -> None:
        self.names = names
        self._missing_s = missing_s
        self._services = services
        self._lock = threading.Lock()
        self._found: dict[str, tuple[float, tuple[Instance, ...]]] = {}
        self._used: dict[tuple[str, str], _Used] = {}

    def instances(self, name: str) -> tuple[Instance, ...] | None:
        """What runs of a service; None where nobody knows now."""
        with self._lock:
            at, found = self._found.get(name, (-FIND_AGAIN_S, ()))
            now = time.monotonic()
            kept_s = FIND_AGAIN_S if found else self._missing_s
            if now - at < kept_s and all(is_alive(each.pid, each.born) for each in found):
                return found
            try:
                # One that ended between being found and being looked at has no identity.
                found = tuple(each for each in self._services.instances(name) if each.born)
            except AgentError:
                return None
            except Exception:  # noqa: BLE001 - a finder of another package: what it cannot say is not known
                return None
            self._found[name] = (now, found)
            return found

    def read(self) -> list[tuple[str, Instance, list[Point]]]:
        """The points of each instance that runs."""
        children: dict[int, list[int]] = {}
        for process in all_seen():
            children.setdefault(process.parent, []).append(process.pid)
        readings, seen = [], set()
        for name in self.names:
            for instance in self.instances(name) or ():
                pids = list(instance.pids)
                for pid in pids:
                    pids.extend(child for child in children.get(pid, ()) if child not in pids)
                seen.add((name, instance.name))
                used = self._used.setdefault((name, instance.name), _Used(at=0.0))
                if points := list(_points(instance, pids, used)):
                    readings.append((name, instance, points))
        for gone in self._used.keys() - seen:
            del self._used[gone]
        return readings


def _points(instance: Instance, pids: list[int], used: _Used) -> Iterator[Point]:
    """The sums over the processes of an instance; nothing where none is left."""
    sums = {"rss": 0, "virtual": 0, "threads": 0, "files": 0}
    now, last, elapsed = time.monotonic(), used.at, 0.0
    before, spent_before = dict(used.before), sum(used.cpu.values())
    used.before, used.at, files_known = {}, now, True
    for pid in pids:
        with suppress(psutil.Error, OSError):
            process = psutil.Process(pid)
            with process.oneshot():
                born, cpu, memory = process.create_time(), process.cpu_times(), process.memory_info()
                sums["threads"] += process.num_threads()
            sums["rss"] += memory.rss
            sums["virtual"] += memory.vms
            read, written = _disk(process)
            old = before.get(pid)
            base = old if old and old[0] == born else (born, 0.0, 0.0, 0, 0)
            used.cpu["user"] += max(0.0, cpu.user - base[1])
            used.cpu["system"] += max(0.0, cpu.system - base[2])
            used.disk["read"] += max(0, read - base[3])
            used.disk["write"] += max(0, written - base[4])
            used.before[pid] = (born, cpu.user, cpu.system, read, written)
            try:
                sums["files"] += process.num_fds()
            except psutil.AccessDenied:
                files_known = False
    if not used.before:
        return
    for mode, seconds in used.cpu.items():
        yield Point(name="process.cpu.time", unit="s", value=seconds, kind="counter", attributes={"cpu.mode": mode})
    elapsed = now - last
    if last and elapsed > 0:
        share = (sum(used.cpu.values()) - spent_before) / elapsed / (os.cpu_count() or 1)
        yield Point(name="process.cpu.utilization", unit="1", value=share)
    yield Point(name="process.memory.usage", unit="By", value=sums["rss"], kind="updown")
    yield Point(name="process.memory.virtual", unit="By", value=sums["virtual"], kind="updown")
    yield Point(name="process.thread.count", unit="{thread}", value=sums["threads"], kind="updown")
    if files_known:
        yield Point(
            name="process.unix.file_descriptor.count", unit="{file_descriptor}", value=sums["files"], kind="updown"
        )
    for direction, size in used.disk.items():
        attributes = {"disk.io.direction": direction}
        yield Point(name="process.disk.io", unit="By", value=size, kind="counter", attributes=attributes)
    yield Point(name="process.uptime", unit="s", value=max(0.0, time.time() - instance.started))


def _disk(process: psutil.Process) -> tuple[int, int]:
    """Bytes read and written; 0 where this user may not know."""
    try:
        counters = process.io_counters()
    except (psutil.AccessDenied, NotImplementedError):
        return 0, 0
    return counters.read_bytes, counters.write_bytes
