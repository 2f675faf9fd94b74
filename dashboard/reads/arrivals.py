"""What the pages read of arriving telemetry: rates and lag, who sends what, who has stopped, and what was refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from collectors.ingest_log.quarantine import Quarantined, listed
from dashboard.reads.cache import Cache
from watchkeeper.errors import CollectorError
from watchkeeper.store import catalog_queries
from watchkeeper.store.telemetry import Telemetry
from watchkeeper.vocabulary import Window

SIGNALS: Final = ("traces", "logs", "metrics")
SLOW_S: Final = 30.0  # for what is read over days
LOOKED_BACK: Final = timedelta(days=7)
QUIET: Final = timedelta(minutes=10)
LEAST_MINUTES: Final = 10  # with telemetry, so that a single run of a job is nobody who has stopped


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrived:
    """One signal in one step, which begins at Unix second `step`. `bytes` are those in memory, before compression."""

    step: int
    signal: str
    rows: int
    bytes: int
    lag_ms_mean: float
    lag_ms_max: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One signal of one service over a window."""

    service: str
    signal: str
    rows: int
    bytes: int
    lag_ms_mean: float
    lag_ms_max: float
    sdks: tuple[str, ...]
    scopes: tuple[str, ...]
    newest: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped:
    """A signal of a service that came regularly and comes no more; `minutes` is how many had some in the last week."""

    service: str
    signal: str
    newest: datetime
    minutes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """What the tables of one signal take on disk."""

    signal: str
    disk_bytes: int
    memory_bytes: int
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NumerousLabel:
    """A label of a metric with many values."""

    metric: str
    label: str
    distinct: int


class ArrivalReads:
    """Reads of what arrives. Methods raise StoreError if the store cannot be read."""

    def __init__(self, telemetry: Telemetry, cache: Cache, ingest_log: Path) -> None:
        self._telemetry = telemetry
        self._cache = cache
        self._slow_cache = Cache(SLOW_S)
        self._ingest_log = ingest_log

    def arrived(self, window: Window, step_s: int) -> Sequence[Arrived]:
        """Each signal by steps of `step_s` seconds, at least a minute, sorted by time."""

        def load() -> Sequence[Arrived]:
            parameters = _bounds(window) | {"step": max(60, step_s)}
            return [Arrived(**row) for row in self._telemetry.query(catalog_queries.ARRIVED, parameters).to_pylist()]

        return self._cache.get(("arrived", window, step_s), load)

    def sources(self, window: Window) -> Sequence[Source]:
        """Each signal of each service, most bytes first."""

        def load() -> Sequence[Source]:
            rows = self._telemetry.query(catalog_queries.SOURCES, _bounds(window)).to_pylist()
            named = ("sdks", "scopes")
            return [Source(**{**row, **{name: tuple(filter(None, row[name])) for name in named}}) for row in rows]

        return self._cache.get(("sources", window), load)

    def stopped(self, now: datetime) -> Sequence[Stopped]:
        """Signals of services that came in at least ten minutes of the last week, and not in the last ten minutes."""

        def load() -> Sequence[Stopped]:
            parameters = {
                "start": (now - LOOKED_BACK).timestamp(),
                "end": now.timestamp() + 60,
                "quiet_after": (now - QUIET).timestamp(),
                "least": LEAST_MINUTES,
            }
            return [Stopped(**row) for row in self._telemetry.query(catalog_queries.STOPPED, parameters).to_pylist()]

        return self._slow_cache.get(("stopped", int(now.timestamp()) // 30), load)

    def stored(self) -> Sequence[Stored]:
        """What each signal takes on disk."""
        return self._slow_cache.get(
            "stored", lambda: [Stored(**row) for row in self._telemetry.query(catalog_queries.DISK).to_pylist()]
        )

    def numerous(self, window: Window, least: int) -> Sequence[NumerousLabel]:
        """Labels with `least` values or more, of the metrics with most series; most values first."""

        def load() -> Sequence[NumerousLabel]:
            rows = self._telemetry.query(catalog_queries.NUMEROUS, _bounds(window) | {"least": least}).to_pylist()
            return [NumerousLabel(**row) for row in rows]

        return self._slow_cache.get(("numerous", int(window.start.timestamp()) // 3600, least), load)

    def refused(self) -> Sequence[Quarantined]:
        """What the store rejected, newest first, where the ingest role runs on this machine.

        Raises:
            CollectorError: the ingest log cannot be read.
        """

        def load() -> Sequence[Quarantined]:
            try:
                return listed(self._ingest_log)[::-1]
            except OSError as error:
                raise CollectorError(f"{self._ingest_log} cannot be read: {error.strerror}") from error

        return self._cache.get("refused", load)


def _bounds(window: Window) -> dict[str, float]:
    return {"start": window.start.timestamp(), "end": window.end.timestamp()}
