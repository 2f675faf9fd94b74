"""How each service of a system is instrumented: what its SDK reports, and under which names. No behaviour changes."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal, get_args

import numpy as np

from chaos.worlds.system import BACKING, Call, Language, Node, Operation, System

Naming = Literal["route", "verb", "http verb", "path", "function", "service route"]
ErrorNaming = Literal["same", "early shorter", "all shorter", "unknown"]
Peer = Literal["peer.service", "server.address", "net.peer", "url"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Habit:
    """What one service reports.

    Attributes:
        traced: whether it reports spans at all.
        naming: of server spans.
        errors: the operation under which failures appear.
        client_spans: whether calls have spans of their own.
        linked: whether a consumer's span is only linked to the message's, so that no edge is seen.
        attribute_only: failures are in an attribute and not in the span's status, so nobody counts them.
        strict: 4xx counts as an error.
        new_names: the present semantic conventions, not the former ones.
        peer: how calls name a callee that reports nothing.
        metrics: whether it exports metrics.
        every_s: between two exports.
        runtime, request_metrics: whether those of the runtime and of requests are among them.
        milliseconds: whether durations in metrics are.
        logs: log lines a request in the mean, 0 for none.
        pods: whether its instances have names of their own.
        clock_s, delay_s: its clock's error, and how late its telemetry comes.
        repeats: how often a batch of spans arrives twice.
    """

    traced: bool = True
    naming: Naming = "route"
    errors: ErrorNaming = "same"
    client_spans: bool = True
    linked: bool = False
    attribute_only: bool = False
    strict: bool = False
    new_names: bool = True
    peer: Peer = "server.address"
    metrics: bool = True
    every_s: int = 15
    runtime: bool = True
    request_metrics: bool = True
    milliseconds: bool = False
    logs: float = 0.5
    pods: bool = True
    clock_s: float = 0.0
    delay_s: float = 0.0
    repeats: float = 0.0

    def traits(self, language: Language, sampling: int) -> tuple[str, ...]:
        """In words, for scoring by habit."""
        words = [language, f"names by {self.naming}", f"errors {self.errors}" if self.errors != "same" else ""]
        words += ["client spans" if self.client_spans else "server spans only"] if self.traced else ["no spans"]
        words += ["linked messages"] * self.linked + ["errors in attributes"] * self.attribute_only
        words += ["4xx are errors"] * self.strict + ["new names" if self.new_names else "old names"]
        words += [f"peers by {self.peer}"] if self.client_spans and self.traced else []
        words += [f"metrics every {self.every_s} s"] if self.metrics else ["no metrics"]
        words += (
            ["skewed clock"] * bool(self.clock_s) + ["late"] * bool(self.delay_s) + ["repeats"] * bool(self.repeats)
        )
        words += [f"sampled 1 in {sampling}"] if sampling > 1 and self.traced else []
        return tuple(word for word in words if word)


@dataclass(frozen=True, kw_only=True, eq=False)
class Instrumentation:
    """What a whole system reports.

    Attributes:
        habits: of each node, None of one that reports nothing.
        sampling: one in so many traces is kept, chosen where it begins.
        renamed: from which second on an operation has another name, and which, by number.
    """

    system: System
    habits: tuple[Habit | None, ...]
    sampling: int = 1
    renamed: dict[int, tuple[float, str]] = field(default_factory=dict)

    def traced(self, node: int) -> bool:
        """Whether a node's spans arrive."""
        habit = self.habits[node]
        return habit is not None and habit.traced

    def measured(self, node: int) -> bool:
        """Whether a node's metrics arrive."""
        habit = self.habits[node]
        return habit is not None and habit.metrics

    def name(self, node: int) -> str:
        """The service's name that a node reports."""
        return self.system.nodes[node].name

    def peer(self, call: Call) -> str:
        """How a caller names a callee that reports nothing, as the telemetry store reads it from span attributes."""
        system = self.system
        habit = self.habits[system.operations[call.caller].node]
        node = system.nodes[system.operations[call.callee].node]
        style = habit.peer if habit else "server.address"
        if style == "peer.service":
            return node.name
        address = f"{node.address}:{node.port}"
        if node.kind == "third_party" or not node.product:
            return address if style != "url" else node.address
        if style != "url":
            return f"{node.product} ({address})"
        inside = node.schema or (system.operations[call.callee].route if node.kind == "queue" else "")
        return f"{node.product}:{inside}" if inside else f"{node.product} (port {node.port})"

    def sees(self, number: int) -> bool:
        """Whether a call has a client span."""
        habit = self.habits[self.system.operations[self.system.calls[number].caller].node]
        return habit is not None and habit.traced and habit.client_spans

    def continues(self, call: Call) -> bool:
        """Whether the callee of a call has spans in the caller's trace."""
        node = self.system.operations[call.callee].node
        habit = self.habits[node]
        return habit is not None and habit.traced and not (call.deferred and habit.linked)

    def callee_names(self, node: int) -> tuple[str, ...]:
        """The names by which telemetry knows a node, the most frequent first; none where nobody sees it.

        What forwards requests without reporting anything goes by the name of what is behind it.
        """
        if self.habits[node] is not None:
            return (self.name(node),)
        counts: dict[str, int] = {}
        if self.system.nodes[node].kind in ("sidecar", "gateway"):
            behind = {callee for caller, callee in self.system.paths if caller == node}
            return tuple(sorted(self.name(callee) for callee in behind if self.habits[callee] is not None))
        for operation in self.system.operations_of[node]:
            for number in self.system.called_by[operation]:
                if self.sees(number):
                    peer = self.peer(self.system.calls[number])
                    counts[peer] = counts.get(peer, 0) + 1
        return tuple(sorted(counts, key=lambda name: (-counts[name], name)))

    def operation_name(self, number: int) -> str:
        """The span name of a request that went well."""
        operation = self.system.operations[number]
        habit = self.habits[operation.node] or Habit()
        return span_name(self.system.nodes[operation.node], operation, habit.naming)

    def error_names(self, number: int) -> tuple[str, str]:
        """The span names of requests that fail before a handler was found, and later."""
        operation = self.system.operations[number]
        habit = self.habits[operation.node] or Habit()
        name = self.operation_name(number)
        short = operation.verb or (name.rsplit("/", 1)[0] if "/" in name else name)
        if not operation.verb and habit.errors == "unknown":
            short = "grpc.unknown/unknown"
        if habit.naming == "http verb" and operation.verb:
            short = f"HTTP {operation.verb}"
        if habit.errors == "same" or self.system.nodes[operation.node].kind in ("consumer", "cron"):
            return name, name
        return short, short if habit.errors == "all shorter" else name


def span_name(node: Node, operation: Operation, naming: Naming) -> str:
    """A server or consumer span's name, by habit."""
    verb, route = operation.verb, operation.route
    if node.kind in ("consumer", "cron"):
        return f"{route} {verb}" if naming != "function" else f"handle_{route.replace('.', '_')}"
    if not verb:
        return route if naming != "function" else route.rsplit("/", 1)[-1]
    if naming == "route":
        return f"{verb} {route}"
    if naming == "verb":
        return verb
    if naming == "http verb":
        return f"HTTP {verb}"
    if naming == "path":
        return route
    if naming == "service route":
        return f"{node.name} {route}"
    words = [word.strip("{}:") for word in route.split("/") if word.strip("{}:")]
    return words[0] + "Controller." + verb.lower() + "".join(word.capitalize() for word in words[1:])


def draw_instrumentation(rng: np.random.Generator, system: System) -> Instrumentation:
    """Draw each service's habits, those of one language being similar, and what the whole system lacks."""
    kind = ("all", "metrics alone", "traces alone", "no logs")[rng.choice(4, p=(0.74, 0.08, 0.08, 0.1))]
    sampling = 1
    if system.entry_rate > 20 and rng.random() < 0.4:
        sampling = int(rng.choice([s for s in (2, 5, 10, 20) if system.entry_rate / s > 5] or [1]))
    of_language = {language: _habit(rng) for language in sorted({node.language for node in system.nodes})}
    skewed = rng.random() < 0.25
    late = rng.random() < 0.2
    habits: list[Habit | None] = []
    for node in system.nodes:
        if node.kind in BACKING or (node.kind in ("gateway", "sidecar", "cron") and rng.random() < 0.4):
            habits.append(None)
            continue
        taken = of_language[node.language] if rng.random() < 0.85 else _habit(rng)
        silent = node.kind == "sidecar" or kind in ("metrics alone", "no logs")
        habits.append(
            replace(
                taken,
                runtime=taken.runtime and node.kind != "sidecar",
                traced=kind != "metrics alone",
                metrics=kind == "metrics alone" or (kind != "traces alone" and taken.metrics),
                request_metrics=kind == "metrics alone" or taken.request_metrics,
                logs=0.0 if silent else taken.logs,
                clock_s=float(rng.uniform(-2, 2)) if skewed and rng.random() < 0.3 else 0.0,
                delay_s=float(rng.uniform(5, 40)) if late and rng.random() < 0.3 else 0.0,
            )
        )
    return Instrumentation(system=system, habits=tuple(habits), sampling=sampling)


def _habit(rng: np.random.Generator) -> Habit:
    return Habit(
        naming=get_args(Naming)[rng.choice(6, p=(0.5, 0.1, 0.08, 0.1, 0.16, 0.06))],
        errors=get_args(ErrorNaming)[rng.choice(4, p=(0.45, 0.3, 0.15, 0.1))],
        client_spans=bool(rng.random() < 0.88),
        linked=bool(rng.random() < 0.4),
        attribute_only=bool(rng.random() < 0.03),
        strict=bool(rng.random() < 0.15),
        new_names=bool(rng.random() < 0.6),
        peer=get_args(Peer)[rng.choice(4, p=(0.2, 0.45, 0.2, 0.15))],
        metrics=bool(rng.random() < 0.9),
        every_s=int(rng.choice([5, 10, 15, 30, 60], p=(0.1, 0.25, 0.3, 0.2, 0.15))),
        runtime=bool(rng.random() < 0.85),
        request_metrics=bool(rng.random() < 0.6),
        milliseconds=bool(rng.random() < 0.4),
        logs=float(rng.choice([0.0, 0.1, 0.5, 1.0, 2.0])),
        pods=bool(rng.random() < 0.7),
        repeats=float(rng.choice([0.0, 0.0, 0.0, 0.0, 0.01])),
    )
