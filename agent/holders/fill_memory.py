"""Takes memory, in the control group of a service where it has one, and never the host's last fifth."""

from __future__ import annotations

import mmap
from pathlib import Path
from typing import Final

from agent.holders.bounded import Bounds, hold, ready
from agent.holders.cgroup import join, memory_left, memory_limit

STEP: Final = 8 << 20
LOOK_EVERY_S: Final = 0.1
HOST_FREE_SHARE: Final = 0.2
GROUP_FREE_SHARE: Final = 0.02  # at the limit itself the kernel would end a process of the group


def host_spare() -> int:
    """Bytes that may be taken until a fifth of the host's memory is left; negative: some must be given back."""
    rows = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    total, available = (int(rows[name].split()[0]) * 1024 for name in ("MemTotal", "MemAvailable"))
    return int(available - HOST_FREE_SHARE * total)


def group_spare(folder: str) -> int:
    """The same for a group's limit; very much where it has none."""
    if not folder or (left := memory_left(Path(folder))) is None:
        return 1 << 60
    return left - int((memory_limit(Path(folder)) or 0) * GROUP_FREE_SHARE)


def work(bounds: Bounds) -> None:
    """Take up to `bytes`; give back while somebody else needs them."""
    # If memory gets scarce all the same, the kernel ends this process before any other.
    Path("/proc/self/oom_score_adj").write_text("1000")
    join(bounds.asked["groups"])
    group = next(iter(bounds.asked["groups"]), "")
    wanted, taken = int(bounds.asked["bytes"]), list[mmap.mmap]()
    page = b"\x5a" * STEP
    ready()
    while bounds.left_s:
        spare = min(host_spare(), group_spare(group))
        if spare < 0 and taken:
            taken.pop().close()
        elif spare > STEP and (len(taken) + 1) * STEP <= wanted:
            block = mmap.mmap(-1, STEP)
            block.write(page)  # a page that nobody wrote takes no memory
            taken.append(block)
        else:
            bounds.wait(LOOK_EVERY_S)


if __name__ == "__main__":
    hold(work)
