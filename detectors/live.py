"""Every live detector at every tick: read what is new, judge all series at once, return what fires.

All state is rebuilt from the store when the role starts, so that a restart forgets nothing that matters.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final, Protocol

import pyarrow as pa
import structlog
from prometheus_client import Histogram

from detectors.history import History
from detectors.logs import ErrorLines
from detectors.metrics import MetricLevels
from detectors.red import RedDetector, RedThresholds
from watchkeeper.vocabulary import Finding, Window, utc

TICK_SECONDS = Histogram("watchkeeper_detector_tick_seconds", "Time of one tick over every series.")

STEP_S: Final = 5
# A span is in the roll-ups this long after it ended: batching in the SDK, the ingest log, the loader.
LAG_S: Final = 2.5
# How far back each tick reads again: what came late is placed where it belongs.
REREAD_S: Final = 40
METRICS_EVERY_S: Final = 10


class Rollups(Protocol):
    """What the detectors read: watchkeeper.store.telemetry.Telemetry, or tables in a test."""

    def red(self, window: Window, step_s: int = 5) -> pa.Table: ...

    def log_counts(self, window: Window, step_s: int = 5) -> pa.Table: ...

    def metric_series(self, window: Window, step_s: int = 5, service: str | None = None) -> pa.Table: ...


class Live:
    """The live detectors of one installation.

    Args:
        history_s: how much of the past the baselines use.
        thresholds: what the serving model learnt.
        version: the serving model's version, shown with each finding.
        clear_s: how long a series is normal before its finding ends; at least two buckets.
    """

    def __init__(
        self,
        *,
        history_s: float,
        thresholds: RedThresholds | None = None,
        version: str = "1",
        clear_s: float = 15.0,
    ) -> None:
        buckets = max(36, int(min(history_s, 1800)) // STEP_S)
        self._red = History(
            "red",
            keys=("service", "operation"),
            values={"calls": 0.0, "errors": 0.0, "mean_ms": float("nan")},
            buckets=buckets,
            step_s=STEP_S,
        )
        self._logs = History(
            "logs", keys=("service", "severity"), values={"lines": 0.0}, buckets=buckets, step_s=STEP_S
        )
        self._metrics = History(
            "metrics",
            keys=("service", "metric", "attributes"),
            values={"value": float("nan")},
            buckets=max(36, buckets // 2),
            step_s=2 * STEP_S,
            max_series=50_000,
        )
        clear_buckets = max(2, math.ceil(clear_s / STEP_S))
        self.red = RedDetector(self._red, thresholds or RedThresholds(), version, clear_buckets=clear_buckets)
        self._error_lines = ErrorLines(self._logs)
        self._levels = MetricLevels(self._metrics)
        self._read_until: datetime | None = None
        self._metrics_read: datetime | None = None
        self._logger = structlog.get_logger()

    def tick(self, rollups: Rollups, now: datetime, outside: Sequence[Finding] = ()) -> list[Finding]:
        """Judge everything at `now`; `outside` are alerts that other systems raise, handed through.

        Returns every finding that fires now. The same trouble has the same key at every tick, and a key that is
        no longer returned has cleared.

        Raises:
            StoreError: the store cannot be read; nothing is judged, nothing clears.
        """
        with TICK_SECONDS.time():
            self._read(rollups, now)
            complete = self._complete(self._red, now)
            found = self.red.judge(now, complete)
            found += self._error_lines.judge(now, self._complete(self._logs, now))
            found += self._levels.judge(now, self._complete(self._metrics, now) - 1)
        return [*found, *outside]

    def _read(self, rollups: Rollups, now: datetime) -> None:
        newest = utc(now.timestamp() // STEP_S * STEP_S)
        full = self._red.buckets * STEP_S
        back = full if self._read_until is None else max(REREAD_S, (now - self._read_until).total_seconds() + REREAD_S)
        window = Window(start=newest - timedelta(seconds=min(back, full)), end=newest + timedelta(seconds=STEP_S))
        red, logs = rollups.red(window), rollups.log_counts(window)
        for history, table in ((self._red, red), (self._logs, logs)):
            history.advance(newest)
            history.place(table)
        self._read_until = now
        if self._metrics_read and (now - self._metrics_read).total_seconds() < METRICS_EVERY_S:
            return
        step = self._metrics.step_s
        newest = utc(now.timestamp() // step * step)
        full = self._metrics.buckets * step
        # One step more than is placed: a counter's growth needs the point before.
        back = full if self._metrics_read is None else 12 * step
        window = Window(start=newest - timedelta(seconds=min(back, full)), end=newest + timedelta(seconds=step))
        table = rollups.metric_series(window, step)
        self._metrics.advance(newest)
        if self._metrics_read is not None:
            table = _without_first_buckets(table, window.start + timedelta(seconds=6 * step))
        self._metrics.place(table)
        self._metrics_read = now

    @staticmethod
    def _complete(history: History, now: datetime) -> int:
        """How many of a history's columns, from the left, no late row will change much."""
        ends = history.starts() + history.step_s
        return int((ends <= now.timestamp() - LAG_S).sum())


def _without_first_buckets(table: pa.Table, since: datetime) -> pa.Table:
    """The rows from `since` on."""
    if table.num_rows == 0:
        return table
    import pyarrow.compute as pc

    return table.filter(pc.greater_equal(table["bucket"], pa.scalar(since, table["bucket"].type)))
