"""Learning from labels while a recording is replayed: what a human said about alerts, and which windows were bad.

What is learned, and when:

- An alert outside every window was false: known at once. The series' bar goes up, for good and for a while more.
- An alert inside a window was true: known at once. The bar comes down a little.
- A window that ended, found or not: its rows are read as if they had been usual (what the series read a day before), so
  that its echo in windows of hours does not alert, and the silence after its alert is over.

Neither removing labelled rows from the ranks paid (references that forget outliers page more often), nor lowering the
bar for windows that were missed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from detectors.series import replay
from detectors.series.decision import BAR, RAISED_FOR_H, REFRACTORY_H

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

STARTS: Final = -0.1  # decades; with somebody to teach it, it may begin bolder
FALSE_RAISES: Final = 0.12  # for good
FALSE_RAISES_SOON: Final = 0.4  # fading like any alert's
HIT_LOWERS: Final = 0.03  # a quarter of what a false alert raises: missing trouble costs less than being ignored
LOWEST: Final = -0.4  # decades that labels may move the bar down
HIGHEST: Final = 0.4  # and up
ECHO_H: Final = 12.0  # the longest window of a statistic


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
    return decades, _alerts(judged.hours, decades, rows)


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


def _alerts(hours: Floats, decades: Floats, windows: list[_Window]) -> Bools:
    flags = np.zeros(hours.size, np.bool_)
    learned, raised, raised_at = STARTS, 0.0, 0.0
    quiet_until = -np.inf
    ended = 0
    for row in np.flatnonzero(decades >= BAR + LOWEST).tolist():
        hour = float(hours[row])
        while ended < len(windows) and windows[ended].last < row:
            window = windows[ended]
            if flags[window.first : window.last + 1].any():
                quiet_until, raised = min(quiet_until, float(hours[window.last])), 0.0
            ended += 1
        still = raised * float(np.exp((raised_at - hour) / RAISED_FOR_H))
        if hour < quiet_until or decades[row] < BAR + learned + still:
            continue
        flags[row] = True
        quiet_until = hour + REFRACTORY_H
        if any(window.first <= row <= window.last for window in windows[ended:]):
            learned = max(learned - HIT_LOWERS, LOWEST)
        else:
            learned = min(learned + FALSE_RAISES, HIGHEST)
            raised, raised_at = still + FALSE_RAISES_SOON, hour
    return flags
