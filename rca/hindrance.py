"""How far a node is hindered by what it calls: then its own trouble may be a consequence, whatever it reports.

A caller whose callee takes a thousand times longer runs out of threads and connections: it queues requests and fails
them before it calls anybody. That time and these failures look like its own. Trouble goes up along calls, never down,
so what a hindered node shows counts for little. A node whose calls nobody records (no client spans) may call whatever
is in trouble, its own callers aside: as much of its trouble as such a call brings counts for nothing.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from rca.call_sides import Call, caller_shares
from rca.case import Case
from rca.ledger import Entry, Ledger
from rca.levels import trust

HALF_AT = 2.0  # standard errors of a Poisson count of failures


@dataclass(frozen=True, slots=True, kw_only=True)
class Remaining:
    """The part of a node's own trouble that counts: 1 where nothing hinders it, towards 0."""

    seconds: float = 1.0
    failures: float = 1.0


def remaining(case: Case) -> dict[str, Remaining]:
    """What counts of each node that is hindered; others are left out."""
    ledger = case.ledger
    if not ledger.links:
        return {}
    effects = {call: _effect(link) for call, link in ledger.links.items() if link.calls > 0}
    table = case.unanswered
    if table is not None:
        for caller, callee, calls in zip(table.caller, table.callee, table.calls, strict=True):
            call = str(caller), str(callee)
            total = float(calls) + (ledger.links[call].calls if call in ledger.links else 0.0)
            share = float(calls) / total * trust(float(calls) ** 0.5, HALF_AT)
            effects[call] = max(effects.get(call, 0.0), share)
    # What a callee itself reports is no fault of its caller's, however many callees are slow.
    of_caller = caller_shares({c: link.gap_seconds / link.calls for c, link in ledger.links.items() if link.calls > 0})
    hindered: defaultdict[str, float] = defaultdict(float)
    for call, effect in effects.items():
        theirs = effect * (1.0 - of_caller.get(call, 0.0))
        # Few slow calls occupy many threads: half of the requests need not make them.
        hindered[call[0]] = max(hindered[call[0]], theirs * _used(ledger, call) ** 0.5)
    found = {node: Remaining(seconds=(1.0 - e) ** 2, failures=(1.0 - e) ** 2) for node, e in hindered.items()}
    return found | _of_unrecorded_calls(case, frozenset(caller for caller, _ in effects))


def _used(ledger: Ledger, call: Call) -> float:
    """How many calls its caller makes for a request, at most 1. Blocked callers make fewer: the usual ones count."""
    link, served = ledger.links.get(call), ledger.nodes.get(call[0])
    if link is None or served is None:
        return 1.0
    ratios = (link.calls / max(served.calls, 1.0), link.early_calls / max(served.early_calls, 1.0))
    return min(max(ratios), 1.0)


def _of_unrecorded_calls(case: Case, recorded: frozenset[str]) -> dict[str, Remaining]:
    """What counts of nodes whose calls nobody records: they may call whatever is in trouble and does not call them.

    Only what calls nobody, or all of whose calls are known, can be told to be none of their callers.
    """
    ledger = case.ledger
    by_callee: defaultdict[str, list[Entry]] = defaultdict(list)
    for (_, callee), link in ledger.links.items():
        if link.calls > 0 and (callee not in ledger.nodes or callee in recorded):
            by_callee[callee].append(link)
    found: dict[str, Remaining] = {}
    for node in ledger.nodes.keys() - recorded - {caller for caller, _ in case.calls}:
        entry = ledger.nodes[node]
        if entry.calls <= 0:
            continue
        longer, failing = entry.extra_seconds / entry.calls, max(entry.extra_errors, 0.0) / entry.calls
        seconds = failures = effect = 0.0
        for callee, links in by_callee.items():
            if callee == node or node in case.reachable(callee):
                continue
            calls = sum(link.calls for link in links)
            seconds = max(seconds, sum(link.extra_seconds for link in links) / calls)
            failures = max(failures, sum(max(link.extra_errors, 0.0) for link in links) / calls)
            effect = max(effect, sum(_effect(link) * link.calls for link in links) / calls)
        queued = (1.0 - effect) ** 2
        found[node] = Remaining(
            seconds=min(1.0 - min(seconds / longer, 1.0) if longer > 0 else 1.0, queued),
            failures=min(1.0 - min(failures / failing, 1.0) if failing > 0 else 1.0, queued),
        )
    return found


def _effect(link: Entry) -> float:
    """How much worse calls became, 0 to 1: the part of the waiting that was added, or the share of added failures."""
    waited = link.mean * link.calls
    slower = min(link.extra_seconds / waited, 1.0) if waited > 0 else 0.0
    failed = max(link.extra_errors, 0.0)
    return max(slower, failed / link.calls * trust(failed / (link.usual_errors + 1.0) ** 0.5, HALF_AT))
