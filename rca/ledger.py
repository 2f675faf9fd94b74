"""Seconds and failures that an incident added, booked where they arose.

Excess is additive along calls: what a callee adds, every caller above it waits for too. So each node
keeps only what its callees do not explain (its own excess), and what callers waited for beyond the
time the callee itself reports (the gap) is booked on the callee: its network, or its silence.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from rca.case import F64, I64, Case, Flows, Links, codes, joined
from rca.levels import TINY, groups, level_and_spread, trust


@dataclass(slots=True)
class Entry:
    """What one node, or one call edge, added since the onset. Seconds, and failed requests."""

    calls: float = 0.0
    early_calls: float = 0.0  # before the onset
    errors: float = 0.0
    extra_errors: float = 0.0
    extra_seconds: float = 0.0  # believed: shrunk by how unusual the change is
    noise_seconds: float = 0.0
    mean: float = 0.0
    usual: float = 0.0
    usual_errors: float = 0.0
    error_noise: float = 0.0
    gap_seconds: float = 0.0  # of a call edge: what its caller waited longer, and its callee does not report
    new: bool = True  # never called before the onset
    worst_operation: str = ""
    worst_seconds: float = 0.0

    @property
    def slower(self) -> float:
        """The time added, in usual durations; 0 where no usual one is known."""
        return self.extra_seconds / max(self.usual * self.calls, TINY) if self.usual > 0 else 0.0


UNFELT = 0.3  # factor on evidence of a symptom that the alerted node does not show; chosen on the development packs
# Sizes at which a symptom of the alerted node is half certain: seconds in what noise amounts to, failures in standard
# errors of a Poisson count.
FELT_SECONDS_HALF_AT = 1.0
FELT_ERRORS_HALF_AT = 1.5
FEWEST_STEPS = 3  # of a reference: fewer show no spread


@dataclass(slots=True)
class Ledger:
    """Entries per node and per call edge."""

    nodes: dict[str, Entry] = field(default_factory=dict)
    links: dict[tuple[str, str], Entry] = field(default_factory=dict)

    def unmeasured(self, case: Case) -> list[tuple[str, Entry]]:
        """Callers and the entries of what they call, where the calls were not measured; new callees are left out."""
        return [
            (caller, self.nodes[callee])
            for caller, callee in sorted(case.calls - self.links.keys())
            if callee in self.nodes and callee != caller and not self.nodes[callee].new
        ]

    def settled(self, case: Case, amounts: dict[str, float]) -> dict[str, float]:
        """`amounts` without nodes that are new since the onset: their callers cause what they show."""
        return {node: amount for node, amount in amounts.items() if not (self.nodes[node].new and case.callers(node))}

    def felt(self, alerts: tuple[str, ...], symptom: Literal["seconds", "errors"]) -> float:
        """How surely the alerted nodes show a symptom, `UNFELT` to 1; 1 where none of them is observed.

        What does not surface where the alarm went off explains little of it.
        """
        entries = [self.nodes[node] for node in alerts if node in self.nodes and self.nodes[node].calls > 0]
        if not entries:
            return 1.0
        if symptom == "seconds":
            surest = max(
                trust(entry.extra_seconds / max(entry.noise_seconds, TINY), FELT_SECONDS_HALF_AT) for entry in entries
            )
        else:
            surest = max(
                trust(
                    entry.extra_errors / (entry.usual_errors + entry.error_noise**2 + 1.0) ** 0.5, FELT_ERRORS_HALF_AT
                )
                for entry in entries
            )
        return UNFELT + (1.0 - UNFELT) * surest


def book(case: Case) -> Ledger:
    """Fill the ledger of `case` from its flows and links."""
    ledger = Ledger()
    if case.flows is not None:
        ledger.nodes = book_nodes(case.flows, case.flows_reference, case.onset)
    if case.links is not None:
        ledger.links = book_links(case.links, case.links_reference, case.onset)
    return ledger


def book_nodes(flows: Flows, reference: Flows | None, onset: float) -> dict[str, Entry]:
    """What each node added since the onset, by what it served before, and in a reference window."""
    entries: defaultdict[str, Entry] = defaultdict(Entry)
    key, names = codes(flows.node, flows.operation)
    histories = _histories(reference) if reference is not None else {}
    after = flows.time + flows.step > onset
    usual_busy: defaultdict[str, float] = defaultdict(float)
    for code, rows in groups(key):
        node, operation = names[code]
        late, early = rows[after[rows]], rows[~after[rows]]
        history = histories.get((node, operation), History())
        calls, errors, busy = (float(np.nansum(column[late])) for column in (flows.calls, flows.errors, flows.busy))
        entry = entries[node]
        rate = _error_rate(flows, early, history)
        entry.new = entry.new and history.calls == 0 and float(np.nansum(flows.calls[early])) == 0
        entry.calls += calls
        entry.early_calls += float(np.nansum(flows.calls[early]))
        entry.errors += errors
        entry.extra_errors += errors - rate * calls
        entry.usual_errors += rate * calls
        entry.error_noise += calls * history.error_spread
        entry.mean += busy
        heard = early[flows.calls[early] > 0]
        means = flows.busy[heard] / flows.calls[heard] if len(heard) else history.means
        if calls <= 0 or len(means) == 0:
            usual_busy[node] += busy
            continue
        usual, spread = level_and_spread(means)
        if len(history.means) >= FEWEST_STEPS:
            spread = max(spread, level_and_spread(history.means)[1])
        believed = (busy - calls * usual) * trust((busy / calls - usual) / spread)
        usual_busy[node] += calls * usual
        entry.extra_seconds += max(believed, 0.0)
        entry.noise_seconds += calls * spread
        if believed > entry.worst_seconds:
            entry.worst_seconds, entry.worst_operation = believed, operation
    for node, entry in entries.items():
        if entry.calls > 0:
            entry.mean /= entry.calls
            entry.usual = usual_busy[node] / entry.calls
    return dict(entries)


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What the reference window knows of one operation: mean durations by step, failures, and how much these vary."""

    means: F64 = field(default_factory=lambda: np.empty(0))
    calls: float = 0.0
    errors: float = 0.0
    error_spread: float = 0.0


def _histories(reference: Flows) -> dict[tuple[str, ...], History]:
    key, names = codes(reference.node, reference.operation)
    found = {}
    for code, rows in groups(key):
        heard = rows[reference.calls[rows] > 0]
        if len(heard) == 0:
            continue
        rates = reference.errors[heard] / reference.calls[heard]
        found[names[code]] = History(
            means=reference.busy[heard] / reference.calls[heard],
            calls=float(reference.calls[heard].sum()),
            errors=float(reference.errors[heard].sum()),
            error_spread=float(np.std(rates)),
        )
    return found


def _error_rate(flows: Flows, rows: I64, history: History) -> float:
    """The usual share of failures: that before the onset, with the reference as prior where that is little."""
    calls = float(np.nansum(flows.calls[rows]))
    errors = float(np.nansum(flows.errors[rows]))
    # The reference counts for as many calls as the case itself has, so that yesterday does not outweigh today.
    borrowed = min(history.calls, max(calls, 1.0))
    if history.calls > 0:
        errors += borrowed * history.errors / history.calls
        calls += borrowed
    return min(errors / calls, 1.0) if calls > 0 else 0.0


def book_links(links: Links, reference: Links | None, onset: float) -> dict[tuple[str, str], Entry]:
    """What each call edge added since the onset, by what it took before, and in a reference window."""
    entries: dict[tuple[str, str], Entry] = {}
    table = links if reference is None else joined(links, reference)
    own = np.arange(len(table.time)) < len(links.time)
    key, names = codes(table.caller, table.callee)
    after = own & (table.time + table.step > onset)
    for code, rows in groups(key):
        late, early = rows[after[rows]], rows[~after[rows]]
        entry = Entry(calls=float(np.nansum(table.calls[late])), errors=float(np.nansum(table.errors[late])))
        entry.early_calls = early_calls = float(np.nansum(table.calls[early]))
        if early_calls > 0:
            entry.usual_errors = float(np.nansum(table.errors[early])) / early_calls * entry.calls
        entry.extra_errors = entry.errors - entry.usual_errors
        heard = early[table.calls[early] > 0]
        if entry.calls > 0:
            entry.mean = float(np.nansum(table.waited[late])) / entry.calls
        if entry.calls > 0 and len(heard):
            usual, spread = level_and_spread(table.waited[heard] / table.calls[heard])
            entry.usual = usual
            entry.noise_seconds = entry.calls * spread
            entry.extra_seconds = max((entry.mean - usual) * entry.calls * trust((entry.mean - usual) / spread), 0.0)
            entry.gap_seconds = max(entry.extra_seconds - max(_served_extra(table, late, heard), 0.0), 0.0)
        caller, callee = names[code]
        entries[caller, callee] = entry
    return entries


def _served_extra(links: Links, late: I64, early: I64) -> float:
    """How much longer the callee itself took, summed over the calls since the onset; 0 if it reported nothing."""
    known_late = late[np.isfinite(links.served[late])]
    known_early = early[np.isfinite(links.served[early])]
    if len(known_late) == 0 or len(known_early) == 0:
        return 0.0
    usual = float(np.median(links.served[known_early] / links.calls[known_early]))
    calls = float(np.nansum(links.calls[late]))
    mean = float(np.nansum(links.served[known_late])) / float(np.nansum(links.calls[known_late]))
    return (mean - usual) * calls
