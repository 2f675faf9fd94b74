"""Kills the instances of a service again and again, each after it has lived for a while."""

from __future__ import annotations

import signal
import time
from typing import Final

from agent.finder import finder_of
from agent.holders.bounded import Bounds, hold, ready
from agent.processes import born, send
from watchkeeper.errors import AgentError

LOOK_EVERY_S: Final = 0.1


def work(bounds: Bounds) -> None:
    """Kill what lives longer than `every_s`, and the first one at once."""
    finder, every_s = finder_of(bounds.asked["finder"]), float(bounds.asked["every_s"])
    seen_at: dict[str, float] = {}
    is_first = True
    while True:
        try:
            instances = [[(pid, born(pid)) for pid in one.pids] for one in finder.find()]
        except AgentError:  # its supervisor is busy with it
            instances = []
        now = time.monotonic()
        seen_at = {one[0][1]: seen_at.get(one[0][1], now) for one in instances}
        for one in instances:
            if is_first or now - seen_at[one[0][1]] >= every_s:
                for pid, identity in one:
                    send(pid, identity, signal.SIGKILL)
        if is_first:
            ready()
            is_first = False
        if not bounds.wait(LOOK_EVERY_S):
            return


if __name__ == "__main__":
    hold(work)
