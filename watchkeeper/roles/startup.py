"""Whether a process that is not ready yet still moves, however slow the machine is.

It moves while it computes, reads, writes its log, or says that it is at something else. A machine so busy that a
start takes ten minutes is waited for; a process that does nothing at all for `STILL_S` is not.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import psutil

from watchkeeper.config import Config
from watchkeeper.roles import heartbeat as heart

STILL_S: Final = 120.0  # seconds
# Below this, seconds of computing and bytes read are what a process does that only waits.
LEAST_CPU_S: Final = 0.1
LEAST_READ: Final = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """How far a process has come: seconds computed, bytes read, the size of its log, and what it says it does."""

    cpu_s: float = 0.0
    read: int = 0
    log: int = 0
    phase: str = ""

    def is_beyond(self, before: Mark) -> bool:
        return (
            self.cpu_s - before.cpu_s >= LEAST_CPU_S
            or self.read - before.read >= LEAST_READ
            or (self.log, self.phase) != (before.log, before.phase)
        )


@dataclass(slots=True, kw_only=True)
class Movement:
    """Follows one process from its start. `look` from time to time; `still_s` is for how long nothing moved.

    Time counts only as far as whoever looks was running: a laptop's sleep or a stopped terminal is nobody's fault.
    """

    look_at: Callable[[], Mark]
    clock: Callable[[], float] = time.monotonic
    mark: Mark = field(default_factory=Mark)
    still_s: float = 0.0
    looked_at: float | None = None

    def look(self) -> None:
        now = self.clock()
        between = 0.0 if self.looked_at is None else min(now - self.looked_at, LONGEST_BETWEEN_S)
        self.looked_at = now
        mark = self.look_at()
        if mark.is_beyond(self.mark):
            self.mark, self.still_s = mark, 0.0
        else:
            self.still_s += between


# Between two looks of somebody who runs, however busy the machine.
LONGEST_BETWEEN_S: Final = 2.0


def mark_of(config: Config, role: str, pid: int, log: Path) -> Mark:
    """How far a role's process has come by now."""
    pulse = heart.read(config, role)
    return mark_of_process(pid, log, pulse.phase if pulse and pulse.pid == pid else "")


def mark_of_process(pid: int, log: Path, phase: str = "") -> Mark:
    """How far any process and its children have come by now."""
    try:
        size = log.stat().st_size
    except OSError:
        size = 0
    cpu_s, read = _work_of(pid)
    return Mark(cpu_s=cpu_s, read=read, log=size, phase=phase)


def _work_of(pid: int) -> tuple[float, int]:
    """Seconds computed and bytes read by a process and its children."""
    cpu_s, read = 0.0, 0
    try:
        root = psutil.Process(pid)
        for process in (root, *root.children(recursive=True)):
            times = process.cpu_times()
            cpu_s += times.user + times.system
            read += process.io_counters().read_chars
    except psutil.Error:
        pass
    return cpu_s, read
