"""What runtimes report of themselves under their SDKs' real names, with the saw teeth and steps that mean nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from chaos.worlds.habits import Habit
from chaos.worlds.system import F64, Node

Line = tuple[str, dict[str, str], str, F64]
"""A series: metric, attributes, kind, and its values `(T,)`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inside:
    """What goes on in one service's process, `(T,)`, which its runtime measures.

    Attributes:
        busy: share of its processors in use; per_s: requests a second; held: requests in progress.
        memory: bytes that one instance holds; limit: bytes that it may.
        late_ms: how late its event loop or scheduler is.
    """

    busy: F64
    per_s: F64
    held: F64
    memory: F64
    limit: float
    late_ms: F64


def runtime_lines(rng: np.random.Generator, node: Node, habit: Habit, inside: Inside) -> Iterator[Line]:
    """The series of a service's runtime."""
    lines_of = {"java": _java, "go": _go, "node": _node, "python": _python, "dotnet": _dotnet}.get(node.language)
    if lines_of is not None:
        yield from lines_of(rng, habit, inside, node)


def sawtooth(rng: np.random.Generator, buckets: int, period: float) -> F64:
    """Rises from 0 to 1 and falls back at once, again and again, `(T,)`; `period` in buckets."""
    lengths = np.maximum(rng.normal(period, period / 8, int(buckets / max(period, 1)) * 2 + 20), 1.0)
    ends = np.cumsum(lengths) - float(rng.uniform(0, period))
    at = np.arange(buckets, dtype=np.float64)
    index = np.searchsorted(ends, at, side="right")
    return np.asarray(1 - (ends[index] - at) / lengths[index]).clip(0, 1)


def steps(rng: np.random.Generator, buckets: int, often: float, size: float) -> F64:
    """A level that jumps now and then, `(T,)`, around 1."""
    return np.asarray(np.exp(np.cumsum(np.where(rng.random(buckets) < often, rng.normal(0, size, buckets), 0.0))))


def noisy(rng: np.random.Generator, values: F64, spread: float) -> F64:
    """Values with noise in proportion."""
    return np.asarray(values * np.exp(rng.normal(0, spread, len(values))))


def _java(rng: np.random.Generator, habit: Habit, inside: Inside, node: Node) -> Iterator[Line]:
    new, buckets = habit.new_names, len(inside.busy)
    used = "jvm.memory.used" if new else "process.runtime.jvm.memory.usage"
    pool, kind = ("jvm.memory.pool.name", "jvm.memory.type") if new else ("pool", "type")
    eden = sawtooth(rng, buckets, float(rng.uniform(4, 40)))
    heap = inside.memory * 0.8
    for name, share in (("G1 Eden Space", eden * 0.3), ("G1 Survivor Space", steps(rng, buckets, 0.05, 0.5) * 0.02)):
        yield used, {pool: name, kind: "heap"}, "gauge", 0.45 * inside.limit * share
    yield used, {pool: "G1 Old Gen", kind: "heap"}, "gauge", heap
    for name in ("Metaspace", "CodeHeap 'profiled nmethods'", "Compressed Class Space"):
        grown = 1 - 0.3 * np.exp(-np.arange(buckets) / 200)
        level = float(rng.uniform(8e6, 9e7)) * grown
        yield used, {pool: name, kind: "non_heap"}, "gauge", level
    limit = "jvm.memory.limit" if new else "process.runtime.jvm.memory.limit"
    yield limit, {pool: "G1 Old Gen", kind: "heap"}, "gauge", np.full(buckets, 0.9 * inside.limit)
    threads = "jvm.thread.count" if new else "process.runtime.jvm.threads.count"
    yield threads, {"jvm.thread.daemon": "true"}, "gauge", np.round(25 + inside.held / node.instances * 1.3)
    cpu = "jvm.cpu.recent_utilization" if new else "process.runtime.jvm.cpu.utilization"
    yield cpu, {}, "gauge", noisy(rng, inside.busy, 0.1)
    full = inside.memory / inside.limit
    pause = noisy(rng, 0.004 + 0.4 * np.clip((full - 0.8) / 0.2, 0, 1), 0.4)
    collector = {"jvm.gc.name": "G1 Young Generation", "jvm.gc.action": "end of minor GC"}
    yield "jvm.gc.duration" if new else "process.runtime.jvm.gc.duration", collector, "mean", pause


def _go(rng: np.random.Generator, habit: Habit, inside: Inside, node: Node) -> Iterator[Line]:
    new, buckets = habit.new_names, len(inside.busy)
    saw = 0.6 + 0.4 * sawtooth(rng, buckets, float(rng.uniform(3, 25)))
    routines = np.round(20 + inside.held / node.instances * 2)
    yield "go.goroutine.count" if new else "process.runtime.go.goroutines", {}, "gauge", routines
    if new:
        yield "go.memory.used", {"go.memory.type": "other"}, "gauge", inside.memory * saw
        yield "go.memory.used", {"go.memory.type": "stack"}, "gauge", 2048 * 4 * routines
        yield "go.memory.allocated", {}, "rate", noisy(rng, 5e4 * (1 + inside.per_s), 0.1)
    else:
        yield "process.runtime.go.mem.heap_alloc", {}, "gauge", inside.memory * saw
        yield "process.runtime.go.mem.heap_objects", {}, "gauge", inside.memory * saw / 90
        yield "process.runtime.go.gc.pause_ns", {}, "mean", noisy(rng, np.full(buckets, 9e4), 0.5)


def _node(rng: np.random.Generator, habit: Habit, inside: Inside, node: Node) -> Iterator[Line]:
    buckets = len(inside.busy)
    saw = 0.7 + 0.3 * sawtooth(rng, buckets, float(rng.uniform(3, 20)))
    late = noisy(rng, 0.0102 + inside.late_ms / 1000, 0.02)
    for name, times in (("min", 0.9), ("mean", 1.0), ("p50", 1.0), ("p90", 1.3), ("p99", 2.2), ("max", 3.0)):
        yield f"nodejs.eventloop.delay.{name}", {}, "gauge", noisy(rng, late * times, 0.03)
    yield "nodejs.eventloop.delay.stddev", {}, "gauge", noisy(rng, 2e-5 + inside.late_ms / 4000, 0.7)
    yield "nodejs.eventloop.utilization", {}, "gauge", np.clip(inside.busy * node.cores + inside.late_ms / 1000, 0, 1)
    yield "v8js.memory.heap.used", {"v8js.heap.space.name": "old_space"}, "gauge", inside.memory * 0.8 * saw
    for space in ("new_space", "code_space", "large_object_space", "read_only_space"):
        size = float(rng.uniform(1e5, 2e7))
        level = size * steps(rng, buckets, 0.02 if space != "read_only_space" else 0.0, 0.4)
        if space == "new_space":
            level = size * (0.1 + sawtooth(rng, buckets, 2.5))
        yield "v8js.memory.heap.used", {"v8js.heap.space.name": space}, "gauge", level
        free = noisy(rng, 0.3 * size * steps(rng, buckets, 0.03, 0.6), 0.05)
        yield "v8js.memory.heap.space.available_size", {"v8js.heap.space.name": space}, "gauge", free
    yield "v8js.memory.heap.limit", {"v8js.heap.space.name": "old_space"}, "gauge", np.full(buckets, 0.9 * inside.limit)
    if not habit.new_names:
        pause = noisy(rng, np.full(buckets, 1.5), 0.6)
        yield "v8js.gc.duration", {"v8js.gc.type": "minor"}, "mean", pause / (1 if habit.milliseconds else 1000)


def _python(rng: np.random.Generator, habit: Habit, inside: Inside, node: Node) -> Iterator[Line]:
    del habit, node
    buckets = len(inside.busy)
    yield "process.runtime.cpython.memory", {"type": "rss"}, "gauge", inside.memory
    yield "process.runtime.cpython.memory", {"type": "vms"}, "gauge", inside.memory * 3 + 2e8
    yield "process.runtime.cpython.cpu_time", {"type": "user"}, "rate", noisy(rng, inside.busy, 0.1)
    for generation, often in (("0", 1.0), ("1", 0.1), ("2", 0.01)):
        rate = noisy(rng, often * (0.1 + 0.02 * inside.per_s), 0.3)
        yield "process.runtime.cpython.gc_count", {"count": generation}, "rate", rate
    yield (
        "process.runtime.cpython.context_switches",
        {"type": "voluntary"},
        "rate",
        noisy(rng, 5 + 3 * inside.per_s, 0.2),
    )
    yield "process.runtime.cpython.thread_count", {}, "gauge", np.full(buckets, float(rng.integers(4, 40)))


def _dotnet(rng: np.random.Generator, habit: Habit, inside: Inside, node: Node) -> Iterator[Line]:
    new, buckets = habit.new_names, len(inside.busy)
    heap = "dotnet.gc.last_collection.heap.size" if new else "process.runtime.dotnet.gc.heap.size"
    key = "gc.heap.generation" if new else "generation"
    for generation, share in (("gen0", 0.05), ("gen1", 0.05), ("gen2", 0.6), ("loh", 0.1)):
        saw = sawtooth(rng, buckets, 8.0) if generation in ("gen0", "gen1") else steps(rng, buckets, 0.01, 0.05)
        yield heap, {key: generation}, "gauge", inside.memory * share * (0.3 + 0.7 * saw)
    pool = "dotnet.thread_pool.thread.count" if new else "process.runtime.dotnet.thread_pool.threads.count"
    waiting = "dotnet.thread_pool.queue.length" if new else "process.runtime.dotnet.thread_pool.queue.length"
    yield pool, {}, "gauge", np.round(4 + inside.held / node.instances)
    yield waiting, {}, "gauge", np.round(inside.late_ms / 5)
    yield (
        ("dotnet.exceptions" if new else "process.runtime.dotnet.exceptions.count"),
        {},
        "rate",
        noisy(rng, 0.01 + 0.001 * inside.per_s, 0.5),
    )
