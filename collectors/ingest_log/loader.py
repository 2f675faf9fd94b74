"""Sealed segments into the store, oldest first, each exactly once; one that fails holds up no other.

A failure is first taken for the store's: the segment is kept and sent again, for as long as it takes. What the store
cannot read, though it reads others, is divided until the guilty requests are alone; those are quarantined. What is
too large for the store's memory is divided until it fits.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import structlog
from prometheus_client import Counter, Gauge, Histogram

from collectors.ingest_log.framing import framed, records
from collectors.ingest_log.out_of_range import Kept, out_of_range
from collectors.ingest_log.presence import presence_queries
from collectors.ingest_log.quarantine import REFUSED, describe, listed, set_aside
from collectors.ingest_log.segments import IngestLog, Segment
from collectors.ingest_log.senders import read_senders
from collectors.ingest_log.splitting import split_records, split_request
from collectors.ingest_log.verdict import Verdict, is_before_storing, judge
from watchkeeper.durations import backoff_s, spread_s
from watchkeeper.errors import StoreError
from watchkeeper.problems import Problems
from watchkeeper.store.otlp import METRIC_KINDS, Destination, inserts
from watchkeeper.store.statements import RejectedError, Statements
from watchkeeper.text import one_line

LOADED = Counter("watchkeeper_loader_segments_total", "Segments that reached the store.", ["signal"])
FAILED = Counter("watchkeeper_loader_failures_total", "Attempts that failed.", ["signal"])
SPLIT = Counter("watchkeeper_loader_split_total", "Segments that were divided.", ["signal"])
REFUSALS = Counter("watchkeeper_loader_refused_total", "Segments quarantined as *.refused.", ["signal"])
OUT_OF_RANGE = Counter(
    "watchkeeper_loader_out_of_range_total", "Rows of a sample whose time is outside of what is kept.", ["signal"]
)
SECONDS = Histogram("watchkeeper_loader_seconds", "Time to load one segment.", ["signal"])
LAG = Gauge("watchkeeper_loader_lag_seconds", "Age of the oldest segment that waits.")

LOOP: Final = "loader"
QUARANTINE_EVERY_S: Final = 5.0  # how often the quarantine's folder is looked at
WAIT_S: Final = 1.0  # for a segment; what somebody puts back by hand is noticed as late as that
STORE: Final = "the telemetry store"
# A request without anything in it: whatever refuses this refuses everything.
PROBE: Final = framed([b"\x0a\x00"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long the loader waits, and how often it tries, before it draws a conclusion. Times are seconds.

    `first_s` and `longest_s` bound the back-off of one segment, `store_longest_s` that of everything while nothing can
    be stored. `certain` is how many failures of a lone request, each proven to be its own, put it into quarantine;
    `unclear` the same for an error that does not concern the data.
    """

    first_s: float = 0.2
    longest_s: float = 60.0
    store_longest_s: float = 10.0
    certain: int = 3
    unclear: int = 240
    streak: int = 3


@dataclass(slots=True)
class _Trouble:
    """What is known of a segment that failed."""

    failures: int = 0
    own: int = 0  # failures while the store was proven to take others
    loads: int = 0  # how many segments had been stored at the last failure
    next_at: float = 0.0


class Loader:
    """Sends segments until stopped; one INSERT each (one per kind for metrics)."""

    def __init__(
        self,
        log: IngestLog,
        store: Statements,
        prepare: Callable[[], Destination],
        problems: Problems | None = None,
        patience: Patience | None = None,
        beat: Callable[[], None] = lambda: None,
    ) -> None:
        """`prepare` is called until it succeeds, before the first segment is sent; `beat` in every round."""
        self._beat = beat
        self._log = log
        self._store = store
        self._prepare = prepare
        self._problems = problems or Problems(None)
        self._patience = patience or Patience()
        self._stopping = threading.Event()
        self._logger = structlog.get_logger()
        self._trouble: dict[str, _Trouble] = {}
        self._streak = 0  # failures since something was stored
        self._loads = 0
        self._quarantined: frozenset[str] = frozenset()
        self._subjects: set[str] = set()
        self._look_again_at = 0.0
        self.idle = threading.Event()

    def run(self) -> None:
        """Load until `stop`."""
        into = self._destination()
        while into and not self._stopping.is_set():
            self._beat()
            try:
                self._round(into)
            except Exception as error:  # noqa: BLE001 - whatever it is, the next round goes on
                self._problems.report(LOOP, "a round of the loader", error)
                self._stopping.wait(self._patience.first_s)

    def stop(self) -> None:
        self._stopping.set()

    def _round(self, into: Destination) -> None:
        self._check_quarantine()
        waiting = self._log.sealed()
        self._forget_trouble(waiting)
        if not waiting:
            self.idle.set()
            LAG.set(0)
            self._log.wait_for_sealed(WAIT_S)
            return
        self.idle.clear()
        LAG.set(max(0.0, time.time() - waiting[0].opened_ns / 1e9))
        due = [segment for segment in waiting if self._is_due(segment)]
        if not due:
            next_at = min(self._trouble[segment.token].next_at for segment in waiting)
            self._log.wait_for_sealed(min(0.2, max(0.0, next_at - time.monotonic())))
            return
        for segment in due:
            if self._stopping.is_set():
                return
            try:
                self._load(segment, into)
            except (StoreError, OSError) as error:
                if not self._failed(segment, error, into):
                    return

    def _destination(self) -> Destination | None:
        """Where segments go, once the store is prepared; None when stopped before."""
        failures = 0
        while not self._stopping.is_set():
            self._beat()
            try:
                into = self._prepare()
            except StoreError as error:
                failures += 1
                self._wait_for_store(error, failures)
            else:
                self._problems.solved(LOOP, STORE)
                return into
        return None

    def _wait_for_store(self, error: Exception, failures: int) -> None:
        wait_s = spread_s(backoff_s(failures, self._patience.first_s, self._patience.store_longest_s))
        self._logger.warning("loader.waits", error=one_line(error), retry_s=round(wait_s, 2))
        if failures >= self._patience.streak:
            self._problems.report(
                LOOP, STORE, f"nothing can be stored; acked telemetry is kept and sent again: {error}"
            )
        self._stopping.wait(wait_s)

    def _load(self, segment: Segment, into: Destination) -> None:
        """Insert one segment and forget it. Sent again after a crash in between, its token makes it harmless."""
        body = segment.path.read_bytes()
        failed: dict[str, StoreError] = {}
        kinds = segment.kinds or METRIC_KINDS
        with SECONDS.labels(segment.signal).time():
            for kind, statement in zip(kinds, self._inserts(segment, into, segment.token), strict=False):
                try:
                    self._store.run(f"{statement} FORMAT Protobuf", body)
                except StoreError as error:
                    failed[kind] = error
                    if not isinstance(error, RejectedError):
                        failed |= dict.fromkeys(kinds[kinds.index(kind) :], error)
                        break
        if failed:
            if segment.signal == "metrics" and len(failed) < len(kinds):
                self._keep_kinds(segment, tuple(failed))
            raise next(iter(failed.values()))
        self._look_at_times(segment, body, into)
        self._log.remove([segment])
        LOADED.labels(segment.signal).inc()
        self._loads += 1
        self._streak = 0
        self._problems.solved(LOOP, STORE)
        if self._trouble.pop(segment.token, None):
            self._problems.solved(LOOP, segment.token)

    @staticmethod
    def _inserts(segment: Segment, into: Destination, token: str) -> list[str]:
        kinds = segment.kinds or METRIC_KINDS
        return inserts(into, segment.signal, token, kinds, received_ns=segment.opened_ns)

    def _keep_kinds(self, segment: Segment, kinds: tuple[str, ...]) -> None:
        """Note in a segment's name which kinds of metric are not yet stored."""
        self._log.forget(segment)
        segment.path.rename(segment.path.with_name(f"{segment.token}.{segment.signal}.{'-'.join(kinds)}.ready"))

    def _failed(self, segment: Segment, error: StoreError | OSError, into: Destination) -> bool:
        """Draw a conclusion from a failure; False when the round is over."""
        FAILED.labels(segment.signal).inc()
        self._streak += 1
        current = self._current(segment)
        if isinstance(error, OSError) and current:
            self._unreadable(current, error)
            return True
        verdict = judge(error, current.size if current else 0, into.memory_mib)
        if verdict is Verdict.AWAY or current is None:
            self._wait_for_store(error, self._streak)
            return False
        trouble = self._trouble.setdefault(segment.token, _Trouble(loads=self._loads))
        trouble.failures += 1
        is_own = self._takes_others(current, verdict, trouble, into)
        trouble.loads = self._loads
        if is_own:
            trouble.own += 1
            if self._conclude(current, verdict, error, trouble, into):
                return True
        wait_s = spread_s(backoff_s(trouble.failures, self._patience.first_s, self._patience.longest_s))
        trouble.next_at = time.monotonic() + wait_s
        self._logger.warning(
            "loader.failed", segment=current.path.name, error=one_line(error), retry_s=round(wait_s, 2)
        )
        if trouble.own >= self._patience.certain:
            reason = f"a segment of {current.signal} fails while others are stored; it is kept and sent again: {error}"
            self._problems.report(LOOP, current.token, reason)
            self._log.mark_late(frozenset(token for token, each in self._trouble.items() if each.own))
        if is_own or self._streak < self._patience.streak:
            return True
        self._wait_for_store(error, self._streak - self._patience.streak + 1)
        return False

    def _unreadable(self, segment: Segment, error: OSError) -> None:
        """Its own file cannot be read: the store may be well, so the segments behind it do not wait."""
        trouble = self._trouble.setdefault(segment.token, _Trouble(loads=self._loads))
        trouble.failures += 1
        wait_s = spread_s(backoff_s(trouble.failures, self._patience.first_s, self._patience.longest_s))
        trouble.next_at = time.monotonic() + wait_s
        reason = f"{segment.path} cannot be read; it is kept and tried again: {error.strerror or error}"
        self._problems.report(LOOP, segment.token, reason)

    def _current(self, segment: Segment) -> Segment | None:
        """A segment as it is named now; None if its file is gone."""
        return next((each for each in self._log.sealed() if each.token == segment.token), None)

    def _takes_others(self, segment: Segment, verdict: Verdict, trouble: _Trouble, into: Destination) -> bool:
        """Whether the store would take something else in this segment's place."""
        if self._loads > trouble.loads:
            return True
        if verdict not in (Verdict.UNREADABLE, Verdict.TOO_LARGE):
            return False  # an empty segment passes on a full disk, too
        try:
            for statement in self._inserts(segment, into, f"{segment.token}:probe"):
                self._store.run(f"{statement} FORMAT Protobuf", PROBE)
        except StoreError:
            return False
        return True

    def _conclude(
        self, segment: Segment, verdict: Verdict, error: Exception, trouble: _Trouble, into: Destination
    ) -> bool:
        """Divide or quarantine a segment whose own failure it is; False to only send it again later."""
        match verdict:
            case Verdict.UNREADABLE:
                enough, may_divide_request = self._patience.certain, False
            case Verdict.TOO_LARGE:
                enough, may_divide_request = self._patience.unclear, True
            case Verdict.UNKNOWN if trouble.own >= self._patience.certain:
                enough, may_divide_request = self._patience.unclear, False
            case _:
                return False
        if not is_before_storing(error) and not self._is_absent(segment, into):
            return False
        if split_records(segment.path) or (may_divide_request and split_request(segment.path, segment.signal)):
            self._log.forget(segment)
            SPLIT.labels(segment.signal).inc()
            self._logger.info("loader.split", segment=segment.path.name, error=one_line(error))
            self._give_up(segment)
            return True
        if trouble.own < enough:
            return False
        self._quarantine(segment, error)
        return True

    def _is_absent(self, segment: Segment, into: Destination) -> bool:
        requests = records(segment.path.read_bytes())
        kinds = segment.kinds or METRIC_KINDS
        try:
            queries = presence_queries(into.database, segment.signal, requests, kinds)
            return not any(int(self._store.run(query)) for query in queries)
        except (StoreError, ValueError):
            return False

    def _quarantine(self, segment: Segment, error: Exception) -> None:
        code = error.code if isinstance(error, RejectedError) else 0
        refused = describe(segment.path, reason=str(error), code=code, now=time.time())
        target = set_aside(segment.path, refused)
        self._log.forget(segment)
        self._give_up(segment)
        REFUSALS.labels(segment.signal).inc()
        self._problems.report(LOOP, refused.subject, refused.advice)
        self._subjects.add(refused.subject)
        self._quarantined |= {target.name}
        self._logger.error("loader.refused", segment=str(target), error=one_line(error))

    def _give_up(self, segment: Segment) -> None:
        self._trouble.pop(segment.token, None)
        self._problems.solved(LOOP, segment.token)

    def _look_at_times(self, segment: Segment, body: bytes, into: Destination) -> None:
        """Look at a few requests for rows that the store does not keep, and name their senders."""
        kept = Kept.around(segment.opened_ns, into)
        if kept is None:
            return
        requests = records(body)
        for index, count, service in out_of_range(segment.signal, requests, kept):
            OUT_OF_RANGE.labels(segment.signal).inc(count)
            sender = read_senders(segment.path, len(requests))[index]
            subject = f"{segment.signal} of {service}" + (f" from {sender}" if sender else "")
            self._problems.report(LOOP, subject, kept.reason)

    def _check_quarantine(self) -> None:
        """Once in a while: what somebody put back, or dropped, is no problem any more."""
        if time.monotonic() < self._look_again_at:
            return
        self._look_again_at = time.monotonic() + QUARANTINE_EVERY_S
        names = frozenset(path.name for path in self._log.folder.glob(f"*{REFUSED}"))
        if names == self._quarantined:
            return
        self._quarantined = names
        subjects = {refused.subject for refused in listed(self._log.folder)}
        for subject in self._subjects - subjects:
            self._problems.solved(LOOP, subject)
        self._subjects = subjects

    def _is_due(self, segment: Segment) -> bool:
        trouble = self._trouble.get(segment.token)
        return trouble is None or trouble.next_at <= time.monotonic()

    def _forget_trouble(self, waiting: Sequence[Segment]) -> None:
        if self._trouble:
            tokens = {segment.token for segment in waiting}
            self._trouble = {token: each for token, each in self._trouble.items() if token in tokens}
