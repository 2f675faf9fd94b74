"""Which requests came in a moment ago, so that a batch that is sent twice is stored once.

An exporter that got no answer in time sends the same batch again, byte for byte. A request is known by a hash of its
bytes, as they came, for some minutes, also after a restart. A batch that was cut differently, or that reached another
`ingest`, is not known: its spans are stored twice.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

from google.protobuf.message import DecodeError
from prometheus_client import Counter

from collectors.ingest_log.attributes import MESSAGES

REPEATED = Counter(
    "watchkeeper_ingest_repeated_total", "Requests that were there already and not stored again.", ["signal"]
)

REMEMBERED_S: Final = 600.0  # an exporter has given up by then: the Collector's stop after 5 min
MOST: Final = 100_000  # requests that are remembered, some 20 MB
FILE: Final = "recent"
_HASH: Final = 16  # bytes: a mistaken repeat among 100,000 requests has a chance of 1 in 10^28
_SECOND_NS: Final = 1_000_000_000


class RecentRequests:
    """The hashes of the last minutes' requests. Threads may share it.

    Args:
        path: where the hashes of requests that are on disk are noted, for the time after a restart.
        clock: Unix seconds.
    """

    def __init__(self, path: Path | None = None, clock: Callable[[], float] = time.time) -> None:
        self._path = path
        self._clock = clock
        self._lock = threading.Lock()
        self._known: OrderedDict[bytes, tuple[float, Future[None]]] = OrderedDict()
        self._noted = 0
        if path:
            self._read(path)
            self._rewrite(path)

    def remember(self, signal: str, request: bytes, done: Future[None]) -> tuple[bytes, Future[None] | None]:
        """Note a request that is about to be appended.

        Returns:
            Its hash; and, if it is there already, the future of its write to disk.
        """
        digest = blake2b(request, digest_size=_HASH, person=signal.encode()[:16]).digest()
        with self._lock:
            self._forget_old()
            known = self._known.get(digest)
            if known is None or _failed(known[1]):
                self._known[digest] = (self._clock(), done)
                return digest, None
        if not _is_certain_repeat(signal, request):
            return digest, None
        REPEATED.labels(signal).inc()
        return digest, known[1]

    def note(self, digests: Iterable[bytes]) -> None:
        """Requests are on disk. Noted before, a crash would lose one: sent again, it would be taken for stored."""
        if self._path is None:
            return
        now = self._clock()
        rows = [_row(now, digest) for digest in digests]
        with contextlib.suppress(OSError):  # costs nothing but that a repeat is not known
            with self._path.open("a", encoding="ascii") as file:
                file.write("".join(rows))
            self._noted += len(rows)
            if self._noted > 2 * MOST:
                self._rewrite(self._path)

    def _read(self, path: Path) -> None:
        done: Future[None] = Future()
        done.set_result(None)
        with contextlib.suppress(OSError):
            for row in path.read_text(encoding="ascii", errors="replace").splitlines()[-MOST:]:
                at, _, digest = row.partition(" ")
                with contextlib.suppress(ValueError):  # the last row may be torn
                    if len(bytes.fromhex(digest)) == _HASH:
                        self._known[bytes.fromhex(digest)] = (float(at), done)

    def _rewrite(self, path: Path) -> None:
        """Leave out of the file what is forgotten."""
        with self._lock:
            self._forget_old()
            kept = [(at, digest) for digest, (at, done) in self._known.items() if done.done() and not _failed(done)]
        draft = path.with_suffix(".draft")
        with contextlib.suppress(OSError):
            if kept:
                draft.write_text("".join(_row(at, digest) for at, digest in kept), encoding="ascii")
                draft.replace(path)
            else:
                path.unlink(missing_ok=True)
        self._noted = len(kept)

    def _forget_old(self) -> None:
        oldest = self._clock() - REMEMBERED_S
        while self._known and (len(self._known) > MOST or next(iter(self._known.values()))[0] < oldest):
            self._known.popitem(last=False)


def _row(at: float, digest: bytes) -> str:
    return f"{at:.3f} {digest.hex()}\n"


def _failed(done: Future[None]) -> bool:
    return done.done() and (done.cancelled() or done.exception() is not None)


def _is_certain_repeat(signal: str, payload: bytes) -> bool:
    """Whether two such requests can only be one that was sent twice: each of its items has a time of its own.

    A line without a time may well be written twice, or, where times are whole seconds, within one of them. Asked only
    of requests with equal bytes, so its cost is rare.
    """
    try:
        items = list(_items(signal, MESSAGES[signal].FromString(payload)))
    except (DecodeError, KeyError):
        return False
    if signal == "logs" and not any(_has_fine_time(item) for item in items):
        return False
    return bool(items) and all(_has_time(item) for item in items)


def _has_time(item: Any) -> bool:
    names = ("time_unix_nano", "observed_time_unix_nano", "start_time_unix_nano", "end_time_unix_nano")
    return any(getattr(item, name, 0) for name in names)


def _has_fine_time(line: Any) -> bool:
    return bool(line.time_unix_nano % _SECOND_NS or line.observed_time_unix_nano % _SECOND_NS)


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
