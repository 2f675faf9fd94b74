"""Times as other people's programs write them: RFC 3339 with any offset and fraction, or a number since 1970."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
EARLIEST: Final = datetime.min.replace(tzinfo=UTC)
LATEST: Final = datetime.max.replace(tzinfo=UTC)
# Each unit's numbers of the years 1973 to 5138 lie between its bound and the next one's.
_UNITS: Final = ((1e11, 1.0), (1e14, 1e3), (1e17, 1e6), (math.inf, 1e9))
_LEAP_SECOND: Final = re.compile(r"(:\d\d):60(?=[.Zz+-]|$)")
_NUMBER: Final = re.compile(r"[+-]?\d{1,30}(\.\d{1,30})?")
_LONGEST: Final = 64  # characters of a time in text
_DATETIME: Final = TypeAdapter(datetime)


def parse_instant(value: Any) -> datetime:
    """A UTC time from text (without an offset it is UTC) or from seconds, ms, µs or ns since 1970.

    A time whose conversion to UTC leaves the years 1 to 9999 becomes the first or last moment of them.

    Raises:
        ValueError: not a time; says what was found.
    """
    if isinstance(value, datetime):
        return _to_utc(value)
    if isinstance(value, str) and len(value) <= _LONGEST:
        text = value.strip()
        if _NUMBER.fullmatch(text):
            return _from_number(float(text) if "." in text else int(text))
        try:
            return _to_utc(_DATETIME.validate_python(_LEAP_SECOND.sub(r"\1:59", text)))
        except ValidationError:
            pass
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        return _from_number(value)
    shown = repr(value)
    shown = shown if len(shown) <= _LONGEST else shown[:_LONGEST] + "…"
    raise ValueError(f"{shown} is not a time; write it like 2026-03-01T12:00:00Z, or as seconds since 1970")


def _to_utc(at: datetime) -> datetime:
    if at.tzinfo is None:
        return at.replace(tzinfo=UTC)
    try:
        return at.astimezone(UTC)
    except OverflowError:  # the local year is within 1 to 9999, the UTC one is not
        return EARLIEST if at.year == 1 else LATEST


def _from_number(number: float) -> datetime:
    if isinstance(number, float) and not math.isfinite(number):
        raise ValueError(f"{number} is not a time; write it like 2026-03-01T12:00:00Z, or as seconds since 1970")
    size = abs(number)
    per_second = next(unit for bound, unit in _UNITS if size < bound)
    try:
        # Whole numbers stay whole: a float of nanoseconds is exact to 256 ns only.
        micros = int(number) * 1_000_000 // int(per_second) if isinstance(number, int) else number / per_second * 1e6
        return EPOCH + timedelta(microseconds=micros)
    except OverflowError:
        return EARLIEST if number < 0 else LATEST
