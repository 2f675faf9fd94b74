"""What a system writes down: log lines of requests, failures and calls, and its instances' resource attributes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa

from chaos.worlds.counts import Counts
from chaos.worlds.flows import Flows
from chaos.worlds.habits import Instrumentation
from chaos.worlds.observed import empty_table, stamps, words
from chaos.worlds.recording import STEP_S
from chaos.worlds.stage import Script, version_text
from chaos.worlds.system import I64

# `#` becomes a number that changes, `$` the operation's name.
_INFO: Final = (
    "$ handled in # ms",
    "request finished route=$ status=200 took=#ms",
    'level=info msg="request completed" path=$ duration_ms=#',
    "Completed $ for user # with 200 OK",
    "[worker-#] $ done",
    '{"event":"served","op":"$","id":#}',
)
_FAILED: Final = (
    "$ failed: upstream returned an error (request #)",
    "Unhandled exception while serving $: id=#",
    'level=error msg="request failed" path=$ status=500 request_id=#',
    "Error: could not complete $ for order #",
)
_CALL_FAILED: Final = (
    "call to % failed after # ms: deadline exceeded",
    "connect to % failed: connection refused (attempt #)",
    "% returned an error, request #",
)
_HABITUAL: Final = (
    ("INFO", "refreshed # settings"),
    ("INFO", "scheduled task cleanup removed # rows"),
    ("WARN", "slow query: # ms"),
    ("DEBUG", "connection pool: # idle"),
    ("WARN", "retrying after a transient error, attempt #"),
)
_LANGUAGES: Final = {"node": "nodejs", "other": "rust"}


@dataclass(slots=True)
class Writings:
    """Turns counts and a script into the tables of logs and resources."""

    rng: np.random.Generator
    start: int
    flows: Flows
    counts: Counts
    script: Script
    instrumentation: Instrumentation

    def logs(self) -> pa.Table:
        """The table `logs` of a recording."""
        keys: list[tuple[str, str, str]] = []
        rows: list[I64] = []
        at: list[I64] = []
        lines: list[I64] = []
        for service, severity, body, counted in self._templates():
            when = np.flatnonzero(counted)
            if when.size:
                rows.append(np.full(when.size, len(keys)))
                keys.append((service, severity, body))
                at.append(when)
                lines.append(counted[when])
        if not keys:
            return empty_table(("service", "severity", "body"), ("lines",))
        row, moment = np.concatenate(rows), np.concatenate(at)
        order = np.lexsort((row, moment))
        row, moment = row[order], moment[order]
        numbers = self.rng.integers(1, 99_999, len(row)).tolist()
        bodies = [keys[index][2].replace("#", str(number)) for index, number in zip(row.tolist(), numbers, strict=True)]
        return pa.table(
            {
                "bucket": stamps(self.start, moment, STEP_S),
                "service": words([key[0] for key in keys], row),
                "severity": words([key[1] for key in keys], row),
                "body": pa.array(bodies, pa.string()),
                "lines": np.concatenate(lines)[order],
            }
        )

    def _templates(self) -> Iterator[tuple[str, str, str, I64]]:
        known, system, counts = self.instrumentation, self.flows.system, self.counts
        scale = known.sampling  # logs are not sampled
        for number, habit in enumerate(known.habits):
            if habit is None or not habit.logs:
                continue
            service, taste = known.name(number), number
            for severity, body in (_HABITUAL[taste % 5], _HABITUAL[(taste // 5 + 2) % 5]):
                per_s = float(self.rng.uniform(0.01, 0.2))
                yield service, severity, body, self.rng.poisson(per_s * STEP_S, self.flows.buckets)
            for operation in system.operations_of[number]:
                name = known.operation_name(operation)
                answered = counts.answered[operation] * scale
                body = _INFO[taste % len(_INFO)].replace("$", name)
                yield service, "INFO", body, self.rng.poisson(np.minimum(habit.logs, 1) * answered)
                bad = (counts.failed[operation] + counts.early[operation]) * scale
                yield service, "ERROR", _FAILED[taste % len(_FAILED)].replace("$", name), bad
                for at in system.operations[operation].calls:
                    yield from self._calls(service, at, scale)
        for node, begins_s, ends_s, severity, body, per_s in self.script.lines:
            habit = known.habits[node]
            if habit is not None and habit.logs:
                then = np.arange(self.flows.buckets) * STEP_S
                within = (then >= begins_s - STEP_S + 1) & (then < ends_s)
                yield known.name(node), severity, body, self.rng.poisson(per_s * STEP_S * within)

    def _calls(self, service: str, at: int, scale: int) -> Iterator[tuple[str, str, str, I64]]:
        system, counts, call = self.flows.system, self.counts, self.flows.system.calls[at]
        if call.deferred:
            return
        callee = system.operations[call.callee].node
        name = (self.instrumentation.callee_names(callee) or (system.nodes[callee].name,))[0]
        severity = "WARN" if call.tolerated else "ERROR"
        for body, number in zip(
            _CALL_FAILED, (counts.silent[at], counts.refused[at], counts.call_failed[at]), strict=True
        ):
            yield service, severity, body.replace("%", name), number * scale

    def resources(self) -> pa.Table:
        """The table `resources` of a recording: all attributes of each instance, whenever it starts."""
        columns: dict[str, list[str]] = {name: [] for name in ("service", "instance", "attribute", "value")}
        at: list[int] = []
        starts = [(0.0, number, 0) for number in range(len(self.flows.system.nodes))]
        starts += [(one.at_s, one.node, one.version) for one in self.script.restarts]
        for at_s, number, version in sorted(starts):
            habit = self.instrumentation.habits[number]
            if habit is None or at_s >= self.flows.buckets * STEP_S:
                continue
            node = self.flows.system.nodes[number]
            text = version_text(number, version)
            for index in range(min(node.instances, 3)):
                suffix = f"{(number * 31 + index * 7 + int(at_s) * 13) % 16**5:05x}"
                instance = f"{node.name}-{suffix}" if habit.pods else f"{node.name}:{node.port + index}"
                attributes = {
                    "service.instance.id": instance,
                    "telemetry.sdk.language": _LANGUAGES.get(node.language, node.language),
                    "host.name": f"node-{node.host}",
                    "process.pid": str(int(self.rng.integers(1, 30_000))),
                }
                if number % 4 != 3:
                    attributes["service.version"] = text
                if habit.pods:
                    attributes |= {"k8s.pod.name": instance, "container.image.tag": text}
                for attribute, value in attributes.items():
                    at.append(self.start + int(at_s))
                    for name, word in zip(columns, (node.name, instance, attribute, value), strict=True):
                        columns[name].append(word)
        return pa.table({"at": pa.array(at, pa.int64()), **{n: pa.array(c, pa.string()) for n, c in columns.items()}})
