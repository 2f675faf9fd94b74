"""Callers suffer from callees: what the alerted node does not depend on can hardly have hurt it."""

from __future__ import annotations

from rca.case import Case
from rca.evidence_kind import EvidenceKind
from rca.terms import Term


def reach(case: Case) -> list[Term]:
    """Services that the alerted one does not depend on.

    Term `out_of_reach`, against each node that no alerted one reaches through calls; none without a call graph.
    """
    within: set[str] = set()
    for alert in case.alerts:
        if not case.callees(alert):
            return []
        within |= case.reachable(alert) | {alert}
    if not within:
        return []
    who = ", ".join(case.alerts)
    return [
        Term(
            kind="out_of_reach",
            candidate=node,
            strength=1.0,
            sentence=f"{who}, which alerted, does not depend on {node}",
        )
        for node in case.candidates
        if node not in within
    ]


REACH = EvidenceKind(
    explain=reach,
    weights={"out_of_reach": -2.0},
    needs=frozenset({"alerts", "calls"}),
)
