"""When telemetry arrives, and whether its times can be right: delays by service and signal, and clocks that are off."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

import pyarrow as pa

from detectors.arrivals.clock_skew import Offset, from_the_future, skews
from detectors.arrivals.lateness import Aligned, Lateness, Signal
from watchkeeper.problems import Problems
from watchkeeper.vocabulary import Window, utc

# How often the newest data of each signal is looked up. Metric points come by the interval, and take longer to ask for.
EVERY_S: Final[Mapping[Signal, float]] = {"spans": 10.0, "logs": 10.0, "metrics": 60.0}
OFFSETS_EVERY_S: Final = 120.0  # clocks drift over hours, and the query joins spans: two minutes are soon enough
OFFSETS_BACK_S: Final = 180.0  # of calls that are compared: more than a look apart, so that none is left out
# Rows are counted from a moment that moves only so often, so that a count that grows says that some came.
# Longer than the longest time between two looks at a signal, so that counts of both begin at one moment.
COUNTED_FROM_S: Final = 600
AHEAD_FOR_S: Final = 120.0  # so long after the last row from the future its service's clock is reported
MOST_REPORTED: Final = 20  # services beyond the bound that are reported by name
BEYOND_S: Final = 120.0  # so much further than the bound is looked, to name whoever is not judged


class Arrivals:
    """Measures delays and skews from the store, and reads late services' rows from where they are.

    Args:
        bound_s: telemetry later than this, or further in the future, is stored and not judged.
        problems: where services beyond the bound are reported.
    """

    def __init__(self, bound_s: float, problems: Problems) -> None:
        self._bound_s = bound_s
        self._problems = problems
        self._signals: dict[Signal, Lateness] = {signal: Lateness(signal, bound_s) for signal in EVERY_S}
        self._read_at: dict[str, datetime] = {}
        self._by_calls: dict[str, float] = {}
        self._by_future: dict[str, tuple[float, datetime]] = {}
        self._reported: set[tuple[Signal, str]] = set()

    def read(self, rollups: Any, now: datetime) -> dict[Signal, frozenset[str]]:
        """Look up what is due; returns the services, by signal, whose rows are somewhere else from now on."""
        changed: dict[Signal, frozenset[str]] = {}
        around = timedelta(seconds=self._bound_s + BEYOND_S)
        for signal, lateness in self._signals.items():
            if not self._is_due(signal, EVERY_S[signal], now):
                continue
            start = utc((now - around).timestamp() // COUNTED_FROM_S * COUNTED_FROM_S)
            table = rollups.newest(signal, Window(start=start, end=now + around))
            newest = _ends(table)
            rows = dict(zip(table["service"].to_pylist(), table["rows"].to_pylist(), strict=True))
            if moved := lateness.observe(newest, now.timestamp(), rows):
                changed[signal] = moved
            self._report(signal)
            if signal == "spans":
                self._look_ahead(newest, now)
        if self._is_due("offsets", OFFSETS_EVERY_S, now):
            self._read_offsets(rollups, now)
        return changed

    def aligned(self, rollups: Any) -> Any:
        """The roll-ups as the detectors should read them."""
        delays = self.delays()
        return Aligned(rollups, delays["spans"], delays["logs"], delays["metrics"]) if any(delays.values()) else rollups

    def delays(self) -> dict[Signal, Mapping[str, int]]:
        """Seconds by service, for each signal; services that are in time are not there."""
        return {signal: lateness.delays for signal, lateness in self._signals.items()}

    def words(self, service: str) -> str:
        """How a service's telemetry comes, for a human; empty where it comes in time and its clock is right."""
        parts = [lateness.words(service) for lateness in self._signals.values()]
        return "; ".join(part for part in parts if part)

    def clocks_ahead(self) -> dict[str, float]:
        """Seconds by which services' clocks are ahead, where they are off."""
        return {service: seconds for service, (seconds, _) in self._by_future.items()} | self._by_calls

    def _is_due(self, what: str, every_s: float, now: datetime) -> bool:
        last = self._read_at.get(what)
        if last is not None and 0 <= (now - last).total_seconds() < every_s:
            return False
        self._read_at[what] = now
        return True

    def _read_offsets(self, rollups: Any, now: datetime) -> None:
        delays = self._signals["spans"].latest()
        furthest = max((abs(delay) for delay in delays.values()), default=0.0)
        reach = timedelta(seconds=min(OFFSETS_BACK_S + furthest, self._bound_s + BEYOND_S))
        table = rollups.call_offsets(Window(start=now - reach, end=now + reach))
        rows = table.select(["caller", "callee", "offset_s", "calls"]).to_pylist()
        offsets = [
            Offset(caller=r["caller"], callee=r["callee"], seconds=r["offset_s"], calls=r["calls"]) for r in rows
        ]
        skewed = skews(offsets, delays)
        judged = {name for one in offsets for name in (one.caller, one.callee)}
        self._by_calls = {name: seconds for name, seconds in self._by_calls.items() if name not in judged} | skewed

    def _look_ahead(self, newest: Mapping[str, float], now: datetime) -> None:
        """Whose newest rows lie in the future; and whose clock was off and is not heard of any more."""
        self._by_calls = {service: seconds for service, seconds in self._by_calls.items() if service in newest}
        for service, seconds in from_the_future(newest, self._by_calls, now.timestamp()).items():
            self._by_future[service] = (seconds, now)
        self._by_future = {
            service: (seconds, at)
            for service, (seconds, at) in self._by_future.items()
            if service not in self._by_calls and abs((now - at).total_seconds()) < AHEAD_FOR_S
        }

    def _report(self, signal: Signal) -> None:
        lateness = self._signals[signal]
        beyond = {service: lateness.words(service) for service in sorted(lateness.beyond)[:MOST_REPORTED]}
        if len(lateness.beyond) > MOST_REPORTED:
            more = len(lateness.beyond) - MOST_REPORTED
            beyond["others"] = f"{more:,} more services whose telemetry is beyond watch.late_s: stored, not judged"
        for service, words in beyond.items():
            self._problems.report("late telemetry", f"{signal} of {service}", words)
            self._reported.add((signal, service))
        for known in [known for known in self._reported if known[0] == signal and known[1] not in beyond]:
            self._problems.solved("late telemetry", f"{signal} of {known[1]}")
            self._reported.discard(known)


def _ends(table: pa.Table) -> dict[str, float]:
    seconds = [at.timestamp() for at in table["newest"].to_pylist()]
    return dict(zip(table["service"].to_pylist(), seconds, strict=True))
