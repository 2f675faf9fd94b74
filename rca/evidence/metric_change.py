"""A resource that moved: CPU, memory, threads and the like, per node, before and after the onset.

Within one metric the nodes share the blame by how much each rose above its usual level, in the metric's
own unit, shrunk by how unusual that is for the node. Works from five samples on.
"""

from __future__ import annotations

import re

from rca.case import Case
from rca.evidence_kind import EvidenceKind
from rca.levels import shares, trust
from rca.series_changes import changes, concept, resources
from rca.terms import Term
from watchkeeper.vocabulary import Mechanism

HALF_AT = 4.0  # spreads
# What noise amounts to, in the metric's own unit: half of each node's spread, and a twentieth of all levels.
SPREADS_IN_DOUBT = 0.5
LEVELS_IN_DOUBT = 0.05
# By judgement: what is too little to hurt anybody, whatever is usual. A quarter of the memory; a few handles or
# connections; a twentieth of a processor, in the unit of the metric; ten milliseconds of stalling.
MEMORY_IN_DOUBT = 0.25
ANY = re.compile("")
IN_DOUBT = {
    "cpu": (
        (re.compile(r"percent|pct", re.IGNORECASE), 5.0),
        (re.compile(r"milli_?cores?", re.IGNORECASE), 50.0),
        (ANY, 0.05),
    ),
    "stall": (
        (re.compile(r"utili|ratio", re.IGNORECASE), 0.1),
        (re.compile(r"(_ms|millis)", re.IGNORECASE), 10.0),
        (re.compile(r"(_ns|nanos)", re.IGNORECASE), 10e6),
        (ANY, 0.01),
    ),
    "handles": ((ANY, 3.0),),
    "pool": ((ANY, 3.0),),
}
HELD = frozenset({"handles", "pool"})  # what a request holds as long as it takes
KINDS = {"stall": "stall_metric"}  # the term; the others are named like the resource


def metric_change(case: Case) -> list[Term]:
    """CPU, memory, disk, connections or handles that rose above their usual level, and delays of an event loop.

    Terms `cpu`, `stall_metric`, `memory`, `disk`, `pool` and `handles`, for each node: its best metric of that kind.
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
        for node, share in shares(amounts, noise + _doubt(resource, metric, total_usual)).items():
            change = by_node[node]
            term = Term(
                kind=KINDS.get(resource, resource),
                candidate=node,
                strength=share * case.remaining(node).seconds * _of_its_own(case, node, resource),
                sentence=change.sentence(metric),
                signal=metric,
                value=change.after,
                expected=change.usual,
                metric=metric,
                hints=_hints(resource, mechanism, share),
            )
            if (node, resource) not in best or best[node, resource].strength < term.strength:
                best[node, resource] = term
    return list(best.values())


def _of_its_own(case: Case, node: str, resource: str) -> float:
    """What counts of a rise: requests that take ten times longer hold ten times the threads, whatever they wait for."""
    entry = case.metered_nodes.get(node)
    return 1.0 / (1.0 + entry.slower) if entry is not None and resource in HELD else 1.0


def _hints(resource: str, mechanism: Mechanism | None, share: float) -> dict[Mechanism, float]:
    """What a rise votes for; as many connections are in use because calls take longer as the other way round."""
    if mechanism is None:
        return {}
    return {mechanism: 0.5 * share, "latency": 0.5 * share} if resource == "pool" else {mechanism: share}


def _doubt(resource: str, metric: str, levels: float) -> float:
    """What a rise of a metric must exceed to count by half, in its own unit; `levels` is the sum of the usual ones."""
    if resource == "memory":
        return MEMORY_IN_DOUBT * levels
    least = next((amount for unit, amount in IN_DOUBT.get(resource, ()) if unit.search(metric)), 0.0)
    return least + LEVELS_IN_DOUBT * levels


METRIC_CHANGE = EvidenceKind(
    explain=metric_change,
    weights={"cpu": 2.0, "stall_metric": 1.0, "memory": 1.0, "disk": 1.0, "pool": 1.0, "handles": 1.0},
    needs=frozenset({"series"}),
)
