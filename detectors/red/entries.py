"""Where users come in, and whether they feel what happens behind it.

An entry serves requests whose span has no parent: nothing that is traced made them. Who gets none of these is no entry,
whether or not its callers report their calls; nor is who handles messages, since nobody waits for them.
Where all requests have a parent, as where browsers begin the traces, an entry serves requests that no known caller
made, but for few; where no caller is known, a service is one.
Users feel the trouble of another service when an entry that reaches it, over calls, fails or is slow at the same time.
Fails where browsers begin all traces of one entry and other entries are called without.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from typing import Final

import numpy as np

from detectors.evidence import Bools, Floats, by_group
from detectors.history import History

BLOCK_S: Final = 60  # seconds in which requests and calls are compared: a call ends a little later at its caller
# Of its requests must be known calls before a service counts as an inner one. A little is enough: callers that report
# no calls are common, and whoever calls a service that is inner and an entry feels its trouble, too.
CALLED: Final = 0.1
DIRECT: Final = 0.02  # of an entry's requests must have no parent: of an inner service's, a few have lost it
CLOCK: Final = 0.01  # variance for each request that a clock's jitter makes, beside that of one request a minute
VARIED: Final = 4.0  # times as much elsewhere: there are users
CLOCK_MINUTES: Final = 15  # that both are known for
FEWEST_MINUTES: Final = 3  # that both are known for
EVEN: Final = 0.5  # of the variance that chance gives: what varies less comes by a clock


class Entries:
    """Who calls whom, as far as it is known.

    Requests that nobody is known to have made come from outside. Those that come as evenly as a clock are probes, not
    users: the number of users' requests varies from minute to minute as chance does, or more.

    Args:
        requests, edges: histories of requests and of calls; None where calls are not read.
    """

    def __init__(self, requests: History, edges: History | None) -> None:
        self._callers: dict[str, set[str]] = defaultdict(set)
        names = requests.names()
        if not names:
            return
        services, code = np.unique(np.array([name[0] for name in names]), return_inverse=True)
        known = {name: number for number, name in enumerate(services.tolist())}
        end = _end(requests) if edges is None or edges.size == 0 else min(_end(requests), _end(edges))
        # The newest minute may miss calls that are not joined yet.
        until = end // BLOCK_S * BLOCK_S - BLOCK_S
        served = by_group(code.reshape(-1), _minutes(requests, until, "calls"))
        direct = by_group(code.reshape(-1), _minutes(requests, until, "direct"))
        called = self._called(known, edges, until, served.shape[1])
        minutes = min(served.shape[1], called.shape[1])
        if minutes < FEWEST_MINUTES:
            return
        served, direct, called = served[:, -minutes:], direct[:, -minutes:], called[:, -minutes:]
        seen = np.cumsum(np.cumsum(served, axis=1) > 0, axis=1) > 1  # the first one is not whole
        lived = np.maximum(seen.sum(axis=1), 1)
        long = lived >= CLOCK_MINUTES
        mean, variance = _spread(direct, seen)
        users = np.where(long & (variance <= EVEN * mean), 0.0, np.minimum(mean, variance))
        total = np.where(seen, served, 0.0).sum(axis=1) / lived
        self._parents = bool((users > DIRECT * total).any())
        if self._parents:
            inner = (mean < total) & (users < DIRECT * total)
        else:
            mean, variance = _spread(np.maximum(served - called, 0.0), seen)
            users = np.where(variance <= EVEN * mean, 0.0, np.minimum(mean, variance))
            by_others = np.where(seen, called, 0.0).sum(axis=1) / lived
            inner = (by_others > 0) & (by_others >= CALLED * (users + by_others))
        # Where users come in elsewhere, what is asked by the clock alone is probed, or a job.
        jitter = 1.0 + CLOCK * mean
        clockwork = np.zeros_like(inner)
        if ((variance >= VARIED * jitter) & ~inner & long).any():
            clockwork = (variance <= jitter) & long & ~inner
        self._inner = {name for name, number in known.items() if inner[number] or clockwork[number]}
        self._clockwork = {name for name, number in known.items() if clockwork[number] and name not in self._callers}

    def _called(self, known: dict[str, int], edges: History | None, until: int, minutes: int) -> Floats:
        """Calls that callers report, (services, minutes); and who the callers are."""
        if edges is None or edges.size == 0:
            return np.zeros((len(known), minutes))
        calls = _minutes(edges, until, "calls")
        called = np.zeros((len(known), calls.shape[1]))
        for row, (caller, callee, *_) in enumerate(edges.names()):
            if caller != callee and caller in known and callee in known and calls[row].any():
                self._callers[callee].add(caller)
                called[known[callee]] += calls[row]
        return called

    _inner: Collection[str] = frozenset()
    _clockwork: Collection[str] = frozenset()
    _parents: bool = False

    @property
    def known(self) -> bool:
        """Whether parents, or calls between services, are known, so that an entry is one for certain."""
        return self._parents or bool(self._callers)

    def is_entry(self, service: str) -> bool:
        """Whether users, or callers that nobody knows, call it."""
        return service not in self._inner

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
        """Whether users feel a service's trouble, given the services that fail or are slow.

        What no known entry reaches is reached by one over calls that nobody reports.
        """
        if self.is_entry(service):
            return True
        if service in self._clockwork:
            return False
        if above := self.above(service):
            return not above.isdisjoint(troubled)
        return not self._parents or any(self.is_entry(name) for name in troubled)


def _end(history: History) -> int:
    return int(history.starts()[-1]) + history.step_s


def _spread(values: Floats, seen: Bools) -> tuple[Floats, Floats]:
    """Mean and variance over the minutes that were seen, (services,)."""
    lived = np.maximum(seen.sum(axis=1), 1)
    mean = np.where(seen, values, 0.0).sum(axis=1) / lived
    variance = np.where(seen, (values - mean[:, None]) ** 2, 0.0).sum(axis=1) / np.maximum(lived - 1, 1)
    return mean, variance


def _minutes(history: History, until: int, column: str) -> Floats:
    """A count by whole minutes up to a Unix time, the newest last, (series, minutes)."""
    width = BLOCK_S // history.step_s
    counts = history[column][:, : history.buckets - (_end(history) - until) // history.step_s]
    minutes = counts.shape[1] // width
    return np.asarray(counts[:, counts.shape[1] - minutes * width :].reshape(len(counts), minutes, width).sum(axis=2))
