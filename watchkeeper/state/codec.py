"""The vocabulary's values as JSON text, and back, validated."""

from __future__ import annotations

from functools import cache
from typing import Any, TypeVar

from pydantic import TypeAdapter

T = TypeVar("T")


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def dump(value: object) -> str:
    """A frozen value of the vocabulary as JSON text."""
    kind: Any = type(value)
    return _adapter(kind).dump_json(value).decode()


def parse(kind: type[T], text: str) -> T:
    """The value that `dump` wrote."""
    wanted: Any = kind
    value: T = _adapter(wanted).validate_json(text)
    return value
