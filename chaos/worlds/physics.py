"""How a system behaves under its traffic and under what happens to it: a fluid model over buckets of five seconds.

Rates go from callers to callees (with retries, caches, breakers and queues), durations and failures from callees to
callers (own time, waiting, time-outs). Both depend on each other, so a few passes are made. Everything is an array
over time, so that the cost does not depend on how many requests there are.

Sources: waiting for one of several processors is Sakasegawa's approximation (Annals of the Institute of Statistical
Mathematics 29, 1977); a queue that fills is Lindley's recursion; requests in progress are Little's law.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
from scipy.special import ndtr

from chaos.worlds.flows import Flows
from chaos.worlds.levers import Lever, Levers
from chaos.worlds.system import F64, Call, System

STEP_S: Final = 5.0
PASSES: Final = 5  # at most
SETTLED: Final = 0.002  # relative change from one pass to the next after which no further one is made
LONGEST_WAIT_S: Final = 20.0  # clients give up: a queue of requests never grows beyond
REFUSED_MS: Final = 1.0  # until a refused connection is noticed
TRIES_BREAKER: Final = 0.1  # share of the calls that an open breaker lets through
OPENS: Final = 0.5  # share of failing calls at which a breaker opens
DEAF: Final = 0.995  # load at which waiting is no longer computed by the formula but as a growing queue


def simulate(system: System, outside: Mapping[int, F64], levers: Levers) -> Flows:
    """Let a system run.

    Args:
        system: what runs.
        outside: requests a second from outside, `(T,)`, by operation.
        levers: what happens to it.
    """
    run = _Run(system, outside, levers)
    for _ in range(PASSES):
        before = run.rate.copy(), run.ok_ms.copy()
        run.rates()
        run.loads()
        run.durations()
        if np.allclose(before[0], run.rate, rtol=SETTLED) and np.allclose(before[1], run.ok_ms, rtol=SETTLED):
            break
    return run.flows()


def lindley(excess_s: F64) -> F64:
    """Work that waits at the end of each step, given what came minus what could be done, `(T,)`."""
    total = np.cumsum(excess_s)
    return np.asarray(total - np.minimum(np.minimum.accumulate(total), 0.0))


def bounded_wait(load: F64) -> F64:
    """Seconds that a request waits where `load` times the capacity comes, `(T,)`; those who wait too long leave."""
    if float(load.max(initial=0.0)) <= 1.0:
        return np.zeros_like(load)
    waits, wait = np.zeros_like(load), 0.0
    for at, excess in enumerate(((load - 1.0) * STEP_S).tolist()):
        wait = min(max(wait + excess, 0.0), LONGEST_WAIT_S)
        waits[at] = wait
    return waits


def _slower(load: F64, servers: F64 | float) -> F64:
    """Times that a request takes longer for waiting behind others, by Sakasegawa."""
    load = np.minimum(load, DEAF)
    return np.asarray(1.0 + load ** (np.sqrt(2.0 * (np.asarray(servers) + 1.0)) - 1.0) / (servers * (1.0 - load)))


class _Run:
    def __init__(self, system: System, outside: Mapping[int, F64], levers: Levers) -> None:
        self.system, self.outside, self.levers = system, outside, levers
        self.buckets = levers.buckets
        ops, calls, nodes = len(system.operations), len(system.calls), len(system.nodes)

        def zeros(rows: int) -> F64:
            return np.zeros((rows, self.buckets))

        self.rate, self.lost, self.failing, self.early, self.own_failing = (zeros(ops) for _ in range(5))
        self.ok_ms, self.ok_var, self.fail_ms, self.refused_4xx, self.own_var = (zeros(ops) for _ in range(5))
        self.attempts, self.no_reply, self.call_refused, self.call_failing = (zeros(calls) for _ in range(4))
        self.call_ok_ms, self.call_var, self.call_fail_ms, self.open = (zeros(calls) for _ in range(4))
        self.passed_on, self.final, self.chance, self.late, self.delivered = (zeros(calls) for _ in range(5))
        self.busy, self.host_busy, self.held, self.wait_ms = (zeros(nodes) for _ in range(4))
        self.slower = np.ones((nodes, self.buckets))
        self.backlog = zeros(calls)
        self.pool_used: dict[tuple[int, int], F64] = {}
        self.pool_wait: dict[tuple[int, int], F64] = {}
        self.node_of = np.array([operation.node for operation in system.operations], dtype=np.int64)
        self.host_of = np.array([node.host for node in system.nodes], dtype=np.int64)
        self.cores = np.array([node.cores * node.instances for node in system.nodes])
        self.threads = np.array([float(node.threads * node.instances) for node in system.nodes])
        self.times_instances, self.down = self._at_nodes("instances"), self._at_nodes("down")
        self.mute, self.taken, self.stolen = (self._at_nodes("mute"), self._at_nodes("cores"), self._at_nodes("stolen"))
        self.slow = np.stack(
            [
                self._wide(levers.get("slow", ("op", number), ("node", operation.node)))
                for number, operation in enumerate(system.operations)
            ]
        )
        self.cpu_ms = np.array([operation.cpu_ms for operation in system.operations])
        self.host_extra = np.stack(
            [self._wide(levers.get("cores", ("host", number))) for number in range(system.hosts)]
        )
        self.host_room = np.bincount(self.host_of, weights=self.cores, minlength=system.hosts)

    def _at_nodes(self, lever: Lever) -> F64:
        nodes = range(len(self.system.nodes))
        return np.stack([self._wide(self.levers.get(lever, ("node", node))) for node in nodes])

    def _wide(self, values: F64 | float) -> F64:
        return np.broadcast_to(np.asarray(values, dtype=np.float64), (self.buckets,))

    def _by_node(self, of_operations: F64) -> F64:
        """Sums over each node's operations, `(nodes, T)`."""
        total = np.zeros_like(self.busy)
        np.add.at(total, self.node_of, of_operations)
        return total

    def rates(self) -> None:
        """From callers to callees: how many requests each operation is given."""
        system = self.system
        self.rate[:] = 0.0
        for number, values in self.outside.items():
            self.rate[number] = values * self.levers.get("traffic", ("op", number))
        for number, operation in enumerate(system.operations):
            node = operation.node
            # A caller that is down or hangs makes no calls; neither does what fails early.
            self.lost[number] = 1 - (1 - self.down[node]) * (1 - self.mute[node])
            working = self.rate[number] * (1 - self.lost[number]) * (1 - self.early[number] * self.failing[number])
            for at in operation.calls:
                call = system.calls[at]
                chance = self._chance(call)
                self.chance[at] = chance
                failing = self.call_failing[at]
                tries = 1.0 + sum(failing**again for again in range(1, call.retries + 1))
                self.attempts[at] = working * call.times * chance * tries
                if call.breaker:
                    self.attempts[at] *= 1 - self.open[at] * (1 - TRIES_BREAKER)
                arriving = self.attempts[at] * self._reaching(call)
                self.rate[call.callee] += self._delivered(at, call, arriving) if call.deferred else arriving
                if not call.tolerated and not operation.parallel:
                    working = np.asarray(working * (1 - self.final[at]))

    def _chance(self, call: Call) -> F64 | float:
        path = self._path(call)
        chance: F64 | float = np.minimum(call.chance * self.levers.get("calls", path), 10.0)
        if call.spared_by is not None:
            cache = self.system.calls[call.spared_by]
            hits = np.minimum(cache.hits * self.levers.get("hits", self._path(cache)), 1.0)
            chance = chance * (1 - hits * (1 - self.call_failing[call.spared_by]))
        return chance

    def _path(self, call: Call) -> tuple[str, int, int]:
        operations = self.system.operations
        return "path", operations[call.caller].node, operations[call.callee].node

    def _reaching(self, call: Call) -> F64 | float:
        """Share of attempts that come to the callee's process; whether it answers them is its own matter."""
        path = self._path(call)
        return (1 - self.levers.get("down", path)) * (1 - self.levers.get("mute", path))

    def _delivered(self, at: int, call: Call, arriving: F64) -> F64:
        """What consumers take of a queue: no more than they can handle; the rest waits."""
        node = self.system.operations[call.callee].node
        takes_s = np.maximum(self.ok_ms[call.callee] / 1000.0, 1e-4)
        able = self.threads[node] * self.times_instances[node] / takes_s * (1 - self.lost[call.callee]) + 1e-6
        waiting = lindley((arriving - able) * STEP_S)
        self.backlog[at] = waiting
        self.delivered[at] = np.maximum(arriving - np.diff(waiting, prepend=0.0) / STEP_S, 0.0)
        return np.asarray(self.delivered[at])

    def loads(self) -> None:
        """How busy processors, threads and pools are, and how long requests wait for them."""
        system = self.system
        answered = self.rate * (1 - self.lost)
        demand = self._by_node(answered * self.cpu_ms[:, None] / 1000 * self.slow)
        able = self.cores[:, None] * self.times_instances
        self.busy = np.minimum((demand + self.taken) / able, 1.0)
        load = (demand + self.taken) / (able * (1 - self.stolen))
        self.slower = _slower(load, np.maximum(able, 1.0))
        mean_ms = self.ok_ms * (1 - self.failing) + self.fail_ms * self.failing
        waiting = np.maximum(mean_ms - self.wait_ms[self.node_of], 0.0)
        held = self._by_node(answered * waiting / 1000)
        threads = self.threads[:, None] * self.times_instances
        self.held = held + self._by_node(answered) * self.wait_ms / 1000
        for node in np.flatnonzero((load.max(axis=1) > DEAF) | ((held / threads).max(axis=1) > 1)).tolist():
            self.wait_ms[node] = 1000 * bounded_wait(np.maximum(load[node], held[node] / threads[node]))
        host = np.zeros((system.hosts, self.buckets))
        np.add.at(host, self.host_of, np.minimum(demand + self.taken, able))
        room = np.maximum(self.host_room * 2, 4)[:, None]
        self.host_busy = np.minimum((host + self.host_extra) / room + 0.03, 1.0)
        for path, size in system.pools.items():
            used = sum(
                (self.attempts[at] * (self.call_ok_ms[at] + self.call_fail_ms[at] * self.call_failing[at]) / 1000)
                for at in system.paths[path]
            )
            leaked = self.levers.get("leaked", ("path", *path))
            left = size * self.times_instances[path[0]] * np.maximum(1 - leaked, 0.001)
            self.pool_used[path] = np.minimum(used + size * leaked, size * self.times_instances[path[0]])
            self.pool_wait[path] = bounded_wait(np.asarray(used / left))

    def durations(self) -> None:
        """From callees to callers: how long everything takes, and what fails."""
        system, levers = self.system, self.levers
        for number in range(len(system.operations) - 1, -1, -1):
            operation = system.operations[number]
            node: tuple[str, int] = ("node", operation.node)
            own_place: tuple[str, int] = ("op", number)
            stall = levers.get("stall_ms", node)
            own = (
                operation.own_ms * self.slow[number] * self.slower[operation.node]
                + levers.get("more_ms", own_place, node)
                + self.wait_ms[operation.node]
                + stall
            )
            variance = own**2 * (np.exp(operation.own_spread**2) - 1) + levers.get("more_var", own_place, node)
            early = np.asarray(levers.get("fail_early", own_place, node))
            late = 1 - (1 - operation.failing) * (1 - np.asarray(levers.get("fail", own_place, node)))
            self._combine(number, own, variance, early, late)

    def _combine(self, number: int, own: F64, variance: F64, early: F64, late: F64) -> None:
        operation = self.system.operations[number]
        ok, spread = own.copy(), variance.copy()
        self.own_var[number] = variance
        survives, fail_sum, fail_ms = np.asarray(1 - early) + np.zeros_like(own), early.copy() + 0.0, early * 0.8
        longest = np.zeros_like(own)
        waited_for = set()
        for at in operation.calls:
            call = self.system.calls[at]
            self._call(at, call)
            if call.deferred:
                continue
            path = self._path(call)[1:]
            if path in self.pool_wait and path not in waited_for:
                waited_for.add(path)
                wait = self.pool_wait[path] * 1000
                ok = ok + wait
                late = 1 - (1 - late) * (1 - np.clip(wait / (LONGEST_WAIT_S * 1000), 0, 1) ** 2)
            failing = self.call_failing[at]
            again = call.retries + 1
            self.final[at] = np.minimum(failing**again * self.chance[at], 1.0)
            tries = sum(failing**earlier for earlier in range(again))
            self.passed_on[at] = 0.0 if call.tolerated else failing ** (again - 1) / tries
            failed_ms = self.call_fail_ms[at] * again
            takes = self.call_ok_ms[at] + self.call_fail_ms[at] * (failing if call.retries else 0.0)
            if call.tolerated:
                takes = takes * (1 - failing) + failed_ms * failing
            often = call.times * self.chance[at]
            if operation.parallel:
                longest = np.maximum(longest, takes * np.minimum(often, 1.0))
            else:
                ok = ok + often * takes
            spread = spread + often * (self.call_var[at] + np.maximum(1 - self.chance[at], 0) * takes**2)
            if not call.tolerated:
                share = survives * (1 - (1 - np.minimum(self.final[at], 1.0)) ** call.times)
                fail_sum = fail_sum + share
                # It ends as soon as the call has failed, with half of its own work done.
                fail_ms = fail_ms + share * (ok - 0.5 * own + failed_ms)
                survives = survives - share
        ok = ok + longest
        own_share = survives * late
        total = np.maximum(fail_sum + own_share, 1e-12)
        self.fail_ms[number] = (fail_ms + own_share * ok) / total
        self.failing[number] = np.minimum(fail_sum + own_share, 1.0)
        self.own_failing[number] = early + own_share
        self.early[number] = early / total
        self.ok_ms[number], self.ok_var[number] = ok, spread
        place: tuple[str, int] = ("node", operation.node)
        self.refused_4xx[number] = np.minimum(
            operation.refusing + np.asarray(self.levers.get("refuse_4xx", ("op", number), place)), 0.9
        )

    def _call(self, at: int, call: Call) -> None:
        """What a call looks like to its caller."""
        system, levers, callee = self.system, self.levers, call.callee
        path = self._path(call)
        node = system.operations[callee].node
        caller: tuple[str, int] = ("node", path[1])
        refused = 1 - (1 - np.asarray(levers.get("down", path))) * (1 - self.down[node])
        silent = (1 - refused) * (1 - (1 - np.asarray(levers.get("mute", path))) * (1 - self.mute[node]))
        takes = (
            self.ok_ms[callee]
            + call.net_ms
            + levers.get("more_ms", path)
            + 0.5 * np.asarray(levers.get("stall_ms", caller))
        )
        variance = self.ok_var[callee] + levers.get("more_var", path) + (0.5 * call.net_ms) ** 2
        limit = call.timeout_s * 1000
        answered = np.maximum(1 - refused - silent, 0.0)
        late: F64 | float = 0.0
        if float(takes.max()) > limit / 8:
            spread = np.sqrt(np.log1p(variance / takes**2)) + 1e-6
            late = ndtr((np.log(takes) - 0.5 * spread**2 - np.log(limit)) / spread)
            takes = np.minimum(takes, limit)
        answer_fails = self.failing[callee]
        failing = np.minimum(refused + silent + answered * (late + (1 - late) * answer_fails), 1.0)
        if call.deferred:
            failing = np.zeros_like(failing)
        fail_ms = (
            refused * REFUSED_MS
            + (silent + answered * late) * limit
            + answered * (1 - late) * answer_fails * (self.fail_ms[callee] + call.net_ms)
        ) / np.maximum(failing, 1e-12)
        if call.breaker:
            recent = np.convolve(failing, (0.5, 0.5))[: self.buckets]
            self.open[at] = np.concatenate(([0.0], (recent > OPENS)[:-1]))
            # Open: nearly all calls fail at once, without being made.
            fail_ms = fail_ms * (1 - self.open[at] * (1 - TRIES_BREAKER))
        self.no_reply[at], self.call_refused[at], self.call_failing[at] = silent, refused, failing
        self.late[at] = answered * late
        self.call_ok_ms[at], self.call_var[at], self.call_fail_ms[at] = takes, variance, fail_ms

    def flows(self) -> Flows:
        """All of it."""
        return Flows(
            system=self.system,
            buckets=self.buckets,
            rate=self.rate,
            lost=self.lost,
            failing=self.failing,
            early=self.early,
            refused_4xx=self.refused_4xx,
            own_failing=self.own_failing,
            own_var=self.own_var,
            ok_ms=self.ok_ms,
            ok_var=self.ok_var,
            fail_ms=self.fail_ms,
            attempts=self.attempts,
            each=self.chance * np.array([call.times for call in self.system.calls])[:, None],
            no_reply=self.no_reply,
            call_refused=self.call_refused,
            call_failing=self.call_failing,
            passed_on=self.passed_on,
            call_late=self.late,
            delivered=self.delivered,
            call_ok_ms=self.call_ok_ms,
            call_var=self.call_var,
            call_fail_ms=self.call_fail_ms,
            open=self.open,
            busy=self.busy,
            host_busy=self.host_busy,
            held=self.held,
            wait_ms=self.wait_ms,
            backlog=self.backlog,
            pool_used=self.pool_used,
            up=1 - self.down,
        )
