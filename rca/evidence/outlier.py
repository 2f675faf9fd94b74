"""A series of unknown meaning that left its own past more clearly than those of other nodes did.

A metric whose name is not understood can still stand out: each metric's nodes share its signal by how far they moved,
shrunk by how unusual that is for them. Reads a metric only if no other kind of evidence does. Fails where what moves is
the traffic: then every node's series move.
"""

from __future__ import annotations

import numpy as np

from rca.case import Case, codes
from rca.evidence_kind import EvidenceKind
from rca.levels import shares, trust
from rca.metric_words import measured
from rca.series_changes import HOST, changes, concept
from rca.terms import Term

HALF_AT = 6.0  # spreads: more than for a resource, because nobody knows what the series measures
# What noise amounts to, in the metric's own unit: half of each node's spread, and a tenth of its level.
SPREADS_IN_DOUBT = 0.5
LEVELS_IN_DOUBT = 0.1
HALF_KNOWN = 10.0  # samples before the onset at which the noise of a series of unknown meaning is half known


def outlier(case: Case) -> list[Term]:
    """A metric of unknown meaning that left its usual range.

    Term `outlier`, for each node: the metric that stands out most.
    """
    if case.series is None:
        return []
    code, names = codes(case.series.metric)
    unknown = np.array([not (HOST.search(n) or concept(n) or measured(n)) for (n,) in names], dtype=bool)
    if not unknown.any():
        return []
    best: dict[str, Term] = {}
    for metric, moved in changes(case.series.where(unknown[code]), case.series_reference, case.onset).items():
        by_node = {c.node: c for c in moved}
        amounts = {
            c.node: abs(c.after - c.usual) * trust(abs(c.after - c.usual) / c.spread, HALF_AT) * _known(c.samples)
            for c in moved
        }
        # In the metric's own unit, as for a resource: spreads of a series that never moved would be no measure.
        doubt = sum(SPREADS_IN_DOUBT * c.spread + LEVELS_IN_DOUBT * abs(c.usual) for c in moved)
        for node, share in shares(amounts, doubt).items():
            change = by_node[node]
            if node in best and best[node].strength >= share:
                continue
            best[node] = Term(
                kind="outlier",
                candidate=node,
                strength=share,
                sentence=change.sentence(metric),
                signal=metric,
                value=change.after,
                expected=change.usual,
                metric=metric,
            )
    return list(best.values())


def _known(samples: int) -> float:
    return samples / (samples + HALF_KNOWN)


OUTLIER = EvidenceKind(
    explain=outlier,
    weights={"outlier": 1.0},
    needs=frozenset({"series"}),
)
