"""The histories and tables that detectors need, each read from the store's roll-ups as far as it is new."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from detectors.arrivals.lateness import Signal
from detectors.detector import QUANTILES, LogLines
from detectors.history import History
from detectors.logs.new_templates import BUCKETS as LINE_BUCKETS
from detectors.red.latency_shape import STEP_S as SHAPE_STEP_S
from watchkeeper.errors import StoreError
from watchkeeper.vocabulary import Window, utc

STEP_S: Final = 5  # seconds in a bucket of requests and log counts
SLOW_STEP_S: Final = 10  # in one of metrics, edges and log lines: they come less often, and cost more to ask for
# A span is in the roll-ups this long after it ended: batching in the SDK, the ingest log, the loader.
LAG_S: Final = 2.5
# How far back each tick reads again: what came late is placed where it belongs.
REREAD_S: Final = 40
SLOW_REREAD_STEPS: Final = 12  # the same for metrics and edges, in buckets
METRICS_EVERY_S: Final = 10  # no more often than a bucket is completed
# More of a large installation at once would be too much for a small store.
READ_AT_ONCE_S: Final = 60
MOST_SERIES: Final = 50_000  # of each kind; over that, new ones are dropped and counted
MOST_BODIES: Final = 20_000  # different log lines in one read
LONGEST_HISTORY_S: Final = 1800  # of 5 s buckets: what a level is learned from; longer says no more and costs memory
FEWEST_BUCKETS: Final = 36  # three minutes of requests: fewer leave no past beside the minute that is judged
LATENCY_BUCKETS: Final = 24  # each costs a query of its own at the start
# A counter's growth needs the point before it: so many first buckets of a read know less than the read before.
UNSURE_STEPS: Final = 6


class Rollups(Protocol):
    """What is read: watchkeeper.store.telemetry.Telemetry, or tables in a test."""

    def red_levels(self, window: Window) -> pa.Table: ...

    def red(self, window: Window, step_s: int = 5) -> pa.Table: ...

    def log_counts(self, window: Window, step_s: int = 5) -> pa.Table: ...

    def log_bodies(self, window: Window, step_s: int = 10, limit: int = 20_000) -> pa.Table: ...

    def metric_series(self, window: Window, step_s: int = 5, service: str | None = None) -> pa.Table: ...

    def edges(self, window: Window, step_s: int = 5) -> pa.Table: ...

    def served(self, service: str, operation: str, window: Window) -> pa.Table: ...

    def newest(self, signal: str, window: Window) -> pa.Table: ...

    def call_offsets(self, window: Window) -> pa.Table: ...


# Does one part of a tick; says whether it worked.
Works = Callable[[str, Callable[[], None]], bool]
Read = Callable[[Rollups, Window, bool], list[pa.Table]]


@dataclass(slots=True, kw_only=True)
class Ring:
    """A history and how it is kept up to date.

    Attributes:
        read: the tables of a window; the last argument says whether it is the first read.
        signal: whose delays concern it.
        every_s: seconds between two reads.
        reread_s: how far back each read goes at least.
        behind: columns that are whole and whose rows may still change.
        whole: read each bucket once, when it is complete, instead of what may have changed.
        once_a_bucket: read what may have changed no more often than a bucket is completed: it is loaded as often.
    """

    history: History
    read: Read
    signal: Signal
    every_s: float = 0.0
    reread_s: float = REREAD_S
    behind: int = 0
    whole: bool = False
    once_a_bucket: bool = False
    read_until: datetime | None = None

    def take(self, rollups: Rollups, now: datetime) -> None:
        """Read what is new and place it."""
        if self.read_until is not None and self._is_early(self.read_until, now):
            return
        window = self._whole_buckets(now) if self.whole else self._changed(now)
        if window is None:
            return
        tables = self.read(rollups, window, self.read_until is None)
        self.history.advance(window.end - timedelta(seconds=self.history.step_s))
        for table in tables:
            self.history.place(table)
        self.read_until = window.end if self.whole else now

    def _is_early(self, before: datetime, now: datetime) -> bool:
        if self.once_a_bucket and 0 <= (now - before).total_seconds() < self.history.step_s:
            first, second = ((at.timestamp() - LAG_S) // self.history.step_s for at in (before, now))
            return first == second
        return (now - before).total_seconds() < self.every_s

    def complete(self, now: datetime) -> int:
        """How many columns, from the left, no late row will change much."""
        if self.whole:
            return self.history.buckets
        ends = self.history.starts() + self.history.step_s
        return int((ends <= now.timestamp() - LAG_S).sum()) - self.behind

    def forget(self, services: Collection[str]) -> None:
        """Read these services again: their rows are somewhere else from now on."""
        self.history.blank(services)
        self.read_until = None

    def _changed(self, now: datetime) -> Window:
        """Everything at first, then what may have changed since the last time."""
        step, full_s = self.history.step_s, self.history.buckets * self.history.step_s
        newest = utc(now.timestamp() // step * step)
        back: float = full_s
        if self.read_until is not None:
            back = max(self.reread_s, (now - self.read_until).total_seconds() + self.reread_s)
        return Window(start=newest - timedelta(seconds=min(back, full_s)), end=newest + timedelta(seconds=step))

    def _whole_buckets(self, now: datetime) -> Window | None:
        return whole_buckets(now, self.history.step_s, self.history.buckets, self.read_until)


class Lines:
    """Log lines of the buckets that are complete since the last read; each is read once."""

    def __init__(self) -> None:
        self._read_until: datetime | None = None
        self.newest: LogLines | None = None

    def take(self, rollups: Rollups, now: datetime) -> None:
        """Read what is new."""
        self.newest = None
        window = whole_buckets(now, SLOW_STEP_S, LINE_BUCKETS, self._read_until)
        if window is None:
            return
        table = rollups.log_bodies(window, SLOW_STEP_S, MOST_BODIES)
        unread = 0
        if table.num_rows >= MOST_BODIES:
            counted = rollups.log_counts(window)["lines"].to_numpy().sum()
            unread = max(0, int(counted) - int(table["lines"].to_numpy().sum()))
        self._read_until = window.end  # lines that cannot be read now never can: the next ones must not wait for them
        self.newest = LogLines(table=table, newest=window.end - timedelta(seconds=SLOW_STEP_S), unread=unread)


class Histories:
    """Whatever of the histories and tables the detectors need.

    Args:
        history_s: how much of the past the baselines use.
        needs: names of `detectors.detector.NEEDS`.
    """

    def __init__(self, history_s: float, needs: Collection[str]) -> None:
        self.rings = {name: ring for name, ring in _rings(history_s).items() if name in needs}
        self._lines = Lines() if "lines" in needs else None

    def read(self, rollups: Rollups, now: datetime, works: Works) -> set[str]:
        """Read what is new, each kind by itself; returns those that could not be read.

        Raises:
            StoreError: the store cannot be reached, or rejects what everything else goes by.
        """
        takes = {name: ring.take for name, ring in self.rings.items()}
        if self._lines:
            takes["lines"] = self._lines.take
        unread = {
            name
            for name, take in takes.items()
            if not works(f"reading {name}", lambda: take(rollups, now))  # noqa: B023 - called at once
        }
        if {"red", "logs"} <= unread:
            raise StoreError("neither requests nor log lines can be read; `watchkeeper doctor` says why")
        return unread

    def realign(self, changed: Mapping[Signal, frozenset[str]]) -> None:
        """Read the services again whose rows are somewhere else from now on: later, or earlier, than until now."""
        for ring in self.rings.values():
            if services := changed.get(ring.signal):
                ring.forget(services)

    def why_anew(self, now: datetime) -> str:
        """Why all state should be read from the store again, as after a restart; empty where it need not."""
        read_until = self.rings["red"].read_until
        if read_until is not None and (read_until - now).total_seconds() > REREAD_S:
            # Rings that ran ahead of the clock would judge nothing until it caught up.
            return "the clock stepped back"
        for ring in self.rings.values():
            if ring.history.crowded():
                return f"series that are gone take the room of new ones: {ring.history.name}"
        return ""

    def by_name(self) -> dict[str, History]:
        """The histories that are kept."""
        return {name: ring.history for name, ring in self.rings.items()}

    def complete(self, now: datetime) -> dict[str, int]:
        """How many columns of each no late row will change much."""
        return {name: ring.complete(now) for name, ring in self.rings.items()}

    def lines(self) -> LogLines | None:
        """Log lines since the last tick."""
        return self._lines.newest if self._lines else None


def whole_buckets(now: datetime, step_s: int, buckets: int, since: datetime | None) -> Window | None:
    """The buckets that are complete since the last read, at most `buckets` of them; None where none is."""
    end = utc((now.timestamp() - 2 * LAG_S) // step_s * step_s)
    oldest = end - timedelta(seconds=buckets * step_s)
    start = oldest if since is None else max(since, oldest)
    return Window(start=start, end=end) if end > start else None


def _rings(history_s: float) -> dict[str, Ring]:
    buckets = max(FEWEST_BUCKETS, int(min(history_s, LONGEST_HISTORY_S)) // STEP_S)
    slow = max(FEWEST_BUCKETS, buckets // 2)
    slow_reread_s = SLOW_REREAD_STEPS * SLOW_STEP_S
    nothing = float("nan")

    def ring(name: str, keys: tuple[str, ...], values: Mapping[str, float], length: int, step_s: int) -> History:
        return History(name, keys=keys, values=values, buckets=length, step_s=step_s, max_series=MOST_SERIES)

    of_requests = ("service", "operation")
    red = ring("red", of_requests, {"calls": 0.0, "direct": 0.0, "errors": 0.0, "mean_ms": nothing}, buckets, STEP_S)
    quantiles = {"calls": 0.0} | dict.fromkeys(QUANTILES, nothing)
    latency = ring("latency", of_requests, quantiles, LATENCY_BUCKETS, SHAPE_STEP_S)
    logs = ring("logs", ("service", "severity"), {"lines": 0.0}, buckets, STEP_S)
    metrics = ring("metrics", ("service", "metric", "attributes"), {"value": nothing}, slow, SLOW_STEP_S)
    edges = ring("edges", ("caller", "callee"), {"calls": 0.0, "errors": 0.0}, slow, SLOW_STEP_S)
    return {
        "red": Ring(history=red, read=_red, signal="spans"),
        "logs": Ring(history=logs, read=_logs, signal="logs", once_a_bucket=True),
        "latency": Ring(history=latency, read=_latency, signal="spans", whole=True),
        "metrics": Ring(
            history=metrics,
            read=_metrics,
            signal="metrics",
            every_s=METRICS_EVERY_S,
            reread_s=slow_reread_s,
            behind=1,
        ),
        "edges": Ring(
            history=edges, read=_edges, signal="spans", every_s=METRICS_EVERY_S, reread_s=slow_reread_s, behind=1
        ),
    }


def _red(rollups: Rollups, window: Window, _: bool) -> list[pa.Table]:
    return [rollups.red_levels(part) for part in window.parts(READ_AT_ONCE_S)]


def _logs(rollups: Rollups, window: Window, _: bool) -> list[pa.Table]:
    return [rollups.log_counts(window)]


def _latency(rollups: Rollups, window: Window, _: bool) -> list[pa.Table]:
    return [rollups.red(part, SHAPE_STEP_S) for part in window.parts(SHAPE_STEP_S)]


def _metrics(rollups: Rollups, window: Window, first: bool) -> list[pa.Table]:
    table = rollups.metric_series(window, SLOW_STEP_S)
    if first or table.num_rows == 0:
        return [table]
    since = window.start + timedelta(seconds=UNSURE_STEPS * SLOW_STEP_S)
    return [table.filter(pc.greater_equal(table["bucket"], pa.scalar(since, table["bucket"].type)))]


def _edges(rollups: Rollups, window: Window, _: bool) -> list[pa.Table]:
    """One row for each bucket, caller and callee, however the call was seen."""
    table = rollups.edges(window, SLOW_STEP_S)
    if table.num_rows == 0:
        return [table]
    summed = table.group_by(["bucket", "caller", "callee"]).aggregate([("calls", "sum"), ("errors", "sum")])
    return [summed.rename_columns(["bucket", "caller", "callee", "calls", "errors"])]
