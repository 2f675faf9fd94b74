"""More requests than usual, counted where they come in.

A node that serves many times its usual requests is slow and fails for that reason. What its callers send more because
they get more themselves is theirs, and calls that failed are repeated; what is left came in here. Fails
where calls are not recorded: then every node below the entry shows the same surge.
"""

from __future__ import annotations

from collections import defaultdict

from rca.case import Case
from rca.evidence_kind import EvidenceKind
from rca.example_cases import surge_case
from rca.levels import shares
from rca.terms import Term, count

LEAST = 2.0  # times the usual requests: less is a busy hour
TRIES = 3.0  # how many times a call that failed is usually repeated
DOUBT = 20.0  # requests


def surge(case: Case) -> list[Term]:
    """Many times the usual requests.

    Term `surge`, for each node at which they came in: its share of all that are more than usual.
    """
    flows, ledger = case.flows, case.ledger
    if flows is None or len(flows.time) == 0:
        return []
    early_s = case.onset - float(flows.time.min())
    late_s = float(flows.time.max()) + flows.step - case.onset
    if early_s <= 0 or late_s <= 0:
        return []
    usual = {node: entry.early_calls * late_s / early_s for node, entry in ledger.nodes.items()}
    more = {node: ledger.nodes[node].calls - expected for node, expected in usual.items() if expected > 0}
    sent: defaultdict[str, float] = defaultdict(float)
    for (caller, callee), link in ledger.links.items():
        times = ledger.nodes[caller].calls / usual[caller] if usual.get(caller) else 1.0
        expected = link.early_calls * late_s / early_s
        sent[callee] += min(max(link.calls - expected, 0.0), expected * max(times - 1.0, 0.0))
        sent[callee] += TRIES * max(link.extra_errors, 0.0)
    own = {
        node: max(added - sent[node], 0.0)
        for node, added in more.items()
        if ledger.nodes[node].calls >= LEAST * usual[node]
    }
    return [
        Term(
            kind="surge",
            candidate=node,
            strength=share,
            sentence=(
                f"{node} gets {count(ledger.nodes[node].calls, 'request')} since the onset "
                f"({usual[node]:.0f} would be usual), and its callers' own requests explain "
                f"{1.0 - own[node] / max(more[node], 1.0):.0%} of what is more"
            ),
            signal="traffic",
            value=ledger.nodes[node].calls / late_s,
            expected=usual[node] / late_s,
            unit="requests/s",
            hints={"traffic": share},
        )
        for node, share in shares(own, DOUBT).items()
    ]


SURGE = EvidenceKind(
    explain=surge,
    weights={"surge": 1.0},
    needs=frozenset({"flows"}),
    needs_symptoms=True,
    example=surge_case,
)
