"""Length-delimited records: how export requests stand one after the other in a segment."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

_LONGEST_LENGTH: Final = 35  # bits of a length that this log ever wrote


def varint(number: int) -> bytes:
    """A protobuf varint."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def framed(records: Sequence[bytes]) -> bytes:
    """Records, each after its length."""
    return b"".join(part for record in records for part in (varint(len(record)), record))


def records(data: bytes) -> list[bytes]:
    """The whole records at the start of `data`."""
    return [data[begin:end] for begin, end in _places(data)]


def whole_records(data: bytes, is_valid: Callable[[bytes], bool]) -> int:
    """How many bytes of `data` are whole, valid records."""
    at = 0
    for begin, end in _places(data):
        if not is_valid(data[begin:end]):
            return at
        at = end
    return at


def _places(data: bytes) -> Iterator[tuple[int, int]]:
    at = 0
    while at < len(data):
        length, shift, cursor = 0, 0, at
        while cursor < len(data) and shift < _LONGEST_LENGTH:
            byte = data[cursor]
            length |= (byte & 0x7F) << shift
            shift, cursor = shift + 7, cursor + 1
            if byte < 0x80:
                break
        else:
            return
        if cursor + length > len(data):
            return
        yield cursor, cursor + length
        at = cursor + length
