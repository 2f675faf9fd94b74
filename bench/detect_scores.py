"""How alerts and scores compare with labelled windows; the first 15 % of a series (at most 750 rows) are a warm-up."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from sklearn.metrics import average_precision_score

from detectors.series.recorded import Recording

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

WARM_SHARE: Final = 0.15
WARM_ROWS: Final = 750
PAGE_EVERY_S: Final = 3600.0  # alerts outside windows within an hour are one page


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """One series with its truth. `windows` are (first, last) rows, both inclusive; `first` is the first scored row."""

    at_s: Floats
    truth: Bools
    windows: tuple[tuple[int, int], ...]
    first: int

    @classmethod
    def of(cls, recording: Recording, windows: list[tuple[float, float]]) -> Scored:
        """A recording with its labelled windows in Unix seconds."""
        truth, rows = np.zeros(recording.at_s.size, np.bool_), []
        for start, end in windows:
            inside = np.flatnonzero((recording.at_s >= start) & (recording.at_s <= end))
            if inside.size:
                rows.append((int(inside[0]), int(inside[-1])))
                truth[inside[0] : inside[-1] + 1] = True
        first = min(int(WARM_SHARE * truth.size), WARM_ROWS)
        return cls(at_s=recording.at_s, truth=truth, windows=tuple(rows), first=first)


@dataclass(frozen=True, slots=True, kw_only=True)
class Events:
    """Labelled windows, those with an alert inside, pages outside, and days outside windows."""

    windows: int
    found: int
    pages: int
    days: float

    @property
    def recall(self) -> float:
        """Found windows over all."""
        return self.found / self.windows if self.windows else 0.0

    @property
    def precision(self) -> float:
        """Found windows over found windows and false pages."""
        return self.found / (self.found + self.pages) if self.found + self.pages else 0.0

    @property
    def f1(self) -> float:
        """The harmonic mean of both."""
        return 2 * self.found / max(1, self.found + self.pages + self.windows)

    @property
    def false_per_day(self) -> float:
        """False pages a day of one series."""
        return self.pages / self.days if self.days else 0.0


def count(series: Scored, alerts: Bools) -> Events:
    """Compare one series' alerts, (n,), with its windows."""
    live = alerts.copy()
    live[: series.first] = False
    windows = [(first, last) for first, last in series.windows if last >= series.first]
    found = sum(bool(live[first : last + 1].any()) for first, last in windows)
    pages, before = 0, -np.inf
    for at in series.at_s[live & ~series.truth].tolist():
        if at - before >= PAGE_EVERY_S or at < before:
            pages, before = pages + 1, at
    steps = np.maximum(np.diff(series.at_s[series.first :]), 0.0)
    days = float(steps[~series.truth[series.first :][1:]].sum()) / 86_400
    return Events(windows=len(windows), found=found, pages=pages, days=days)


def summed(events: Iterable[Events]) -> Events:
    """Several series' events together."""
    parts = list(events)
    return Events(
        windows=sum(part.windows for part in parts),
        found=sum(part.found for part in parts),
        pages=sum(part.pages for part in parts),
        days=sum(part.days for part in parts),
    )


def average_precision(score: Floats, truth: Bools) -> float:
    """The area under precision over recall of rows, ties taken together; `truth` has a positive row."""
    return float(average_precision_score(truth, score))
