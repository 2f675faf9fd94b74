"""Whole requests and their durations, drawn from what is expected: what exactly happened in each bucket.

What a caller sends is what its callees get: counts are drawn from callers to callees, failures and deviations of
durations from callees to callers. Head sampling keeps whole traces, so it only thins what comes from outside.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from chaos.worlds.flows import Flows
from chaos.worlds.physics import STEP_S
from chaos.worlds.system import F64, I64

STEEPEST: Final = 2.0  # of the logarithm of a mean: how far it is drawn from what is expected at most


@dataclass(frozen=True, kw_only=True, eq=False)
class Counts:
    """Requests and calls of each bucket in which they began, `(operations, T)` and `(calls, T)`.

    Attributes:
        answered: requests that an operation answered; early, failed, refused_4xx: of these, those that failed before a
            handler was found, later, and by the client's own fault (which are no failures).
        ok_ms, fail_ms: mean duration of those that succeeded and failed.
        replied: calls that the callee answered; call_failed: those of them that failed for the caller.
        silent, refused: calls that the callee never saw.
        client_ms: mean duration of `replied` calls at the caller.
    """

    answered: I64
    early: I64
    failed: I64
    refused_4xx: I64
    ok_ms: F64
    fail_ms: F64
    replied: I64
    call_failed: I64
    silent: I64
    refused: I64
    client_ms: F64


def draw_counts(
    rng: np.random.Generator, flows: Flows, outside: Mapping[int, F64], regular: frozenset[int], sampling: int
) -> Counts:
    """Draw what happened.

    Args:
        rng: where chance comes from.
        flows: what is expected.
        outside: requests a second from outside by operation, after everything that acts on them.
        regular: operations whose outside requests come at even distances.
        sampling: one in so many traces is kept.
    """
    return _Drawing(rng, flows, outside, regular, sampling).draw()


class _Drawing:
    def __init__(
        self,
        rng: np.random.Generator,
        flows: Flows,
        outside: Mapping[int, F64],
        regular: frozenset[int],
        sampling: int,
    ) -> None:
        self.rng, self.flows, self.outside, self.regular, self.sampling = rng, flows, outside, regular, sampling
        ops, calls = len(flows.system.operations), len(flows.system.calls)
        self.answered, self.early, self.failed, self.refused_4xx = (_zeros(ops, flows.buckets) for _ in range(4))
        self.replied, self.call_failed, self.late = (_zeros(calls, flows.buckets) for _ in range(3))
        self.silent, self.refused = (_zeros(calls, flows.buckets) for _ in range(2))
        self.deviation = np.zeros((ops, flows.buckets))  # of the mean duration, in ms

    def draw(self) -> Counts:
        system, flows = self.flows.system, self.flows
        for number in range(len(system.operations)):
            self._requests(number)
        client_ms = np.zeros_like(flows.call_ok_ms)
        for number in range(len(system.operations) - 1, -1, -1):
            self._failures(number)
            self._durations(number)
            self._share_failures(number)
        for at, call in enumerate(system.calls):
            failing = np.minimum(self.call_failed[at], self.replied[at])
            good = self.replied[at] - failing
            ok = flows.call_ok_ms[at] + self.deviation[call.callee]
            late = np.minimum(self.late[at], failing)
            bad = late * call.timeout_s * 1000 + (failing - late) * (flows.fail_ms[call.callee] + call.net_ms)
            client_ms[at] = (good * np.maximum(ok, 0.05) + bad) / np.maximum(self.replied[at], 1)
        ok_ms = flows.ok_ms * np.exp(np.clip(self.deviation / flows.ok_ms, -STEEPEST, STEEPEST))
        bad_n = np.maximum(self.early + self.failed, 1)
        fail_ms = flows.fail_ms * np.exp(self.rng.normal(0, 0.5, flows.fail_ms.shape) / np.sqrt(bad_n))
        return Counts(
            answered=self.answered,
            early=self.early,
            failed=self.failed,
            refused_4xx=self.refused_4xx,
            ok_ms=ok_ms,
            fail_ms=fail_ms,
            replied=self.replied,
            call_failed=self.call_failed,
            silent=self.silent,
            refused=self.refused,
            client_ms=client_ms,
        )

    def _requests(self, number: int) -> None:
        """How many requests an operation answers, and how many calls it makes for them."""
        flows, rng = self.flows, self.rng
        coming = self.outside.get(number)
        if coming is not None:
            if number in self.regular:
                ticks = np.floor(np.cumsum(coming) * STEP_S + 0.37)
                arrived = np.diff(ticks, prepend=0.0).astype(np.int64)
                arrived = rng.binomial(arrived, 1 / self.sampling)
            else:
                arrived = rng.poisson(coming * STEP_S / self.sampling)
            self.answered[number] += rng.binomial(arrived, np.clip(1 - flows.lost[number], 0, 1))
        answered = self.answered[number]
        working = flows.rate[number] * (1 - flows.lost[number])
        for at in flows.system.operations[number].calls:
            call = flows.system.calls[at]
            each = np.divide(flows.attempts[at], working, out=np.zeros(flows.buckets), where=working > 0)
            whole = np.floor(each + 1e-9)
            sent = answered * whole.astype(np.int64) + rng.binomial(answered, np.clip(each - whole, 0, 1))
            refused = rng.binomial(sent, flows.call_refused[at])
            left = np.clip(flows.no_reply[at] / np.maximum(1 - flows.call_refused[at], 1e-9), 0, 1)
            silent = rng.binomial(sent - refused, left)
            self.refused[at], self.silent[at] = refused, silent
            replied = sent - refused - silent
            if call.deferred:
                waits = float(flows.backlog[at].max()) > 0.5
                handled = rng.poisson(flows.delivered[at] * STEP_S / self.sampling) if waits else sent
                replied = rng.binomial(handled, np.clip(1 - flows.lost[call.callee], 0, 1))
                self.refused[at], self.silent[at] = 0, 0
            self.replied[at] = replied
            self.answered[call.callee] += replied

    def _failures(self, number: int) -> None:
        """How many requests fail: by the operation's own fault, or because a call did."""
        flows, rng, answered = self.flows, self.rng, self.answered[number]
        early_share = np.clip(flows.early[number] * flows.failing[number], 0, 1)
        early = rng.binomial(answered, early_share)
        late_share = np.clip((flows.own_failing[number] - early_share) / np.maximum(1 - early_share, 1e-9), 0, 1)
        own = rng.binomial(answered - early, late_share)
        passed = np.zeros_like(own)
        expected = np.zeros(flows.buckets)
        for at in flows.system.operations[number].calls:
            call = flows.system.calls[at]
            if not call.deferred and not call.tolerated:
                failed = self.call_failed[at] + self.silent[at] + self.refused[at]
                passed = passed + rng.binomial(failed, np.clip(flows.passed_on[at], 0, 1))
                expected = expected + flows.attempts[at] * flows.call_failing[at] * flows.passed_on[at]
        working = flows.rate[number] * (1 - flows.lost[number])
        wanted = np.maximum(flows.failing[number] - flows.own_failing[number], 0) * working
        # One request may make several calls that fail; and an open breaker fails without a call.
        passed = rng.binomial(passed, np.clip(wanted / np.maximum(expected, 1e-12), 0, 1))
        without = np.clip((wanted - expected) / np.maximum(working, 1e-12), 0, 1)
        passed = passed + rng.binomial(answered, np.where(without > 1e-6, without, 0))
        self.early[number] = early
        self.failed[number] = np.minimum(own + passed, answered - early)
        rest = answered - early - self.failed[number]
        self.refused_4xx[number] = rng.binomial(rest, flows.refused_4xx[number])

    def _durations(self, number: int) -> None:
        """How far the mean duration is from what is expected: chance of its own, and that of its calls."""
        flows = self.flows
        good = np.maximum(self.answered[number] - self.early[number] - self.failed[number], 1)
        deviation = self.rng.normal(0, 1, flows.buckets) * np.sqrt(flows.own_var[number] / good)
        operation = flows.system.operations[number]
        calls = [at for at in operation.calls if not flows.system.calls[at].deferred]
        for at in calls:
            each = np.minimum(self.replied[at] / np.maximum(self.answered[number], 1), 20)
            deviation += (
                each * self.deviation[flows.system.calls[at].callee] / (len(calls) if operation.parallel else 1)
            )
        low = -0.6 * flows.ok_ms[number]
        self.deviation[number] = np.maximum(deviation, low)

    def _share_failures(self, number: int) -> None:
        """Which callers met an operation's failures; and answers that came too late for them."""
        flows, rng = self.flows, self.rng
        failures = (self.early[number] + self.failed[number]).astype(np.int64)
        left = self.answered[number].copy()
        for at in flows.system.called_by[number]:
            replied = self.replied[at]
            if flows.system.calls[at].deferred:
                left, failures = left - replied, failures - np.minimum(failures, replied)
                continue
            met = rng.hypergeometric(failures, np.maximum(left - failures, 0), np.minimum(replied, left))
            failures, left = failures - met, left - replied
            answered = np.maximum(1 - flows.no_reply[at] - flows.call_refused[at], 1e-9)
            late = rng.binomial(replied - met, np.clip(flows.call_late[at] / answered, 0, 1))
            self.call_failed[at], self.late[at] = met + late, late


def _zeros(rows: int, buckets: int) -> npt.NDArray[np.int64]:
    return np.zeros((rows, buckets), dtype=np.int64)


def ended(counts: I64, mean_ms: F64, rng: np.random.Generator) -> tuple[I64, F64]:
    """Move requests to the bucket in which they ended: counts and sums of ms, `(rows, T)`; later ones are dropped."""
    ends, sums = counts.copy(), counts * mean_ms
    for row in np.flatnonzero((mean_ms * (counts > 0)).max(axis=1, initial=0.0) > 0.05 * STEP_S * 1000).tolist():
        late = np.clip(mean_ms[row] / (STEP_S * 1000), 0, counts.shape[1])
        whole = np.floor(late).astype(np.int64)
        moved = rng.binomial(counts[row], late - whole)
        at = np.arange(counts.shape[1]) + whole
        ends[row], sums[row] = 0, 0.0
        for number, target in ((counts[row] - moved, at), (moved, at + 1)):
            inside = target < counts.shape[1]
            np.add.at(ends[row], target[inside], number[inside])
            np.add.at(sums[row], target[inside], (number * mean_ms[row])[inside])
    return ends, sums


def skewed(counts: I64, sums: F64, by_s: float, rng: np.random.Generator) -> tuple[I64, F64]:
    """What a service whose clock is `by_s` ahead says of one row of counts and sums, `(T,)`."""
    if not by_s:
        return counts, sums
    share = min(abs(by_s) / STEP_S, 1.0)
    moved = rng.binomial(counts, share)
    part = sums * np.divide(moved, counts, out=np.zeros(len(sums)), where=counts > 0)
    to = np.roll(moved, int(np.sign(by_s)))
    part_to = np.roll(part, int(np.sign(by_s)))
    edge = 0 if by_s > 0 else -1
    to[edge], part_to[edge] = 0, 0.0
    return counts - moved + to, sums - part + part_to
