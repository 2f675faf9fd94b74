"""Plain JSON: what JSON allows and no program means is rejected here, before it fails later, far away."""

from __future__ import annotations

import json
from typing import Any, Final

from watchkeeper.text import one_line

LARGEST_NUMBER: Final = 2**53  # up to here every reader of JSON agrees on a whole number
DEEPEST: Final = 24  # levels, far more than a Block Kit message or a callback of a page needs


class NotPlainError(ValueError):
    """What was sent is no plain JSON; the text says why, in one line."""


def plain_json(body: bytes | str, *, deepest: int = DEEPEST) -> Any:
    """The tree in a body.

    Raises:
        NotPlainError: it is no JSON, is nested deeper than `deepest`, or holds NaN, an infinity, a number beyond
            `LARGEST_NUMBER`, NUL or half of a surrogate pair.
    """
    try:
        tree = json.loads(body, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise NotPlainError(f"the body is not JSON: {one_line(error, 120)}") from error
    check_plain(tree, deepest)
    return tree


def plain_object(body: bytes | str, *, deepest: int = DEEPEST) -> dict[str, Any]:
    """The object in a body.

    Raises:
        NotPlainError: as `plain_json`, and where it is no object.
    """
    tree = plain_json(body, deepest=deepest)
    if not isinstance(tree, dict):
        raise NotPlainError("the body is not a JSON object")
    return tree


def check_plain(value: Any, depth: int) -> None:
    """Refuse in a tree what `plain_json` refuses."""
    if depth < 0:
        raise NotPlainError("the body is nested too deep")
    match value:
        case str():
            if "\x00" in value or any("\ud800" <= character <= "\udfff" for character in value):
                raise NotPlainError("a text holds NUL, or half of a character")
        case float() | int():
            if not abs(value) <= LARGEST_NUMBER:  # so that NaN is refused, too
                raise NotPlainError("a number is out of reach")
        case list():
            for item in value:
                check_plain(item, depth - 1)
        case dict():
            for key, item in value.items():
                check_plain(key, depth)
                check_plain(item, depth - 1)


def _no_number(text: str) -> None:
    raise ValueError(f"{text} is no number")
