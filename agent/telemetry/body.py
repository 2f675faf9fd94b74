"""One OTLP request as it came to the agent, and how it stands in a segment: a header with a checksum, and its bytes.

The agent never parses a body. What its sender said of it (signal, type, encoding) is enough to send it on.
"""

from __future__ import annotations

import mmap
import os
import struct
import zlib
from dataclasses import dataclass
from typing import BinaryIO, Final, Literal, get_args

Signal = Literal["traces", "metrics", "logs"]
Encoding = Literal["", "gzip", "deflate", "zstd"]
SIGNALS: Final[tuple[Signal, ...]] = get_args(Signal)
ENCODINGS: Final[tuple[Encoding, ...]] = get_args(Encoding)
LARGEST_BYTES: Final = 16 << 20  # as the platform's own default, packed or not

# Mark, signal, whether JSON, encoding, when it was taken (Unix milliseconds), length; then the checksum of all of it.
_FIELDS: Final = struct.Struct(">2sBBBQI")
_CHECKSUM: Final = struct.Struct(">I")
_MARK: Final = b"\xf7W"
HEADER_BYTES: Final = _FIELDS.size + _CHECKSUM.size


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """The body of one export request.

    Attributes:
        at: when the agent took it, Unix seconds.
        encoding: its Content-Encoding; empty: none.
    """

    signal: Signal
    data: bytes
    at: float
    is_json: bool = False
    encoding: Encoding = ""

    @property
    def kind(self) -> str:
        """Its Content-Type."""
        return "application/json" if self.is_json else "application/x-protobuf"


def packed(body: Body) -> Body:
    """The same body, compressed where its sender did not: a day of telemetry takes a tenth of the disk."""
    if body.encoding or len(body.data) < 200:
        return body
    return Body(
        signal=body.signal,
        data=zlib.compress(body.data, level=1, wbits=31),
        at=body.at,
        is_json=body.is_json,
        encoding="gzip",
    )


def framed(body: Body) -> bytes:
    """A body as it stands in a segment."""
    fields = _FIELDS.pack(
        _MARK,
        SIGNALS.index(body.signal),
        body.is_json,
        ENCODINGS.index(body.encoding),
        max(0, int(body.at * 1000)),
        len(body.data),
    )
    return fields + _CHECKSUM.pack(zlib.crc32(body.data, zlib.crc32(fields))) + body.data


def body_at(file: BinaryIO, offset: int) -> tuple[Body, int] | None:
    """The body that begins at an offset, and where it ends; None where no whole, undamaged one does. Raises OSError."""
    header = os.pread(file.fileno(), HEADER_BYTES, offset)
    length = _length(header)
    if length is None:
        return None
    data = os.pread(file.fileno(), length, offset + HEADER_BYTES)
    fields, (checksum,) = header[: _FIELDS.size], _CHECKSUM.unpack(header[_FIELDS.size :])
    if len(data) != length or zlib.crc32(data, zlib.crc32(fields)) != checksum:
        return None
    _, signal, is_json, encoding, at_ms, _ = _FIELDS.unpack(fields)
    body = Body(signal=SIGNALS[signal], data=data, at=at_ms / 1000, is_json=bool(is_json), encoding=ENCODINGS[encoding])
    return body, offset + HEADER_BYTES + length


def next_whole(file: BinaryIO, offset: int) -> int | None:
    """Where the next undamaged body after an offset begins; None where there is none. Raises OSError."""
    size = os.fstat(file.fileno()).st_size
    if offset + HEADER_BYTES >= size:
        return None
    with mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ) as view:
        found = view.find(_MARK, offset + 1)
        while found >= 0:
            if body_at(file, found):
                return found
            found = view.find(_MARK, found + 1)
    return None


def _length(header: bytes) -> int | None:
    """How long the body after a header is; None where this is no header."""
    if len(header) < HEADER_BYTES:
        return None
    mark, signal, is_json, encoding, _, length = _FIELDS.unpack(header[: _FIELDS.size])
    known = mark == _MARK and signal < len(SIGNALS) and is_json < 2 and encoding < len(ENCODINGS)
    return int(length) if known and length <= LARGEST_BYTES + 1024 else None
