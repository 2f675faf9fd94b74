"""Secrets of an experiment never leave it: not in its journal, its log, or an error.

Whatever text is written passes through here. A secret is replaced wherever it stands, in the spellings that headers,
addresses and JSON give it.
"""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import quote, quote_plus

HIDDEN: Final = "(secret)"
# A shorter one is part of so many words that hiding it would hide the text.
SHORTEST: Final = 4


class Redactor:
    """Replaces what it knows to be secret in texts and in everything that holds texts."""

    def __init__(self, secrets: Any = ()) -> None:
        spellings = {spelling for text in _texts(secrets) for spelling in _spellings(text)}
        # The longest first: one secret may be part of another.
        self._hidden = sorted((each for each in spellings if len(each) >= SHORTEST), key=len, reverse=True)

    def text(self, text: str) -> str:
        """The text without secrets."""
        for secret in self._hidden:
            text = text.replace(secret, HIDDEN)
        return text

    def anything(self, value: Any) -> Any:
        """A copy without secrets of what JSON can hold; other values are written as text where they hold one."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {self._key(key): self.anything(inner) for key, inner in value.items()}
        if isinstance(value, (list, tuple, set, frozenset)):
            return [self.anything(inner) for inner in value]
        if value is None or isinstance(value, (bool, int, float)):
            return HIDDEN if str(value) in self._hidden else value
        text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
        return self.text(text)

    def _key(self, key: Any) -> Any:
        known = self.anything(key)
        return self.text(str(key)) if isinstance(known, (dict, list)) else known


class RedactingFormatter(logging.Formatter):
    """A formatter of log lines, tracebacks included."""

    def __init__(self, redactor: Redactor, form: str) -> None:
        super().__init__(form)
        self._redactor = redactor

    def format(self, record: logging.LogRecord) -> str:
        return self._redactor.text(super().format(record))


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from _texts(inner)
    elif isinstance(value, bytes):
        yield value.decode("utf-8", "replace")
    elif value is not None and not isinstance(value, bool):
        yield str(value)


def _spellings(secret: str) -> Iterator[str]:
    yield secret
    yield secret.strip()
    yield quote(secret, safe="")
    yield quote(secret)
    yield quote_plus(secret)
    yield json.dumps(secret)[1:-1]
    yield json.dumps(secret, ensure_ascii=False)[1:-1]
    yield repr(secret)[1:-1]
    # As a header of basic authentication has it, after `user:` of any length: the middle of the coded text is the same.
    for shift in range(3):
        coded = base64.b64encode(b"\0" * shift + secret.encode()).decode().rstrip("=")
        # The first characters depend on what stands before, the last one on what comes after.
        yield coded[(shift * 8 + 5) // 6 : -1]
    yield base64.b64encode(secret.encode()).decode()
