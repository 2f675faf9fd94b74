"""A resource that moved: CPU, memory, threads and the like, per node, before and after the onset.

Within one metric the nodes share the blame by how much each rose above its usual level, in the metric's
own unit, shrunk by how unusual that is for the node. Works from five samples on.
"""

from __future__ import annotations

from rca.case import Case
from rca.evidence_kind import EvidenceKind
from rca.levels import shares, trust
from rca.series_changes import changes, concept, resources
from rca.terms import Term
from watchkeeper.metric_names import amount, describe_named

HALF_AT = 4.0  # spreads
# What noise amounts to, in the metric's own unit: half of each node's spread, and a twentieth of all levels.
SPREADS_IN_DOUBT = 0.5
LEVELS_IN_DOUBT = 0.05


def metric_change(case: Case) -> list[Term]:
    """CPU, memory, disk or handles that rose above their usual level.

    Terms `cpu`, `memory`, `disk` and `handles`, for each node: its best metric of that resource.
    """
    if case.series is None or len(case.series.time) == 0:
        return []
    best: dict[tuple[str, str], Term] = {}
    for metric, moved in changes(resources(case.series), case.series_reference, case.onset).items():
        found = concept(metric)
        if found is None:
            continue
        resource, mechanism = found
        amounts = {c.node: (c.after - c.usual) * trust((c.after - c.usual) / c.spread, HALF_AT) for c in moved}
        noise = sum(c.spread for c in moved) * SPREADS_IN_DOUBT
        total_usual = sum(abs(c.usual) for c in moved)
        by_node = {c.node: c for c in moved}
        for node, share in shares(amounts, noise + LEVELS_IN_DOUBT * total_usual).items():
            change = by_node[node]
            term = Term(
                kind=resource,
                candidate=node,
                strength=share,
                sentence=f"{node}: {describe_named(metric)} is {amount(metric, change.after)} "
                f"(usually {amount(metric, change.usual)})",
                signal=metric,
                value=change.after,
                expected=change.usual,
                metric=metric,
                hints={mechanism: share} if mechanism else {},
            )
            if (node, resource) not in best or best[node, resource].strength < share:
                best[node, resource] = term
    return list(best.values())


METRIC_CHANGE = EvidenceKind(
    explain=metric_change,
    weights={"cpu": 2.0, "memory": 1.0, "disk": 1.0, "handles": 1.0},
    needs=frozenset({"series"}),
)
