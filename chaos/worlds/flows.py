"""What is expected to happen in a system, in every bucket."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from chaos.worlds.system import F64, System


@dataclass(frozen=True, kw_only=True, eq=False)
class Flows:
    """What happens in every bucket: expected values, `(operations, T)`, `(calls, T)` or `(nodes, T)`.

    Attributes:
        rate: requests a second that an operation is given; those that it never answers are in `lost`.
        lost: share of `rate` that gets no answer and leaves no trace at the callee (refused, or never answered).
        failing, early: share of the answered that fail; of these, those that fail before a handler was found.
        refused_4xx: share of the answered that are the client's own fault.
        ok_ms, ok_var: mean and variance of the duration of answered requests that succeed.
        fail_ms: mean duration of those that fail.
        own_failing: share of the answered that fail by the operation's own fault.
        own_var: variance of the operation's own time.
        attempts: calls a second, retries included; each: calls that one request makes, retries not included.
        no_reply, call_refused: share of attempts that time out without an answer, or are refused.
        call_failing: share of attempts that fail, for whatever reason.
        passed_on: share of failed attempts that make the caller's request fail.
        call_late: share of attempts whose answer comes after the caller gave up.
        delivered: messages a second that a deferred call hands to its callee.
        call_ok_ms, call_var, call_fail_ms: durations as the caller sees them.
        busy: load of a node's processors, 0 to 1; host_busy: of its host's.
        held: requests in progress at a node.
        backlog: messages that wait in front of a deferred call.
        pool_used: connections in use, by path.
        up: share of a node's instances that run.
    """

    system: System
    buckets: int
    rate: F64
    lost: F64
    failing: F64
    early: F64
    refused_4xx: F64
    own_failing: F64
    own_var: F64
    ok_ms: F64
    ok_var: F64
    fail_ms: F64
    attempts: F64
    each: F64
    no_reply: F64
    call_refused: F64
    call_failing: F64
    passed_on: F64
    call_late: F64
    delivered: F64
    call_ok_ms: F64
    call_var: F64
    call_fail_ms: F64
    open: F64
    busy: F64
    host_busy: F64
    held: F64
    wait_ms: F64
    backlog: F64
    pool_used: dict[tuple[int, int], F64] = field(default_factory=dict)
    up: F64 = field(default_factory=lambda: np.zeros((0, 0)))
