"""One incident as the engine sees it: small columnar tables around an onset, whatever their source.

The live path fills a `Case` from the store's roll-ups, the offline path from a pack's files. Every
table is optional; evidence whose table is missing gives no terms. Times are Unix
seconds (float64), durations seconds. Nodes are what can be blamed: services or instances.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from watchkeeper.vocabulary import ChangeEvent

if TYPE_CHECKING:
    from rca.hindrance import Remaining
    from rca.ledger import Entry, Ledger
    from rca.past_incidents import PastIncidents
    from rca.spans import SpanLogs, Spans
    from rca.surges import Overload

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
Text = NDArray[np.object_]
Mask = NDArray[np.bool_]


def text(values: pa.ChunkedArray | Sequence[Any]) -> Text:
    """Values as an object array of str `(n,)`; a missing one becomes the empty string."""
    if not isinstance(values, pa.ChunkedArray):
        return np.array(["" if v is None or v != v else str(v) for v in values], dtype=object)
    code, names = encoded(values)
    return np.array(names, dtype=object)[code] if len(names) else np.empty(0, dtype=object)


def encoded(column: pa.ChunkedArray | pa.Array) -> tuple[I64, tuple[str, ...]]:
    """A column of text as codes `(n,)` and what each code stands for; a missing value is the empty string."""
    if not pa.types.is_dictionary(column.type) or column.null_count:
        column = pc.fill_null(column.cast(pa.string()), "").dictionary_encode()
    if isinstance(column, pa.ChunkedArray):
        column = column.unify_dictionaries().combine_chunks()
    return np.asarray(column.indices, dtype=np.int64), tuple(column.dictionary.to_pylist())


def codes(*columns: Text) -> tuple[I64, list[tuple[str, ...]]]:
    """Number the distinct rows of parallel columns: code per row `(n,)`, and the row behind each code."""
    parts = [encoded(pa.array(column, type=pa.string())) for column in columns]
    combined = np.zeros(len(columns[0]), dtype=np.int64)
    for code, names in parts:
        combined = combined * max(len(names), 1) + code
    distinct, first, inverse = np.unique(combined, return_index=True, return_inverse=True)
    rows = [tuple(names[code[row]] for code, names in parts) for row in first.tolist()]
    return inverse.reshape(-1).astype(np.int64), rows if len(distinct) else []


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Flows:
    """Requests that nodes served: one row per node, operation and step. All columns `(n,)`.

    A row stamped `time` covers `time` to `time + step`. `busy` is the sum of durations in seconds.
    """

    time: F64
    node: Text
    operation: Text
    calls: F64
    errors: F64
    busy: F64
    step: float

    def where(self, mask: Mask) -> Self:
        return type(self)(
            time=self.time[mask],
            node=self.node[mask],
            operation=self.operation[mask],
            calls=self.calls[mask],
            errors=self.errors[mask],
            busy=self.busy[mask],
            step=self.step,
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Links:
    """Calls between nodes: one row per caller, callee and step. All columns `(n,)`.

    `waited` is the callers' sum of durations in seconds, `served` the callee's own sum (NaN where the
    callee reported nothing). `errors` are those that the caller saw.
    """

    time: F64
    caller: Text
    callee: Text
    calls: F64
    errors: F64
    waited: F64
    served: F64
    step: float


def joined(first: Links, second: Links) -> Links:
    """The rows of both, those of `first` before those of `second`."""
    return Links(
        time=np.r_[first.time, second.time],
        caller=np.r_[first.caller, second.caller],
        callee=np.r_[first.callee, second.callee],
        calls=np.r_[first.calls, second.calls],
        errors=np.r_[first.errors, second.errors],
        waited=np.r_[first.waited, second.waited],
        served=np.r_[first.served, second.served],
        step=first.step,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """A resource of a node whose limit is near, or reached: memory, a disk, a pool.

    `sentence` says how near; `urgent` is whether that is a matter of minutes.
    """

    node: str
    metric: str
    sentence: str
    urgent: bool = True


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Unanswered:
    """Failed calls without any reply, after the onset: one row per caller and callee. All columns `(n,)`.

    `usual` is the mean duration of a call to that callee before the onset (NaN where unknown).
    `refused` and `timed_out` count calls by the error of the caller's client.
    """

    caller: Text
    callee: Text
    calls: F64
    waited: F64
    usual: F64
    refused: F64
    timed_out: F64


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Series:
    """Metric samples in long form. All columns `(n,)`; sorted by nothing in particular."""

    time: F64
    node: Text
    metric: Text
    value: F64

    def where(self, mask: Mask) -> Self:
        return type(self)(time=self.time[mask], node=self.node[mask], metric=self.metric[mask], value=self.value[mask])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Heartbeats:
    """When each node was heard of: last time, usual period and longest gap after the onset, in seconds, `(n,)`.

    `horizon` is the latest time at which anybody was heard of: telemetry that is late for all is no silence.
    """

    node: Text
    last: F64
    period: F64
    horizon: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LogLines:
    """Log lines per node, template and severity around the onset, all columns `(n,)`.

    `before` is a rate per second, `after` counts lines since the onset. `sample` is one line.
    """

    node: Text
    template: Text
    severity: Text
    before: F64
    after: F64
    sample: Text


# No slots: the ledger is made once a case, when the first kind of evidence asks for it.
@dataclass(frozen=True, kw_only=True, eq=False)
class Case:
    """One incident: who can be blamed, when it began, who calls whom, and what was recorded."""

    id: str
    onset: float
    end: float
    candidates: tuple[str, ...]
    calls: frozenset[tuple[str, str]] = frozenset()
    flows: Flows | None = None
    flows_reference: Flows | None = None
    metered: Flows | None = None  # requests served, by metrics, of a system without spans
    metered_links: Links | None = None  # and those that services made
    links: Links | None = None
    links_reference: Links | None = None
    spans: Spans | None = None
    span_logs: SpanLogs | None = None
    unanswered: Unanswered | None = None
    series: Series | None = None
    series_reference: Series | None = None
    heartbeats: Heartbeats | None = None
    logs: LogLines | None = None
    past: PastIncidents | None = None
    changes: tuple[ChangeEvent, ...] = ()
    alerts: tuple[str, ...] = ()  # the nodes at which the alarm went off
    limits: tuple[Limit, ...] = ()  # of what runs out, or has run out
    alert_texts: tuple[str, ...] = ()  # the texts of the alert
    notes: tuple[str, ...] = field(default=())

    @cached_property
    def ledger(self) -> Ledger:
        """Seconds and failures that the incident added, by node and by call edge."""
        from rca.ledger import book

        return book(self)

    @cached_property
    def metered_nodes(self) -> Mapping[str, Entry]:
        """What the incident added to requests that metrics count and time, by service; nothing where spans do."""
        from rca.ledger import book_nodes

        return {} if self.metered is None else book_nodes(self.metered, None, self.onset)

    @cached_property
    def overloads(self) -> Mapping[str, Overload]:
        """Nodes that get their requests through one at which a surge came in."""
        from rca.surges import overloads

        return overloads(self)

    def remaining(self, node: str) -> Remaining:
        """The part of a node's own trouble that counts, because nothing that it calls explains it."""
        return self._remaining[node]

    @cached_property
    def _remaining(self) -> Mapping[str, Remaining]:
        from rca.hindrance import Remaining, remaining

        return defaultdict(Remaining, remaining(self))

    def has(self, table: str) -> bool:
        """Whether a table is there and not empty."""
        value = getattr(self, table)
        return value is not None and (not isinstance(value, tuple | frozenset) or bool(value))

    def callees(self, node: str) -> list[str]:
        """Whom `node` calls, itself aside, by name."""
        return sorted({callee for caller, callee in self.calls if caller == node and callee != node})

    def callers(self, node: str) -> list[str]:
        """Who calls `node`, itself aside, by name."""
        return sorted({caller for caller, callee in self.calls if callee == node and caller != node})

    def reachable(self, node: str) -> set[str]:
        """Every node that `node` depends on through calls, itself excluded."""
        reached: set[str] = set()
        todo = [node]
        while todo:
            for callee in set(self.callees(todo.pop())) - reached - {node}:
                reached.add(callee)
                todo.append(callee)
        return reached
