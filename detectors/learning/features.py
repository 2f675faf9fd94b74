"""What a model may look at in a finding: a few plain numbers that a human could check."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import numpy.typing as npt

from watchkeeper.vocabulary import Conditions, Finding

NAMES: Final = ("amount", "change", "load", "common", "deployed")
# So soon after a change of its own service a finding counts as the change's.
DEPLOYED_WITHIN_S: Final = 600.0
# What an `amount` of 0 is: a tenth of the requests failing, a tenth of a second more.
SHARE: Final = 0.1
EXTRA_MS: Final = 100.0
USUAL: Final = Conditions()


def features(finding: Finding) -> npt.NDArray[np.float64]:
    """The numbers of one finding, (5,), each about -3 to 3.

    - `amount`: what users feel, a logarithm: 0 for 100 ms more than usual, or a tenth of the requests failing.
    - `change`: the logarithm of value over expected (one part in a hundred is added to both, for rates near zero).
    - `load`: the logarithm of the service's traffic over its usual traffic (`Conditions.load`).
    - `common`: the logarithm of the slowdown that all services shared (`Conditions.slowdown`).
    - `deployed`: 1 where its service was changed within ten minutes before the onset.

    Of a finding that lasts, the worst value so far counts. How long it lasts is no feature: that is not known when it
    has just begun; see `evidence`.
    """
    value, change = _value(finding), 0.0
    if value is not None and finding.expected is not None and value >= 0 and finding.expected >= 0:
        change = math.log((value + 0.01) / (finding.expected + 0.01))
    conditions = finding.conditions or USUAL
    logs = (change, math.log(conditions.load), math.log(conditions.slowdown))
    deployed_s = finding.episode.deployed_s if finding.episode else None
    deployed = deployed_s is not None and 0.0 <= deployed_s <= DEPLOYED_WITHIN_S
    return np.asarray(np.clip(np.array((_amount(finding), *logs, float(deployed))), -3.0, 3.0))


def evidence(finding: Finding) -> float:
    """The most evidence so far, in units of what raises a finding: 1 where it was just raised, at most 19."""
    score = min(max(finding.score, finding.episode.peak_score if finding.episode else 0.0), 0.95)
    return score / (1.0 - score)


def extra(finding: Finding) -> float:
    """How much more than expected, in the finding's own unit; 0 where it says no numbers."""
    value = _value(finding)
    return max(0.0, value - finding.expected) if value is not None and finding.expected is not None else 0.0


def group(finding: Finding) -> tuple[str, str]:
    """The detector and the service that a finding belongs to."""
    return finding.detector, finding.service


def _amount(finding: Finding) -> float:
    if finding.kind == "silence":
        return math.log(1.0 / SHARE)  # all of its users are without an answer
    if finding.unit == "ms":
        return math.log(max(extra(finding), 1e-3) / EXTRA_MS)
    if finding.kind == "errors":
        return math.log(max(extra(finding), 1e-4) / SHARE)
    return 0.0


def _value(finding: Finding) -> float | None:
    if finding.value is None or finding.kind == "silence":
        return None if finding.value is None else 0.0
    peak = finding.episode.peak_value if finding.episode else None
    return finding.value if peak is None else max(finding.value, peak)
