"""Sealed segments into the store, oldest first, each exactly once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

import structlog
from prometheus_client import Counter, Gauge, Histogram

from watchkeeper.errors import StoreError
from watchkeeper.ingest_log.segments import REFUSED, IngestLog, Segment
from watchkeeper.store.otlp import METRIC_KINDS, Destination, inserts
from watchkeeper.store.statements import RefusedError, Statements

LOADED = Counter("watchkeeper_loader_segments_total", "Segments that reached the store.", ["signal"])
FAILED = Counter("watchkeeper_loader_failures_total", "Tries that failed.", ["signal"])
REFUSALS = Counter("watchkeeper_loader_refused_total", "Segments set aside as *.refused.", ["signal"])
SECONDS = Histogram("watchkeeper_loader_seconds", "Time to load one segment.", ["signal"])
LAG = Gauge("watchkeeper_loader_lag_seconds", "Age of the oldest segment that waits.")

FIRST_BACKOFF_S: Final = 0.2
LONGEST_BACKOFF_S: Final = 5.0
# ClickHouse codes that pass: time, queries, network, memory, disk, parts, a password that is being changed.
PASSING: Final = frozenset({159, 202, 209, 210, 241, 243, 252, 394, 516})
# How often a segment that the store refuses for another reason is sent before it is set aside.
TRIES: Final = 3


class Loader:
    """Sends segments until stopped; one INSERT each (one per kind for metrics)."""

    def __init__(self, log: IngestLog, store: Statements, prepare: Callable[[], Destination]) -> None:
        """`prepare` is called until it succeeds, before the first segment is sent."""
        self._log = log
        self._store = store
        self._prepare = prepare
        self._stopping = threading.Event()
        self._logger = structlog.get_logger()
        self._refusals: dict[str, int] = {}
        self.idle = threading.Event()

    def run(self) -> None:
        """Load until `stop`; failures are retried with back-off, and a hopeless segment is set aside."""
        into = self._destination()
        backoff = FIRST_BACKOFF_S
        while into and not self._stopping.is_set():
            waiting = self._log.sealed()
            if not waiting:
                self.idle.set()
                LAG.set(0)
                self._log.wait_for_sealed(0.2)
                continue
            self.idle.clear()
            LAG.set(max(0.0, time.time() - int(waiting[0].token.split("-")[0]) / 1e9))
            for segment in waiting:
                try:
                    self._load(segment, into)
                    backoff = FIRST_BACKOFF_S
                except (StoreError, OSError) as error:
                    FAILED.labels(segment.signal).inc()
                    if isinstance(error, RefusedError) and self._is_hopeless(segment, error):
                        self._set_aside(segment, error)
                        continue
                    self._logger.warning("loader.failed", segment=segment.path.name, error=str(error), retry_s=backoff)
                    self._stopping.wait(backoff)
                    backoff = min(backoff * 2, LONGEST_BACKOFF_S)
                    break
                if self._stopping.is_set():
                    return

    def stop(self) -> None:
        self._stopping.set()

    def _destination(self) -> Destination | None:
        """Where segments go, once the store says; None when stopped before."""
        backoff = FIRST_BACKOFF_S
        while not self._stopping.is_set():
            try:
                return self._prepare()
            except StoreError as error:
                self._logger.warning("loader.waits", error=error.message, retry_s=backoff)
                self._stopping.wait(backoff)
                backoff = min(backoff * 2, LONGEST_BACKOFF_S)
        return None

    def _load(self, segment: Segment, into: Destination) -> None:
        """Insert one segment and forget it. Sent again after a crash in between, its token makes it harmless."""
        body = segment.path.read_bytes()
        with SECONDS.labels(segment.signal).time():
            for statement in inserts(into, segment.signal, segment.token, segment.kinds or METRIC_KINDS):
                self._store.run(f"{statement} FORMAT Protobuf", body)
        self._log.remove([segment])
        LOADED.labels(segment.signal).inc()

    def _is_hopeless(self, segment: Segment, error: RefusedError) -> bool:
        if error.code in PASSING:
            return False
        self._refusals[segment.token] = self._refusals.get(segment.token, 0) + 1
        return self._refusals[segment.token] >= TRIES

    def _set_aside(self, segment: Segment, error: Exception) -> None:
        """Keep what the store can't take, out of the way of the rest. Renamed back to `.ready`, it is tried again."""
        target = segment.path.with_suffix(REFUSED)
        segment.path.rename(target)
        self._log.remove([segment])
        del self._refusals[segment.token]
        REFUSALS.labels(segment.signal).inc()
        self._logger.error("loader.refused", segment=str(target), error=str(error))
