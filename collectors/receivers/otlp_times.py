"""Times that the store can't keep: rows too old, too far ahead, or without any; and what can be repaired of them.

Whether there are any is asked of all rows at once; only a request that has some is gone through row by row.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from collectors.receivers.otlp_limits import DAY_S, MOST_DAYS, Limits
from collectors.receivers.otlp_survey import NOUNS, Times, all_within
from collectors.receivers.rejections import TooLargeError

_NANOS: Final = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """The times that are taken, in nanoseconds since 1970, both included; and now."""

    lowest: int
    highest: int
    now: int

    @classmethod
    def at(cls, now_ns: int, limits: Limits) -> Window:
        """The window of a request that arrives at `now_ns`."""
        return cls(
            lowest=max(1, now_ns - int(limits.retention_s * _NANOS)),
            highest=now_ns + int(limits.ahead_s * _NANOS),
            now=now_ns,
        )

    def has(self, nanos: int) -> bool:
        """Whether a time is taken."""
        return self.lowest <= nanos <= self.highest


@dataclass(slots=True)
class Judged:
    """What became of the rows."""

    rejected: int = 0
    moved: int = 0
    first: str = ""
    window: Window | None = None
    moves: set[str] = field(default_factory=set)

    def message(self, signal: str) -> str:
        """In words; empty if nothing was wrong."""
        notes = []
        if self.rejected and self.window:
            notes.append(
                f"{self.rejected} {NOUNS[signal]} lie outside the time that is kept, {_iso(self.window.lowest)} to "
                f"{_iso(self.window.highest)} (store.retention_days, ingest.max_ahead_hours); the first: {self.first}"
            )
        if self.moved:
            notes.append(f"{self.moved} {NOUNS[signal]} had {' and '.join(sorted(self.moves))}")
        return "; ".join(notes)


def are_fine(signal: str, rows: int, times: tuple[Times, ...], window: Window) -> bool:
    """Whether every row has times that are taken."""
    first = times[0]
    if len(first) == rows and all_within(times if signal == "traces" else first, window.lowest, window.highest):
        return True
    return signal == "logs" and len(times[1]) == rows and all_within(times, window.lowest, window.highest)


def check_days(times: Times, window: Window) -> None:
    """Refuse a request whose rows lie on too many days.

    Raises:
        TooLargeError: they do.
    """
    kept = times[(times >= window.lowest) & (times <= window.highest)]
    if not len(kept) or (int(kept.max()) - int(kept.min())) // _NANOS < MOST_DAYS * DAY_S:
        return
    days = len(set((kept // (DAY_S * _NANOS)).tolist()))
    if days > MOST_DAYS:
        raise TooLargeError(
            f"the request's times lie on {days} days, and {MOST_DAYS} are allowed; send what is older in order of time"
        )


def judge(signal: str, message: Any, window: Window) -> Judged:
    """Repair the times of a decoded request where that can be done honestly, and take out the rows where it can't."""
    judged = Judged(window=window)
    match signal:
        case "traces":
            for scope in (scope for resource in message.resource_spans for scope in resource.scope_spans):
                _keep(scope.spans, lambda span: _span(span, window, judged), judged, "start_time_unix_nano")
        case "logs":
            for scope in (scope for resource in message.resource_logs for scope in resource.scope_logs):
                _keep(scope.log_records, lambda record: _record(record, window, judged), judged, "time_unix_nano")
        case _:
            for points in _point_lists(message):
                _keep(points, lambda point: window.has(point.time_unix_nano), judged, "time_unix_nano")
    return judged


def mark_empty(message: Any) -> None:
    """Say of number points without a value that they have none: flag 1, "no recorded value"."""
    for resource in message.resource_metrics:
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                if metric.WhichOneof("data") in ("gauge", "sum"):
                    for point in getattr(metric, metric.WhichOneof("data")).data_points:
                        if point.WhichOneof("value") is None:
                            point.flags |= 1


def _point_lists(message: Any) -> list[Any]:
    return [
        getattr(metric, metric.WhichOneof("data")).data_points
        for resource in message.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        if metric.WhichOneof("data")
    ]


def _keep(rows: Any, is_good: Callable[[Any], bool], judged: Judged, time: str) -> None:
    """Take out of `rows` what is not good."""
    kept, bad = [], 0
    for row in rows:
        if is_good(row):
            kept.append(row)
            continue
        bad += 1
        judged.first = judged.first or _iso(getattr(row, time))
    if bad:
        judged.rejected += bad
        del rows[:]
        rows.extend(kept)


def _span(span: Any, window: Window, judged: Judged) -> bool:
    """A span that says only one of its times well stands there, with no duration."""
    start, end = window.has(span.start_time_unix_nano), window.has(span.end_time_unix_nano)
    if not start and not end:
        return False
    if not start:
        span.start_time_unix_nano = span.end_time_unix_nano
        judged.moved += 1
        judged.moves.add("an impossible start time and were placed at their end time")
    elif not end and span.end_time_unix_nano:
        span.end_time_unix_nano = span.start_time_unix_nano
        judged.moved += 1
        judged.moves.add("an impossible end time and were given no duration")
    return True


def _record(record: Any, window: Window, judged: Judged) -> bool:
    """A record is as old as it says, else as when it was observed, else, if it says nothing at all, as its arrival."""
    if window.has(record.time_unix_nano):
        return True
    if window.has(record.observed_time_unix_nano):
        if record.time_unix_nano:
            judged.moved += 1
            judged.moves.add("an impossible time and were placed at the time they were observed")
        record.time_unix_nano = record.observed_time_unix_nano
        return True
    if record.time_unix_nano or record.observed_time_unix_nano:
        return False
    record.time_unix_nano = record.observed_time_unix_nano = window.now
    return True


def _iso(nanos: int) -> str:
    return datetime.fromtimestamp(min(nanos, 253_402_300_799 * _NANOS) // _NANOS, UTC).isoformat()
