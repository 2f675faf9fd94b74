"""How far a node is hindered by what it calls: then its own trouble may be a consequence, whatever it reports.

A caller whose callee takes a thousand times longer runs out of threads and connections: it queues requests and fails
them before it calls anybody. That time and these failures look like its own. Trouble goes up along calls, never down,
so what a hindered node shows counts for little. A node whose calls nobody records (no client spans) may call whatever
is in trouble, its own callers aside.
"""

from __future__ import annotations

from collections import defaultdict

from rca.call_sides import caller_shares
from rca.case import Case
from rca.ledger import Entry
from rca.levels import trust

HALF_AT = 2.0  # standard errors of a Poisson count of failures


def remaining(case: Case) -> dict[str, float]:
    """The part of each node's own trouble that counts: 1 where nothing hinders it, towards 0."""
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
    of_caller = caller_shares(effects)
    hindered: defaultdict[str, float] = defaultdict(float)
    in_trouble: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)
    for call, effect in effects.items():
        caller, callee = call
        theirs = effect * (1.0 - of_caller.get(call, 0.0))
        link, served = ledger.links.get(call), ledger.nodes.get(caller)
        calls = link.calls if link is not None else 1.0
        used = min(calls / served.calls, 1.0) if served is not None and served.calls > 0 else 1.0
        hindered[caller] = max(hindered[caller], theirs * used)
        in_trouble[callee].append((theirs, calls))
    trouble = {
        callee: sum(effect * calls for effect, calls in seen) / max(sum(calls for _, calls in seen), 1.0)
        for callee, seen in in_trouble.items()
    }
    callers = {caller for caller, _ in case.calls} | {caller for caller, _ in effects}
    below: dict[str, set[str]] = {}
    for node in ledger.nodes.keys() - callers:
        for callee, effect in trouble.items():
            if effect > hindered[node] and callee != node:
                if callee not in below:
                    below[callee] = case.reachable(callee)
                if node not in below[callee]:
                    hindered[node] = effect
    return {node: (1.0 - min(effect, 1.0)) ** 2 for node, effect in hindered.items()}


def _effect(link: Entry) -> float:
    """How much worse calls became, 0 to 1: the part of the waiting that was added, or the share of added failures."""
    waited = link.mean * link.calls
    slower = min(link.extra_seconds / waited, 1.0) if waited > 0 else 0.0
    failed = max(link.extra_errors, 0.0)
    return max(slower, failed / link.calls * trust(failed / (link.usual_errors + 1.0) ** 0.5, HALF_AT))
