"""Good and total events of an objective by the minute, over its window: a month of them is 43,200 numbers."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from detectors.detector import Served
from detectors.slo.openslo import Slo
from watchkeeper.durations import duration
from watchkeeper.vocabulary import Window, utc

STEP_S: Final = 60
BLIND_AFTER_S: Final = 900  # without an event for a quarter of an hour an objective is not measured, and says so

Floats = npt.NDArray[np.float64]
State = Literal["measured", "no data", "impossible"]


class Minutes:
    """Good and total events by the minute over one window; a minute without a row had no event."""

    def __init__(self, window_s: int) -> None:
        self._size = max(5, window_s // STEP_S)
        self._good: Floats = np.zeros(self._size)
        self._total: Floats = np.zeros(self._size)
        self._newest = 0

    @property
    def start(self) -> int:
        """When the first minute begins (Unix seconds)."""
        return self._newest - (self._size - 1) * STEP_S

    @property
    def total(self) -> Floats:
        """Events by the minute, oldest first, `(n_minutes,)`."""
        return self._total

    @property
    def bad(self) -> Floats:
        """Bad events by the minute, oldest first, `(n_minutes,)`."""
        return np.maximum(self._total - self._good, 0.0)

    def copy(self) -> Minutes:
        """The same events, to go on from without changing these."""
        other = Minutes(self._size * STEP_S)
        other._good, other._total, other._newest = self._good.copy(), self._total.copy(), self._newest
        return other

    def read(self, slo: Slo, served: Served, now: datetime, back_s: float) -> None:
        """Take in what was served in the last `back_s` seconds, at most the objective's window. Raises StoreError."""
        since = now.timestamp() - min(back_s, slo.window_s)
        window = Window(start=utc(float(int(since // STEP_S) * STEP_S)), end=now + timedelta(seconds=1))
        table = served(slo.service, slo.operation, window)
        total = table["total"].to_numpy()
        self.advance(now)
        self.place(table["minute"].to_numpy().astype(np.int64), total - table["bad"].to_numpy(), total)

    def advance(self, now: datetime) -> None:
        """Move on to the minute of `now`."""
        target = int(now.timestamp()) // STEP_S * STEP_S
        shift = (target - self._newest) // STEP_S
        if self._newest and shift > 0:
            for array in (self._good, self._total):
                array[:] = np.concatenate([array[min(shift, self._size) :], np.zeros(min(shift, self._size))])
        if shift > 0 or not self._newest:
            self._newest = target

    def place(self, minute: npt.NDArray[np.int64], good: Floats, total: Floats) -> None:
        """Take in events by minute (Unix seconds), each `(n,)`, in the place of what was known of these minutes."""
        column = self._size - 1 - (self._newest - minute) // STEP_S
        inside = (column >= 0) & (column < self._size) & np.isfinite(good) & np.isfinite(total)
        self._good[column[inside]] = good[inside]
        self._total[column[inside]] = total[inside]

    def sums(self, seconds: int) -> tuple[float, float]:
        """Good and total events of the last seconds."""
        last = max(1, min(self._size, seconds // STEP_S))
        return float(self._good[-last:].sum()), float(self._total[-last:].sum())

    def state(self) -> tuple[State, str]:
        """Whether the objective is measured, and why not."""
        if (self._good > self._total).any() or (self._good < 0).any():
            return "impossible", "it reports more good events than events"
        if not self._total.any():
            return "no data", "no event was ever reported"
        silent = int(np.argmax(self._total[::-1] > 0)) * STEP_S
        if silent > BLIND_AFTER_S:
            return "no data", f"no event was reported for {duration(silent)}"
        return "measured", ""

    def first_bad(self, seconds: int, ratio: float, now: datetime) -> datetime:
        """The first minute, within the window, that failed more than `ratio` of its events."""
        last = max(1, min(self._size, seconds // STEP_S))
        bad = self._total[-last:] - self._good[-last:] > ratio * np.maximum(self._total[-last:], 1)
        index = int(np.argmax(bad)) if bad.any() else last - 1
        return min(now, utc(float(self._newest - (last - 1 - index) * STEP_S)))
