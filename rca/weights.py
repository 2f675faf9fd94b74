"""The one configuration: what all of a kind's signal adds to a score.

Chosen on the development packs and checked across systems: docs/benchmarks.md holds the record. Symptoms
at their origin weigh most; a busy processor or a surge of log lines tips the scale. The same numbers
serve every system, live and offline.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

WEIGHTS: Mapping[str, float] = MappingProxyType(
    {
        # where seconds and failures arose
        "self_time": 3.0,
        "call_gap": 3.0,
        "dependency": 3.0,
        "errors": 3.0,
        "unanswered": 3.0,
        "silence": 3.0,
        # what moved
        "cpu": 2.0,
        "memory": 1.0,
        "disk": 1.0,
        "handles": 1.0,
        "outlier": 1.0,
        "onset_order": 0.1,  # a tie-breaker: more of it cost a case where steps are minutes
        "logs": 1.0,
        # what operations do differently
        "fewer_spans": 2.0,
        "fewer_lines": 2.0,
        "complaints": 2.5,
        "lost_lines": 3.0,
        "cut_short": 1.5,
        # what was changed, and what cannot be
        "change": 1.0,
        "out_of_reach": -2.0,
        # which commit
        "commit words": 1.5,
        "commit removed": 2.0,
        "commit safeguard": 1.0,
        "commit live": 1.5,
        "commit service": 0.7,
        "commit too late": -5.0,
        "commit harmless": -3.0,
        "commit elsewhere": 3.0,
        "not a commit": 1.5,
    }
)
RARE = 3.0  # the greatest surprise of any node, spread over its concepts (`rare …`)
NEGLIGIBLE = 0.02  # a smaller share of a kind's signal is noise: it is neither counted nor shown


def weight_of(kind: str, weights: Mapping[str, float]) -> float:
    """What all of a kind's signal adds to a score."""
    return weights.get(kind, WEIGHTS.get(kind, RARE))
