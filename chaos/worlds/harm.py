"""What users feel, computed from a system's behaviour with and without a fault; nothing is declared."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from chaos.worlds.flows import Flows
from chaos.worlds.physics import STEP_S
from chaos.worlds.system import F64

NOTICED_SHARE = 0.05  # of requests that fail beyond what is usual
NOTICED_TIMES, NOTICED_MS = 3.0, 100.0  # the usual median or 95th percentile, and by how much at least
NOTICED_REQUESTS = 20.0  # in the time that is looked at: with fewer nobody could know
LOOKED_AT_S = (30.0, 60.0, 120.0, 300.0)
_P95 = 1.6449


def felt(flows: Flows, usual: Flows, begins_s: float, ends_s: float) -> float | None:
    """When users have first felt the difference between `flows` and `usual`, in seconds; None if they never do.

    Users feel it if, at one entry operation or at all entry operations of a service together, over 30 s at least, 5 %
    of the requests fail that would not have, or the median or 95th percentile of the others is 3 times what it would
    have been and 100 ms more. Where fewer than 20 requests come in 30 s, 1, 2 or 5 minutes are looked at. The time is
    the beginning of the first such stretch, in which it is so from its first bucket on. It lies between the fault's
    beginning and a minute after its end.
    """
    first: float | None = None
    until = int(min((ends_s + 60) / STEP_S, flows.buckets))
    since = int(begins_s / STEP_S)
    more = failing(flows) - failing(usual)
    for numbers in _groups(flows):
        bad = _bad(flows, usual, numbers, more[numbers])
        found = np.flatnonzero(bad[since:until])
        if found.size:
            at = (since + int(found[0])) * STEP_S
            first = at if first is None else min(first, at)
    return None if first is None else max(first, begins_s)


def _groups(flows: Flows) -> Iterator[list[int]]:
    entries = list(flows.system.entries)
    for number in entries:
        yield [number]
    for node in sorted({flows.system.operations[number].node for number in entries}):
        numbers = [number for number in entries if flows.system.operations[number].node == node]
        if len(numbers) > 1:
            yield numbers


def _bad(flows: Flows, usual: Flows, numbers: list[int], fail: F64) -> npt.NDArray[np.bool_]:
    """Whether users feel a difference over a stretch that begins in each bucket, `(T,)`.

    `fail` is the share of requests that fail beyond what is usual, by operation of `numbers`.
    """
    rate = np.maximum(flows.rate[numbers], usual.rate[numbers])
    total = rate.sum(axis=0)
    weight = rate / np.maximum(total, 1e-12)
    more = (weight * fail).sum(axis=0)
    times = [_durations(flows, usual, numbers, weight, deviate) for deviate in (0.0, _P95)]
    bad = np.zeros(flows.buckets, dtype=bool)
    for seconds in LOOKED_AT_S:
        width = int(seconds / STEP_S)
        arrive = np.maximum(_ahead(total, width), 1e-12)
        worse = (_ahead(more * total, width) / arrive >= NOTICED_SHARE) & (more >= NOTICED_SHARE)
        for now, then in times:
            late, base = _ahead(now * total, width) / arrive, _ahead(then * total, width) / arrive
            worse |= _longer(late, base) & _longer(now, then)
        bad |= (arrive * seconds >= NOTICED_REQUESTS) & worse
    return bad


def _longer(now: F64, usual: F64) -> npt.NDArray[np.bool_]:
    return np.asarray((now >= NOTICED_TIMES * usual) & (now >= usual + NOTICED_MS))


def _durations(flows: Flows, usual: Flows, numbers: list[int], weight: F64, deviate: float) -> tuple[F64, F64]:
    """A quantile of the duration of requests that succeed, now and usually, `(T,)` each, in ms."""
    now, then = ((weight * _quantile(one, numbers, deviate)).sum(axis=0) for one in (flows, usual))
    return now, then


def failing(flows: Flows) -> F64:
    """Share of requests that fail or get no answer, `(operations, T)`."""
    return np.asarray(1 - (1 - flows.lost) * (1 - flows.failing))


def _quantile(flows: Flows, numbers: list[int], deviate: float) -> F64:
    mean, variance = flows.ok_ms[numbers], flows.ok_var[numbers]
    spread = np.log1p(variance / np.maximum(mean, 1e-9) ** 2)
    return np.asarray(mean * np.exp(deviate * np.sqrt(spread) - spread / 2))


def _ahead(values: F64, width: int) -> F64:
    """The mean of each bucket and those after it, `width` in all; at the end the last one counts as often as needed."""
    sums = np.cumsum(np.concatenate(([0.0], values, np.full(width, values[-1]))))
    return np.asarray((sums[width:] - sums[:-width])[: len(values)] / width)
