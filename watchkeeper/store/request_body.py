"""The body of a request to the store, in pieces: framed by its headers, unzipped, bounded in size and time."""

from __future__ import annotations

import re
import time
import zlib
from collections.abc import Callable, Iterator
from email.message import Message
from io import BufferedIOBase
from typing import Final

PIECE: Final = 1 << 20  # bytes
DEADLINE_S: Final = 120.0  # for a whole body: 256 MiB at 2 MiB/s
_LONGEST_LINE: Final = 4096  # of a chunk's head or a trailer
_MOST_TRAILERS: Final = 100  # nobody sends any
_LENGTH: Final = re.compile(r"[0-9]{1,18}")
_CHUNK: Final = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(;.*)?\r?\n")


class BodyError(ValueError):
    """The body is not taken; `status` is the answer."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


class RequestBody:
    """What follows a request's headers.

    Args:
        limit: bytes that are taken, unzipped or not.
        clock: seconds.

    Raises:
        BodyError: the headers make no sense, or more than `limit`.
    """

    def __init__(
        self, headers: Message, file: BufferedIOBase, limit: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._file = file
        self._limit = limit
        self._clock = clock
        self._until = clock() + DEADLINE_S
        self._encoding = headers.get("Content-Encoding", "").strip().lower()
        if self._encoding not in ("", "identity", "gzip", "deflate"):
            raise BodyError(f"Content-Encoding {self._encoding[:40]} is not supported; send gzip or none", 415)
        lengths, transfers = headers.get_all("Content-Length", []), headers.get_all("Transfer-Encoding", [])
        if len(lengths) + len(transfers) > 1:
            raise BodyError("Content-Length and Transfer-Encoding: send one of them, once")
        self._length: int | None = 0
        if transfers:
            if transfers[0].strip().lower() != "chunked":
                raise BodyError("a Transfer-Encoding other than chunked is not supported", 501)
            self._length = None
        elif lengths:
            if not _LENGTH.fullmatch(lengths[0].strip()):
                raise BodyError("Content-Length is not a number")
            self._length = int(lengths[0])
            if self._length > limit:
                raise self._too_large()

    def __iter__(self) -> Iterator[bytes]:
        """The pieces, none larger than `PIECE`.

        Raises:
            BodyError: it is not what its headers say, too large or too slow.
        """
        total = 0
        for piece in self._plain():
            total += len(piece)
            if total > self._limit:
                raise self._too_large()
            yield piece

    def _plain(self) -> Iterator[bytes]:
        if self._encoding not in ("gzip", "deflate"):
            yield from self._raw()
            return
        inflater = zlib.decompressobj(wbits=47)
        try:
            for raw in self._raw():
                left = raw
                while left:
                    if inflater.eof:  # another member of the same stream
                        inflater = zlib.decompressobj(wbits=47)
                    yield inflater.decompress(left, PIECE)
                    left = inflater.unconsumed_tail or inflater.unused_data
            while not inflater.eof and (rest := inflater.decompress(b"", PIECE)):
                yield rest
        except zlib.error as error:
            raise BodyError(f"it cannot be decompressed: {error}") from error
        if not inflater.eof:
            raise BodyError("it is cut short")

    def _raw(self) -> Iterator[bytes]:
        if self._length is not None:
            yield from self._pieces(self._length)
            return
        while size := self._chunk_size():
            yield from self._pieces(size)
            if self._line() not in (b"\r\n", b"\n"):
                raise BodyError("a chunk is longer than its head says")
        for _ in range(_MOST_TRAILERS):
            if self._line() in (b"\r\n", b"\n"):
                return
        raise BodyError("it has too many trailers")

    def _chunk_size(self) -> int:
        match = _CHUNK.fullmatch(self._line())
        if not match:
            raise BodyError("the size of a chunk is not a number")
        return int(match.group(1), 16)

    def _line(self) -> bytes:
        line = self._file.readline(_LONGEST_LINE)
        self._check_time()
        return line

    def _pieces(self, missing: int) -> Iterator[bytes]:
        while missing:
            piece = self._file.read1(min(missing, PIECE))
            if not piece:
                raise BodyError("the connection closed before it was whole")
            self._check_time()
            missing -= len(piece)
            yield piece

    def _check_time(self) -> None:
        if self._clock() > self._until:
            raise BodyError(f"it did not arrive within {DEADLINE_S:g} s", 408)

    def _too_large(self) -> BodyError:
        return BodyError(f"it is over the limit of {self._limit} bytes", 413)
