"""Whether telemetry still comes at all, when no requests do: a pipeline that failed is no service that is silent."""

from __future__ import annotations

from typing import Final

import numpy as np

from detectors.detector import Seen
from detectors.evidence import by_group
from detectors.history import History

NEWEST: Final = 2  # buckets that must hold something
PAST: Final = 24  # buckets before them that say how many services usually report
STILL: Final = 0.5  # of the services that usually report in as long a time


def still_reports(seen: Seen) -> bool:
    """Whether metrics, or log lines, still come from at least half of the services that usually send some.

    False where neither is read, or nobody sends any: then nothing is known.
    """
    found = False
    for name, column in (("metrics", "value"), ("logs", "lines")):
        history = seen.histories.get(name)
        if history is not None and history.size:
            found = found or _reports(history, column, seen.complete.get(name, 0))
    return found


def _reports(history: History, column: str, complete: int) -> bool:
    if complete < NEWEST + PAST:
        return False
    values = history[column][:, complete - NEWEST - PAST : complete]
    code = np.unique(np.array([name[0] for name in history.names()]), return_inverse=True)[1].reshape(-1)
    came = by_group(code, (np.nan_to_num(values) != 0).astype(np.float64)) > 0
    reporting = came.reshape(came.shape[0], -1, NEWEST).any(axis=2).sum(axis=0)
    usual = float(np.median(reporting[:-1]))
    return usual > 0 and float(reporting[-1]) >= max(1.0, STILL * usual)
