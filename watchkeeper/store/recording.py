"""Which statements gave an answer, so that whoever sees a number can run its query again.

Nothing is recorded unless somebody asks for it: `with recording() as made` collects what the block reads, in this
thread and its context alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final

_PARAMETER: Final = re.compile(r"\{(\w+):[^{}]+\}")
_ESCAPES: Final = str.maketrans({"\\": "\\\\", "'": "\\'", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\0": "\\0"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """One SELECT with the parameters that it was sent with; `read` names the read that it was made for, if any."""

    sql: str
    parameters: Mapping[str, Any]
    read: str = ""

    def filled(self) -> str:
        """The SQL with its values in place of `{name:Type}`: any ClickHouse client runs it."""
        return _PARAMETER.sub(self._value, self.sql)

    def _value(self, match: re.Match[str]) -> str:
        name = match.group(1)
        return _literal(self.parameters[name]) if name in self.parameters else match.group(0)


_made: ContextVar[list[Statement] | None] = ContextVar("made", default=None)


@contextmanager
def recording() -> Iterator[list[Statement]]:
    """Collect the statements that the block runs; an outer recording does not get them."""
    made: list[Statement] = []
    token = _made.set(made)
    try:
        yield made
    finally:
        _made.reset(token)


def note(statements: Sequence[Statement]) -> None:
    """Add statements to the recording that is on, if one is: also those whose answer was remembered."""
    made = _made.get()
    if made is not None:
        made.extend(statements)


def noted() -> Sequence[Statement]:
    """What the recording that is on has so far; nothing where none is."""
    return tuple(_made.get() or ())


def _literal(value: Any) -> str:
    """A value as ClickHouse's SQL has it.

    >>> _literal(["it's", 1.5])
    "['it\\\\\\\\'s', 1.5]"
    """
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, str):
        return f"'{value.translate(_ESCAPES)}'"
    if isinstance(value, (list, tuple)):
        opening, closing = "[]" if isinstance(value, list) else "()"
        return opening + ", ".join(_literal(item) for item in value) + closing
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_literal(key)}: {_literal(item)}" for key, item in value.items()) + "}"
    return "NULL" if value is None else str(value)
