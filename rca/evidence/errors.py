"""Errors are booked where they arise, not where they surface.

A node's failed requests, minus its failed calls to others, began in the node. Calls that failed for the
caller but not for the callee began between them, and count for the callee. Fails where callers hide their
callees' failures behind a fallback that reports an error of its own.
"""

from __future__ import annotations

from collections import defaultdict

from rca.case import Case
from rca.evidence_kind import EvidenceKind
from rca.levels import shares, trust
from rca.terms import Term

HALF_AT = 2.0  # standard errors of a Poisson count
DOUBT = 1.0  # failed requests


def own_errors(case: Case) -> dict[str, float]:
    """Added failed requests of each node that its own failed calls do not explain."""
    ledger = case.ledger
    passed: defaultdict[str, float] = defaultdict(float)
    for (caller, callee), link in ledger.links.items():
        if callee in case.candidates:  # what is no candidate is part of its caller
            passed[caller] += max(link.extra_errors, 0.0)
    if case.unanswered is not None:
        for caller, calls in zip(case.unanswered.caller, case.unanswered.calls, strict=True):
            passed[str(caller)] += float(calls)
    if not ledger.links:
        for node in ledger.nodes:
            passed[node] += sum(max(entry.extra_errors, 0.0) for entry in ledger.callees(case, node))
    return ledger.settled(case, {n: max(entry.extra_errors - passed[n], 0.0) for n, entry in ledger.nodes.items()})


def errors(case: Case) -> list[Term]:
    """Failed requests, counted where the failures began.

    Term `errors`, for each node at which errors began: its share of all of them.
    """
    ledger, own = case.ledger, own_errors(case)
    believed = {
        node: amount * trust(amount / (entry.usual_errors + entry.error_noise**2 + 1.0) ** 0.5, HALF_AT)
        for node, amount in own.items()
        for entry in (ledger.nodes[node],)
    }
    terms = []
    felt = ledger.felt(case.alerts, "errors")
    for node, share in shares(believed, DOUBT).items():
        entry = ledger.nodes[node]
        rate = entry.errors / max(entry.calls, 1.0)
        usual = entry.usual_errors / max(entry.calls, 1.0)
        began = own[node] / max(entry.extra_errors, 1.0)
        terms.append(
            Term(
                kind="errors",
                candidate=node,
                strength=felt * share,
                sentence=(
                    f"{node} fails {rate:.0%} of its requests (usually {usual:.1%}); "
                    f"{min(began, 1.0):.0%} of the new errors began in {node}, not in what it calls"
                ),
                signal="errors",
                value=rate,
                expected=usual,
                unit="share",
                hints={"errors": felt * share},
            )
        )
    return terms


ERRORS = EvidenceKind(
    explain=errors,
    weights={"errors": 3.0},
    needs=frozenset({"flows"}),
)
