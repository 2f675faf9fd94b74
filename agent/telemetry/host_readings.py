"""What the host itself does, under the names of OpenTelemetry's semantic conventions for systems (1.43).

Only local file systems are asked: a network file system whose server is away would hold the agent for ever.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from agent.telemetry.points import Point

LOCAL: Final = frozenset({"ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "jfs", "bcachefs", "reiserfs", "vfat"})
_MODES: Final = ("user", "nice", "system", "idle", "iowait", "irq", "steal")
_VIRTUAL: Final = ("lo", "veth", "docker", "br-", "cali", "flannel", "cni", "ifb", "dummy")


@dataclass(frozen=True, slots=True, kw_only=True)
class Filesystem:
    """One local file system. `free` is what users other than root may still write, in bytes."""

    device: str
    mountpoint: str
    type: str
    writable: bool
    used: int
    free: int
    reserved: int

    @property
    def used_share(self) -> float:
        """0 to 1, as `df` shows it."""
        return self.used / (self.used + self.free) if self.used + self.free else 0.0


def filesystems() -> list[Filesystem]:
    """Each local file system once, at its shortest mount point; of layered ones the root's alone."""
    found: dict[int, Filesystem] = {}
    for part in sorted(psutil.disk_partitions(all=True), key=lambda each: len(each.mountpoint)):
        if part.fstype not in LOCAL and (part.fstype, part.mountpoint) != ("overlay", "/"):
            continue
        with suppress(OSError):
            device = os.stat(part.mountpoint).st_dev  # noqa: PTH116 - no `Path`: every few seconds, for months
            status = os.statvfs(part.mountpoint)
            if device in found or not status.f_blocks or not os.path.isdir(part.mountpoint):  # noqa: PTH112
                continue
            size = status.f_frsize
            found[device] = Filesystem(
                device=part.device,
                mountpoint=part.mountpoint,
                type=part.fstype,
                writable="rw" in part.opts.split(","),
                used=(status.f_blocks - status.f_bfree) * size,
                free=status.f_bavail * size,
                reserved=(status.f_bfree - status.f_bavail) * size,
            )
    return list(found.values())


class HostReadings:
    """Reads the host; utilization is since the reading before."""

    def __init__(self) -> None:
        self._before: dict[str, float] | None = None
        self.booted_ns = int(psutil.boot_time() * 1e9)

    def read(self) -> list[Point]:
        """Every point now. What this host does not have is left out."""
        points: list[Point] = []
        for read in (self._processor, _memory, _filesystem_points, _disks, _network):
            with suppress(OSError, RuntimeError, NotImplementedError):  # psutil, where the kernel lacks a file
                points.extend(read())
        return points

    def _processor(self) -> Iterator[Point]:
        times = psutil.cpu_times()._asdict()
        now = {("interrupt" if mode == "irq" else mode): times.get(mode, 0.0) for mode in _MODES}
        now["interrupt"] += times.get("softirq", 0.0)
        before, self._before = self._before, now
        for mode, seconds in now.items():
            yield Point(name="system.cpu.time", unit="s", value=seconds, kind="counter", attributes={"cpu.mode": mode})
        if before:
            spent = {mode: max(0.0, now[mode] - before[mode]) for mode in now}
            total = sum(spent.values()) or 1.0
            for mode, seconds in spent.items():
                yield Point(
                    name="system.cpu.utilization", unit="1", value=seconds / total, attributes={"cpu.mode": mode}
                )
        yield Point(name="system.cpu.logical.count", unit="{cpu}", value=os.cpu_count() or 1, kind="updown")
        # As the Collector's host receiver names it; the conventions have no name for it.
        yield Point(name="system.cpu.load_average.1m", unit="{thread}", value=os.getloadavg()[0])
        yield Point(name="system.uptime", unit="s", value=time.clock_gettime(time.CLOCK_BOOTTIME))
        count = sum(1 for name in os.listdir("/proc") if name.isdecimal())  # noqa: PTH208
        yield Point(name="system.process.count", unit="{process}", value=count, kind="updown")


def _memory() -> Iterator[Point]:
    memory = psutil.virtual_memory()
    for state in ("used", "free", "cached", "buffers"):
        value, attributes = getattr(memory, state), {"system.memory.state": state}
        yield Point(name="system.memory.usage", unit="By", value=value, kind="updown", attributes=attributes)
        yield Point(name="system.memory.utilization", unit="1", value=value / memory.total, attributes=attributes)
    yield Point(name="system.memory.limit", unit="By", value=memory.total, kind="updown")
    yield Point(name="system.memory.linux.available", unit="By", value=memory.available, kind="updown")
    swap = psutil.swap_memory()
    if swap.total:
        for state in ("used", "free"):
            value, attributes = getattr(swap, state), {"system.paging.state": state}
            yield Point(name="system.paging.usage", unit="By", value=value, kind="updown", attributes=attributes)
            yield Point(name="system.paging.utilization", unit="1", value=value / swap.total, attributes=attributes)


def _filesystem_points() -> Iterator[Point]:
    for each in filesystems():
        attributes = {
            "system.device": each.device,
            "system.filesystem.mountpoint": each.mountpoint,
            "system.filesystem.type": each.type,
            "system.filesystem.mode": "rw" if each.writable else "ro",
        }
        for state in ("used", "free", "reserved"):
            with_state = {**attributes, "system.filesystem.state": state}
            value = getattr(each, state)
            yield Point(name="system.filesystem.usage", unit="By", value=value, kind="updown", attributes=with_state)
        yield Point(name="system.filesystem.utilization", unit="1", value=each.used_share, attributes=attributes)


def _disks() -> Iterator[Point]:
    for name, disk in psutil.disk_io_counters(perdisk=True).items():
        if name.startswith(("loop", "ram", "zram")) or not os.path.exists(f"/sys/block/{name}"):  # noqa: PTH110 - or a part of one
            continue
        for direction in ("read", "write"):
            attributes = {"system.device": name, "disk.io.direction": direction}
            size, count = getattr(disk, f"{direction}_bytes"), getattr(disk, f"{direction}_count")
            yield Point(name="system.disk.io", unit="By", value=size, kind="counter", attributes=attributes)
            yield Point(
                name="system.disk.operations", unit="{operation}", value=count, kind="counter", attributes=attributes
            )
        yield Point(
            name="system.disk.io_time",
            unit="s",
            value=getattr(disk, "busy_time", 0) / 1000,
            kind="counter",
            attributes={"system.device": name},
        )


def _network() -> Iterator[Point]:
    for name, interface in psutil.net_io_counters(pernic=True).items():
        if name.startswith(_VIRTUAL):
            continue
        for direction, words in (("transmit", ("sent", "out")), ("receive", ("recv", "in"))):
            attributes = {"network.interface.name": name, "network.io.direction": direction}
            for metric, unit, value in (
                ("system.network.io", "By", getattr(interface, f"bytes_{words[0]}")),
                ("system.network.packet.count", "{packet}", getattr(interface, f"packets_{words[0]}")),
                ("system.network.packet.dropped", "{packet}", getattr(interface, f"drop{words[1]}")),
                ("system.network.errors", "{error}", getattr(interface, f"err{words[1]}")),
            ):
                yield Point(name=metric, unit=unit, value=value, kind="counter", attributes=attributes)


def host_id() -> str:
    """The machine's id; empty where it has none."""
    for place in ("/etc/machine-id", "/var/lib/dbus/machine-id"):
        with suppress(OSError):
            if text := Path(place).read_text(encoding="ascii", errors="replace").strip():
                return text
    return ""


def oom_kills() -> int | None:
    """How many processes the kernel has killed for lack of memory since the boot; None where it does not say."""
    with suppress(OSError, ValueError), open("/proc/vmstat", encoding="ascii") as file:  # noqa: PTH123
        for line in file:
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    return None
