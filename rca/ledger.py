"""Seconds and failures that an incident added, booked where they arose.

Excess is additive along calls: what a callee adds, every caller above it waits for too. So each node
keeps only what its callees do not explain (its own excess), and what callers waited for beyond the
time the callee itself reports (the gap) is booked on the callee: its network, or its silence.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np

from rca.case import Case, Flows, Links, codes
from rca.levels import groups, level_and_spread, trust


@dataclass(slots=True)
class Entry:
    """What one node, or one call edge, added since the onset. Seconds, and failed requests."""

    calls: float = 0.0
    errors: float = 0.0
    extra_errors: float = 0.0
    extra_seconds: float = 0.0  # believed: shrunk by how unusual the change is
    noise_seconds: float = 0.0
    mean: float = 0.0
    usual: float = 0.0
    usual_error_rate: float = 0.0
    served_extra: float = float("nan")
    worst_operation: str = ""
    worst_seconds: float = 0.0


@dataclass(slots=True)
class Ledger:
    """Entries per node and per call edge."""

    nodes: dict[str, Entry] = field(default_factory=dict)
    links: dict[tuple[str, str], Entry] = field(default_factory=dict)


def book(case: Case) -> Ledger:
    """Fill the ledger of `case` from its flows and links."""
    ledger = Ledger()
    if case.flows is not None:
        ledger.nodes = _nodes(case.flows, case.flows_reference, case.onset)
    if case.links is not None:
        ledger.links = _links(case.links, case.onset)
    return ledger


def _nodes(flows: Flows, reference: Flows | None, onset: float) -> dict[str, Entry]:
    entries: defaultdict[str, Entry] = defaultdict(Entry)
    key, names = codes(flows.node, flows.operation)
    spreads = _reference_spreads(reference) if reference is not None else {}
    after = flows.time + flows.step > onset
    usual_busy: defaultdict[str, float] = defaultdict(float)
    for code, rows in groups(key):
        node, operation = names[code]
        late = rows[after[rows]]
        early = rows[~after[rows]]
        calls, errors, busy = (float(np.nansum(column[late])) for column in (flows.calls, flows.errors, flows.busy))
        entry = entries[node]
        rate = _error_rate(flows, early)
        entry.calls += calls
        entry.errors += errors
        entry.extra_errors += errors - rate * calls
        entry.usual_error_rate += rate * calls
        entry.mean += busy
        heard = early[flows.calls[early] > 0]
        if calls <= 0 or len(heard) == 0:
            usual_busy[node] += busy
            continue
        usual, spread = level_and_spread(flows.busy[heard] / flows.calls[heard])
        spread = max(spread, spreads.get((node, operation), 0.0))
        extra = busy - calls * usual
        believed = extra * trust((busy / calls - usual) / spread)
        usual_busy[node] += calls * usual
        entry.extra_seconds += max(believed, 0.0)
        entry.noise_seconds += calls * spread
        if believed > entry.worst_seconds:
            entry.worst_seconds, entry.worst_operation = believed, operation
    for node, entry in entries.items():
        if entry.calls > 0:
            entry.mean /= entry.calls
            entry.usual = usual_busy[node] / entry.calls
            entry.usual_error_rate /= entry.calls
    return dict(entries)


def _reference_spreads(reference: Flows) -> dict[tuple[str, ...], float]:
    key, names = codes(reference.node, reference.operation)
    spreads = {}
    for code, rows in groups(key):
        heard = rows[reference.calls[rows] > 0]
        if len(heard) >= 3:
            spreads[names[code]] = level_and_spread(reference.busy[heard] / reference.calls[heard])[1]
    return spreads


def _error_rate(flows: Flows, rows: np.ndarray) -> float:
    calls = float(np.nansum(flows.calls[rows]))
    # Half an error and one call of doubt: a short, clean history does not promise a rate of zero.
    return min(float(np.nansum(flows.errors[rows])) / calls, 1.0) if calls > 0 else 0.0


def _links(links: Links, onset: float) -> dict[tuple[str, str], Entry]:
    entries: dict[tuple[str, str], Entry] = {}
    key, names = codes(links.caller, links.callee)
    after = links.time + links.step > onset
    for code, rows in groups(key):
        late, early = rows[after[rows]], rows[~after[rows]]
        entry = Entry(calls=float(np.nansum(links.calls[late])), errors=float(np.nansum(links.errors[late])))
        early_calls = float(np.nansum(links.calls[early]))
        if early_calls > 0:
            entry.usual_error_rate = float(np.nansum(links.errors[early])) / early_calls
        entry.extra_errors = entry.errors - entry.usual_error_rate * entry.calls
        heard = early[links.calls[early] > 0]
        if entry.calls > 0:
            entry.mean = float(np.nansum(links.waited[late])) / entry.calls
        if entry.calls > 0 and len(heard):
            usual, spread = level_and_spread(links.waited[heard] / links.calls[heard])
            entry.usual = usual
            entry.noise_seconds = entry.calls * spread
            entry.extra_seconds = max((entry.mean - usual) * entry.calls * trust((entry.mean - usual) / spread), 0.0)
            entry.served_extra = _served_extra(links, late, heard)
        caller, callee = names[code]
        entries[caller, callee] = entry
    return entries


def _served_extra(links: Links, late: np.ndarray, early: np.ndarray) -> float:
    """How much longer the callee itself took, summed over the calls since the onset; NaN if it reported nothing."""
    known_late = late[np.isfinite(links.served[late])]
    known_early = early[np.isfinite(links.served[early])]
    if len(known_late) == 0 or len(known_early) == 0:
        return float("nan")
    usual = float(np.median(links.served[known_early] / links.calls[known_early]))
    calls = float(np.nansum(links.calls[late]))
    mean = float(np.nansum(links.served[known_late])) / float(np.nansum(links.calls[known_late]))
    return (mean - usual) * calls
