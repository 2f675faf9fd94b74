"""Spans of time: how messages write them, and how long to wait before another try."""

from __future__ import annotations

import random
import re
from datetime import timedelta


def duration(span: timedelta | float) -> str:
    """A span (in seconds, where it is a number) in the units that read best; a negative one counts as none.

    >>> [duration(seconds) for seconds in (0.0042, 0.3, 2.14, 38, 125, 7500, 360_000)]
    ['4.2 ms', '300 ms', '2.1 s', '38 s', '2 min 5 s', '2 h 5 min', '4 d 4 h']
    """
    seconds = max(0.0, span.total_seconds() if isinstance(span, timedelta) else span)
    if 0 < seconds < 0.9995:
        return f"{seconds * 1000:.2g} ms" if seconds < 0.00995 else f"{seconds * 1000:.0f} ms"
    if seconds < 9.95:
        return f"{seconds:.1f}".removesuffix(".0") + " s"
    minutes, rest = divmod(round(seconds), 60)
    if not minutes:
        return f"{rest} s"
    if minutes < 60:
        return f"{minutes} min {rest} s" if minutes < 5 and rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h" if hours else f"{days} d"


_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_SPAN = re.compile(r"(?:\d{1,6}[smhd])+")


def seconds_of(text: str) -> int:
    """A span as somebody types it, in seconds.

    Raises:
        ValueError: it is none; says how to write one.

    >>> [seconds_of(text) for text in ("90s", "30m", "1h30m", "2d")]
    [90, 1800, 5400, 172800]
    """
    plain = text.strip().replace(" ", "")
    if not _SPAN.fullmatch(plain):
        raise ValueError(f"{text[:40]!r} is no span of time; write it like 30m, 2h or 1d12h")
    return sum(int(number) * _UNITS[unit] for number, unit in re.findall(r"(\d+)([smhd])", plain))


def typed_span(seconds: float) -> str:
    """A span as somebody would type it; parts of a second are left out.

    >>> [typed_span(seconds) for seconds in (0, 90, 5400, 604_800)]
    ['0s', '1m30s', '1h30m', '7d']
    """
    parts, rest = [], int(seconds)
    for unit in ("d", "h", "m", "s"):
        number, rest = divmod(rest, _UNITS[unit])
        parts += [f"{number}{unit}"] if number else []
    return "".join(parts) or "0s"


def backoff_s(failures: int, first_s: float, longest_s: float) -> float:
    """Seconds to wait after so many failures in a row (from 1): twice as long each time.

    >>> [backoff_s(failures, 0.5, 30) for failures in (1, 2, 3, 8)]
    [0.5, 1.0, 2.0, 30.0]
    """
    return float(min(longest_s, first_s * 2.0 ** min(max(failures, 1) - 1, 30)))


def spread_s(wait_s: float) -> float:
    """A wait, cut by up to a half at random, so that many who failed together do not try again together."""
    return wait_s * random.uniform(0.5, 1.0)  # noqa: S311 - no secret
