"""Single requests on their way through a system, drawn from its flows, for traces. No loop over requests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from chaos.worlds.flows import Flows
from chaos.worlds.physics import REFUSED_MS, STEP_S, TRIES_BREAKER
from chaos.worlds.system import F64, I64

Mask = npt.NDArray[np.bool_]
_EARLY, _OWN, _WELL = -1, -2, -3  # failed before a handler was found, by its own fault, or not at all


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
    late: Mask
    failed: Mask
    ms: F64 = field(default_factory=lambda: np.zeros(0))
    start_s: F64 = field(default_factory=lambda: np.zeros(0))


@dataclass(slots=True)
class Requests:
    """Requests that one operation answers.

    Attributes:
        journey: which request from outside each belongs to.
        bucket: when that one came.
        cause: place of the call because of which a request fails, or a code for another cause or none.
        early, failed, refused_4xx: failed before a handler was found; failed at all; the client's own fault.
        ms, start_s: duration, and beginning in seconds from the recording's start.
    """

    journey: I64
    bucket: I64
    cause: I64
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
    """Decides from callers to callees who fails and why, then how long everything takes, then when it begins."""

    def __init__(self, rng: np.random.Generator, flows: Flows) -> None:
        self.rng, self.flows, self.system = rng, flows, flows.system
        self.coming: list[list[tuple[I64, I64, Mask]]] = [[] for _ in self.system.operations]  # journey, bucket, fails
        self.arrived = [0] * len(self.system.operations)
        self.requests: list[Requests] = []

    def draw(self, arrivals: Mapping[int, F64]) -> list[Requests]:
        starts: dict[int, F64] = {}
        journeys = 0
        for number, at in arrivals.items():
            bucket = np.minimum((at / STEP_S).astype(np.int64), self.flows.buckets - 1)
            kept = self.rng.random(len(at)) >= self.flows.lost[number, bucket]
            starts[number], bucket = at[kept], bucket[kept]
            journey = np.arange(journeys, journeys + len(bucket))
            journeys += len(bucket)
            self._come(number, journey, bucket, self._chance(self.flows.failing[number], bucket))
        for number in range(len(self.system.operations)):
            self._answer(number)
        for number in range(len(self.system.operations) - 1, -1, -1):
            self._last(number)
        for number in range(len(self.system.operations)):
            self._begin(number, starts.get(number))
        return self.requests

    def _chance(self, share: F64, bucket: I64) -> Mask:
        """Whether it happens to each of some requests, with the probability that their buckets have."""
        return np.asarray(self.rng.random(len(bucket)) < share[bucket])

    def _come(self, number: int, journey: I64, bucket: I64, fails: Mask) -> I64:
        """Let requests come to an operation; returns their numbers there."""
        first = self.arrived[number]
        self.arrived[number] += len(journey)
        self.coming[number].append((journey, bucket, fails))
        return np.arange(first, first + len(journey), dtype=np.int64)

    def _answer(self, number: int) -> None:
        """Why requests fail, if they do, and which calls an operation makes for them."""
        flows, operation = self.flows, self.system.operations[number]
        nothing = np.zeros(0, dtype=np.int64)
        parts = self.coming[number] or [(nothing, nothing, np.zeros(0, dtype=bool))]
        journey, bucket, failed = (np.concatenate(column) for column in zip(*parts, strict=True))
        working = flows.rate[number] * (1 - flows.lost[number]) * (1 - flows.early[number] * flows.failing[number])
        guilty: dict[int, F64] = {}  # share of requests that fail because of a call
        for at in operation.calls:
            call, failing = self.system.calls[at], flows.call_failing[at]
            if not call.deferred and not call.tolerated:
                final = np.minimum(failing ** (call.retries + 1) * flows.each[at] / call.times, 1.0)
                guilty[at] = working * final * call.times
                if not operation.parallel:
                    working = working * (1 - final)
        cause = self._causes(number, bucket, failed, guilty)
        early = cause == _EARLY
        refused_4xx = ~failed & self._chance(flows.refused_4xx[number], bucket)
        requests = Requests(
            journey, bucket, cause, early, failed, refused_4xx, np.zeros(len(journey)), np.zeros(len(journey))
        )
        self.requests.append(requests)
        for place, at in enumerate(operation.calls):
            self._send(place, at, requests)

    def _causes(self, number: int, bucket: I64, failed: Mask, guilty: Mapping[int, F64]) -> I64:
        """Of each request: the place of the call because of which it fails, or one of the codes below."""
        flows, calls = self.flows, self.system.operations[number].calls
        rate = flows.rate[number] * (1 - flows.lost[number])
        early = flows.early[number] * flows.failing[number]
        shares = [early * rate, np.maximum(flows.own_failing[number] - early, 0) * rate]
        shares += [guilty.get(at, np.zeros(flows.buckets)) for at in calls]
        steps = np.cumsum(np.stack(shares), axis=0)[:, bucket]
        steps[-1] = np.maximum(steps[-1], 1e-12)
        chosen = (steps < self.rng.random(len(bucket)) * steps[-1]).sum(axis=0)
        codes = np.array([_EARLY, _OWN, *range(len(calls))])
        return np.where(failed, codes[np.minimum(chosen, len(codes) - 1)], _WELL)

    def _send(self, place: int, at: int, requests: Requests) -> None:
        """Make one kind of call for all requests that come so far."""
        flows, rng, call, cause = self.flows, self.rng, self.system.calls[at], requests.cause
        operation = self.system.operations[call.caller]
        decided = not call.deferred and not call.tolerated
        often = flows.each[at]
        if decided:
            # Who got through made fewer of the calls that hardly anybody survives.
            final = flows.call_failing[at] ** (call.retries + 1)
            often = often * (1 - final) / np.maximum(1 - np.minimum(often, 1.0) * final, 1e-9)
        count = (often[requests.bucket] + rng.random(requests.size)).astype(np.int64)
        count[requests.early] = 0
        if not operation.parallel:
            count[(cause >= 0) & (cause < place)] = 0  # it has failed before
        count[(cause == place) & decided] = 1
        request = np.repeat(np.arange(requests.size), count)
        fails = (cause[request] == place) if decided else self._chance(flows.call_failing[at], requests.bucket[request])
        if call.retries and not call.deferred:
            # A call that succeeds in the end may have failed before; one that fails has failed each time.
            rising = flows.call_failing[at][requests.bucket[request]]
            again = sum((rng.random(len(request)) < rising**k).astype(np.int64) for k in range(1, call.retries + 1))
            again = np.where(fails, call.retries, np.minimum(again, call.retries))
            last = np.cumsum(again + 1) - 1
            request, final = np.repeat(request, again + 1), fails
            fails = np.ones(len(request), dtype=bool)
            fails[last] = final
        kept = ~(fails & self._chance(flows.open[at] * (1 - TRIES_BREAKER), requests.bucket[request]))
        request, fails = request[kept], fails[kept]
        self._travel(at, requests, request, fails)

    def _travel(self, at: int, requests: Requests, request: I64, fails: Mask) -> None:
        """Let calls come to their callee, or fail on the way."""
        flows, call = self.flows, self.system.calls[at]
        then, size = requests.bucket[request], len(request)
        if call.deferred:
            refused, silent, late = (np.zeros(size, dtype=bool) for _ in range(3))
            seen = ~self._chance(flows.lost[call.callee], then)
            bad = self._chance(flows.failing[call.callee], then)
            fails = np.zeros(size, dtype=bool)
        else:
            shares = np.cumsum([flows.call_refused[at], flows.no_reply[at], flows.call_late[at]], axis=0)[:, then]
            chance = self.rng.random(size) * np.maximum(flows.call_failing[at][then], 1e-12)
            refused, silent = fails & (chance < shares[0]), fails & (chance >= shares[0]) & (chance < shares[1])
            late = fails & (chance >= shares[1]) & (chance < shares[2])
            seen = ~refused & ~silent
            bad = np.where(late, self._chance(flows.failing[call.callee], then), fails)
        callee = np.full(size, -1, dtype=np.int64)
        callee[seen] = self._come(call.callee, requests.journey[request[seen]], then[seen], bad[seen])
        requests.sent[at] = Sent(request, callee, silent, late, fails)

    def _last(self, number: int) -> None:
        """How long an operation's requests take, once those of its callees are known."""
        requests, operation = self.requests[number], self.system.operations[number]
        size, bucket = requests.size, requests.bucket
        waited = np.zeros(size)
        for at, sent in requests.sent.items():
            self._wait(at, sent)
            if self.system.calls[at].deferred:
                continue
            if operation.parallel:
                # It waits for all of them, or until one has failed.
                counts = (requests.cause[sent.request] < 0) | (
                    requests.cause[sent.request] == operation.calls.index(at)
                )
                np.maximum.at(waited, sent.request[counts], sent.ms[counts])
            else:
                waited += np.bincount(sent.request, weights=sent.ms, minlength=size)
        # What is left of the mean without the calls is the operation's own time, waiting included.
        own = self._own_ms(number)[bucket]
        spread = np.sqrt(np.log1p(self.flows.own_var[number, bucket] / np.maximum(own, 1e-9) ** 2))
        drawn = own * np.exp(self.rng.normal(0, 1, size) * spread - spread**2 / 2)
        drawn *= np.where(requests.cause >= 0, 0.5, 1.0)
        requests.ms = np.where(requests.early, np.minimum(0.8, drawn), drawn + waited)

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

    def _wait(self, at: int, sent: Sent) -> None:
        """How long callers wait for one kind of call."""
        flows, call = self.flows, self.system.calls[at]
        there = self.requests[call.callee]
        seen = sent.callee >= 0
        then = self.requests[call.caller].bucket[sent.request]
        limit = call.timeout_s * 1000
        if call.deferred:
            sent.ms = np.ones(len(then))
            return
        # An answer that comes too late takes longer than the caller's patience.
        late = sent.callee[sent.late]
        there.ms[late] = np.maximum(there.ms[late], limit * self.rng.uniform(1.01, 1.5, len(late)))
        way = np.maximum(flows.call_ok_ms[at] - flows.ok_ms[call.callee], call.net_ms)[then]
        sent.ms = np.where(sent.silent, limit, REFUSED_MS)
        sent.ms[seen] = np.minimum(there.ms[sent.callee[seen]] + way[seen], limit)

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
