"""Which requests came in a moment ago, so that a batch that is sent twice is stored once.

An exporter that got no answer in time sends the same batch again, byte for byte. A request is known by a hash of its
bytes for some minutes, also after a restart. A batch that was cut differently, or that reached another `ingest`, is
not known: its spans are stored twice.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final, Self

from google.protobuf.message import DecodeError
from prometheus_client import Counter

from watchkeeper.ingest_log.attributes import MESSAGES
from watchkeeper.ingest_log.framing import records

REPEATED = Counter(
    "watchkeeper_ingest_repeated_total", "Requests that were there already and not stored again.", ["signal"]
)

REMEMBERED_S: Final = 600.0
MOST: Final = 100_000  # requests that are remembered, some 20 MB
LONGEST_SCAN: Final = 256 << 20  # bytes of waiting segments that are read at start
_HASH: Final = 16
_FILE: Final = "recent"


class RecentRequests:
    """The hashes of the last minutes' requests. Threads may share it.

    Args:
        clock: Unix seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._known: OrderedDict[bytes, tuple[float, Future[None]]] = OrderedDict()

    @classmethod
    def open(cls, folder: Path) -> Self:
        """What is known of the time before a restart: what was saved, and what waits in `folder`."""
        recent = cls()
        with contextlib.suppress(OSError, ValueError):
            recent._read(folder / _FILE)
        left = LONGEST_SCAN
        for path in sorted(folder.glob("*.ready"), reverse=True):
            with contextlib.suppress(OSError, ValueError):
                at = int(path.name.partition("-")[0]) / 1e9
                left -= path.stat().st_size
                if left < 0 or at < recent._clock() - REMEMBERED_S:
                    break
                for payload in records(path.read_bytes()):
                    recent._note(_digest(path.name.split(".")[1], payload), at)
        return recent

    def remember(self, signal: str, payload: bytes, done: Future[None]) -> Future[None] | None:
        """Note a request that is about to be appended; or, if it is there already, what tells when it is on disk."""
        digest = _digest(signal, payload)
        with self._lock:
            self._forget_old()
            known = self._known.get(digest)
            if known is None or _failed(known[1]):
                self._known[digest] = (self._clock(), done)
                return None
        if not _is_unmistakable(signal, payload):
            return None
        REPEATED.labels(signal).inc()
        return known[1]

    def save(self, folder: Path) -> None:
        """Keep what is known for the next start."""
        with self._lock, contextlib.suppress(OSError):
            rows = [f"{at:.3f} {digest.hex()}\n" for digest, (at, done) in self._known.items() if not _failed(done)]
            (folder / _FILE).write_text("".join(rows), encoding="ascii")

    def _read(self, path: Path) -> None:
        rows = path.read_text(encoding="ascii").splitlines()
        path.unlink()  # a crash must not leave an old list to the start after the next
        for row in rows:
            at, _, digest = row.partition(" ")
            self._note(bytes.fromhex(digest), float(at))

    def _note(self, digest: bytes, at: float) -> None:
        done: Future[None] = Future()
        done.set_result(None)
        self._known[digest] = (at, done)

    def _forget_old(self) -> None:
        oldest = self._clock() - REMEMBERED_S
        while self._known and (len(self._known) > MOST or next(iter(self._known.values()))[0] < oldest):
            self._known.popitem(last=False)


def _digest(signal: str, payload: bytes) -> bytes:
    return blake2b(payload, digest_size=_HASH, person=signal.encode()[:16]).digest()


def _failed(done: Future[None]) -> bool:
    return done.done() and (done.cancelled() or done.exception() is not None)


def _is_unmistakable(signal: str, payload: bytes) -> bool:
    """Whether two such requests can only be one that was sent twice: each of its items has a time of its own.

    A line without a time may well be written twice. Asked only of requests with equal bytes, so its cost is rare.
    """
    try:
        items = list(_items(signal, MESSAGES[signal].FromString(payload)))
    except (DecodeError, KeyError):
        return False
    return bool(items) and all(_has_time(item) for item in items)


def _has_time(item: Any) -> bool:
    names = ("time_unix_nano", "observed_time_unix_nano", "start_time_unix_nano", "end_time_unix_nano")
    return any(getattr(item, name, 0) for name in names)


def _items(signal: str, message: Any) -> Iterator[Any]:
    match signal:
        case "traces":
            for resource in message.resource_spans:
                for scope in resource.scope_spans:
                    yield from scope.spans
        case "logs":
            for resource in message.resource_logs:
                for scope in resource.scope_logs:
                    yield from scope.log_records
        case _:
            for resource in message.resource_metrics:
                for scope in resource.scope_metrics:
                    for metric in scope.metrics:
                        kind = metric.WhichOneof("data")
                        yield from getattr(metric, kind).data_points if kind else ()
