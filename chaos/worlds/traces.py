"""Traces of a system: single requests as spans, with the names and attributes of each service's instrumentation."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import pyarrow as pa

from chaos.worlds.habits import Habit, Instrumentation
from chaos.worlds.journeys import Mask, Requests, Sent
from chaos.worlds.observed import words
from chaos.worlds.system import F64, I64

NS: Final = 1_000_000_000
_NONE: Final = -1  # no span


@dataclass(slots=True)
class _Block:
    """Spans of one operation or call, in columns."""

    number: I64
    parent: I64
    trace: I64
    start_s: F64
    ms: F64
    error: Mask
    name: list[str]
    kind: str
    service: str
    attributes: list[str]


@dataclass(slots=True)
class Tracing:
    """Turns journeys into a table of spans."""

    rng: np.random.Generator
    start: int
    requests: list[Requests]
    instrumentation: Instrumentation
    _spans: int = 0
    _traces: int = 0
    _blocks: list[_Block] = field(default_factory=list)

    def table(self) -> pa.Table:
        """One row a span, by start.

        The columns are those that `World.traces` describes.
        """
        system = self.instrumentation.system
        self._traces = 1 + max((int(one.journey.max()) for one in self.requests if one.size), default=0)
        context = [np.full(one.size, _NONE) for one in self.requests]
        trace = [one.journey.copy() for one in self.requests]
        for number, operation in enumerate(system.operations):
            requests, habit = self.requests[number], self.instrumentation.habits[operation.node]
            own = context[number]
            if habit is not None and habit.traced:
                own = self._serve(number, requests, habit, context[number], trace[number])
            for at, sent in requests.sent.items():
                call = system.calls[at]
                inside = own[sent.request]
                if self.instrumentation.sees(at):
                    inside = self._send(at, sent, own, trace[number])
                replied = sent.callee >= 0
                to = self.instrumentation.habits[system.operations[call.callee].node]
                there = sent.callee[replied]
                if call.deferred and to is not None and to.linked:
                    # Each of these messages is the root of a trace of its own.
                    trace[call.callee][there] = np.arange(self._traces, self._traces + len(there))
                    self._traces += len(there)
                else:
                    context[call.callee][there] = inside[replied]
                    trace[call.callee][there] = trace[number][sent.request[replied]]
        return self._assemble()

    def _serve(self, number: int, requests: Requests, habit: Habit, parent: I64, trace: I64) -> I64:
        """Spans of the server's side; returns their numbers."""
        known = self.instrumentation
        node = known.system.nodes[known.system.operations[number].node]
        spans = np.arange(self._spans, self._spans + requests.size)
        self._spans += requests.size
        usual, (early, failed) = known.operation_name(number), known.error_names(number)
        renamed = known.renamed.get(number)
        names = np.array([usual, failed, early, renamed[1] if renamed else usual], dtype=object)
        which = np.where(requests.early, 2, np.where(requests.failed, 1, 0))
        if renamed:
            which = np.where((which == 0) & (requests.start_s >= renamed[0]), 3, which)
        code = np.where(requests.failed, 1, np.where(requests.refused_4xx, 2, 0))
        texts = np.array([self._server_attributes(number, habit, index, node.port) for index in range(3)], dtype=object)
        error = requests.failed & (not habit.attribute_only) | (requests.refused_4xx & habit.strict)
        kind = {"consumer": "Consumer", "cron": "Internal"}.get(node.kind, "Server")
        begin = requests.start_s + habit.clock_s
        self._blocks.append(
            _Block(
                spans,
                parent,
                trace,
                begin,
                requests.ms,
                error,
                names[which].tolist(),
                kind,
                node.name,
                texts[code].tolist(),
            )
        )
        return spans

    def _server_attributes(self, number: int, habit: Habit, outcome: int, port: int) -> str:
        operation = self.instrumentation.system.operations[number]
        node = self.instrumentation.system.nodes[operation.node]
        attributes: dict[str, Any] = {}
        if node.kind in ("consumer", "cron"):
            attributes |= {"messaging.destination.name": operation.route, "messaging.operation": "process"}
        elif not operation.verb:
            service, method = operation.route.rsplit("/", 1)
            attributes |= {"rpc.system": "grpc", "rpc.service": service, "rpc.method": method}
            attributes["rpc.grpc.status_code"] = (0, 13, 5)[outcome]
        elif habit.new_names:
            attributes |= {"http.request.method": operation.verb, "http.response.status_code": (200, 500, 404)[outcome]}
            attributes |= {"url.path": operation.route, "server.port": port}
        else:
            attributes |= {"http.method": operation.verb, "http.status_code": (200, 500, 404)[outcome]}
            attributes |= {"http.target": operation.route, "net.host.port": port}
        if operation.verb and node.kind not in ("consumer", "cron") and habit.naming in ("route", "service route"):
            attributes["http.route"] = operation.route
        return json.dumps(attributes, sort_keys=True)

    def _send(self, at: int, sent: Sent, parent: I64, trace: I64) -> I64:
        """Spans of the client's side; returns their numbers."""
        known = self.instrumentation
        call = known.system.calls[at]
        caller, callee = known.system.operations[call.caller], known.system.operations[call.callee]
        habit, node = known.habits[caller.node] or Habit(), known.system.nodes[callee.node]
        spans = np.arange(self._spans, self._spans + len(sent.request))
        self._spans += len(spans)
        names = {"queue": f"{callee.route} publish", "database": f"{callee.verb} {callee.route}"}
        name = names.get(node.kind, (callee.verb or callee.route) if node.kind != "cache" else "GET")
        text = json.dumps(self._client_attributes(at, habit), sort_keys=True)
        kind = "Producer" if node.kind == "queue" else "Client"
        count = len(spans)
        self._blocks.append(
            _Block(
                spans,
                parent[sent.request],
                trace[sent.request],
                sent.start_s + habit.clock_s,
                sent.ms,
                sent.failed,
                [name] * count,
                kind,
                known.name(caller.node),
                [text] * count,
            )
        )
        return spans

    def _client_attributes(self, at: int, habit: Habit) -> dict[str, Any]:
        """What a client span says of its callee: enough for `Instrumentation.peer` to be read from it."""
        known = self.instrumentation
        call = known.system.calls[at]
        callee = known.system.operations[call.callee]
        node = known.system.nodes[callee.node]
        attributes: dict[str, Any] = {}
        if habit.peer == "peer.service":
            attributes["peer.service"] = node.name
        elif habit.peer == "server.address":
            attributes |= {"server.address": node.address, "server.port": node.port}
        elif habit.peer == "net.peer":
            attributes |= {"net.peer.name": node.address, "net.peer.port": node.port}
        if node.kind in ("database", "cache"):
            attributes["db.system.name" if habit.new_names else "db.system"] = node.product
            if node.schema:
                attributes["db.namespace" if habit.new_names else "db.name"] = node.schema
            elif habit.peer == "url":
                attributes["server.port" if habit.new_names else "net.peer.port"] = node.port
        elif node.kind == "queue":
            attributes |= {"messaging.system": node.product, "messaging.destination.name": callee.route}
        elif callee.verb:
            attributes["http.request.method" if habit.new_names else "http.method"] = callee.verb
            if habit.peer == "url":
                attributes["url.full" if habit.new_names else "http.url"] = f"http://{node.address}{callee.route}"
        else:
            service, method = callee.route.rsplit("/", 1) if "/" in callee.route else ("", callee.route)
            attributes |= {"rpc.system": "grpc", "rpc.service": service, "rpc.method": method}
            if habit.peer == "url":
                attributes["server.address"] = node.address
        return attributes

    def _assemble(self) -> pa.Table:
        blocks = [block for block in self._blocks if len(block.number)]
        if not blocks:
            texts = ("trace", "span_id", "parent_span_id", "service", "span_name", "kind")
            fields = [(name, pa.string()) for name in texts] + [("start_ns", pa.int64()), ("duration_ns", pa.int64())]
            return pa.schema([*fields, ("status", pa.string()), ("attributes", pa.string())]).empty_table()
        sizes = [len(block.number) for block in blocks]
        number, parent, trace = (
            np.concatenate([getattr(block, name) for block in blocks]) for name in ("number", "parent", "trace")
        )
        start_s, ms = (np.concatenate([getattr(block, name) for block in blocks]) for name in ("start_s", "ms"))
        salt = self.rng.integers(1, 2**31)
        span_ids = [f"{one:016x}" for one in ((np.arange(self._spans) + 1) * 0x9E3779B1 + salt).tolist()]
        trace_ids = [f"{salt:08x}{one:024x}" for one in range(self._traces)]
        order = np.argsort(start_s, kind="stable")
        block_of = np.repeat(np.arange(len(blocks)), sizes)
        table = pa.table(
            {
                "trace": words(trace_ids, trace),
                "span_id": words(span_ids, number),
                "parent_span_id": words(["", *span_ids], parent + 1),
                "service": words([block.service for block in blocks], block_of),
                "span_name": pa.array([name for block in blocks for name in block.name], pa.string()),
                "kind": words([block.kind for block in blocks], block_of),
                "start_ns": pa.array(np.int64(self.start) * NS + (start_s * NS).astype(np.int64)),
                "duration_ns": pa.array(np.maximum(ms * 1e6, 1000).astype(np.int64)),
                "status": words(["Unset", "Error"], np.concatenate([block.error for block in blocks])),
                "attributes": pa.array([text for block in blocks for text in block.attributes], pa.string()),
            }
        )
        return table.take(pa.array(order))
