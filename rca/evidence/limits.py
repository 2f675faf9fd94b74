"""What runs out: memory, a disk, a pool or a certificate seen to near its limit before users are hurt, or meanwhile.

A service fails when its own resource is used up. Those that wait for it fail without. Several such services share the
blame: a leak of one fills the queues of others.
"""

from __future__ import annotations

import re
from typing import Final

from rca.case import Case
from rca.evidence_kind import EvidenceKind
from rca.series_changes import concept
from rca.terms import Term
from watchkeeper.vocabulary import Mechanism

# What it looks like when there is no more of it, by the words of the metric's name.
WITHOUT: Final[tuple[tuple[re.Pattern[str], Mechanism], ...]] = (
    (re.compile(r"cert|x509|ssl|tls", re.IGNORECASE), "network"),
    (re.compile(r"disk|\bfs|filesystem|volume|inode|storage|\bfds?\b|descriptor", re.IGNORECASE), "errors"),
)
DISTANT: Final = 0.3  # of an urgent one counts a limit that will be reached in hours, and may have to do with nothing


def limits(case: Case) -> list[Term]:
    """Nodes with a resource near its limit, or at it: a term `limit` each."""
    near = {limit: 1.0 if limit.urgent else DISTANT for limit in case.limits if limit.node in case.candidates}
    total = max(sum(near.values()), 1.0)
    return [
        Term(
            kind="limit",
            candidate=limit.node,
            strength=counts / total,
            sentence=limit.sentence,
            signal=limit.metric,
            metric=limit.metric,
            hints={looks_like: counts / total} if (looks_like := _without(limit.metric)) else {},
        )
        for limit, counts in near.items()
    ]


def _without(metric: str) -> Mechanism | None:
    """The mechanism of a service that has no more of what the metric measures."""
    known = next((mechanism for words, mechanism in WITHOUT if words.search(metric)), None)
    return known or (concept(metric) or ("", None))[1]


LIMITS = EvidenceKind(explain=limits, weights={"limit": 2.0}, needs=frozenset({"limits"}))
