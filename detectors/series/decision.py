"""From rarity to a score that means the same everywhere, and to alerts: early, once an event, and within a budget.

The score is 1 - p, where p is the share of normal rows that come out as rare. The decision is separate. A row alerts
when its rarity reaches the bar and no event is going on:

- An event is over when rows have read as usual for an hour, by that evidence alone; then the next one may alert.
  Windows of hours still see what is over, so for `ECHO_H` after an alert a row has to be rare by its last
  hour alone, too.
- The bar follows a budget of false alerts: `BUDGET` a day is expected at `BAR`. A series that alerts more often than
  that has to show more, and one that has been quiet for weeks less. Alerts that are clearly apart from the bulk of the
  series (`APART`) cost nothing: that they are many is no sign that they are false.
- An event of a class of its own (`recurring`) alerts whatever the bar, and costs nothing of the budget.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, log10
from typing import Final

import numpy as np
import numpy.typing as npt

from detectors.series import rolling
from detectors.series.replay import Rarity

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

BAR: Final = 1.7  # decades of rarity
USUAL: Final = 1.0  # decades; a row reads as usual below it
USUAL_FOR_H: Final = 1.0
ALL_USUAL_FOR_H: Final = 24.0  # by all windows: a series of two levels is never usual by its last hour alone
ECHO_H: Final = 12.0  # the longest window of a statistic
FRESH: Final = 2.0  # decades of the last hour alone
BUDGET: Final = 0.04  # alerts a day
BUDGET_DAYS: Final = 20.0  # of a series' own past that the budget is worth
MEMORY_DAYS: Final = 30.0  # of alerts, fading
DECADES_PER_RATE: Final = 0.3  # that ten times the budgeted rate raises the bar
APART: Final = 4.0  # bulks; for normal noise 5 standard deviations
LOWEST: Final = -0.3  # decades that quiet may lower the bar


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What was chosen by labelled series, so that a benchmark can choose it again on some and score it on others."""

    bar: float = BAR
    fresh: float = FRESH
    decades_per_rate: float = DECADES_PER_RATE
    apart: float = APART


SHIPPED: Final = Policy()

# Rarity at which normal rows of both development sets together have these tail probabilities (log10). The two sets
# agree on it to a few percent down to 1e-2; rarer than that, single events that nobody labelled decide.
RARITY: Final = np.array([0.0, 0.1, 0.264, 0.474, 0.847, 1.266, 1.988, 3.9, 5.06, 6.05, 16.25])
TAIL: Final = np.array([0.0, -0.3, -0.7, -1.0, -1.52, -2.0, -2.52, -3.0, -3.52, -4.0, -8.0])


def score(decades: Floats) -> Floats:
    """1 - the tail probability of each rarity, (n,), 0 to 1, high is stranger."""
    return np.asarray(1.0 - 10.0 ** np.interp(decades, RARITY, TAIL))


def alerts(judged: Rarity, policy: Policy = SHIPPED) -> Bools:
    """The rows of one series that alert, (n,)."""
    flags = np.zeros(judged.hours.size, np.bool_)
    pager = Pager(judged, policy)
    for row in pager.candidates().tolist():
        flags[row] = pager.alerts(row)
    return flags


class Pager:
    """Decides row by row, in time order, whether one series alerts."""

    def __init__(self, judged: Rarity, policy: Policy = SHIPPED) -> None:
        self._policy = policy
        self._hours, self._decades, self._fresh = judged.hours, judged.decades, judged.fresh
        self._apart = judged.apart
        self._over = _events_over(judged)
        self._recurring = dict(judged.recurring)  # first row: end
        self._until = 0  # the row at which a recurring event ends
        self._event = -1  # how many events were over when it last alerted: until one more is, it goes on
        self._alerted_at = -np.inf
        self._count, self._counted_at = 0.0, 0.0  # of alerts that the budget pays, fading

    def candidates(self, lowest: float = 0.0) -> npt.NDArray[np.intp]:
        """The rows that may alert, if nothing moves the bar by less than `lowest` decades."""
        rare = np.flatnonzero(self._decades >= self._policy.bar + LOWEST + lowest)
        return np.union1d(rare, np.array([*self._recurring], np.intp)).astype(np.intp)

    def alerts(self, row: int, moved: float = 0.0, *, recurring: bool = True) -> bool:
        """Whether `row` alerts; then its event has alerted.

        Args:
            row: later than the rows asked before.
            moved: decades that the bar is higher than the budget asks for.
            recurring: whether events of a class of their own may alert.
        """
        hour = float(self._hours[row])
        if recurring and row in self._recurring:
            self._until = self._recurring[row]
            if hour - self._alerted_at <= USUAL_FOR_H:  # it has just alerted, before its class was clear
                return False
            self._alerted(row, hour)
            return True
        if row < self._until or self._over[row] == self._event:
            return False
        if hour - self._alerted_at < ECHO_H and self._fresh[row] < self._policy.fresh:
            return False
        if self._decades[row] < self._policy.bar + self._asked(hour) + moved:
            return False
        self._alerted(row, hour)
        if self._apart[row] < self._policy.apart:
            self._count, self._counted_at = self._spent(hour) + 1.0, hour
        return True

    def rearm(self) -> None:
        """The event is over, whatever its rows say."""
        self._event, self._until, self._alerted_at = -1, 0, -np.inf

    def refund(self, row: int) -> None:
        """The alert at `row`, the newest, was warranted: the budget of false alerts does not pay for it."""
        if self._apart[row] < self._policy.apart:
            self._count = max(0.0, self._count - 1.0)

    def _alerted(self, row: int, hour: float) -> None:
        self._event, self._alerted_at = int(self._over[row]), hour

    def _spent(self, hour: float) -> float:
        return self._count * exp((self._counted_at - hour) / 24 / MEMORY_DAYS)

    def _asked(self, hour: float) -> float:
        """Decades that the series' rate of alerts moves the bar: a Gamma prior of the budget, and its own days."""
        days = MEMORY_DAYS * (1 - exp(-hour / 24 / MEMORY_DAYS))
        times = (self._spent(hour) / BUDGET + BUDGET_DAYS) / (days + BUDGET_DAYS)
        return max(LOWEST, self._policy.decades_per_rate * log10(times))


def _events_over(judged: Rarity) -> npt.NDArray[np.intp]:
    """How often an event was over, up to each row, (n,): by the last hour, or after longer by all windows."""
    over = _begins(judged.fresh < USUAL, USUAL_FOR_H, judged.step)
    return np.cumsum(over | _begins(judged.decades < USUAL, ALL_USUAL_FOR_H, judged.step))


def _begins(usual: Bools, hours: float, step: float) -> Bools:
    """The rows at which `usual` has held for so many hours, (n,): one for each time."""
    return np.asarray(rolling.lasted(usual) == max(1, round(hours / step)))
