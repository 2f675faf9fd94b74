"""Content-Encoding: what a body is packed with, and how much it may become."""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable
from typing import Any, Final, Literal, Protocol

from collectors.receivers.rejections import MalformedError, TooLargeError, UnsupportedError

if sys.version_info >= (3, 14):
    from compression.zstd import DecompressionParameter, ZstdDecompressor, ZstdError
else:
    from backports.zstd import DecompressionParameter, ZstdDecompressor, ZstdError

ACCEPTED: Final = "gzip, deflate, zstd"
# A packed body may be a sequence of members (RFC 1952, section 2.2; RFC 8878, section 3); nobody sends so many.
MOST_MEMBERS: Final = 1000
CHUNK: Final = 64 << 10  # bytes that are unpacked at a time
# 16 MiB: what a member may ask us to remember while it is unpacked.
ZSTD_WINDOW_LOG: Final = 24


class _Inflater(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int = ..., /) -> bytes: ...


def unpacked(body: bytes, encoding: str, limit: int) -> bytes:
    """The body without its Content-Encoding, of at most `limit` bytes.

    Raises:
        UnsupportedError: an encoding that is not known.
        TooLargeError: over `limit`, and nothing more was unpacked.
        MalformedError: not what the encoding says, cut short, or followed by something else.
    """
    match check_encoding(encoding):
        case "gzip":
            return _members(body, "gzip", lambda: zlib.decompressobj(wbits=31), limit)
        case "deflate":
            # By the standard this is zlib's format; some send the bare stream.
            is_zlib = len(body) >= 2 and body[0] & 0x0F == 8 and int.from_bytes(body[:2]) % 31 == 0
            return _members(body, "deflate", lambda: zlib.decompressobj(wbits=15 if is_zlib else -15), limit)
        case "zstd":
            return _members(body, "zstd", _zstd, limit)
        case None:
            return body


def check_encoding(encoding: str) -> Literal["gzip", "deflate", "zstd"] | None:
    """What a Content-Encoding names, if it is known.

    Raises:
        UnsupportedError: it is not.
    """
    match [name for part in encoding.lower().split(",") if (name := part.strip()) not in ("", "identity")]:
        case []:
            return None
        case ["gzip" | "x-gzip"]:
            return "gzip"
        case ["deflate"]:
            return "deflate"
        case ["zstd"]:
            return "zstd"
        case _:
            raise UnsupportedError(f"Content-Encoding {encoding[:60]} is not supported; send {ACCEPTED}, or none")


def _zstd() -> Any:
    return ZstdDecompressor(options={DecompressionParameter.window_log_max: ZSTD_WINDOW_LOG})


def _members(body: bytes, name: str, begin: Callable[[], _Inflater], limit: int) -> bytes:
    parts: list[bytes] = []
    at, size = 0, 0
    for _ in range(MOST_MEMBERS):
        inflater = begin()
        while not inflater.eof:
            chunk = body[at : at + CHUNK]
            at += len(chunk)
            part = _inflate(inflater, chunk, name, limit + 1 - size, is_first=not size)
            size += len(part)
            if size > limit:
                raise TooLargeError(f"the request is over {limit >> 20} MiB unpacked; send smaller batches")
            parts.append(part)
            if not chunk and not part and not inflater.eof:
                raise MalformedError(f"the {name} body is cut short")
        at -= len(inflater.unused_data)
        if at == len(body):
            return b"".join(parts)
    raise MalformedError(f"the {name} body has over {MOST_MEMBERS} members; send it as one")


def _inflate(inflater: _Inflater, chunk: bytes, name: str, most: int, *, is_first: bool) -> bytes:
    try:
        # zlib returns what it could not take for lack of space; there is space for all, or the request is rejected.
        return inflater.decompress(chunk, most)
    except (zlib.error, ZstdError, EOFError) as error:
        if is_first:
            raise MalformedError(f"the body is not {name}, though Content-Encoding says so: {error}") from error
        raise MalformedError(f"the {name} body is damaged, or something else follows it: {error}") from error
