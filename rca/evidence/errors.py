"""Errors are booked where they arise, not where they surface.

A node's failed requests, minus its failed calls to others, began in the node. Calls that failed for the caller but not
for the callee began between them, and count for the end that they belong to (`rca.call_sides`): a database that
reports nothing is known by its callers alone. Fails where callers hide their callees' failures behind a fallback that
reports an error of its own.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from rca.call_sides import Call, caller_shares
from rca.case import Case
from rca.dependencies import is_database
from rca.evidence_kind import EvidenceKind
from rca.hindrance import handed_down
from rca.ledger import Entry
from rca.levels import shares, trust
from rca.terms import Term, count
from rca.ways import deserted, one_way
from watchkeeper.vocabulary import Mechanism

HALF_AT = 2.0  # standard errors of a Poisson count
DOUBT = 2.0  # failed requests
OVERLOADED = 0.5  # of a node's time that was added
DESERTED = 0.5  # of the requests that a callee used to serve
FEW = 0.02  # added failures a request that count by half: what is rarer seldom hurts many


def own_errors(case: Case) -> dict[str, float]:
    """Added failed requests of each node that its own failed calls do not explain; all of them, if it is hindered."""
    ledger = case.ledger
    passed: defaultdict[str, float] = defaultdict(float)
    for (caller, callee), link in ledger.links.items():
        if callee in case.candidates:  # what is no candidate is part of its caller
            passed[caller] += max(link.extra_errors, 0.0)
    if case.unanswered is not None:
        for caller, calls in zip(case.unanswered.caller, case.unanswered.calls, strict=True):
            passed[str(caller)] += float(calls)
    for caller, served in ledger.unmeasured(case):  # may fail as much as it can
        passed[caller] += max(served.extra_errors, 0.0)
    own = {n: max(entry.extra_errors - passed[n], 0.0) for n, entry in ledger.nodes.items()}
    return ledger.settled(case, own)


def between_errors(case: Case) -> dict[Call, float]:
    """Added failures of each call edge that its callee does not report, and that got a reply.

    Only of callees that can be blamed: others are part of their caller.
    """
    ledger, silent = case.ledger, _unanswered(case)
    passed: defaultdict[str, float] = defaultdict(float)
    for (caller, _), link in ledger.links.items():
        passed[caller] += max(link.extra_errors, 0.0)
    for (caller, _), calls in silent.items():
        passed[caller] += calls
    between = {}
    for call, link in ledger.links.items():
        # A callee whose own calls fail passes that on, even where it does not report its replies as failures.
        served = ledger.nodes.get(call[1])
        known = max(served.extra_errors, passed[call[1]], 0.0) if served else 0.0
        reported = link.calls * min(known / served.calls, 1.0) if served and served.calls else 0.0
        extra = link.extra_errors - reported - silent.get(call, 0.0)
        if call[1] in case.candidates:
            surely = trust(extra / (link.usual_errors + 1.0) ** 0.5, HALF_AT)
            between[call] = max(extra, 0.0) * surely * _matters(extra, link.calls)
    return between


def _matters(failures: float, calls: float) -> float:
    share = max(failures, 0.0) / max(calls, 1.0)
    return share / (share + FEW)


def errors(case: Case) -> list[Term]:
    """Failed requests, counted where the failures began.

    Term `errors`, for each node at which errors began: its share of all of them.
    """
    ledger, own, between = case.ledger, own_errors(case), between_errors(case)
    believed: dict[str, float] = {}
    hindered: defaultdict[str, float] = defaultdict(float)  # failures that are consequences, by where they show
    for node, amount in own.items():
        entry = ledger.nodes[node]
        deviation = (entry.usual_errors + entry.error_noise**2 + 1.0) ** 0.5
        sure = amount * trust(amount / deviation, HALF_AT) * _matters(amount, entry.calls)
        believed[node] = sure * case.remaining(node).failures
        hindered[node] += sure - believed[node]
    from_callers: defaultdict[str, float] = defaultdict(float)
    from_callees: defaultdict[str, float] = defaultdict(float)
    of_caller = caller_shares({call: amount / max(ledger.links[call].calls, 1.0) for call, amount in between.items()})
    for call, amount in between.items():
        share, counted = of_caller.get(call, 0.0), case.remaining(call[1]).failures
        from_callees[call[0]] += amount * share * counted
        from_callers[call[1]] += amount * (1.0 - share) * counted
        hindered[call[1]] += amount * (1.0 - counted)
    above = {node: amount for node, amount in handed_down(case, hindered).items() if node in case.candidates}
    felt = ledger.felt(case.alerts, "errors")
    sources = (believed, from_callers, from_callees, above)
    amounts = {n: sum(source.get(n, 0.0) for source in sources) for n in set().union(*sources)}
    terms = []
    for node, share in sorted(shares(amounts, DOUBT).items()):
        *parts, down = (source.get(node, 0.0) for source in sources)
        if down > max(parts):
            terms.append(_above(case, node, felt * share))
        elif parts[0] >= max(parts):
            terms.append(_own(node, felt * share, ledger.nodes[node], own[node]))
        else:
            side = {call: ledger.links[call] for call in between if call[1 if parts[1] >= parts[2] else 0] == node}
            terms.append(_between(case, node, felt * share, side))
    return terms


def _unanswered(case: Case) -> dict[Call, float]:
    table = case.unanswered
    if table is None:
        return {}
    calls: defaultdict[Call, float] = defaultdict(float)
    for caller, callee, number in zip(table.caller, table.callee, table.calls, strict=True):
        calls[caller, callee] += float(number)
    return calls


def _own(node: str, share: float, entry: Entry, own: float) -> Term:
    rate = entry.errors / max(entry.calls, 1.0)
    usual = entry.usual_errors / max(entry.calls, 1.0)
    began = own / max(entry.extra_errors, 1.0)
    return Term(
        kind="errors",
        candidate=node,
        strength=share,
        sentence=(
            f"{node} fails {rate:.0%} of its requests (usually {usual:.1%}); "
            f"{min(began, 1.0):.0%} of the new errors began in {node}, not in what it calls"
        ),
        signal="errors",
        value=rate,
        expected=usual,
        unit="share",
        hints={"errors": share},
    )


def _above(case: Case, node: str, share: float) -> Term:
    """Failures of those that wait for `node`, or for whom waits for it."""
    waiting = sorted(caller for caller in case.ledger.nodes if case.remaining(caller).hindered_by == node)
    entry = any(node == one.origin for one in case.overloads.values())
    hangs = not entry and any(
        deserted(case, caller, node) > DESERTED for caller in waiting if (caller, node) not in case.ledger.links
    )
    if entry:
        why = f"which get more of them through {node} than they can serve"
    elif hangs:
        why = f"where requests take longer, while {node}, which they call, serves hardly any more"
    else:
        why = f"where calls to {node} take too long or fail"
    return Term(
        kind="errors",
        candidate=node,
        strength=share,
        sentence=f"requests fail at {', '.join(waiting)}, {why}",
        signal="errors",
        hints={"hung": share} if hangs else {},
    )


def _between(case: Case, node: str, share: float, links: Mapping[Call, Entry]) -> Term:
    """Failures that only callers report: of calls to `node`, or of all that it calls itself."""
    calls, failed, usual = (
        sum(getattr(link, name) for link in links.values()) for name in ("calls", "errors", "usual_errors")
    )
    callers, callees = ({call[side] for call, link in links.items() if link.extra_errors > 0} for side in (0, 1))
    observed = any(callee in case.ledger.nodes for callee in callees)
    slow = case.ledger.nodes.get(node, Entry())
    overloaded = slow.extra_seconds > OVERLOADED * slow.mean * slow.calls > 0  # it drops what it cannot serve in time
    how: Mechanism = (
        "network"
        if one_way(case, node)
        else "database"
        if not observed and any(map(is_database, callees))
        else "network"
        if observed and not overloaded
        else "errors"
    )
    return Term(
        kind="errors",
        candidate=node,
        strength=share,
        sentence=(
            f"{failed / max(calls, 1.0):.0%} of {count(calls, 'call')} from {', '.join(sorted(callers))} to "
            f"{', '.join(sorted(callees))} fail (usually {usual / max(calls, 1.0):.1%}), "
            + ("and callees report no such failure" if observed else "as only callers report")
        ),
        signal="errors",
        value=failed / max(calls, 1.0),
        expected=usual / max(calls, 1.0),
        unit="share",
        hints={how: share},
    )


ERRORS = EvidenceKind(
    explain=errors,
    weights={"errors": 3.0},
    reads=frozenset({"flows", "links"}),
)
