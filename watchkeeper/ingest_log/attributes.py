"""Array and key-value attributes, to JSON text: the store's maps hold text only.

They are rare. A scan of the serialised bytes finds almost every request that has none, so that only the
others are decoded and rewritten in Python.
"""

from __future__ import annotations

import base64
import json
import re
from typing import Any, Final

# A KeyValue's value (field 2) or a log's body (field 5), its length, then an array (5) or a key-value list (6).
_CANDIDATE: Final = re.compile(
    rb"[\x12\x2a](?:[\x00-\x7f]|[\x80-\xff][\x00-\x7f]|[\x80-\xff]{2}[\x00-\x7f])[\x2a\x32]", re.DOTALL
)


def may_nest(payload: bytes) -> bool:
    """Whether some attribute of a serialised request may be an array or a key-value list.

    Never false for a request that holds one of up to 2 MiB; seldom true by accident (about once in 500
    requests of 500 spans), since the two lengths must agree.
    """
    for found in _CANDIDATE.finditer(payload):
        outer, at = _varint(payload, found.start() + 1)
        inner, after = _varint(payload, at + 1)
        if outer == inner + (after - at):
            return True
    return False


def _varint(data: bytes, at: int) -> tuple[int, int]:
    number, shift = 0, 0
    while at < len(data) and shift < 35:
        byte = data[at]
        number |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            break
    return number, at


def flatten(message: Any) -> None:
    """Turn every array and key-value list in a decoded request into JSON text, in place."""
    for descriptor, value in message.ListFields():
        if descriptor.message_type is None:
            continue
        items = [value] if not _repeated(value) else value
        if descriptor.message_type.name == "AnyValue":
            for item in items:
                if item.WhichOneof("value") in ("array_value", "kvlist_value"):
                    item.string_value = json.dumps(_plain(item), ensure_ascii=False)
        else:
            for item in items:
                flatten(item)


def _repeated(value: Any) -> bool:
    return hasattr(value, "append")


def _plain(value: Any) -> Any:
    match value.WhichOneof("value"):
        case "array_value":
            return [_plain(item) for item in value.array_value.values]
        case "kvlist_value":
            return {pair.key: _plain(pair.value) for pair in value.kvlist_value.values}
        case "bytes_value":
            return base64.b64encode(value.bytes_value).decode()
        case None:
            return None
        case kind:
            return getattr(value, kind)
