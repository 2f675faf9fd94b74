"""From rarity to a score that means the same everywhere, and to alerts: early, once, and not too often.

The score is 1 - p, where p is the share of normal rows that come out as rare. The decision is separate: an alert
when rarity reaches the bar; then silence for `REFRACTORY_H`, and a raised bar that comes down over days, so that a
series that pages often must show more each time.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

# Decades of rarity; chosen on the development sets as the best compromise of windows found and false alerts.
BAR: Final = 1.7
REFRACTORY_H: Final = 8.0  # 1 h costs a third of the precision, 6 to 12 h are equal
RAISED_BY: Final = 0.2  # decades, after an alert; chosen with BAR
RAISED_FOR_H: Final = 72.0  # over three days a raised bar comes down again: a weekend lies within

# Rarity at which normal rows of both development sets together have these tail probabilities (log10). The two sets
# agree on it to a few percent down to 1e-2; rarer than that, single events that nobody labelled decide.
RARITY: Final = np.array([0.0, 0.1, 0.378, 0.584, 0.978, 1.441, 2.18, 3.7, 5.0, 6.25, 16.25])
TAIL: Final = np.array([0.0, -0.3, -0.7, -1.0, -1.52, -2.0, -2.52, -3.0, -3.52, -4.0, -8.0])


def score(decades: Floats) -> Floats:
    """1 - the tail probability of each rarity, (n,), 0 to 1, high is stranger."""
    return np.asarray(1.0 - 10.0 ** np.interp(decades, RARITY, TAIL))


class Bar:
    """What rarity must reach now, for one series."""

    def __init__(self) -> None:
        self._raised = 0.0
        self._raised_at = 0.0
        self._quiet_until = -np.inf

    def passes(self, hour: float, decades: float) -> bool:
        """Whether to alert at `hour`; an alert silences and raises the bar."""
        if hour < self._quiet_until:
            return False
        raised = self._raised * np.exp((self._raised_at - hour) / RAISED_FOR_H)
        if decades < BAR + raised:
            return False
        self._quiet_until = hour + REFRACTORY_H
        self._raised, self._raised_at = raised + RAISED_BY, hour
        return True


def alerts(hours: Floats, decades: Floats) -> Bools:
    """The rows of one series that alert, (n,).

    Args:
        hours: (n,) never going back.
        decades: (n,) rarity.
    """
    flags = np.zeros(hours.size, np.bool_)
    bar = Bar()
    for row in np.flatnonzero(decades >= BAR).tolist():
        flags[row] = bar.passes(hours[row], decades[row])
    return flags
