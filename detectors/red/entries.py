"""Where users come in, and whether they feel what happens behind it.

An entry serves requests that no instrumented caller made; a service of whose callers nothing is known counts as one.
Users feel the trouble of another service when an entry that reaches it, over calls, fails or is slow at the same time.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from typing import Final

import numpy as np

from detectors.history import History

CALLED: Final = 0.8  # of its requests must be known calls, before a service counts as one that only others call
FEW: Final = 20.0  # requests: of fewer, nothing follows


class Entries:
    """Who calls whom, as far as it is known.

    Args:
        requests, edges: histories of requests and of calls; None where calls are not read.
    """

    def __init__(self, requests: History, edges: History | None) -> None:
        self._callers: dict[str, set[str]] = defaultdict(set)
        served = _by_name([name[0] for name in requests.names()], requests["calls"].sum(axis=1))
        called: dict[str, float] = {}
        if edges is not None and edges.size:
            calls = _overlap(requests, edges)
            names = edges.names()
            for (caller, callee, *_), number in zip(names, calls.tolist(), strict=True):
                if caller != callee and number > 0 and caller in served and callee in served:
                    self._callers[callee].add(caller)
                    called[callee] = called.get(callee, 0.0) + number
        self._entries = {
            service for service, number in served.items() if number < FEW or called.get(service, 0.0) < CALLED * number
        }

    @property
    def known(self) -> bool:
        """Whether any calls between services are known, so that an entry is one for certain."""
        return bool(self._callers)

    def is_entry(self, service: str) -> bool:
        """Whether users, or callers that nobody knows, call it."""
        return service in self._entries or service not in self._callers

    def above(self, service: str) -> set[str]:
        """Every entry from which calls reach a service."""
        seen, waiting = {service}, [service]
        while waiting:
            for caller in self._callers.get(waiting.pop(), ()):
                if caller not in seen:
                    seen.add(caller)
                    waiting.append(caller)
        return {name for name in seen - {service} if self.is_entry(name)}

    def feels(self, service: str, troubled: Collection[str]) -> bool:
        """Whether users feel a service's trouble, given the services that fail or are slow."""
        return self.is_entry(service) or not self.above(service).isdisjoint(troubled)


def _by_name(names: Iterable[str], values: np.ndarray) -> dict[str, float]:
    total: dict[str, float] = {}
    for name, value in zip(names, values.tolist(), strict=True):
        total[name] = total.get(name, 0.0) + value
    return total


def _overlap(requests: History, edges: History) -> np.ndarray:
    """Calls of each edge since the requests' history begins, (edges,)."""
    inside = edges.starts() >= requests.starts()[0]
    return np.asarray(edges["calls"][:, inside].sum(axis=1))
