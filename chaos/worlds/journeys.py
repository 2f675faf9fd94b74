"""Single requests on their way through a system, drawn from its flows, for traces. No loop over requests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from chaos.worlds.physics import REFUSED_MS, STEP_S, Flows
from chaos.worlds.system import F64, I64

Mask = npt.NDArray[np.bool_]


@dataclass(slots=True)
class Sent:
    """Calls of one kind that the requests of an operation make, one entry a call, by request.

    Attributes:
        request: the caller's request, by number.
        callee: the request that it became, by number at the callee; -1 where the callee never saw it.
        silent, late, failed: without any reply; answered too late; failed for the caller, these included.
        ms: how long the caller waited.
        start_s: when it was sent.
    """

    request: I64
    callee: I64
    silent: Mask
    refused: Mask
    late: Mask
    failed: Mask = field(default_factory=lambda: np.zeros(0, dtype=bool))
    ms: F64 = field(default_factory=lambda: np.zeros(0))
    start_s: F64 = field(default_factory=lambda: np.zeros(0))


@dataclass(slots=True)
class Requests:
    """Requests that one operation answers.

    Attributes:
        journey: which request from outside each belongs to.
        bucket: when that one came.
        early, failed, refused_4xx: failed before a handler was found; failed at all; the client's own fault.
        ms, start_s: duration, and beginning in seconds from the recording's start.
    """

    journey: I64
    bucket: I64
    early: Mask
    failed: Mask
    refused_4xx: Mask
    ms: F64
    start_s: F64
    sent: dict[int, Sent] = field(default_factory=dict)

    @property
    def size(self) -> int:
        return len(self.journey)


def draw_journeys(
    rng: np.random.Generator,
    flows: Flows,
    outside: Mapping[int, F64],
    begin_s: float,
    end_s: float,
    limit: int,
    sampling: int,
) -> list[Requests]:
    """Draw requests from outside that come from `begin_s` to `end_s`, and all that they bring about, by operation.

    Args:
        rng: where chance comes from.
        flows: what is expected.
        outside: requests a second from outside, `(T,)`, by operation.
        begin_s, end_s: seconds from the recording's start.
        limit: no more requests from outside than this; a part of them is drawn where more come.
        sampling: one in so many is drawn in any case.
    """
    return _Journeys(rng, flows).draw(_arrivals(rng, outside, begin_s, end_s, limit, sampling))


def _arrivals(
    rng: np.random.Generator, outside: Mapping[int, F64], begin_s: float, end_s: float, limit: int, sampling: int
) -> dict[int, F64]:
    """When requests come from outside, by operation."""
    found: dict[int, F64] = {}
    for number, rate in outside.items():
        starts = np.arange(len(rate)) * STEP_S
        within = np.clip(np.minimum(starts + STEP_S, end_s) - np.maximum(starts, begin_s), 0, STEP_S)
        counts = rng.poisson(rate * within / sampling)
        at = np.repeat(np.maximum(starts, begin_s), counts) + rng.random(counts.sum()) * np.repeat(within, counts)
        found[number] = np.sort(at)
    total = sum(map(len, found.values()))
    if total > limit:
        found = {number: at[rng.random(len(at)) < limit / total] for number, at in found.items()}
    return found


class _Journeys:
    def __init__(self, rng: np.random.Generator, flows: Flows) -> None:
        self.rng, self.flows, self.system = rng, flows, flows.system
        self.coming: list[list[tuple[I64, I64]]] = [[] for _ in self.system.operations]  # journey, bucket
        self.arrived = [0] * len(self.system.operations)
        self.requests: list[Requests] = []

    def draw(self, arrivals: Mapping[int, F64]) -> list[Requests]:
        starts: dict[int, F64] = {}
        journeys = 0
        for number, at in arrivals.items():
            bucket = np.minimum((at / STEP_S).astype(np.int64), self.flows.buckets - 1)
            kept = self.rng.random(len(at)) >= self.flows.lost[number, bucket]
            starts[number] = at[kept]
            journey = np.arange(journeys, journeys + int(kept.sum()))
            journeys += len(journey)
            self._come(number, journey, bucket[kept])
        for number in range(len(self.system.operations)):
            self._answer(number)
        for number in range(len(self.system.operations) - 1, -1, -1):
            self._last(number)
        for number in range(len(self.system.operations)):
            self._begin(number, starts.get(number))
        return self.requests

    def _come(self, number: int, journey: I64, bucket: I64) -> I64:
        """Let requests come to an operation; returns their numbers there."""
        first = self.arrived[number]
        self.arrived[number] += len(journey)
        self.coming[number].append((journey, bucket))
        return np.arange(first, first + len(journey), dtype=np.int64)

    def _answer(self, number: int) -> None:
        """Which requests an operation answers, and which calls it makes for them."""
        flows, rng = self.flows, self.rng
        parts = self.coming[number] or [(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64))]
        journey, bucket = (np.concatenate(column) for column in zip(*parts, strict=True))
        size = len(journey)
        early = rng.random(size) < flows.early[number, bucket] * flows.failing[number, bucket]
        own = np.maximum(flows.own_failing[number] - flows.early[number] * flows.failing[number], 0)
        failed = early | (rng.random(size) < own[bucket])
        refused_4xx = ~failed & (rng.random(size) < flows.refused_4xx[number, bucket])
        requests = Requests(journey, bucket, early, failed, refused_4xx, np.zeros(size), np.zeros(size))
        self.requests.append(requests)
        works = flows.rate[number] * (1 - flows.lost[number]) * (1 - flows.early[number] * flows.failing[number])
        for at in self.system.operations[number].calls:
            call = self.system.calls[at]
            each = np.divide(flows.attempts[at], works, out=np.zeros(flows.buckets), where=works > 0)[bucket]
            count = (each + rng.random(size)).astype(np.int64) * ~early
            request = np.repeat(np.arange(size), count)
            then = bucket[request]
            chance = rng.random(len(request))
            refused = chance < flows.call_refused[at, then]
            silent = ~refused & (chance < flows.call_refused[at, then] + flows.no_reply[at, then])
            replied = ~refused & ~silent
            answered = np.maximum(1 - flows.no_reply[at] - flows.call_refused[at], 1e-9)
            late = replied & (rng.random(len(request)) < (flows.call_late[at] / answered)[then])
            callee = np.full(len(request), -1, dtype=np.int64)
            callee[replied] = self._come(call.callee, journey[request[replied]], then[replied])
            requests.sent[at] = Sent(request, callee, silent, refused, late)

    def _last(self, number: int) -> None:
        """How long an operation's requests take and which fail, once those of its callees are known."""
        flows, rng, requests = self.flows, self.rng, self.requests[number]
        operation = self.system.operations[number]
        size, bucket = requests.size, requests.bucket
        variance = flows.own_var[number, bucket]
        # What is left of the mean without the calls is the operation's own time, waiting included.
        waited = np.zeros(size)
        for at, sent in requests.sent.items():
            call = self.system.calls[at]
            self._wait(at, call.callee, sent)
            if call.deferred:
                continue
            if operation.parallel:
                np.maximum.at(waited, sent.request, sent.ms)
            else:
                waited += np.bincount(sent.request, weights=sent.ms, minlength=size)
            if not call.tolerated:
                then = bucket[sent.request]
                fails = sent.failed & (rng.random(len(then)) < np.where(call.retries, flows.passed_on[at, then], 1.0))
                requests.failed[sent.request[fails]] = True
        own = self._own_ms(number)[bucket]
        spread = np.sqrt(np.log1p(variance / np.maximum(own, 1e-9) ** 2))
        drawn = own * np.exp(rng.normal(0, 1, size) * spread - spread**2 / 2)
        requests.ms = np.where(requests.early, np.minimum(0.8, drawn), drawn + waited)
        requests.refused_4xx &= ~requests.failed

    def _own_ms(self, number: int) -> F64:
        """The mean of an operation's own time, `(T,)`: what its calls do not explain."""
        flows, operation = self.flows, self.system.operations[number]
        working = np.maximum(flows.rate[number] * (1 - flows.lost[number]), 1e-12)
        total = flows.ok_ms[number].copy()
        each = [
            np.minimum(flows.attempts[at] / working, 50)
            * (flows.call_ok_ms[at] * (1 - flows.call_failing[at]) + flows.call_fail_ms[at] * flows.call_failing[at])
            for at in operation.calls
            if not self.system.calls[at].deferred
        ]
        if each:
            total -= np.max(each, axis=0) if operation.parallel else np.sum(each, axis=0)
        return np.asarray(np.maximum(total, operation.own_ms * 0.5))

    def _wait(self, at: int, callee: int, sent: Sent) -> None:
        """How long callers wait for one kind of call, and which fail for them."""
        flows, call, there = self.flows, self.system.calls[at], self.requests[callee]
        replied = sent.callee >= 0
        then = self.requests[call.caller].bucket[sent.request]
        way = np.maximum(flows.call_ok_ms[at] - flows.ok_ms[callee], call.net_ms)[then]
        ms = np.where(sent.silent, call.timeout_s * 1000, REFUSED_MS)
        if call.deferred:
            sent.failed, sent.ms = np.zeros(len(then), dtype=bool), np.ones(len(then))
            return
        ms[replied] = there.ms[sent.callee[replied]] + way[replied]
        sent.ms = np.where(sent.late, np.minimum(ms, call.timeout_s * 1000), ms)
        failed = ~replied | sent.late
        failed[replied] |= there.failed[sent.callee[replied]]
        sent.failed = failed

    def _begin(self, number: int, starts: F64 | None) -> None:
        """When requests begin at an operation's callees: one call after the other, or all at once."""
        requests, operation = self.requests[number], self.system.operations[number]
        if starts is not None:
            requests.start_s[: len(starts)] = starts
        waited = np.zeros(requests.size)
        for sent in requests.sent.values():
            waited += np.bincount(sent.request, weights=sent.ms, minlength=requests.size)
        if operation.parallel:
            waited = np.zeros(requests.size)
        own_s = np.maximum(requests.ms - waited, 0.1) / 1000
        cursor = requests.start_s + 0.4 * np.minimum(own_s, requests.ms / 1000)
        for at, sent in requests.sent.items():
            call = self.system.calls[at]
            before = np.cumsum(sent.ms) - sent.ms
            first = np.searchsorted(sent.request, sent.request, side="left")
            since = (before - before[first]) / 1000 if len(before) else before
            sent.start_s = cursor[sent.request] + (0.0 if operation.parallel else since)
            if not operation.parallel:
                cursor = cursor + np.bincount(sent.request, weights=sent.ms, minlength=requests.size) / 1000
            replied = sent.callee >= 0
            to = self.requests[call.callee]
            late_s = self._queued_s(at)[requests.bucket[sent.request[replied]]] if call.deferred else call.net_ms / 2000
            to.start_s[sent.callee[replied]] = sent.start_s[replied] + late_s

    def _queued_s(self, at: int) -> F64:
        """How long a message waits in its queue, by Little's law."""
        flows = self.flows
        return np.asarray(0.005 + flows.backlog[at] / np.maximum(flows.delivered[at], 0.1))
