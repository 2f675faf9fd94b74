"""Metric series of a service that left their usual course: tickets where users may notice, else details.

Idea: every series runs through the fast tier of `detectors.series` (level, trend, wave of the day, ranks), so that a
score means the same in each; a series that scored rare and stays far out on that side, by more than a trifle, is
raised. The clearest series of a service speaks for it, and the others are named: together they are one finding. A
level that stays shifted is the new level after two minutes (the bank adapts), so it is reported once. A jump by a
factor between units (ms to s, bytes to KiB) is not load but a changed unit, and becomes a drift ticket of its own.

A series counts by what it has to do with users (`watchkeeper.metric_names.concern`): failures, delays that somebody may
notice, queues, a limit that is nearly used up. All others, and small moves of these, are a detail.

Assumes a value every bucket or so; what reports less often than every other bucket is followed and not raised. Fails
on waves that are neither daily nor slow. Cost: about 0.2 µs a series and bucket.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import Final

import numpy as np
import numpy.typing as npt
from prometheus_client import Gauge

from detectors.detector import Seen, Setup
from detectors.evidence import Bools, Floats, to_probability
from detectors.history import History
from detectors.series.bank import PRIOR_TICKS, SHIFT_TICKS, SeriesBank
from detectors.simulated import Example, Simulated
from watchkeeper.metric_names import amount, concern, describe, measure
from watchkeeper.vocabulary import Finding, Severity, utc

STAGES = Gauge("watchkeeper_metric_series", "Metric series, by how far their baseline is ready.", ["stage"])

VERSION: Final = "2"
JUDGED: Final = 6  # buckets
RARE: Final = 0.999  # a score that a normal value reaches once in a thousand
FAR_FOR: Final = 3  # buckets far out on one side, the first of them rare
SHARE: Final = 0.15  # of the level: a smaller move is not worth a line, however steady the series was
NAMED: Final = 3  # other series that a summary names: more do not fit a line
READY: Final = 6  # values before a series is judged: a minute of ten-second buckets
# Factors between units of what a metric measures: time, sizes, shares, or anything in thousands.
UNITS: Final[Mapping[str, Floats]] = {
    "s": np.array([60.0, 1000.0, 3600.0, 1e6, 1e9]),
    "bytes": np.array([1000.0, 1024.0, 1e6, 1024.0**2, 1e9, 1024.0**3]),
    "ratio": np.array([100.0]),
    "": np.array([1000.0, 1e6, 1e9]),
}
UNIT_LIKENESS: Final = 0.03  # how far a ratio may be from such a factor: the noise of the level before and after
UNIT_REPORTED_FOR: Final = 60  # buckets


class MetricLevels:
    """Metrics of a service that left their usual level, or whose unit was changed. Tickets and details.

    State: the bank, the last scores, what is raised, and changes of unit.
    """

    version = VERSION
    needs = ("metrics",)

    def __init__(self, setup: Setup) -> None:  # noqa: ARG002 - nothing of it concerns metrics
        self._history: History | None = None
        self._bank = SeriesBank(0, ready_ticks=READY)
        self._scores: npt.NDArray[np.float32] = np.zeros((0, JUDGED), np.float32)
        self._usual: Floats = np.zeros(0)  # what each series read before it was raised
        self._raised: Bools = np.zeros(0, np.bool_)
        self._far: npt.NDArray[np.int8] = np.zeros(0, np.int8)
        self._began: npt.NDArray[np.int64] = np.zeros(0, np.int64)
        self._units: dict[int, tuple[float, int]] = {}  # row: factor, when (bucket start)
        self._fed = 0

    @staticmethod
    def example() -> Example:
        """A queue that grows sevenfold, for ten minutes."""
        queue = {("mail", "queue"): lambda t: 700.0 if 1500 <= t < 2100 else 100.0 + t % 30 / 10}
        return Example(telemetry=Simulated(seconds=2900, metrics=queue), begins_s=1500, ends_s=2100)

    def judge(self, seen: Seen) -> list[Finding]:
        """Take what is new and complete: one ticket a service for its clearest series, one for each changed unit."""
        history, complete = seen["metrics"], seen.complete["metrics"]
        self._history = history
        if history.size == 0 or complete < JUDGED:
            return []
        self._follow(history.size)
        starts = history.starts()
        values = history["value"]
        for column in range(complete):
            if starts[column] > self._fed:
                self._take(history, values[:, column], int(starts[column]))
        for stage, count in self.count_stages().items():
            STAGES.labels(stage).set(count)
        return self._findings(history, values[:, :complete], starts[:complete], seen.now)

    def waits(self) -> Mapping[str, str]:
        """The services with series that are not ranked among their own past yet; see `SeriesBank.stage` for why."""
        if self._history is None:
            return {}
        names = self._history.names()[: len(self._bank)]
        series = Counter(name[0] for name in names)
        young = Counter(names[row][0] for row in np.flatnonzero(self._bank.seen < PRIOR_TICKS).tolist())
        return {
            service: f"{count} of {series[service]} metric series lean on a general prior until they have a past "
            "of their own"
            for service, count in young.items()
        }

    def count_stages(self) -> Mapping[str, int]:
        """How many series are at each stage: `waiting` for values, `level` learned, ranked among their own past."""
        seen = self._bank.seen
        waiting, young = int((seen < READY).sum()), int((seen < PRIOR_TICKS).sum())
        return {"waiting": waiting, "level": young - waiting, "rank": len(self._bank) - young}

    def _follow(self, size: int) -> None:
        more = size - len(self._bank)
        if more <= 0:
            return
        self._bank.grow(more)
        self._scores = np.concatenate([self._scores, np.zeros((more, JUDGED), np.float32)])
        self._usual = np.concatenate([self._usual, np.full(more, np.nan)])
        self._raised = np.concatenate([self._raised, np.zeros(more, np.bool_)])
        self._far = np.concatenate([self._far, np.zeros(more, np.int8)])
        self._began = np.concatenate([self._began, np.zeros(more, np.int64)])

    def _take(self, history: History, values: Floats, start: int) -> None:
        """One bucket of every series."""
        before = self._bank.expected.astype(np.float64)
        shifts = self._bank.shifts.copy()
        scores = self._bank.update(values, at=float(start))
        self._scores = np.concatenate([self._scores[:, 1:], scores[:, None]], axis=1)
        rare, far = self._scores >= RARE, self._bank.far
        # The bank learns what it sees, rare or not: what was usual is what it expected before.
        self._usual = np.where(self._raised | (self._far > 0), self._usual, before)
        moved = np.abs(values - self._usual) >= SHARE * np.abs(self._usual)
        risen = ~self._raised & (far >= FAR_FOR) & rare.any(axis=1) & moved
        self._began = np.where(risen, start - (far.astype(np.int64) - 1) * history.step_s, self._began)
        self._raised = (self._raised & ((far > 0) | (self._far > 0))) | risen
        self._far = far
        for row in np.flatnonzero(self._bank.shifts != shifts).tolist():
            self._consider_unit(history, row, start)
        self._fed = start

    def _consider_unit(self, history: History, row: int, start: int) -> None:
        """A level that moved by a factor between units."""
        column = int(np.searchsorted(history.starts(), start)) + 1
        late = history["value"][row, max(0, column - SHIFT_TICKS) : column]
        before, after = float(self._usual[row]), float(np.nanmedian(late))
        if not (before > 0 and after > 0 and np.isfinite(after)):
            return
        metric = history.names_of(row)[1]
        factors = UNITS[measure(metric, before, history.units.get(metric, ""))[1]]
        if (np.abs(factors / max(after / before, before / after) - 1.0) <= UNIT_LIKENESS).any():
            self._units[row] = (after / before, start)

    def _findings(
        self, history: History, values: Floats, starts: npt.NDArray[np.int64], now: datetime
    ) -> list[Finding]:
        newest = int(starts[-1])
        self._units = {
            row: since for row, since in self._units.items() if newest - since[1] <= UNIT_REPORTED_FOR * history.step_s
        }
        steady = np.isfinite(values[:, -JUDGED:]).sum(axis=1) >= JUDGED // 2
        rows = np.flatnonzero(self._raised & steady)
        surprise = -np.log10(np.maximum(1.0 - self._scores[rows].astype(np.float64), 1e-6)).sum(axis=1)
        by_service: dict[str, list[int]] = {}
        for i in np.argsort(-surprise).tolist():
            row = int(rows[i])
            if row not in self._units:
                by_service.setdefault(history.names_of(row)[0], []).append(row)
        evidence = dict(zip(rows.tolist(), surprise.tolist(), strict=True))
        findings = []
        for rows_of_service in by_service.values():
            felt = [row for row in rows_of_service if self._concern(history, values, row) != "detail"]
            ordered = [*felt, *(row for row in rows_of_service if row not in felt)]
            severity: Severity = "ticket" if felt else "detail"
            findings.append(self._level(history, values, ordered, severity, evidence[ordered[0]], now))
        units = [self._unit(history.names_of(row), factor, at, now) for row, (factor, at) in self._units.items()]
        return findings + units

    def _concern(self, history: History, values: Floats, row: int) -> str:
        """What a series that was raised has to do with users."""
        metric = history.names_of(row)[1]
        return concern(metric, _newest(values[row]), float(self._usual[row]), history.units.get(metric, ""))

    def _level(
        self, history: History, values: Floats, rows: list[int], severity: Severity, surprise: float, now: datetime
    ) -> Finding:
        """One finding for a service: the first of its rows speaks, others are named."""
        row = rows[0]
        service, metric, attributes = history.names_of(row)
        unit = history.units.get(metric, "")
        value, usual = _newest(values[row]), float(self._usual[row])
        own = describe(metric, attributes)
        named = (history.names_of(other) for other in rows[1:])
        others = [text for text in dict.fromkeys(describe(other[1], other[2]) for other in named) if text != own]
        also = f"; also {', '.join(others[:NAMED])}" if others else ""
        more = f" and {len(others) - NAMED} more" if len(others) > NAMED else ""
        now_text, usual_text = amount(metric, value, unit), amount(metric, usual, unit)
        return Finding(
            detector="metrics.level",
            detector_version=self.version,
            kind="metric",
            service=service,
            summary=f"{service}: {own} is {now_text} (usually {usual_text}){also}{more}",
            onset=min(utc(float(self._began[row])), now),
            seen_at=now,
            score=float(to_probability(np.array(surprise))),
            severity=severity,
            signal=metric,
            value=value,
            expected=usual,
            key=f"metrics:{service}",
        )

    def _unit(self, name: tuple[str, ...], factor: float, at: int, now: datetime) -> Finding:
        service, metric = name[0], describe(name[1], name[2])
        times = f"{factor:.4g} times" if factor >= 1 else f"1/{1 / factor:.4g} of"
        return Finding(
            detector="metrics.unit",
            detector_version=self.version,
            kind="drift",
            service=service,
            summary=f"{service}: {metric} reads {times} what it did: was its unit changed?",
            onset=min(utc(float(at)), now),
            seen_at=now,
            score=0.7,
            severity="ticket",
            signal=name[1],
            value=factor,
            expected=1.0,
            key=f"metrics:unit:{service}:{name[1]}",
        )


def _newest(values: Floats) -> float:
    """The last value of the buckets that are judged."""
    recent = values[-JUDGED:]
    return float(recent[np.isfinite(recent)][-1])
