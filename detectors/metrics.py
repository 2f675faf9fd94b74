"""Resource metrics and other series of a service that left their usual level: evidence, never a page.

Idea: each series' last buckets against its own robust level, in spreads; the clearest series speaks for its service,
and the others are named. Assumes a roughly steady level over the history; a daily wave widens the spread and so
lowers the score. Fails on series that report less than every other bucket: they are not judged.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

import numpy as np

from detectors.evidence import CLIP, RAISE, cumulative, first_bad, robust_level, to_probability
from detectors.history import History
from watchkeeper.vocabulary import Finding, utc

VERSION: Final = "1"
JUDGED: Final = 6
WARM: Final = 8
SHARE: Final = 0.15  # of the level: a smaller move is not worth a line, however steady the series was
NAMED: Final = 3


class MetricLevels:
    """Judges the metric history."""

    def __init__(self, history: History, version: str = VERSION) -> None:
        self._history = history
        self.version = version

    def judge(self, now: datetime, complete: int) -> list[Finding]:
        """One ticket a service, for its clearest series."""
        if self._history.size == 0 or complete < WARM + JUDGED:
            return []
        values = self._history["value"][:, :complete]
        usable = np.isfinite(values)
        usable[:, complete - JUDGED :] = False
        rows = np.flatnonzero(usable.sum(axis=1) >= WARM)
        if rows.size == 0:
            return []
        centre, spread = robust_level(values[rows], usable[rows])
        # A series that rests at one value most of the time has no median deviation; its outliers say what is usual.
        masked = np.where(usable[rows], values[rows], np.nan)
        outliers = 0.7 * np.nanstd(masked, axis=1)
        floor = np.maximum(np.maximum(np.abs(centre) * SHARE / 4, outliers), 1e-9)
        recent = values[rows][:, -JUDGED:]
        # A series that was constant has no spread of its own: any move over the floor stands out, but only so far.
        scores = np.abs(recent - centre[:, None]) / np.maximum(spread, floor)[:, None] - 2.0
        scores = np.where(np.isnan(recent), np.nan, np.minimum(scores, CLIP))
        sums = cumulative(scores)[:, -1]
        steady = np.isfinite(recent).sum(axis=1) >= JUDGED // 2
        raised = np.flatnonzero((sums >= 2 * RAISE) & steady)
        names = self._history.names()
        starts = self._history.starts()[complete - JUDGED : complete]
        began = first_bad(scores)
        by_service: dict[str, list[int]] = {}
        for i in raised[np.argsort(-sums[raised])].tolist():
            by_service.setdefault(names[rows[i]][0], []).append(i)
        found = []
        for service, series in by_service.items():
            best = series[0]
            metric = names[rows[best]][1]
            known = recent[best][np.isfinite(recent[best])]
            others = sorted({names[rows[i]][1] for i in series[1:]} - {metric})[:NAMED]
            also = f"; also {', '.join(others)}" if others else ""
            found.append(
                Finding(
                    detector="metrics.level",
                    detector_version=self.version,
                    kind="metric",
                    service=service,
                    summary=f"{service} {metric} is {known[-1]:.4g} (usually {centre[best]:.4g}){also}",
                    onset=min(utc(float(starts[began[best]])), now),
                    seen_at=now,
                    score=float(to_probability(sums[best])),
                    severity="ticket",
                    signal=metric,
                    value=float(known[-1]),
                    expected=float(centre[best]),
                    key=f"metrics:{service}",
                )
            )
        return found
