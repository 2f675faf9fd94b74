"""What a system's metrics say: of requests, processes, hosts, pools and queues."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from chaos.worlds.counts import Counts
from chaos.worlds.flows import Flows
from chaos.worlds.habits import Habit, Instrumentation
from chaos.worlds.levers import Levers
from chaos.worlds.observed import stamps, words
from chaos.worlds.recording import STEP_S
from chaos.worlds.runtimes import Inside, Line, noisy, runtime_lines, sawtooth
from chaos.worlds.service_faults import FULL
from chaos.worlds.system import F64, I64

MB = 1024.0 * 1024.0
DEAF_SHARE = 0.9  # of a service's requests that get no answer, from which on it exports nothing either


@dataclass(slots=True)
class Metrics:
    """Turns flows and counts into tables of metrics."""

    rng: np.random.Generator
    start: int
    flows: Flows
    counts: Counts
    levers: Levers
    instrumentation: Instrumentation

    def tables(self) -> tuple[pa.Table, pa.Table]:
        """The tables `metrics` and `heartbeats` of a recording."""
        keys: list[tuple[str, str, str, str]] = []
        rows: list[I64] = []
        at: list[I64] = []
        values: list[F64] = []
        beats: list[tuple[str, I64]] = []
        for number, habit in enumerate(self.instrumentation.habits):
            if habit is None or not habit.metrics:
                continue
            exported = self._exported(number, habit)
            name = self.instrumentation.name(number)
            beats.append((name, exported))
            for metric, attributes, kind, line in self._lines(number, habit):
                when = exported[np.isfinite(line[exported])]
                rows.append(np.full(len(when), len(keys)))
                keys.append((name, metric, json.dumps(attributes, sort_keys=True, separators=(",", ":")), kind))
                at.append(when)
                values.append(line[when])
        row, moment = _joined(rows), _joined(at)
        order = np.lexsort((row, moment))
        row, moment = row[order], moment[order]
        table = pa.table(
            {
                "bucket": stamps(self.start, moment, STEP_S),
                "service": words([key[0] for key in keys], row),
                "metric": words([key[1] for key in keys], row),
                "attributes": words([key[2] for key in keys], row),
                "value": np.concatenate(values)[order] if values else np.zeros(0),
                "kind": words([key[3] for key in keys], row),
            }
        )
        lengths = [np.full(len(when), index) for index, (_, when) in enumerate(beats)]
        moment = _joined([when for _, when in beats])
        order = np.argsort(moment, kind="stable")
        heartbeats = pa.table(
            {
                "bucket": stamps(self.start, moment[order], STEP_S),
                "service": words([name for name, _ in beats], _joined(lengths)[order]),
            }
        )
        return table, heartbeats

    def _exported(self, number: int, habit: Habit) -> I64:
        """The buckets in which a service exports: at its own pace, and not while it is down or hangs."""
        every = max(1, habit.every_s // STEP_S)
        at = np.arange(int(self.rng.integers(every)), self.flows.buckets, every)
        mute = np.asarray(self.levers.get("mute", ("node", number))) + np.zeros(self.flows.buckets)
        alive = (self.flows.up[number] > 1 - DEAF_SHARE) & (mute < DEAF_SHARE)
        return np.asarray(at[alive[at]], dtype=np.int64)

    def _lines(self, number: int, habit: Habit) -> Iterator[Line]:
        """All series of one service."""
        flows, rng = self.flows, self.rng
        node = flows.system.nodes[number]
        buckets = flows.buckets
        limit = node.memory_mb * MB
        leaked = np.asarray(self.levers.get("memory_mb", ("node", number))) * MB
        usual = FULL * limit * (0.9 + 0.1 * sawtooth(rng, buckets, float(rng.uniform(10, 200))))
        late = np.asarray(self.levers.get("stall_ms", ("node", number))) * 0.7
        late = late + 5 * np.maximum(flows.busy[number] - 0.8, 0) * 40 + np.zeros(buckets)
        operations = list(flows.system.operations_of[number])
        inside = Inside(
            busy=flows.busy[number],
            per_s=flows.rate[operations].sum(axis=0),
            held=flows.held[number],
            memory=usual + leaked,
            limit=limit,
            late_ms=late,
        )
        yield "process.cpu.utilization", {}, "gauge", np.clip(noisy(rng, 0.01 + inside.busy, 0.08), 0, 1)
        yield "process.memory.usage", {}, "gauge", noisy(rng, inside.memory, 0.01)
        if habit.runtime:
            yield from runtime_lines(rng, node, habit, inside)
        yield from self._machine(number)
        yield from self._pools(number, habit)
        yield from self._queues(number)
        if habit.request_metrics:
            yield from self._requests(number, habit)

    def _machine(self, number: int) -> Iterator[Line]:
        """Of the host: some services report it, and each one whose disk fills up."""
        flows, rng = self.flows, self.rng
        disk = np.asarray(self.levers.get("disk", ("node", number))) + np.zeros(flows.buckets)
        reports = flows.system.nodes[number].host % 2 == 0
        if reports:
            yield "system.cpu.utilization", {}, "gauge", np.clip(noisy(rng, flows.host_busy[number], 0.1), 0, 1)
        if reports or number % 2 == 0 or disk.any():
            filled = 0.4 + 0.05 * (number % 5)
            grown = filled + (1 - filled) * disk + 1e-6 * np.arange(flows.buckets)
            mount = {"system.filesystem.mountpoint": ("/", "/data", "/var/lib")[number % 3]}
            yield "system.filesystem.utilization", mount, "gauge", np.minimum(grown, 1.0)

    def _pools(self, number: int, habit: Habit) -> Iterator[Line]:
        flows = self.flows
        for (caller, callee), size in flows.system.pools.items():
            if caller != number:
                continue
            used = np.minimum(np.round(noisy(self.rng, flows.pool_used[caller, callee] + 0.3, 0.3)), size)
            metric = "db.client.connection.count" if habit.new_names else "db.client.connections.usage"
            pool = "db.client.connection.pool.name" if habit.new_names else "pool.name"
            state = "db.client.connection.state" if habit.new_names else "state"
            name = flows.system.nodes[callee].schema or flows.system.nodes[callee].product
            yield metric, {pool: name, state: "used"}, "gauge", used
            yield metric, {pool: name, state: "idle"}, "gauge", size - used
            most = "db.client.connection.max" if habit.new_names else "db.client.connections.max"
            yield most, {pool: name}, "gauge", np.full(flows.buckets, float(size))

    def _queues(self, number: int) -> Iterator[Line]:
        flows = self.flows
        for at, call in enumerate(flows.system.calls):
            if call.deferred and flows.system.operations[call.callee].node == number:
                broker = flows.system.nodes[flows.system.operations[call.caller].node]
                waiting = np.round(noisy(self.rng, flows.backlog[at] + 0.5, 0.5))
                topic = flows.system.operations[call.caller].route
                if broker.product == "kafka":
                    yield "kafka.consumer.records_lag", {"topic": topic}, "gauge", waiting
                else:
                    yield "messaging.queue.depth", {"messaging.destination.name": topic}, "gauge", waiting

    def _requests(self, number: int, habit: Habit) -> Iterator[Line]:
        """Durations as histograms, and how many with which status; unlike spans, not sampled."""
        flows, counts, rng = self.flows, self.counts, self.rng
        old = not habit.new_names
        web = "http.server.duration" if old else "http.server.request.duration"
        held = noisy(rng, flows.held[number] + 0.05, 0.3)
        yield "http.server.active_requests", {}, "gauge", np.round(held)
        for operation in flows.system.operations_of[number]:
            served = flows.system.operations[operation]
            if served.verb:
                duration, status = web, "http.status_code" if old else "http.response.status_code"
                labels = {"http.route": served.route, "http.method" if old else "http.request.method": served.verb}
            else:
                duration, status = "rpc.server.duration", "rpc.grpc.status_code"
                labels = {"rpc.method": served.route.rsplit("/", 1)[-1]}
            scale = 1.0 if old or habit.milliseconds or not served.verb else 1000.0
            bad = counts.early[operation] + counts.failed[operation]
            good = counts.answered[operation] - bad - counts.refused_4xx[operation]
            texts = ("200", "500", "404") if served.verb else ("0", "13", "5")
            for code, number_of, ms in (
                (texts[0], good, counts.ok_ms[operation]),
                (texts[1], bad, counts.fail_ms[operation]),
                (texts[2], counts.refused_4xx[operation], counts.ok_ms[operation] * 0.3),
            ):
                if not number_of.any():
                    continue
                known = np.cumsum(number_of) > 0  # a series begins with its first request
                yield duration, labels | {status: code}, "mean", np.where(number_of > 0, ms / scale, np.nan)
                rate = number_of * float(self.instrumentation.sampling) / STEP_S
                yield (
                    "http.server.requests" if served.verb else "rpc.server.requests",
                    labels | {status: code},
                    "rate",
                    np.where(known, _over(rate, max(1, habit.every_s // STEP_S)), np.nan),
                )


def _over(values: F64, width: int) -> F64:
    """The mean of each bucket and those before it, `width` in all."""
    if width == 1:
        return values
    sums = np.cumsum(np.concatenate((np.zeros(width), values)))
    return np.asarray((sums[width:] - sums[:-width]) / width)


def _joined(parts: list[I64]) -> I64:
    return np.concatenate(parts).astype(np.int64) if parts else np.zeros(0, dtype=np.int64)
