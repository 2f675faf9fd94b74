"""Ids in parts that fit into one statement."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, TypeVar

T = TypeVar("T")
CHUNK: Final = 500  # well below SQLite's limit of 32,766 variables


def chunks(ids: Sequence[T]) -> Iterator[Sequence[T]]:
    """The ids in order, at most `CHUNK` at once.

    >>> [len(part) for part in chunks(range(1200))]
    [500, 500, 200]
    """
    return (ids[start : start + CHUNK] for start in range(0, len(ids), CHUNK))
