"""Telemetry that comes late by design: measured for each service and signal, and judged when it is there.

Tail sampling, queues and batches deliver seconds or minutes after the fact; a clock that is off looks the same. Live
detectors judge the newest whole buckets, so what comes later than those would be stored and never judged. Here the
delay of each service's newest data is measured whenever it advances, and `Aligned` reads a late service's rows from
where they are and hands them on as if they had come in time: every detector judges them, that much later.

A service that stops does not advance, so it is silent and not late. A clock that is ahead is a negative delay.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, Final, Literal

import pyarrow as pa
import pyarrow.compute as pc
from prometheus_client import Gauge

from watchkeeper.vocabulary import Finding, FindingKind, Window

Signal = Literal["spans", "logs", "metrics"]
LATE = Gauge(
    "watchkeeper_telemetry_late_services", "Services whose telemetry is judged later than others'.", ["signal"]
)
LARGEST = Gauge("watchkeeper_telemetry_delay_seconds", "Delay of the latest service that is still judged.", ["signal"])

PUNCTUAL_S: Final = 20.0  # a batch of five seconds, the ingest log and a busy machine
STEP_S: Final = 30  # delays are rounded up to it: a multiple of every history's bucket
SAMPLES: Final = 4  # advances that must agree before a service is judged later or earlier
AGREE_S: Final = 30.0  # seconds by which they may differ: the rounding of a delay
# Whoever is moved costs a read of the whole history: delays that come and go must not cost one at every look.
MOVES_EVERY_S: Final = 60.0
STUCK: Final = 2  # looks at which rows came without an advance: the clock that was ahead has been set
MOST_DELAYS: Final = 8  # different delays that are read apart; each costs a query of its own

SIGNAL_OF: Final[Mapping[FindingKind, Signal]] = {
    "latency": "spans",
    "errors": "spans",
    "traffic": "spans",
    "silence": "spans",
    "topology": "spans",
    "drift": "spans",
    "log": "logs",
    "metric": "metrics",
}


@dataclass(slots=True)
class _Source:
    newest: float
    delays: deque[float] = field(default_factory=lambda: deque(maxlen=SAMPLES))
    rows: int | None = None
    stuck: int = 0


class Lateness:
    """The delay of every service's telemetry of one signal.

    Args:
        signal: for the metrics about it.
        bound_s: later than this (or this far in the future) is stored and not judged.
    """

    def __init__(self, signal: Signal, bound_s: float) -> None:
        self._signal = signal
        self._bound_s = bound_s
        self._sources: dict[str, _Source] = {}
        self.delays: dict[str, int] = {}
        self.beyond: dict[str, float] = {}
        self._moved_at = float("-inf")

    def observe(self, newest: Mapping[str, float], now: float, rows: Mapping[str, int] | None = None) -> frozenset[str]:
        """Take the end of each service's newest bucket (Unix seconds); returns whose delay is another one now.

        `rows` counts each service's rows since a moment that stays the same from look to look, for the most part.
        """
        changed: set[str] = set()
        for service, end in newest.items():
            source = self._sources.setdefault(service, _Source(newest=end))
            if end <= source.newest:
                self._watch_stuck(service, source, (rows or {}).get(service), changed)
                continue
            source.stuck, source.rows = 0, (rows or {}).get(service)
            source.newest = end
            source.delays.append(now - end)
            if len(source.delays) == SAMPLES and max(source.delays) - min(source.delays) <= AGREE_S:
                self._settle(service, max(source.delays), now, changed)
        for service in self._sources.keys() - newest.keys():  # nothing within reach any more: it is gone, not late
            del self._sources[service]
            self.beyond.pop(service, None)
            self.delays.pop(service, None)  # there is nothing to read anew
        if changed:
            self._moved_at = now
        LATE.labels(self._signal).set(len(self.delays))
        LARGEST.labels(self._signal).set(max(self.delays.values(), default=0))
        return frozenset(changed)

    def _watch_stuck(self, service: str, source: _Source, rows: int | None, changed: set[str]) -> None:
        """A service whose rows go on behind its newest one: its clock was ahead, and somebody has set it."""
        if rows is not None and source.rows is not None and rows > source.rows:
            source.stuck += 1
        source.rows = rows
        if source.stuck >= STUCK and self.delays.get(service, 0) < 0:
            del self.delays[service]
            source.delays.clear()
            changed.add(service)

    def _settle(self, service: str, delay: float, now: float, changed: set[str]) -> None:
        self.beyond.pop(service, None)
        wanted = 0
        if abs(delay) > self._bound_s:
            self.beyond[service] = delay
        elif delay > PUNCTUAL_S:
            wanted = -int(-(delay - 5.0) // STEP_S) * STEP_S
        elif delay < -PUNCTUAL_S:
            wanted = -int(-delay // STEP_S) * STEP_S
        known = self.delays.get(service, 0)
        # One step less is no reason to read everything again: it would come and go.
        is_little_less = 0 <= wanted < known and known - wanted <= STEP_S
        if wanted == known or (is_little_less and delay > PUNCTUAL_S - 5.0):
            return
        if 0 <= now - self._moved_at < MOVES_EVERY_S:
            return  # it is measured again when it advances
        if wanted and wanted not in self.delays.values() and len(set(self.delays.values())) >= MOST_DELAYS:
            later = [used for used in self.delays.values() if used >= wanted > 0]
            if not later:
                self.beyond[service] = delay
                return
            wanted = min(later)
        if wanted:
            self.delays[service] = wanted
        else:
            self.delays.pop(service, None)
        changed.add(service)

    def latest(self) -> dict[str, float]:
        """The last measured delay of each service, in seconds."""
        return {service: source.delays[-1] for service, source in self._sources.items() if source.delays}

    def words(self, service: str) -> str:
        """How a service's telemetry comes, for a human; empty where it comes in time."""
        if service in self.beyond:
            return f"{self._signal} {_off(self.beyond[service])}, beyond watch.late_s: stored, not judged"
        if service in self.delays:
            return f"{self._signal} {_off(self.delays[service])}, and judged so much later"
        return ""


def _off(delay: float) -> str:
    return f"come {delay:.0f} s late" if delay > 0 else f"carry times {-delay:.0f} s in the future"


class Aligned:
    """The roll-ups with late services' rows moved to where they would be had they come in time.

    Args:
        rollups: what is read (`detectors.histories.Rollups`).
        spans, logs, metrics: delays in seconds by service.
    """

    def __init__(
        self, rollups: Any, spans: Mapping[str, int], logs: Mapping[str, int], metrics: Mapping[str, int]
    ) -> None:
        self._rollups = rollups
        self._spans, self._logs, self._metrics = spans, logs, metrics

    def red_levels(self, window: Window) -> pa.Table:
        return self._read(self._rollups.red_levels, window, self._spans)

    def red(self, window: Window, step_s: int = 5) -> pa.Table:
        return self._read(lambda w: self._rollups.red(w, step_s), window, self._spans)

    def edges(self, window: Window, step_s: int = 5) -> pa.Table:
        return self._read(lambda w: self._rollups.edges(w, step_s), window, self._spans, "caller")

    def log_counts(self, window: Window, step_s: int = 5) -> pa.Table:
        return self._read(lambda w: self._rollups.log_counts(w, step_s), window, self._logs)

    def log_bodies(self, window: Window, step_s: int = 10, limit: int = 20_000) -> pa.Table:
        return self._read(lambda w: self._rollups.log_bodies(w, step_s, limit), window, self._logs)

    def metric_series(self, window: Window, step_s: int = 5, service: str | None = None) -> pa.Table:
        return self._read(lambda w: self._rollups.metric_series(w, step_s, service), window, self._metrics)

    def served(self, service: str, operation: str, window: Window) -> pa.Table:
        table: pa.Table = self._rollups.served(service, operation, window)
        return table

    @staticmethod
    def _read(
        read: Callable[[Window], pa.Table], window: Window, delays: Mapping[str, int], column: str = "service"
    ) -> pa.Table:
        table = read(window)
        if not delays:
            return table
        late = pa.array(list(delays), pa.string())
        tables = [table.filter(pc.invert(pc.is_in(pc.cast(table[column], pa.string()), value_set=late)))]
        for delay in sorted(set(delays.values())):
            back = timedelta(seconds=delay)
            moved_rows = read(Window(start=window.start - back, end=window.end - back))
            own = pa.array([service for service, used in delays.items() if used == delay], pa.string())
            moved_rows = moved_rows.filter(pc.is_in(pc.cast(moved_rows[column], pa.string()), value_set=own))
            if moved_rows.num_rows:
                place = moved_rows.schema.get_field_index("bucket")
                moved = pc.add(moved_rows["bucket"], pa.scalar(back, pa.duration("s")))
                moved_rows = moved_rows.set_column(place, "bucket", pc.cast(moved, moved_rows["bucket"].type))
            tables.append(moved_rows)
        return pa.concat_tables([one for one in tables if one.num_rows] or tables[:1], promote_options="permissive")


def as_it_was(finding: Finding, delays: Mapping[Signal, Mapping[str, int]]) -> Finding:
    """A finding with the onset at which its service's own times put it."""
    signal = SIGNAL_OF.get(finding.kind)
    delay = delays[signal].get(finding.service, 0) if signal else 0
    return replace(finding, onset=finding.onset - timedelta(seconds=delay)) if delay else finding
