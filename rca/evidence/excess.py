"""Where the added seconds arose: a node's own time, or the gap between caller and callee.

Mass is requests times added latency. It is additive along calls, so what remains of a node's mass after
its callees' is its own, whatever its name or place; and a server sums the mass of all its callers, while a
client's view of it carries less. Cost: one pass over the roll-ups. Fails where a caller works in parallel
with its callees (it is then credited too little), or calls are not recorded at all.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from rca.call_sides import Call, caller_shares
from rca.case import Case
from rca.dependencies import is_database
from rca.evidence.silence import passed_on, silent_nodes
from rca.evidence_kind import EvidenceKind
from rca.ledger import Entry, Ledger
from rca.levels import shares
from rca.terms import Term, count
from rca.ways import one_way, unanswered_share
from watchkeeper.durations import duration
from watchkeeper.vocabulary import Mechanism

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
    for caller, served in ledger.unmeasured(case):  # a callee that moved explains its full mass
        pulled[caller] += served.extra_seconds
    own = {n: max(entry.extra_seconds - pulled[n], 0.0) for n, entry in ledger.nodes.items()}
    return ledger.settled(case, {n: amount * case.remaining(n).seconds for n, amount in own.items()})


@dataclass(frozen=True, slots=True, kw_only=True)
class Gaps:
    """Added seconds that callers waited beyond what callees report: booked on callees, or on callers that stall."""

    callees: Mapping[str, float]
    callers: Mapping[str, float]
    overloaded: float  # seconds that a surge of requests explains, booked on nobody


def gaps_by_side(case: Case) -> Gaps:
    """The gaps of all call edges, each booked at the end that it belongs to.

    A callee that waits for a silent one is not to blame for the gap.
    """
    silent = silent_nodes(case)
    added: defaultdict[Call, float] = defaultdict(float)
    calls: defaultdict[Call, float] = defaultdict(float)
    for call, link in case.ledger.links.items():
        added[call] += link.gap_seconds
        calls[call] += link.calls
    table = case.unanswered
    if table is not None:
        for caller, callee, waited, number, usual in zip(
            table.caller, table.callee, table.waited, table.calls, table.usual, strict=True
        ):
            if caller != callee:
                added[caller, callee] += max(float(waited - number * (usual if usual == usual else 0.0)), 0.0)
                calls[caller, callee] += float(number)
    listens: dict[str, float] = {}
    for callee in {callee for _, callee in added}:
        deaf = max((silent.get(name, 0.0) for name in case.reachable(callee)), default=0.0)
        listens[callee] = 1.0 - deaf * (1.0 - silent.get(callee, 0.0))
    on_its_own = {call: seconds * listens[call[1]] for call, seconds in added.items()}
    shares_of_callers = caller_shares(
        {call: on_its_own[call] * (1.0 - passed_on(case, call[1])) / calls[call] for call in added if calls[call] > 0}
    )
    callees: defaultdict[str, float] = defaultdict(float)
    callers: defaultdict[str, float] = defaultdict(float)
    overloaded, surged = 0.0, case.overloads
    for call, seconds in on_its_own.items():
        share = shares_of_callers.get(call, 0.0)
        crowded = surged[call[1]].share if call[1] in surged else 0.0
        overloaded += seconds * crowded
        callees[call[1]] += seconds * (1.0 - share) * (1.0 - crowded)
        callers[call[0]] += seconds * share * (1.0 - crowded)
    return Gaps(callees=callees, callers=callers, overloaded=overloaded)


def _vain(case: Case) -> list[tuple[str, float]]:
    table = case.unanswered
    return [] if table is None else [(str(c), float(w)) for c, w in zip(table.caller, table.waited, strict=True)]


def excess(case: Case) -> list[Term]:
    """Added seconds, counted where they arose.

    Terms `self_time`, `call_gap`, `stall` and `dependency`: shares of all seconds that the incident added.

    A callee that is no candidate (a database inside of a node's process) is part of the node that calls it.
    """
    ledger, own, gaps = case.ledger, own_seconds(case), gaps_by_side(case)
    owners = {callee: caller for caller, callee in ledger.links if callee not in case.candidates}
    parts: list[tuple[Mapping[str, float], Callable[[str, float], Term]]] = [
        (own, lambda node, share: _self_time(node, share, ledger.nodes[node], own[node])),
        (
            {node: seconds for node, seconds in gaps.callees.items() if node not in owners},
            lambda node, share: _call_gap(case, ledger, node, share),
        ),
        (gaps.callers, lambda node, share: _stall(ledger, node, share)),
        (
            {node: seconds for node, seconds in gaps.callees.items() if node in owners},
            lambda node, share: _dependency(ledger, owners[node], node, share),
        ),
    ]
    noise = sum(entry.noise_seconds**2 for entry in ledger.nodes.values()) ** 0.5 + gaps.overloaded
    felt = ledger.felt(case.alerts, "seconds")
    total = sum(sum(seconds.values()) for seconds, _ in parts)
    return [
        term(node, felt * share)
        for seconds, term in parts
        for node, share in shares(seconds, noise + total - sum(seconds.values())).items()
    ]


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
            hints=_in_vain(case, node, share),
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
        hints=(
            {"network": share}
            if one_way(case, node)
            else {"database": share}
            if is_database(node) and served is None
            else {"latency": SLOW_CALLEE * share, "network": SLOW_NETWORK * share}
        ),
    )


def _in_vain(case: Case, node: str, share: float) -> dict[Mechanism, float]:
    """Who gets no reply while most calls are answered loses them on the way; a process that hangs answers none."""
    lost = 0.0 if one_way(case, node) else unanswered_share(case, node)
    return {"hung": lost * share, "network": (1.0 - lost) * share}


def _stall(ledger: Ledger, node: str, share: float) -> Term:
    """What `node` waits longer for whatever it calls, as its worst call shows it."""
    calls = {callee: link for (caller, callee), link in ledger.links.items() if caller == node and link.calls > 0}
    worst = max(calls, key=lambda callee: (calls[callee].gap_seconds, callee), default="")
    link = calls.get(worst, Entry())
    return Term(
        kind="stall",
        candidate=node,
        strength=share,
        sentence=(
            f"{node} waits longer on all that it calls ({duration(link.mean)} on {worst}, usually "
            f"{duration(link.usual)}), and its callees report no such time: {node} itself stalls"
        ),
        signal="latency",
        value=link.mean * 1000,
        expected=link.usual * 1000,
        unit="ms",
        hints={"latency": share},
    )


def _dependency(ledger: Ledger, owner: str, dependency: str, share: float) -> Term:
    link = ledger.links[owner, dependency]
    database = is_database(dependency)
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
    weights={"self_time": 3.0, "call_gap": 3.0, "stall": 3.0, "dependency": 3.0},
    reads=frozenset({"flows", "links", "unanswered"}),
)
