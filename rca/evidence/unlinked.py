"""Slowness and failures where nobody knows who calls whom: the node that changed most for its own size.

Without a call graph, added seconds can't be booked where they arose: every caller shows them again. But a caller's
own work dilutes what it waits for, so the same delay is a larger share of the culprit's time than of any caller's.
The ratio after to before, shrunk by how unusual it is for the node, therefore points at the origin; for failures it
is the share of requests that fail. No terms as soon as requests and calls are known: then excess is better evidence.
Fails where a caller has hardly any work of its own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from rca.case import Case
from rca.evidence_kind import EvidenceKind
from rca.example_cases import unlinked_case
from rca.levels import shares, trust
from rca.metric_words import meaning
from rca.series_changes import Change, changes
from rca.terms import Term

DOUBT = 0.7  # in logarithms of a ratio: a node that got less than twice as slow stays in doubt
HALF_AT = 4.0  # spreads
LEAST_FAILURES = 0.01  # of requests, or of the failures that others see: less gives no ratio


def unlinked(case: Case) -> list[Term]:
    """Slowness and failures where no call graph is known.

    Terms `self_time` and `errors`; the best metric of each node counts.
    """
    if case.series is None or case.ledger.links or (case.calls and case.ledger.nodes):
        return []
    best: dict[tuple[str, str], Term] = {}
    for metric, moved in changes(case.series, case.series_reference, case.onset).items():
        found = meaning(metric)
        if found is None or found.measure == "requests":
            continue
        if found.measure == "latency":
            kind, amounts = "self_time", _ratios(moved)
        else:
            kind, amounts = "errors", _failures(moved, up=found.measure == "errors")
        by_node = {change.node: change for change in moved}
        for node, share in shares(amounts, DOUBT).items():
            if (node, kind) not in best or best[node, kind].strength < share:
                best[node, kind] = _term(kind, metric, by_node[node], share)
    return list(best.values())


def _ratios(moved: list[Change]) -> Mapping[str, float]:
    """How many times longer each node takes, as a logarithm, as far as it can be believed."""
    return {
        c.node: math.log(c.after / c.usual) * trust((c.after - c.usual) / c.spread, HALF_AT)
        for c in moved
        if c.after > c.usual > 0
    }


def _failures(moved: list[Change], *, up: bool) -> Mapping[str, float]:
    """How much more each node fails, relative to the worst; `up`: more of the metric is worse."""
    worse = {c.node: (c.after - c.usual if up else c.usual - c.after) for c in moved}
    most = max(worse.values(), default=0.0)
    if most <= 0:
        return {}
    return {
        c.node: worse[c.node] / most * trust(worse[c.node] / max(c.spread, LEAST_FAILURES * most), HALF_AT)
        for c in moved
    }


def _term(kind: str, metric: str, change: Change, share: float) -> Term:
    slow = kind == "self_time"
    times = f", {change.after / change.usual:.1f} times its usual value" if change.usual > 0 else ""
    return Term(
        kind=kind,
        candidate=change.node,
        strength=share,
        sentence=change.sentence(metric) + (times if slow else ""),
        signal="latency" if slow else "errors",
        value=change.after,
        expected=change.usual,
        metric=metric,
        hints={"latency": share} if slow else {"errors": share},
    )


UNLINKED = EvidenceKind(
    explain=unlinked,
    weights={"self_time": 3.0, "errors": 3.0},
    needs=frozenset({"series"}),
    example=unlinked_case,
)
