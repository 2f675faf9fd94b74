"""The vocabulary's values as JSON text, and back, validated."""

from __future__ import annotations

import json
from functools import cache
from typing import Any, Final, TypeVar

from pydantic import TypeAdapter
from pydantic_core import PydanticSerializationError, to_jsonable_python

from watchkeeper.names import storable

T = TypeVar("T")
_NUL: Final = "\\u0000"


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def dump(value: object) -> str:
    """A frozen value of the vocabulary as JSON text. NUL and half a surrogate pair become a replacement character."""
    kind: Any = type(value)
    adapter = _adapter(kind)
    try:
        text = adapter.dump_json(value).decode()
    except PydanticSerializationError:
        text = _NUL
    if _NUL not in text:
        return text
    return json.dumps(to_jsonable_python(_storable(adapter.dump_python(value))), ensure_ascii=False)


def _storable(tree: Any) -> Any:
    if isinstance(tree, str):
        return storable(tree)
    if isinstance(tree, dict):
        return {_storable(key): _storable(value) for key, value in tree.items()}
    if isinstance(tree, list | tuple | set | frozenset):
        return [_storable(item) for item in tree]
    return tree


def parse(kind: type[T], text: str) -> T:
    """The value that `dump` wrote."""
    wanted: Any = kind
    value: T = _adapter(wanted).validate_json(text)
    return value
