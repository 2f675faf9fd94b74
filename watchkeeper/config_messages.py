"""What a mistake in the configuration file is called, in the words of somebody who edits it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from watchkeeper.yaml_file import Location

WORDS: Final = {
    "extra_forbidden": "no such key; remove it, or check its spelling",
    "missing": "is required; add it",
    "tuple_type": "must be a list",
    "too_short": "must not be empty: add an item",
    "model_type": "must hold keys and values",
    "dict_type": "must hold keys and values",
    "string_type": "must be text; put it in quotes",
    "string_unicode": "holds half a character (a lone surrogate); remove it",
    "finite_number": "must be a finite number",
    "path_type": "must be a path",
}
# Keys that were renamed, without the places of list items: what to write instead of them.
RENAMED: Final = {
    "runbooks.target": "targets: {NAME: {kind: …, url: …, token_env: …}}",
    "oncall.people.slack_id": "addresses: {slack: …}",
    "learning.guard.alike": "similar",
    "learning.guard.alike_grave": "similar_severe",
    "learning.guard.grave_error_share": "severe_error_share",
    "learning.guard.grave_extra_ms": "severe_extra_ms",
}
# What these hold may be a secret that somebody put there by mistake: a message goes to terminals and logs.
PRIVATE: Final = ("_env", "sha256", "url", "targets", "settings")


def key_of(error: Any) -> Location:
    """The key that is wrong: of an entry of a mapping, whose own key may be, the entry."""
    return tuple(part for part in error["loc"] if part != "[key]")


def follows(error: Any, errors: Sequence[Any]) -> bool:
    """Whether an error only follows from others: a list is too short, because its items are wrong."""
    where = error["loc"]
    inside = (other for other in errors if other["loc"][: len(where)] == where and other["loc"] != where)
    return error["type"] == "too_short" and any(inside)


def plain(error: Any) -> str:
    """pydantic's message, in the words of somebody who edits a file."""
    key = ".".join(part for part in error["loc"] if isinstance(part, str))
    if error["type"] == "extra_forbidden" and key in RENAMED:
        return f"was renamed; write `{RENAMED[key]}` instead"
    message = WORDS.get(error["type"], str(error["msg"]).removeprefix("Value error, "))
    private = any(str(part).endswith(PRIVATE) for part in error["loc"])
    if private or error["type"] in ("extra_forbidden", "missing") or isinstance(error["input"], dict | list | tuple):
        return message
    found = repr(error["input"])
    return f"{message} (found {found if len(found) <= 80 else found[:79] + '…'})"
