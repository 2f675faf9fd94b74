"""A recording made by hand: four services in a row, and what is wrong with them given as functions of time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from chaos.worlds.recording import SHAPE_STEP_S, STEP_S, Event, Recording

START = 1_800_000_000
CHAIN = ("front", "orders", "stock", "prices")
Level = Callable[[str, int], float]


def recording(
    *,
    seconds: int = 1500,
    events: Sequence[Event] = (),
    own_ms: Level = lambda service, at: 20.0,
    failing: Level = lambda service, at: 0.0,
    per_s: Level = lambda service, at: 20.0,
    memory: Level = lambda service, at: 100e6,
    bodies: Callable[[str, int], Sequence[tuple[str, str, int]]] = lambda service, at: (),
    **values: Any,
) -> Recording:
    """Each service takes its own time and waits for the next; failures of one are failures of those before it.

    The functions are asked for every service and bucket; `bodies` gives severity, body and lines.
    """
    dice = np.random.default_rng(1)
    red, latency, edges, metrics, logs, beats = ([] for _ in range(6))
    for at in range(0, seconds, STEP_S):
        took = fails = 0.0
        for place in range(len(CHAIN) - 1, -1, -1):
            service, waited = CHAIN[place], took
            took = waited + own_ms(service, at) * dice.uniform(0.95, 1.05)
            fails = max(fails, failing(service, at))
            calls = int(dice.poisson(per_s(service, at) * STEP_S))
            if place + 1 < len(CHAIN) and calls:
                edges.append((at, service, CHAIN[place + 1], "span", calls, int(calls * fails), waited + 0.5, waited))
            if calls:
                direct = calls if service == CHAIN[0] else 0
                red.append((at, service, "GET /", calls, direct, int(dice.binomial(calls, min(fails, 1.0))), took))
                if at % SHAPE_STEP_S == 0:
                    latency.append((at, service, "GET /", calls * 6, took, took * 1.4, took * 2, took * 3))
                metrics.append((at, service, "process.memory.usage", "{}", memory(service, at), "gauge"))
                beats.append((at, service))
            logs += [(at, service, *line) for line in bodies(service, at)]
    quantiles = dict.fromkeys(("p50_ms", "p90_ms", "p95_ms", "p99_ms"), pa.float64())
    counts = {"calls": pa.int64(), "errors": pa.int64()}
    waits = dict.fromkeys(("client_mean_ms", "server_mean_ms"), pa.float64())
    missing = {"calls": pa.int64(), "waited_s": pa.float64(), "refused": pa.int64(), "timed_out": pa.int64()}
    tables = {
        "red": _table(
            red, "service", "operation", calls=pa.int64(), direct=pa.int64(), errors=pa.int64(), mean_ms=pa.float64()
        ),
        "latency": _table(latency, "service", "operation", calls=pa.int64(), **quantiles),
        "edges": _table(edges, "caller", "callee", "source", **counts, **waits),
        "metrics": _table(metrics, "service", "metric", "attributes", value=pa.float64(), kind=pa.string()),
        "logs": _table(logs, "service", "severity", "body", lines=pa.int64()),
        "unanswered": _table([], "caller", "callee", **missing),
        "heartbeats": _table(beats, "service"),
        "resources": resources({0: "1.0"}),
    }
    traits = dict.fromkeys(CHAIN, ("traces",))
    settings: dict[str, Any] = {"entries": ("front",), "traits": traits, "size": len(CHAIN), "entry_rate": 20.0}
    return Recording(start=START, seconds=seconds, events=tuple(events), **(tables | settings | values))


def resources(versions: Mapping[int, str]) -> pa.Table:
    """Every service's one instance, with a version from each of these seconds on."""
    rows = [
        (START + at, service, f"{service}-0", name, value)
        for at, version in versions.items()
        for service in CHAIN
        for name, value in (("service.version", version), ("process.pid", str(at)))
    ]
    columns = list(zip(*rows, strict=True))
    names = ("at", "service", "instance", "attribute", "value")
    return pa.table({name: pa.array(column) for name, column in zip(names, columns, strict=True)})


def _table(rows: list[tuple[Any, ...]], *texts: str, **numbers: pa.DataType) -> pa.Table:
    kinds = {"bucket": pa.timestamp("s", "UTC")} | dict.fromkeys(texts, pa.string()) | numbers
    columns = list(zip(*rows, strict=True)) or [()] * len(kinds)
    columns[0] = tuple(START + at for at in columns[0])
    return pa.table({name: pa.array(column, kind) for (name, kind), column in zip(kinds.items(), columns, strict=True)})
