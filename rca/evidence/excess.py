"""Where the added seconds arose: a node's own time, or the gap between caller and callee.

Mass is requests times added latency. It is additive along calls, so what remains of a node's mass after
its callees' is its own, whatever its name or place; and a server sums the mass of all its callers, while a
client's view of it carries less. Cost: one pass over the roll-ups. Fails where a caller works in parallel
with its callees (it is then credited too little), or calls are not recorded at all.
"""

from __future__ import annotations

import re
from collections import defaultdict

from rca.case import Case
from rca.evidence.silence import silent_nodes
from rca.evidence_kind import EvidenceKind
from rca.ledger import Entry, Ledger
from rca.levels import shares
from rca.terms import Term, count
from watchkeeper.durations import duration

# Values of OpenTelemetry's `db.system` that name the kind of database in an edge.
DATABASE = re.compile(
    r"sql|postgres|maria|oracle|redis|valkey|mongo|cassandra|dynamo|elastic|opensearch|memcache|cockroach|couch|neo4j|db\b",
    re.IGNORECASE,
)


ALL_OF_IT = 0.9  # own seconds of all added ones, from which on a sentence says that callees explain none
# How a callee hurts whose callers wait for answers that do come: mostly it is slow, now and then the way to it is.
SLOW_CALLEE, SLOW_NETWORK = 0.7, 0.3


def own_seconds(case: Case) -> dict[str, float]:
    """Added seconds of each node that its callees do not explain."""
    ledger = case.ledger
    pulled: defaultdict[str, float] = defaultdict(float)
    for (caller, _), link in ledger.links.items():
        pulled[caller] += link.extra_seconds
    for caller, seconds in _vain(case):
        pulled[caller] += seconds
    if not ledger.links:  # no call was measured: a callee that moved up explains its full mass
        for node in ledger.nodes:
            pulled[node] += sum(entry.extra_seconds for entry in ledger.callees(case, node))
    return ledger.settled(case, {n: max(entry.extra_seconds - pulled[n], 0.0) for n, entry in ledger.nodes.items()})


def gap_seconds(case: Case) -> dict[str, float]:
    """Added seconds that callers waited for each callee beyond what the callee itself reports.

    A callee that waits for a silent one is not to blame for the gap.
    """
    ledger = case.ledger
    gaps: defaultdict[str, float] = defaultdict(float)
    silent = silent_nodes(case)
    for (_, callee), link in ledger.links.items():
        served = link.served_extra if link.served_extra == link.served_extra else 0.0
        gaps[callee] += max(link.extra_seconds - max(served, 0.0), 0.0)
    table = case.unanswered
    if table is not None:
        for caller, callee, waited, calls, usual in zip(
            table.caller, table.callee, table.waited, table.calls, table.usual, strict=True
        ):
            if caller != callee:
                gaps[callee] += max(float(waited - calls * (usual if usual == usual else 0.0)), 0.0)
    for node in gaps:
        deaf = max((silent.get(callee, 0.0) for callee in case.reachable(node)), default=0.0)
        gaps[node] *= 1.0 - deaf * (1.0 - silent.get(node, 0.0))
    return dict(gaps)


def _vain(case: Case) -> list[tuple[str, float]]:
    table = case.unanswered
    return [] if table is None else [(str(c), float(w)) for c, w in zip(table.caller, table.waited, strict=True)]


def excess(case: Case) -> list[Term]:
    """Added seconds, counted where they arose.

    Terms `self_time`, `call_gap` and `dependency`: shares of all seconds that the incident added.

    A callee that is no candidate (a database that only one node uses) is part of the node that calls it.
    """
    ledger, own, booked = case.ledger, own_seconds(case), gap_seconds(case)
    owners = {callee: caller for caller, callee in ledger.links if callee not in case.candidates}
    gaps = {node: seconds for node, seconds in booked.items() if node not in owners}
    behind = {node: seconds for node, seconds in booked.items() if node in owners}
    noise = sum(entry.noise_seconds**2 for entry in ledger.nodes.values()) ** 0.5
    felt = ledger.felt(case.alerts, "seconds")
    total = sum(own.values()) + sum(booked.values())
    terms = []
    for node, share in shares(own, noise + total - sum(own.values())).items():
        terms.append(_self_time(node, felt * share, ledger.nodes[node], own[node]))
    for node, share in shares(gaps, noise + total - sum(gaps.values())).items():
        terms.append(_call_gap(case, ledger, node, felt * share))
    for dependency, share in shares(behind, noise + total - sum(behind.values())).items():
        terms.append(_dependency(ledger, owners[dependency], dependency, felt * share))
    return terms


def _self_time(node: str, share: float, entry: Entry, own: float) -> Term:
    part = (
        "none of it"
        if own >= ALL_OF_IT * entry.extra_seconds
        else f"all but {duration(own / max(entry.calls, 1.0))} of it"
    )
    return Term(
        kind="self_time",
        candidate=node,
        strength=share,
        sentence=(
            f"{node} takes {duration(entry.mean)} a request (usually {duration(entry.usual)}) over "
            f"{count(entry.calls, 'request')}; what it calls explains {part}"
        ),
        signal="latency",
        value=entry.mean * 1000,
        expected=entry.usual * 1000,
        unit="ms",
        operation=entry.worst_operation or None,
        hints={"latency": share},
    )


def _call_gap(case: Case, ledger: Ledger, node: str, share: float) -> Term:
    """The gap before `node`, as its worst caller measured it: slow replies, or none at all."""
    worst, seconds = None, 0.0
    for (caller, callee), link in ledger.links.items():
        if callee == node and link.extra_seconds > seconds:
            worst, seconds = (caller, link), link.extra_seconds
    table = case.unanswered
    vain = [row for row in range(len(table.callee)) if table.callee[row] == node] if table is not None else []
    if table is not None and vain and float(table.waited[vain].sum()) > seconds:
        row = max(vain, key=lambda row: float(table.waited[row]))
        mean, usual = float(table.waited[row] / table.calls[row]), float(table.usual[row])
        known = f" (usually {duration(usual)})" if usual == usual else ""
        return Term(
            kind="call_gap",
            candidate=node,
            strength=share,
            sentence=f"{table.caller[row]} waits {duration(mean)} on {node}{known} without any reply",
            signal="latency",
            value=mean * 1000,
            expected=usual * 1000 if usual == usual else None,
            unit="ms",
            hints={"hung": share},
        )
    assert worst is not None  # noqa: S101 - a gap comes from a slow link or from unanswered calls
    caller, link = worst
    served = ledger.nodes.get(node)
    own = f"{node} itself reports {duration(served.mean)}" if served and served.calls else f"{node} reports nothing"
    return Term(
        kind="call_gap",
        candidate=node,
        strength=share,
        sentence=f"{caller} waits {duration(link.mean)} on {node} (usually {duration(link.usual)}); {own}",
        signal="latency",
        value=link.mean * 1000,
        expected=link.usual * 1000,
        unit="ms",
        hints={"latency": SLOW_CALLEE * share, "network": SLOW_NETWORK * share},
    )


def _dependency(ledger: Ledger, owner: str, dependency: str, share: float) -> Term:
    link = ledger.links[owner, dependency]
    database = DATABASE.search(dependency) is not None
    return Term(
        kind="dependency",
        candidate=owner,
        strength=share,
        sentence=(
            f"{owner} waits {duration(link.mean)} on its {'database' if database else 'dependency'} {dependency} "
            f"(usually {duration(link.usual)}) over {count(link.calls, 'call')}"
        ),
        signal="latency",
        value=link.mean * 1000,
        expected=link.usual * 1000,
        unit="ms",
        hints={"database" if database else "network": share},
    )


EXCESS = EvidenceKind(
    explain=excess,
    weights={"self_time": 3.0, "call_gap": 3.0, "dependency": 3.0},
    reads=frozenset({"flows", "links", "unanswered"}),
)
