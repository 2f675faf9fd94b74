"""What a fault or a harmless change does to a system: arrays over time, by the place where they act."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal

import numpy as np

from chaos.worlds.system import F64

Place = tuple[str, int] | tuple[str, int, int]
"""`("node", n)`, `("op", o)`, `("host", h)`, or `("path", caller node, callee node)`."""

Lever = Literal[
    "slow",  # times own time (node, op)
    "more_ms", "more_var",  # own time on top, mean and variance (node, op, path)
    "fail", "fail_early",  # share of requests that fail: after their work, or before a handler was found (node, op)
    "refuse_4xx",  # share of requests that are the client's own fault (node, op)
    "down",  # share of connections that are refused (node, path)
    "mute",  # share of requests that get no reply (node, path)
    "stall_ms",  # by which a caller is late to take each of its answers (node)
    "cores",  # processors that are used beside requests (node, host)
    "stolen",  # share of its processors that somebody else on the host uses (node)
    "instances",  # times as many instances (node)
    "leaked",  # share of the connections of a pool that never come back (path)
    "hits",  # times as many hits in a cache (path)
    "traffic",  # times as many requests from outside (op)
    "calls",  # times as many calls (path)
    "memory_mb", "disk",  # memory of an instance on top; share of a disk on top (node)
]  # fmt: skip

TIMES: Final[frozenset[str]] = frozenset({"slow", "instances", "hits", "traffic", "calls"})  # multiply, 1 where nothing
SHARES: Final[frozenset[str]] = frozenset({"fail", "fail_early", "refuse_4xx", "down", "mute", "leaked", "stolen"})


@dataclass(slots=True)
class Levers:
    """All that happens in a system, `buckets` long. Where two things act on one place, both do."""

    buckets: int
    _arrays: dict[tuple[str, Place], F64] = field(default_factory=dict)

    def set(self, lever: Lever, place: Place, values: F64) -> None:
        """Let something act: times multiply, shares that remain multiply, everything else adds up."""
        key = lever, place
        before = self._arrays.get(key)
        if before is None:
            self._arrays[key] = np.asarray(values, dtype=np.float64)
        elif lever in TIMES:
            self._arrays[key] = before * values
        elif lever in SHARES:
            self._arrays[key] = 1 - (1 - before) * (1 - values)
        else:
            self._arrays[key] = before + values

    def add(self, other: Levers) -> None:
        """Let everything act that `other` holds, too."""
        for (lever, place), values in other._arrays.items():
            self.set(lever, place, values)  # type: ignore[arg-type]

    def get(self, lever: Lever, *places: Place) -> F64 | float:
        """What acts at all of `places` together; a number where nothing does."""
        found = [array for place in places if (array := self._arrays.get((lever, place))) is not None]
        if not found:
            return 1.0 if lever in TIMES else 0.0
        if len(found) == 1:
            return found[0]
        if lever in TIMES:
            return np.asarray(np.prod(found, axis=0))
        if lever in SHARES:
            return np.asarray(1 - np.prod([1 - array for array in found], axis=0))
        return np.asarray(np.sum(found, axis=0))

    def __bool__(self) -> bool:
        """Whether anything acts."""
        return bool(self._arrays)
