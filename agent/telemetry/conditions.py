"""What the agent judges by itself, of the crudest kind: what holds for long enough, and which disk is full soon.

Pure: numbers in, verdicts out.
"""

from __future__ import annotations

from collections import deque
from typing import Final

WINDOW_S: Final = 300.0  # of a file system's free space
SHORTEST_S: Final = 60.0  # before a slope is believed
RECENT_S: Final = 30.0  # it must still be filling


class Held:
    """A condition that must hold for a while before it counts, and be gone for a while before it is over.

    Args:
        for_s: how long it must hold.
        clear_s: how long it must not hold.
        since: since when it counts already (Unix seconds), from before a restart.
    """

    def __init__(self, for_s: float, clear_s: float, since: float | None = None) -> None:
        self._for_s = for_s
        self._clear_s = clear_s
        self._turned: float | None = None
        self.since = since

    def look(self, holds: bool | None, at: float) -> bool:
        """Whether the verdict changed; None for `holds`: not known, so nothing is concluded. `at`: Unix seconds.

        `since` is when the condition began, where it counts, else None.
        """
        if holds is None or holds == (self.since is not None):
            self._turned = None
            return False
        if self._turned is None or at < self._turned:  # a clock that was set back
            self._turned = at
        if at - self._turned < (self._for_s if holds else self._clear_s):
            return False
        self.since = self._turned if holds else None
        self._turned = None
        return True


class Filling:
    """How soon a file system is full, by the slope of its free space over five minutes."""

    def __init__(self) -> None:
        self._free: deque[tuple[float, float]] = deque()

    def full_in_s(self, free: float, at: float) -> float | None:
        """Seconds until nothing is free; None where it does not fill, or it is not known yet. `at`: steady seconds.

        It must fill by the slope of the last half minute, too: a file that was written once is no trend.
        """
        self._free.append((at, free))
        while self._free[0][0] < at - WINDOW_S:
            self._free.popleft()
        if at - self._free[0][0] < SHORTEST_S:
            return None
        recent = [each for each in self._free if each[0] >= at - RECENT_S]
        slopes = [_slope(list(self._free)), _slope(recent)]
        if any(slope is None or slope >= 0 for slope in slopes):
            return None
        return free / -max(slope for slope in slopes if slope is not None)


def _slope(points: list[tuple[float, float]]) -> float | None:
    """Least squares, in units a second; None for fewer than three points."""
    if len(points) < 3:
        return None
    mean_at = sum(at for at, _ in points) / len(points)
    mean = sum(value for _, value in points) / len(points)
    spread = sum((at - mean_at) ** 2 for at, _ in points)
    return sum((at - mean_at) * (value - mean) for at, value in points) / spread if spread else None
