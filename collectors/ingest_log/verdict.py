"""What a failed load means: for the segment, the store, or the moment."""

from __future__ import annotations

from enum import Enum
from typing import Final

from watchkeeper.store.statements import RejectedError, TimedOutError

# ClickHouse's codes for a body that its decoder can't read. The whole body is read before anything is stored.
UNREADABLE: Final = frozenset(
    # assertion, quoted text, date, time, eof, all data; overflow, type; number; incorrect; array, string too large;
    {26, 27, 32, 33, 38, 41, 53, 69, 70, 72, 117, 128, 131}
    # Protobuf: field not repeated, bad cast, required field, unknown format; cannot parse text, bool, decimal
    | {434, 435, 436, 437, 438, 441, 442, 443, 444, 467, 407}
)
OUT_OF_MEMORY: Final = frozenset({173, 241})
# Codes that speak of the store or of the moment, never of the data: time, connections, queries, disk, parts, replicas,
# Keeper, tables that are not there yet, a password that is being changed, shutting down.
STORE_SIDE: Final = frozenset(
    {3, 60, 81, 159, 160, 164, 192, 193, 194, 198, 202, 203, 209, 210, 218, 225, 236, 242, 243, 244, 252, 254, 265}
    | {279, 285, 286, 289, 297, 298, 305, 319, 335, 336, 341, 364, 394, 415, 416, 425, 439, 473, 497, 516, 517, 999}
)
SMALLEST_ITEM: Final = 8  # bytes of a log line with a time and nothing else, about


class Verdict(Enum):
    """Whose failure it is."""

    AWAY = "the store can't be reached"
    STORE = "the store can't take anything, or not now"
    UNREADABLE = "the store can't read this segment"
    TOO_LARGE = "the store has not enough memory for this segment"
    UNKNOWN = "not known"


def judge(error: Exception, size: int, memory_mib: int) -> Verdict:
    """The first guess, from the error and the segment's size in bytes."""
    if isinstance(error, TimedOutError):
        return Verdict.STORE
    # Code 0 is no answer of ClickHouse's: a balancer in front of it.
    if not isinstance(error, RejectedError) or error.code == 0:
        return Verdict.AWAY
    if error.code in UNREADABLE:
        return Verdict.UNREADABLE
    if error.code in OUT_OF_MEMORY:
        return Verdict.TOO_LARGE if largest_rows(size) > (memory_mib << 20) // 8 else Verdict.STORE
    return Verdict.STORE if error.code in STORE_SIDE else Verdict.UNKNOWN


def largest_rows(size: int) -> int:
    """How many bytes of rows a segment of `size` bytes can become at most.

    The worst is half of it in one attribute of the resource, and the other half in the smallest items, each of which
    becomes a row with that attribute.
    """
    return size + (size // 2) * (size // 2 // SMALLEST_ITEM)


def is_before_storing(error: Exception) -> bool:
    """Whether nothing of the segment can be in the store: it failed while its bytes were read."""
    return isinstance(error, RejectedError) and error.code in UNREADABLE and "pushing to view" not in error.message
