"""Learning from labels while a recording is replayed: what a human said about alerts, and which windows were bad.

What is learned, and when:

- An alert outside every window was false: known at once. The series' bar goes up, for good and for a while more.
- An alert inside a window was true: known at once. The bar comes down a little.
- A window that ended, found or not: its rows are read as if they had been usual (what the series read a day before), so
  that its echo in windows of hours does not alert, and the next event may alert.
- Alerts of recurring events that were false more often than true: that class alerts no more.

Neither removing labelled rows from the ranks paid (references that forget outliers page more often), nor lowering the
bar for windows that were missed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from detectors.series import replay
from detectors.series.decision import ECHO_H, Pager

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

FALSE_RAISES: Final = 0.06  # for good
FALSE_RAISES_SOON: Final = 0.4  # fading
RAISED_FOR_H: Final = 72.0  # over three days: a weekend lies within
HIT_LOWERS: Final = 0.03  # half of what a false alert raises: missing trouble costs less than being ignored
LOWEST: Final = -0.4  # decades that labels may move the bar down
HIGHEST: Final = 0.4  # and up
TRUST: Final = 2  # false alerts more than true ones before a class of recurring events alerts no more


@dataclass(frozen=True, slots=True, kw_only=True)
class _Window:
    """A labelled window as rows, both inclusive."""

    first: int
    last: int


def judge_with_labels(at_s: Floats, values: Floats, windows: list[tuple[float, float]]) -> tuple[Floats, Bools]:
    """Rarity, (n,), and alerts, (n,), of one series, taught by its labels as they become known.

    Args:
        at_s: (n,) Unix seconds.
        values: (n,)
        windows: (start, end) in Unix seconds, both inclusive.
    """
    judged = replay.rarity(at_s, values)
    rows = [_Window(first=int(r[0]), last=int(r[-1])) for w in windows if (r := _inside(at_s, w)).size]
    rows.sort(key=lambda window: window.last)
    decades = _without_echo(at_s, values, judged, rows)
    return decades, _alerts(replace(judged, decades=decades), rows)


def _inside(at_s: Floats, window: tuple[float, float]) -> npt.NDArray[np.intp]:
    return np.flatnonzero((at_s >= window[0]) & (at_s <= window[1]))


def _without_echo(at_s: Floats, values: Floats, judged: replay.Rarity, windows: list[_Window]) -> Floats:
    """Rarity with ended windows read as usual for the rows that still have them in view."""
    if not windows:
        return judged.decades
    hours, usual = judged.hours, replay.held(values)
    day = max(1, round(24 / replay.step_hours(hours)))
    bad = np.zeros(values.size, np.bool_)
    for window in windows:
        bad[window.first : window.last + 1] = True
        for row in range(window.first, window.last + 1):
            usual[row] = usual[row - day] if row >= day else usual[max(window.first - 1, 0)]
    calmer = replay.rarity(at_s, usual).decades
    decades = judged.decades.copy()
    for window in windows:
        after = slice(window.last + 1, int(np.searchsorted(hours, hours[window.last] + ECHO_H, "right")))
        decades[after] = np.where(bad[after], decades[after], np.minimum(decades[after], calmer[after]))
    return decades


def _alerts(judged: replay.Rarity, windows: list[_Window]) -> Bools:
    flags = np.zeros(judged.hours.size, np.bool_)
    pager = Pager(judged)
    begins = {first for first, _ in judged.recurring}
    learned = raised = raised_at = 0.0
    trust = TRUST
    ended = 0
    for row in pager.candidates(LOWEST).tolist():
        hour = float(judged.hours[row])
        while ended < len(windows) and windows[ended].last < row:
            window = windows[ended]
            if flags[window.first : window.last + 1].any():
                pager.rearm()
                raised = 0.0
            ended += 1
        still = raised * float(np.exp((raised_at - hour) / RAISED_FOR_H))
        if not pager.alerts(row, learned + still, recurring=trust > 0):
            continue
        flags[row] = True
        true = any(window.first <= row <= window.last for window in windows[ended:])
        if row in begins:
            trust = min(trust + 1, TRUST) if true else trust - 1
        elif true:
            learned = max(learned - HIT_LOWERS, LOWEST)
            pager.refund(row)
        else:
            learned = min(learned + FALSE_RAISES, HIGHEST)
            raised, raised_at = still + FALSE_RAISES_SOON, hour
    return flags
