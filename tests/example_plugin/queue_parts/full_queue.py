"""A queue that fills up points at whoever should empty it."""

import numpy as np

from rca.case import Case
from rca.evidence_kind import EvidenceKind
from rca.terms import Term


def full_queue(case: Case) -> list[Term]:
    """One term per node whose backlog grew since the onset: its share of the growth of all."""
    series, grown = case.series, {}
    for node in case.candidates if series else ():
        own = (series.metric == "backlog") & (series.node == node)
        before, after = series.value[own & (series.time < case.onset)], series.value[own & (series.time >= case.onset)]
        if len(before) and len(after) and after.max() > 2 * np.median(before) + 10:
            grown[node] = (float(np.median(before)), float(after.max()))
    total = sum(after - before for before, after in grown.values())
    return [
        Term(
            kind="full_queue",
            candidate=node,
            strength=(after - before) / total,
            sentence=f"its backlog grew from {before:.0f} to {after:.0f} jobs",
            signal="metric",
            metric="backlog",
            value=after,
            expected=before,
            hints={"hung": 1.0},
        )
        for node, (before, after) in grown.items()
    ]


# 2.0 is what the whole growth of all backlogs adds to a node's score: about as much as a strong built-in kind.
FULL_QUEUE = EvidenceKind(
    explain=full_queue, weights={"full_queue": 2.0}, needs=frozenset({"series"}), metrics=frozenset({"backlog"})
)
