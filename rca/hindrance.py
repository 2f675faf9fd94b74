"""How far a node is hindered by what it calls: then its own trouble may be a consequence, whatever it reports.

A caller whose callee takes a thousand times longer runs out of threads and connections: it queues requests and fails
them before it calls anybody. That time and these failures look like its own. Trouble goes up along calls, never down,
so what a hindered node shows counts for little, and its failures count for what hinders it. A node whose calls nobody
records (no client spans) may call whatever is in trouble, its own callers aside: as much of its trouble as such a call
brings counts for nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace

from rca.call_sides import Call, caller_shares
from rca.case import Case
from rca.ledger import Entry, Ledger
from rca.levels import trust
from rca.ways import deserted, worse

HALF_AT = 2.0  # standard errors of a Poisson count of failures
DEEPEST = 8  # calls below each other that hinder one another


@dataclass(frozen=True, slots=True, kw_only=True)
class Remaining:
    """The part of a node's own trouble that counts: 1 where nothing hinders it, towards 0; and what hinders it most."""

    seconds: float = 1.0
    failures: float = 1.0
    hindered_by: str = ""


def remaining(case: Case) -> dict[str, Remaining]:
    """What counts of each node that is hindered, or overloaded by a surge of requests; others are left out."""
    found = _by_callees(case)
    overloaded = case.overloads
    origins = {overload.origin for overload in overloaded.values()}
    for overload in overloaded.values():  # nothing below explains what comes in
        known = found.get(overload.origin, Remaining())
        seconds, failures = max(known.seconds, overload.share), max(known.failures, overload.share)
        found[overload.origin] = replace(known, seconds=seconds, failures=failures)
    for node, overload in overloaded.items():
        if node in origins:
            continue
        known = found.get(node, Remaining())
        counted = 1.0 - overload.share
        found[node] = Remaining(
            seconds=known.seconds * counted,
            failures=known.failures * counted,
            hindered_by=overload.origin if counted < known.failures else known.hindered_by,
        )
    return found


def _by_callees(case: Case) -> dict[str, Remaining]:
    ledger = case.ledger
    if not ledger.links:
        return {}
    effects = {call: worse(link) for call, link in ledger.links.items() if link.calls > 0}
    table = case.unanswered
    if table is not None:
        for caller, callee, calls in zip(table.caller, table.callee, table.calls, strict=True):
            call = str(caller), str(callee)
            total = float(calls) + (ledger.links[call].calls if call in ledger.links else 0.0)
            share = float(calls) / total * trust(float(calls) ** 0.5, HALF_AT)
            effects[call] = max(effects.get(call, 0.0), share)
    # Calls that nobody measured: as much worse as their callee itself became, or as it is not heard of any more.
    measured = frozenset(caller for caller, _ in effects)
    for call in case.calls - ledger.links.keys():
        served = ledger.nodes.get(call[1])
        if served is not None and not served.new and call[0] != call[1]:
            effects.setdefault(call, max(worse(served) if served.calls > 0 else 0.0, deserted(case, *call)))
    # What a callee itself reports is no fault of its caller's, however many callees are slow.
    of_caller = caller_shares({c: link.gap_seconds / link.calls for c, link in ledger.links.items() if link.calls > 0})
    hindered: dict[str, tuple[float, str]] = {}
    for (caller, callee), effect in sorted(effects.items()):
        theirs = effect * (1.0 - of_caller.get((caller, callee), 0.0))
        # Few slow calls occupy many threads: half of the requests need not make them.
        hindered[caller] = max(
            hindered.get(caller, (0.0, "")), (theirs * _used(ledger, (caller, callee)) ** 0.5, callee)
        )
    found = {
        node: Remaining(seconds=(1.0 - effect) ** 2, failures=(1.0 - effect) ** 2, hindered_by=callee)
        for node, (effect, callee) in hindered.items()
    }
    for node, remains in _of_unrecorded_calls(case, measured).items():
        known = found.get(node, Remaining())
        found[node] = min(remains, known, key=lambda one: (one.failures, one.seconds))
    return found


def _used(ledger: Ledger, call: Call) -> float:
    """How many calls its caller makes for a request, at most 1. Blocked callers make fewer: the usual ones count."""
    link, served = ledger.links.get(call, ledger.nodes.get(call[1])), ledger.nodes.get(call[0])
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
    for node in sorted(ledger.nodes.keys() - recorded):
        entry = ledger.nodes[node]
        if entry.calls <= 0:
            continue
        longer, failing = entry.extra_seconds / entry.calls, max(entry.extra_errors, 0.0) / entry.calls
        seconds = failures = effect = 0.0
        worst = ""
        for callee, links in by_callee.items():
            if callee == node or callee in case.callees(node) or node in case.reachable(callee):
                continue
            calls = sum(link.calls for link in links)
            seconds = max(seconds, sum(link.extra_seconds for link in links) / calls)
            failures = max(failures, sum(max(link.extra_errors, 0.0) for link in links) / calls)
            theirs = sum(worse(link) * link.calls for link in links) / calls
            effect, worst = max((effect, worst), (theirs, callee))
        queued = (1.0 - effect) ** 2
        found[node] = Remaining(
            seconds=min(1.0 - min(seconds / longer, 1.0) if longer > 0 else 1.0, queued),
            failures=min(1.0 - min(failures / failing, 1.0) if failing > 0 else 1.0, queued),
            hindered_by=worst,
        )
    return found


def handed_down(case: Case, failures: Mapping[str, float]) -> dict[str, float]:
    """Failures that count for nothing at nodes that are hindered, booked on what hinders them.

    What hinders a node may be hindered itself, and hands the rest further down. What goes round in a circle is dropped.
    """
    booked: defaultdict[str, float] = defaultdict(float)
    above = {node: amount for node, amount in failures.items() if amount > 0}
    for _ in range(DEEPEST):
        below: defaultdict[str, float] = defaultdict(float)
        for node, amount in above.items():
            callee = case.remaining(node).hindered_by
            if callee:
                counted = case.remaining(callee).failures
                booked[callee] += amount * counted
                below[callee] += amount * (1.0 - counted)
        above = {node: amount for node, amount in below.items() if amount >= 1.0}
    return booked
