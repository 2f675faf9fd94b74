"""Signs of life: each loop of a role says that it still turns, and others see which one does not.

`data_dir/run/<role>.heart` holds, for each loop, when it last turned and within how many seconds it must turn again,
by the machine's monotonic clock: the same for every process here, never set by anybody, and standing still while the
machine sleeps. The file is overwritten in place, which needs no room on a full disk.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from watchkeeper.config import Config
from watchkeeper.private_files import private_folder, unusable
from watchkeeper.process_identity import began

SIZE: Final = 4096  # bytes: one page, written at once
WRITE_EVERY_S: Final = 1.0
READ_TRIES: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Loop:
    """When a loop last turned (monotonic seconds), and how long it may take to turn again."""

    turned_at: float
    within_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulse:
    """What a role's heart file says: whose it is, what the role is busy with while it starts, and its loops."""

    pid: int
    phase: str = ""
    loops: Mapping[str, Loop] = field(default_factory=dict)

    def hung(self, now: float) -> dict[str, float]:
        """The loops that should have turned by `now` (monotonic seconds), and for how long each has not."""
        return {name: now - loop.turned_at for name, loop in self.loops.items() if now - loop.turned_at > loop.within_s}


def path_of(config: Config, role: str) -> Path:
    return config.data_dir / "run" / f"{role}.heart"


class Heart:
    """The signs of life of this process. Threads may share it."""

    def __init__(self, path: Path | None, clock: Callable[[], float] = time.monotonic) -> None:
        """`path` is where others look; None keeps it to itself (tests)."""
        self._clock = clock
        self._lock = threading.Lock()
        self._loops: dict[str, Loop] = {}
        self._phase = ""
        self._written_at = float("-inf")
        self._file = -1
        if path:
            private_folder(path.parent)
            try:
                self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
            except OSError as error:
                raise unusable(path, error) from error

    def expect(self, loop: str, within_s: float) -> None:
        """From now on `loop` must beat every `within_s`."""
        with self._lock:
            self._loops[loop] = Loop(turned_at=self._clock(), within_s=within_s)
            self._write()

    def beat(self, loop: str) -> None:
        """`loop` turns. One that nobody expects is no news."""
        now = self._clock()
        with self._lock:
            known = self._loops.get(loop)
            if known is None:
                return
            self._loops[loop] = Loop(turned_at=now, within_s=known.within_s)
            if now - self._written_at >= WRITE_EVERY_S:
                self._write()

    def rest(self, loop: str) -> None:
        """`loop` has ended as it should."""
        with self._lock:
            self._loops.pop(loop, None)
            self._write()

    def enter_phase(self, phase: str) -> None:
        """What this process is busy with while it starts."""
        with self._lock:
            self._phase = phase
            self._write()

    def _write(self) -> None:
        self._written_at = self._clock()
        if self._file < 0:
            return
        loops = {name: (round(loop.turned_at, 3), loop.within_s) for name, loop in self._loops.items()}
        pid = os.getpid()
        text = json.dumps({"pid": pid, "began": began(pid), "phase": self._phase, "loops": loops})
        try:
            os.pwrite(self._file, text.encode().ljust(SIZE), 0)
        except OSError:  # a disk so full that not even this works: nobody is restarted for that, see the supervisor
            return


def read(config: Config, role: str) -> Pulse | None:
    """The signs of life of a role that runs; None where it does not, or says nothing."""
    for _ in range(READ_TRIES):  # a write may be under way
        try:
            data = json.loads(path_of(config, role).read_text(encoding="utf-8"))
            loops = {str(k): Loop(turned_at=float(at), within_s=float(w)) for k, (at, w) in data["loops"].items()}
            pulse = Pulse(pid=int(data["pid"]), phase=str(data["phase"]), loops=loops)
            return pulse if pulse.pid > 0 and began(pulse.pid) == int(data["began"]) else None
        except OSError:
            return None
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
            time.sleep(0.002)
    return None
