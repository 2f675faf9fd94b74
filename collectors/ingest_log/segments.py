"""Write-ahead segments on the local disk: what was acked is here until the store has it.

A request is appended to its signal's open segment, length-delimited; one thread writes and syncs whatever
has gathered, and only then are the receivers notified (group commit). An open segment is sealed by a rename
after some seconds; the loader takes sealed ones, oldest first, and removes them once the store has them.

    <token>.<signal>.open                  being written
    <token>.<signal>.<kinds>.ready         sealed; kinds of metric in it, or `all`
    <token>.<signal>.<kinds>.split         divided into parts (collectors/ingest_log/splitting.py)
    <token>.<signal>.<kinds>.refused       quarantined (collectors/ingest_log/quarantine.py)
    <token>.<signal>.senders               who sent each record (collectors/ingest_log/senders.py)

A token starts with the Unix time in nanoseconds at which its segment was opened. It is never used twice, so the
store can recognise a segment that it has already stored.
"""

from __future__ import annotations

import contextlib
import os
import queue
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final

from prometheus_client import Counter, Gauge, Histogram

from collectors.ingest_log.framing import framed, whole_records
from collectors.ingest_log.framing import varint as varint
from collectors.ingest_log.recent import FILE, RecentRequests
from collectors.ingest_log.senders import SUFFIX as SENDERS
from collectors.ingest_log.senders import senders_path, write_senders
from collectors.ingest_log.splitting import finish_splits
from watchkeeper.errors import IngestLogError

BACKLOG = Gauge("watchkeeper_ingest_backlog_bytes", "Acked and not yet in the store.")
APPENDED = Counter("watchkeeper_ingest_appended_bytes_total", "Appended to the ingest log.", ["signal"])
SYNC_SECONDS = Histogram("watchkeeper_ingest_sync_seconds", "Time of one group sync.")

# Seconds between two loads: once for each bucket of what detectors read. Every INSERT costs the store about the same,
# whether it holds a hundred rows or ten thousand.
LOAD_EVERY_S: Final = {"traces": 5.0, "logs": 5.0, "metrics": 10.0}
# Loads are aligned with the buckets of five seconds: what came until two seconds after a bucket's end is in the store
# when that bucket is judged.
LOAD_AT_S: Final = 2.0
GATHER_S: Final = 0.002  # requests in flight join one sync; small against what a sync itself takes on most disks


class OverloadedError(IngestLogError):
    """The backlog is full: nothing more is acked until the loader has caught up. Try again later."""

    def __init__(self, backlog: int, limit: int) -> None:
        super().__init__(
            f"{backlog >> 20} MiB wait for the store, and {limit >> 20} MiB is the limit (ingest.max_backlog_mib)",
            retry=True,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A sealed run of length-delimited export requests."""

    path: Path
    token: str
    signal: str
    kinds: tuple[str, ...]
    size: int

    @property
    def opened_ns(self) -> int:
        """When its first request came in, Unix nanoseconds."""
        return int(self.token.partition("-")[0])


@dataclass(slots=True)
class _Open:
    path: Path
    file: BinaryIO
    load_at: float  # Unix seconds
    load_by: float  # the same by the clock that nobody can set
    size: int = 0
    kinds: set[str] = field(default_factory=set)
    senders: list[str] = field(default_factory=list)  # of each record


@dataclass(frozen=True, slots=True)
class _Write:
    signal: str
    payload: bytes
    kinds: frozenset[str]
    done: Future[None]
    sender: str
    digest: bytes


class IngestLog:
    """The ingest log of one `ingest` process in one folder.

    Args:
        folder: where the segments are; made if absent, recovered if not empty.
        segment_bytes: a segment is sealed at this size at the latest.
        max_backlog_bytes: above this, `append` rejects.
        load_scale: multiplies the seconds between two loads.
        is_valid: whether a record found after a crash is a whole request of that signal.
    """

    def __init__(
        self,
        folder: Path,
        *,
        segment_bytes: int,
        max_backlog_bytes: int,
        load_scale: float = 1.0,
        is_valid: Callable[[str, bytes], bool] = lambda *_: True,
    ) -> None:
        self._folder = folder
        self._segment_bytes = segment_bytes
        self._max_backlog = max_backlog_bytes
        self._load_scale = load_scale
        self._open: dict[str, _Open] = {}
        self._pending: queue.SimpleQueue[_Write | None] = queue.SimpleQueue()
        self._ready = threading.Condition()
        self._failed: str | None = None
        self._counting = threading.Lock()
        self._counted: set[str] = set()  # names of sealed segments that are in the backlog's size
        self._backlog = 0
        self._late: frozenset[str] = frozenset()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = self._claim(folder)
            finish_splits(folder)
            for path in sorted(folder.glob("*.open")):
                _recover(path, is_valid)
            _remove_orphans(folder)
            self.sealed()
            self._recent = RecentRequests(folder / FILE)
        except OSError as error:
            raise IngestLogError(f"the ingest log in {folder} cannot be opened: {error.strerror}") from error
        self._thread = threading.Thread(target=self._write_forever, name="ingest-log", daemon=True)
        self._thread.start()

    @staticmethod
    def _claim(folder: Path) -> int:
        import fcntl

        descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            raise IngestLogError(
                f"another ingest process uses {folder}. Stop it, or give this one a data_dir of its own."
            ) from error
        return descriptor

    @property
    def folder(self) -> Path:
        return self._folder

    @property
    def backlog_bytes(self) -> int:
        return self._backlog

    @property
    def problem(self) -> str | None:
        """Why nothing is taken at present; None when all is well."""
        if self._failed is None and self._backlog > self._max_backlog:
            return OverloadedError(self._backlog, self._max_backlog).message
        return self._failed

    def append(
        self,
        signal: str,
        payload: bytes,
        kinds: frozenset[str] = frozenset(),
        *,
        sender: str = "",
        received: bytes | None = None,
    ) -> Future[None]:
        """Append one serialised export request; the future is done when it is on disk.

        A request that was appended minutes ago, byte for byte, is not appended again: an exporter that got no answer
        in time sends the same batch again. `sender` names who sent it, for messages to humans; `received` is the
        request as it came, where `payload` was made of it.

        Raises:
            OverloadedError: the backlog is full.
            IngestLogError: the disk failed; the future may carry this too.
        """
        if self._failed:
            raise IngestLogError(self._failed, retry=True)
        if self._backlog > self._max_backlog:
            raise OverloadedError(self._backlog, self._max_backlog)
        done: Future[None] = Future()
        done.set_running_or_notify_cancel()  # a sender that goes away cancels nothing: others may wait for the same
        digest, earlier = self._recent.remember(signal, payload if received is None else received, done)
        if earlier is not None:
            return earlier
        self._pending.put(_Write(signal, payload, kinds, done, sender, digest))
        return done

    def sealed(self) -> list[Segment]:
        """The segments that wait for the loader, oldest first; also those that somebody put back meanwhile."""
        segments = []
        for path in sorted(self._folder.glob("*.ready")):
            with contextlib.suppress(OSError, ValueError):  # gone again, or no segment of ours
                segments.append(_describe(path))
        with self._counting:
            for segment in segments:
                if segment.path.name not in self._counted:
                    self._counted.add(segment.path.name)
                    self._backlog += segment.size
            BACKLOG.set(self._backlog)
        return segments

    def mark_late(self, tokens: frozenset[str]) -> None:
        """Name the segments that fail while others are stored: `complete_until` no longer waits for them."""
        self._late = tokens

    def complete_until(self, signal: str, now: float) -> float:
        """Unix seconds until when all that was acked of `signal` is in the store; `now` if nothing waits.

        Segments that are marked late are left out: they hold nothing up.
        """
        waiting = [
            path.name.partition(".")[0]
            for path in self._folder.glob(f"*.{signal}.*")
            if path.suffix in (".open", ".ready", ".split", ".part")
        ]
        tokens = [token for token in waiting if token not in self._late]
        return min([now, *(int(token.partition("-")[0]) / 1e9 for token in tokens)])

    def wait_for_sealed(self, timeout_s: float) -> None:
        """Return when a segment is sealed, or after `timeout_s`."""
        with self._ready:
            self._ready.wait(timeout_s)

    def remove(self, segments: Sequence[Segment]) -> None:
        """Forget segments that the store has."""
        for segment in segments:
            senders_path(segment.path).unlink(missing_ok=True)  # first: a kill in between leaves no orphan
            segment.path.unlink(missing_ok=True)
            self.forget(segment)

    def forget(self, segment: Segment) -> None:
        """Take a segment out of the backlog's size: it has another name now, or none."""
        with self._counting:
            if segment.path.name in self._counted:
                self._counted.remove(segment.path.name)
                self._backlog -= segment.size
            BACKLOG.set(self._backlog)

    def close(self) -> None:
        """Write what is pending, seal, and stop."""
        self._pending.put(None)
        self._thread.join()
        os.close(self._lock)

    def _write_forever(self) -> None:
        while True:
            batch = self._gather()
            stop = None in batch
            writes = [write for write in batch if write is not None]
            if writes:
                self._write(writes)
            self._seal_old(everything=stop)
            if stop:
                return

    def _gather(self) -> list[_Write | None]:
        """What waits to be written; blocks for the first, but not past the next sealing."""
        batch: list[_Write | None] = []
        with contextlib.suppress(queue.Empty):
            batch.append(self._pending.get(timeout=self._until_next_load_s()))
            time.sleep(GATHER_S)  # requests in flight join this sync
            while True:
                batch.append(self._pending.get_nowait())
        return batch

    def _write(self, writes: Sequence[_Write]) -> None:
        try:
            for signal in {write.signal for write in writes}:
                own_writes = [write for write in writes if write.signal == signal]
                segment = self._segment(signal)
                data = framed([write.payload for write in own_writes])
                _write_all(segment, data)
                with SYNC_SECONDS.time():
                    os.fdatasync(segment.file.fileno())
                segment.size += len(data)
                for write in own_writes:
                    segment.kinds |= write.kinds
                segment.senders += [write.sender for write in own_writes]
                with self._counting:
                    self._backlog += len(data)
                    BACKLOG.set(self._backlog)
                APPENDED.labels(signal).inc(len(data))
        except OSError as error:
            failure = self._fail(error)
            for write in writes:
                write.done.set_exception(failure)
            return
        for write in writes:
            write.done.set_result(None)
        self._recent.note(write.digest for write in writes)

    def _fail(self, error: OSError) -> IngestLogError:
        """What is half written must not be followed by another record: from now on this log takes nothing more."""
        self._failed = f"the ingest log in {self._folder} cannot be written: {error.strerror}"
        return IngestLogError(self._failed, retry=True)

    def _segment(self, signal: str) -> _Open:
        segment = self._open.get(signal)
        if segment is None:
            token = f"{time.time_ns():020d}-{secrets.token_hex(4)}"
            path = self._folder / f"{token}.{signal}.open"
            wait_s = until_load_s(signal, time.time(), self._load_scale)
            segment = self._open[signal] = _Open(
                path, path.open("xb", buffering=0), time.time() + wait_s, time.monotonic() + wait_s
            )
            _sync_folder(self._folder)
        return segment

    def _until_next_load_s(self) -> float:
        """How long nothing needs to be sealed."""
        now = time.time()
        return max(0.0, min([1.0, *(segment.load_at - now for segment in self._open.values())]))

    def _seal_old(self, *, everything: bool) -> None:
        now, steady = time.time(), time.monotonic()
        sealed = False
        for signal, segment in list(self._open.items()):
            due = now >= segment.load_at or steady >= segment.load_by
            if everything or due or segment.size >= self._segment_bytes:
                del self._open[signal]
                try:
                    self._seal(segment)
                except OSError as error:
                    self._fail(error)  # the next start seals what is still there
                else:
                    sealed = True
        if sealed:
            with self._ready:
                self._ready.notify_all()

    def _seal(self, segment: _Open) -> None:
        segment.file.close()
        with contextlib.suppress(OSError):  # costs nothing but their names
            write_senders(segment.path, segment.senders)
        kinds = "-".join(sorted(segment.kinds)) or "all"
        target = segment.path.with_suffix(f".{kinds}.ready")
        with self._counting:
            self._counted.add(target.name)
        segment.path.rename(target)


def until_load_s(signal: str, now: float, scale: float = 1.0) -> float:
    """Seconds from `now` (Unix) until segments of `signal` are loaded next."""
    every_s = LOAD_EVERY_S.get(signal, LOAD_EVERY_S["traces"]) * scale
    return every_s - (now - LOAD_AT_S) % every_s


def _write_all(segment: _Open, data: bytes) -> None:
    """Add records to a segment, all or none of them: a disk that is nearly full takes a part without an error."""
    left = memoryview(data)
    try:
        while left:
            left = left[segment.file.write(left) :]
    except OSError:
        with contextlib.suppress(OSError):
            segment.file.truncate(segment.size)  # what is in it is acked, and must not be sealed with a torn end
        raise


def _remove_orphans(folder: Path) -> None:
    """Remove the senders of segments that are gone."""
    living = {tuple(path.name.split(".")[:2]) for path in folder.iterdir() if path.suffix != SENDERS}
    for path in folder.glob(f"*{SENDERS}"):
        if tuple(path.name.split(".")[:2]) not in living:
            path.unlink(missing_ok=True)


def _describe(path: Path) -> Segment:
    token, signal, kinds, _ = path.name.split(".")
    int(token.partition("-")[0])
    known = () if kinds == "all" else tuple(kinds.split("-"))
    return Segment(path=path, token=token, signal=signal, kinds=known, size=path.stat().st_size)


def _recover(path: Path, is_valid: Callable[[str, bytes], bool]) -> None:
    """Cut what a crash left half-written, and seal the rest. What is cut was never acked."""
    signal = path.name.split(".")[1]
    data = path.read_bytes()
    end = whole_records(data, lambda record: is_valid(signal, record))
    if end == 0:
        path.unlink()
        return
    with path.open("r+b") as file:
        file.truncate(end)
        os.fsync(file.fileno())
    path.rename(path.with_suffix(".all.ready"))


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
