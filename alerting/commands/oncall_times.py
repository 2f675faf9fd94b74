"""Times and spans as the commands about on call read them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from watchkeeper.clock import SystemClock
from watchkeeper.errors import ConfigError
from watchkeeper.vocabulary import Window

FIRST_YEAR: Final = 1900
LAST_YEAR: Final = 8999


def time_of(text: str | None) -> datetime:
    """An ISO time, by default now; without a zone it is UTC.

    Raises:
        ConfigError: it is no time, or one in which no rota can be worked out.
    """
    if text is None:
        return SystemClock().now()
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(f"{text!r} is not a time; write it like 2026-03-01T18:00") from error
    if not FIRST_YEAR <= at.year <= LAST_YEAR:
        raise ConfigError(f"{text!r}: the year must be from {FIRST_YEAR} to {LAST_YEAR}")
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


def span_of(start: str, end: str, options: str) -> Window:
    """From one time to another; `options` names those that gave them.

    Raises:
        ConfigError: it does not end after it starts.
    """
    try:
        return Window(start=time_of(start), end=time_of(end))
    except ValueError as error:
        raise ConfigError(f"it must end after it starts: {start} to {end}; check {options}") from error
