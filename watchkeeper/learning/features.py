"""What a model may look at in a finding: a few plain numbers that a human could check."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import numpy.typing as npt

from watchkeeper.vocabulary import Finding

NAMES: Final = ("evidence", "change", "load", "common")


def features(finding: Finding) -> npt.NDArray[np.float64]:
    """The numbers of one finding, (4,), each about -3 to 3.

    - `evidence`: the log-odds of its score: 0 where it was just raised.
    - `change`: the logarithm of value over expected (one part in a hundred is added to both, for rates near zero).
    - `load`: the logarithm of the service's traffic over its usual traffic (attribute `load`).
    - `common`: the logarithm of the slowdown that all services shared (attribute `common`).
    """
    score = min(max(finding.score, 0.02), 0.98)
    change = 0.0
    if finding.value is not None and finding.expected is not None and finding.value >= 0 and finding.expected >= 0:
        change = math.log((finding.value + 0.01) / (finding.expected + 0.01))
    found = (math.log(score / (1 - score)), change, _log_of(finding, "load"), _log_of(finding, "common"))
    return np.asarray(np.clip(np.array(found), -3.0, 3.0))


def group(finding: Finding) -> tuple[str, str]:
    """The detector and the service that a finding belongs to."""
    return finding.detector, finding.service


def _log_of(finding: Finding, attribute: str) -> float:
    try:
        ratio = float(finding.attributes[attribute])
    except (KeyError, ValueError):
        return 0.0
    return math.log(ratio) if 0.0 < ratio < math.inf else 0.0
