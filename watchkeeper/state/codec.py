"""The vocabulary's values as JSON text, and back, validated."""

from __future__ import annotations

from functools import cache
from typing import TypeVar

from pydantic import TypeAdapter

T = TypeVar("T")


@cache
def _adapter(kind: type[T]) -> TypeAdapter[T]:
    return TypeAdapter(kind)


def dump(value: object) -> str:
    """A frozen value of the vocabulary as JSON text."""
    return _adapter(type(value)).dump_json(value).decode()


def parse(kind: type[T], text: str) -> T:
    """The value that `dump` wrote."""
    return _adapter(kind).validate_json(text)
