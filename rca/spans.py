"""Spans as columns: who called whom, what each span did itself, and what it logged."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rca.case import F64, I64, Flows, Links, Mask, Text, encoded
from rca.log_templates import template

NS = 1_000_000_000


@dataclass(frozen=True, kw_only=True, eq=False)
class Spans:
    """Spans of one or more traces, one row a span, all columns `(n,)`.

    `parent` is a row number, -1 at a root or where the parent was not recorded. `node` and `operation` are
    codes into `nodes` and `operations`. `known` is false for spans after the onset: what is to be explained. What is
    derived from the columns is computed once, for several kinds of evidence ask for it.
    """

    nodes: tuple[str, ...]
    operations: tuple[str, ...]
    node: I64
    operation: I64
    parent: I64
    start: F64
    duration: F64
    error: Mask
    known: Mask
    identity: pa.Array
    hindered: Mask  # calls to other nodes that failed, or took longer than any such call before the onset
    own: int  # the first so many rows are the case's own, the rest the reference's

    @property
    def size(self) -> int:
        return len(self.start)

    @cached_property
    def entry(self) -> Mask:
        """Spans that a node serves for another one, or for the outside."""
        up = self.parent
        entry: Mask = (up < 0) | (self.node[np.maximum(up, 0)] != self.node)
        return entry

    @cached_property
    def unit(self) -> I64:
        """The entry span that each span works for, at the same node: the request that its node serves."""
        at = np.where(self.entry, np.arange(self.size), self.parent)
        while True:
            onward = at[at]
            if np.array_equal(onward, at):
                return at
            at = onward

    @cached_property
    def unhindered(self) -> Mask:
        """Spans of requests without a hindered call: what the others do differently is explained by that call."""
        unit = self.unit
        of_request = np.zeros(self.size, dtype=bool)
        of_request[unit[self.hindered]] = True
        return np.asarray(~of_request[unit], dtype=bool)

    @cached_property
    def owner(self) -> I64:
        """The node of each operation, `(operations,)`."""
        owner = np.zeros(len(self.operations), dtype=np.int64)
        owner[self.operation] = self.node
        return owner

    def children(self) -> F64:
        """How many child spans each span has."""
        return np.bincount(self.parent[self.parent >= 0], minlength=self.size).astype(np.float64)


def read_spans(own: pa.Table, reference: pa.Table | None, onset: float) -> Spans:
    """The case's spans and the reference's, in one table; `known` marks the reference and what came before `onset`.

    A column `outgoing` marks calls to other nodes; without it, no call is known to be hindered.
    """
    wanted = ["timestamp", "span_id", "parent_span_id", "service", "span_name", "duration_ns"]
    status = "status_code" if "status_code" in own.column_names else None
    tables = [own.select(wanted)] + ([reference.select(wanted)] if reference is not None else [])
    table = pa.concat_tables(tables, promote_options="permissive")
    node, nodes = encoded(table.column("service"))
    name, names = encoded(table.column("span_name"))
    identity = table.column("span_id").cast(pa.string()).combine_chunks()
    parent_id = table.column("parent_span_id").cast(pa.string()).combine_chunks()
    found = pc.index_in(parent_id, value_set=identity, skip_nulls=True)
    parent = np.asarray(pc.fill_null(found, -1), dtype=np.int64)
    start = np.asarray(table.column("timestamp").to_numpy(), dtype=np.float64) / NS
    known = np.ones(len(start), dtype=bool)
    known[: len(own)] = start[: len(own)] < onset
    error = np.zeros(len(start), dtype=bool)
    if status is not None:
        error[: len(own)] = [
            str(code).upper() in ("ERROR", "STATUS_CODE_ERROR", "2") for code in own.column(status).to_pylist()
        ]
    # An operation is a name at a node; a client span is one per callee, or the traffic mix looks like a fault.
    callee = np.full(len(start), -1, dtype=np.int64)
    crossing = (parent >= 0) & (node[np.maximum(parent, 0)] != node)
    callee[parent[crossing]] = node[crossing]
    keys = (node * (len(names) + 1) + name) * (len(nodes) + 1) + callee + 1
    distinct, operation = np.unique(keys, return_inverse=True)
    operations = tuple(
        names[(key // (len(nodes) + 1)) % (len(names) + 1)]
        + (f" → {nodes[key % (len(nodes) + 1) - 1]}" if key % (len(nodes) + 1) else "")
        for key in distinct.tolist()
    )
    duration = np.asarray(table.column("duration_ns").to_numpy(), dtype=np.float64) / NS
    operation = operation.astype(np.int64)
    hindered = np.zeros(len(start), dtype=bool)
    if "outgoing" in own.column_names:
        longest = np.zeros(len(operations))
        np.maximum.at(longest, operation[known], duration[known])
        outgoing = np.asarray(own.column("outgoing").cast(pa.bool_()).to_numpy(zero_copy_only=False), dtype=bool)
        slow = (longest[operation] > 0) & (duration > longest[operation])
        hindered[: len(own)] = outgoing & (error | slow)[: len(own)]
    return Spans(
        nodes=nodes,
        operations=operations,
        node=node,
        operation=operation,
        parent=parent,
        start=start,
        duration=duration,
        error=error,
        known=known,
        identity=identity,
        hindered=hindered,
        own=len(own),
    )


def _summed(rows: Mask, keys: tuple[I64, ...], *columns: F64) -> tuple[list[I64], list[F64]]:
    """Sums of `columns` by the distinct combinations of `keys` among `rows`."""
    stacked = np.stack([key[rows] for key in keys])
    distinct, inverse = np.unique(stacked, axis=1, return_inverse=True)
    inverse = inverse.reshape(-1)
    size = distinct.shape[1]
    sums = [np.bincount(inverse, weights=column[rows], minlength=size).astype(np.float64) for column in columns]
    return list(distinct), sums


def _names(all_names: tuple[str, ...], chosen: I64) -> Text:
    return np.array(all_names, dtype=object)[chosen] if len(chosen) else np.empty(0, dtype=object)


def span_flows(spans: Spans, rows: Mask, step: float) -> Flows:
    """What nodes served, by operation and step of their start, from the entry spans among `rows`."""
    bucket = np.floor(spans.start / step).astype(np.int64)
    ones = np.ones(spans.size)
    (at, node, operation), (calls, errors, busy) = _summed(
        rows & spans.entry,
        (bucket, spans.node, spans.operation),
        ones,
        spans.error.astype(np.float64),
        spans.duration,
    )
    return Flows(
        time=at.astype(np.float64) * step,
        node=_names(spans.nodes, node),
        operation=_names(spans.operations, operation),
        calls=calls,
        errors=errors,
        busy=busy,
        step=step,
    )


def span_links(spans: Spans, rows: Mask, step: float) -> Links:
    """Calls between nodes by step, from client spans with exactly one child at the other node."""
    up = np.maximum(spans.parent, 0)
    crossing = (spans.parent >= 0) & (spans.node[up] != spans.node) & (spans.children()[up] == 1)
    bucket = np.floor(spans.start / step).astype(np.int64)
    ones = np.ones(spans.size)
    (at, caller, callee), (calls, errors, waited, served) = _summed(
        rows & crossing,
        (bucket, spans.node[up], spans.node),
        ones,
        spans.error[up].astype(np.float64),
        spans.duration[up],
        spans.duration,
    )
    return Links(
        time=at.astype(np.float64) * step,
        caller=_names(spans.nodes, caller),
        callee=_names(spans.nodes, callee),
        calls=calls,
        errors=errors,
        waited=waited,
        served=served,
        step=step,
    )


def span_calls(spans: Spans) -> frozenset[tuple[str, str]]:
    """Who calls whom, as the spans show it."""
    up = np.maximum(spans.parent, 0)
    crossing = (spans.parent >= 0) & (spans.node[up] != spans.node)
    pairs = np.unique(np.stack([spans.node[up][crossing], spans.node[crossing]]), axis=1)
    return frozenset((spans.nodes[a], spans.nodes[b]) for a, b in pairs.T.tolist())


BAD = frozenset({"ERROR", "FATAL", "CRITICAL", "SEVERE", "WARN", "WARNING"})


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SpanLogs:
    """Log lines that name a span: the span's row and the line's template code, `(n,)`; and what the codes mean."""

    row: I64
    template: I64
    templates: tuple[str, ...]
    bad: Mask  # by template: a warning or worse


def span_logs(spans: Spans, *logs: pa.Table | None) -> SpanLogs | None:
    """The lines of `logs` whose span is among `spans`; None if no line names one."""
    wanted = ["span_id", "body", "severity"]
    tables = [t.select(wanted) for t in logs if t is not None and set(wanted) <= set(t.column_names) and len(t)]
    if not tables:
        return None
    table = pa.concat_tables(tables, promote_options="permissive")
    found = pc.index_in(
        table.column("span_id").cast(pa.string()).combine_chunks(), value_set=spans.identity, skip_nulls=True
    )
    row = np.asarray(pc.fill_null(found, -1), dtype=np.int64)
    named = row >= 0
    if not named.any():
        return None
    body, bodies = encoded(table.column("body"))
    severity, severities = encoded(table.column("severity"))
    number: dict[tuple[str, str], int] = {}
    by_body = [template(text) for text in bodies]
    keys = np.unique(np.stack([body, severity]), axis=1)
    code = np.full((len(bodies), len(severities)), -1, dtype=np.int64)
    for one, level in keys.T.tolist():
        code[one, level] = number.setdefault((severities[level], by_body[one]), len(number))
    return SpanLogs(
        row=row[named],
        template=code[body, severity][named],
        templates=tuple(text for _, text in number),
        bad=np.array([level.upper() in BAD for level, _ in number], dtype=bool),
    )
