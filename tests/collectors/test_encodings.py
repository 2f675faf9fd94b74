"""Content-Encoding: whole bodies in every form that exporters use, and nothing by halves."""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Callable

import pytest
from backports import zstd

from collectors.receivers.encodings import MOST_MEMBERS, unpacked
from collectors.receivers.rejections import MalformedError, TooLargeError, UnsupportedError

LIMIT = 1 << 20
PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "deflate": zlib.compress,
    "zstd": zstd.compress,
}
BODY = os.urandom(200_000) + b"spans " * 50_000

encodings = pytest.mark.parametrize("encoding", PACKERS)


@encodings
def test_a_body_is_unpacked(encoding: str) -> None:
    """In any case of letters, with blanks around it."""
    assert unpacked(PACKERS[encoding](BODY), f" {encoding.upper()} ", LIMIT) == BODY


@encodings
def test_all_members_are_unpacked(encoding: str) -> None:
    """Several members back to back are one stream, empty ones too; nothing of it is lost."""
    pack = PACKERS[encoding]
    parts = [BODY[:1], BODY[1:70_000], b"", BODY[70_000:]]
    assert unpacked(b"".join(map(pack, parts)), encoding, LIMIT) == BODY


@encodings
@pytest.mark.parametrize("cut", [1, 4, 9, 1000, 150_000])
def test_a_body_that_is_cut_short_is_refused(encoding: str, cut: int) -> None:
    """Half a body is no body."""
    with pytest.raises(MalformedError):
        unpacked(PACKERS[encoding](BODY)[:-cut], encoding, LIMIT)
    with pytest.raises(MalformedError):
        unpacked(PACKERS[encoding](b"first") + PACKERS[encoding](BODY)[:-cut], encoding, LIMIT)


@encodings
@pytest.mark.parametrize("rest", [b"garbage", b"\x00", b"\x00" * 512, b"{}", b"\x1f\x8b", b"\x1f"])
def test_what_follows_the_end_is_refused(encoding: str, rest: bytes) -> None:
    """It is reported, not dropped."""
    with pytest.raises(MalformedError):
        unpacked(PACKERS[encoding](BODY) + rest, encoding, LIMIT)


@encodings
@pytest.mark.parametrize("body", [b"", b"x", b"not packed at all", b"\x0a" * 100])
def test_what_is_not_packed_is_refused(encoding: str, body: bytes) -> None:
    """Whatever the header says."""
    with pytest.raises(MalformedError):
        unpacked(body, encoding, LIMIT)


@encodings
def test_a_small_body_becomes_no_huge_one(encoding: str) -> None:
    """Unpacking stops at the limit, in one member or in all together; a body of just the limit is taken."""
    pack = PACKERS[encoding]
    assert len(unpacked(pack(b"\x00" * LIMIT), encoding, LIMIT)) == LIMIT
    for body in (pack(b"\x00" * (LIMIT + 1)), pack(b"\x00" * (LIMIT // 2)) * 3, pack(b"\x00" * (64 << 20))):
        with pytest.raises(TooLargeError):
            unpacked(body, encoding, LIMIT)


@encodings
def test_members_without_end_are_refused(encoding: str) -> None:
    """Thousands of empty members would cost much and hold nothing."""
    with pytest.raises(MalformedError, match="members"):
        unpacked(PACKERS[encoding](b"") * (MOST_MEMBERS + 1), encoding, LIMIT)


def test_a_bare_deflate_stream_is_taken() -> None:
    """Some call a stream without zlib's frame deflate."""
    packer = zlib.compressobj(wbits=-15)
    assert unpacked(packer.compress(BODY) + packer.flush(), "deflate", LIMIT) == BODY


def test_a_zstd_window_is_bounded() -> None:
    """A frame that would have us remember hundreds of MiB is refused."""
    options = {zstd.CompressionParameter.window_log: 27, zstd.CompressionParameter.enable_long_distance_matching: 1}
    packer = zstd.ZstdCompressor(options=options)
    with pytest.raises(MalformedError):
        unpacked(packer.compress(BODY) + packer.flush(), "zstd", LIMIT)


@pytest.mark.parametrize("encoding", ["br", "compress", "gzip, gzip", "deflate,zstd", "x", "snappy"])
def test_other_encodings_are_unsupported(encoding: str) -> None:
    """The message lists what is known."""
    with pytest.raises(UnsupportedError, match="gzip, deflate, zstd"):
        unpacked(b"", encoding, LIMIT)


@pytest.mark.parametrize("encoding", ["", "identity", " Identity ,"])
def test_no_encoding_is_none(encoding: str) -> None:
    """The body is as it came."""
    assert unpacked(BODY, encoding, LIMIT) is BODY
