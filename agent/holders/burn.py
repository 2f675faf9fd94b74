"""Burns a share of some cores, in the control group of a service where it has one."""

from __future__ import annotations

import os
import time
from typing import Final

from agent.holders.bounded import Bounds, hold, ready
from agent.holders.cgroup import join

SLICE_S: Final = 0.05


def work(bounds: Bounds) -> None:
    """Busy for `percent` of each slice of time."""
    join(bounds.asked["groups"])
    os.sched_setaffinity(0, bounds.asked["cores"])
    share = float(bounds.asked["percent"]) / 100.0
    first = os.getpid()
    for _ in range(int(bounds.asked["burners"]) - 1):
        if os.fork() == 0:
            bounds.follow(first)
            break
    else:
        ready()
    looked = 0.0
    while True:
        began = time.monotonic()
        if began - looked > 0.2:
            if not bounds.left_s:
                return
            looked = began
        while time.monotonic() - began < SLICE_S * share:
            pass
        if share < 1.0:
            time.sleep(SLICE_S * (1.0 - share))


if __name__ == "__main__":
    hold(work)
