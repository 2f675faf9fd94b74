"""Ends a fault whose keeper, agent and work are all gone: for faults that the kernel does not end by itself.

It sleeps until the fault's time is over, and some more, then ends the fault from the facts it was given, again and
again until that works. Whoever ends the fault before ends this process.
"""

from __future__ import annotations

import os
import sys
import time
from importlib import import_module
from typing import Any, Final

from agent.holders import marked
from agent.holders.bounded import Bounds, hold, ready
from watchkeeper.errors import AgentError

GRACE_S: Final = 5.0  # the keeper is first
TRY_AGAIN_S: Final = 5.0
TRIES: Final = 720


class Facts:
    """A record that nobody keeps on a disk."""

    def __init__(self, facts: dict[str, Any]) -> None:
        self._facts = facts

    def __getitem__(self, key: str) -> Any:
        return self._facts[key]

    def get(self, key: str, default: Any = None) -> Any:
        return self._facts.get(key, default)

    def note(self, **facts: Any) -> None:
        self._facts.update(facts)


def stand_by(mark: str, part: str, seconds: float, facts: dict[str, Any]) -> None:
    """Start it, as `module:Class` of the fault and what its `end` needs. It survives everything but kill -9.

    Raises:
        AgentError: it does not start.
    """
    marked.start("put_back", mark, detached=True, seconds=seconds + GRACE_S, part=part, facts=facts)


def work(bounds: Bounds) -> None:
    """Wait, then end."""
    ready()
    bounds.wait()
    module, _, name = str(bounds.asked["part"]).partition(":")
    fault, record = getattr(import_module(module), name)(), Facts(bounds.asked["facts"])
    for _ in range(TRIES):
        try:
            fault.end(record)
        except AgentError as error:
            os.write(2, f"fault.stuck: {error.message}\n".encode())
        else:
            sys.exit(0)
        time.sleep(TRY_AGAIN_S)


if __name__ == "__main__":
    hold(work)
