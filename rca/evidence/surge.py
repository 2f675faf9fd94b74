"""More requests than usual, counted where they come in.

A system that gets many times its usual requests is slow and fails for that reason, wherever it is tightest.
"""

from __future__ import annotations

from rca.case import Case
from rca.evidence_kind import EvidenceKind
from rca.example_cases import surge_case
from rca.surges import surges
from rca.terms import Term


def surge(case: Case) -> list[Term]:
    """Many times the usual requests.

    Term `surge`, for each node at which they came in: how far they exceed what a system is expected to cope with.
    """
    found = {node: one for node, one in surges(case).items() if one.overload > 0}
    most = max((one.own for one in found.values()), default=1.0)
    return [
        Term(
            kind="surge",
            candidate=node,
            strength=(strength := one.overload * one.own / most),
            sentence=(
                f"{one.recent:.3g} requests/s come in through {node} ({one.usual:.3g}/s would be usual), and known "
                f"callers explain {1.0 - one.own / (one.recent - one.usual):.0%} of what is more"
            ),
            signal="traffic",
            value=one.recent,
            expected=one.usual,
            unit="requests/s",
            hints={"traffic": strength},
        )
        for node, one in found.items()
    ]


SURGE = EvidenceKind(
    explain=surge,
    weights={"surge": 3.0},
    needs=frozenset({"flows"}),
    example=surge_case,
)
