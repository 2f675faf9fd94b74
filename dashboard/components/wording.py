"""Numbers, spans and times as a person reads them at three in the morning."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from watchkeeper.durations import duration

NOTHING = "–"


def milliseconds(value: float | None) -> str:
    """A latency in milliseconds as text: `0.8 ms`, `41 ms`, `1.25 s`, `2 min`.

    >>> milliseconds(1250.0)
    '1.25 s'
    """
    if value is None or math.isnan(value):
        return NOTHING
    if value < 10:
        return f"{value:.1f} ms"
    if value < 1000:
        return f"{value:.0f} ms"
    if value < 60_000:
        return f"{value / 1000:.3g} s"
    return f"{value / 60_000:.3g} min"


def per_second(value: float | None) -> str:
    """A rate of requests a second as text: `0.4/s`, `12/s`, `1.2k/s`."""
    if value is None or math.isnan(value):
        return NOTHING
    if value >= 1000:
        return f"{value / 1000:.3g}k/s"
    return f"{value:.1f}/s" if value < 10 else f"{value:.0f}/s"


def percent(ratio: float | None) -> str:
    """A share from 0 to 1 as text: `0 %`, `0.3 %`, `41 %`. What is not zero never reads as zero."""
    if ratio is None or math.isnan(ratio):
        return NOTHING
    value = ratio * 100
    if value == 0:
        return "0 %"
    if value < 0.1:
        return "<0.1 %"
    if value < 10:
        return f"{value:.1f} %"
    return f"{value:.0f} %"


def likely(probability: float) -> str:
    """A probability as text that never claims certainty: `>99 %`, `82 %`, `<1 %`."""
    if probability >= 0.995:
        return ">99 %"
    return "<1 %" if probability < 0.005 else f"{probability * 100:.0f} %"


def amount(value: float | None, unit: str = "") -> str:
    """A value in its own unit, with three digits that count."""
    if value is None or math.isnan(value):
        return NOTHING
    if unit.startswith("of "):
        return f"{percent(value)} {unit}"
    if unit == "ms":
        return milliseconds(value)
    if unit in {"%", "ratio"}:
        return percent(value if unit == "ratio" else value / 100)
    text = f"{value:,.3g}" if abs(value) < 1000 else f"{value:,.0f}"
    return f"{text} {unit}".rstrip()


def measured(value: float | None, unit: str) -> str:
    """A metric's value with its unit as OpenTelemetry writes units: `By`, `s`, `ms`, `1`, `{request}`, `By/s`.

    >>> measured(3_221_225_472, "By"), measured(0.25, "s"), measured(12, "{request}/s"), measured(0.5, "1")
    ('3 GiB', '250 ms', '12 request/s', '0.5')
    """
    if value is None or math.isnan(value):
        return NOTHING
    plain, slash, per = unit.partition("/")
    if plain == "By":
        return size(value) + slash + per
    if plain == "s" and not per and value >= 0:
        return milliseconds(value * 1000)
    if plain == "ms" and not per and value >= 0:
        return milliseconds(value)
    name = plain.strip("{}") if plain != "1" else ""
    return f"{amount(value)} {name}{slash}{per}".replace(" /", "/").rstrip()


def size(value: float) -> str:
    """Bytes as text: `512 B`, `1.5 KiB`, `3 GiB`."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(value) < 1024:
            return f"{value:.3g} {unit}"
        value /= 1024
    return f"{value:,.3g} TiB"


def count(number: int, singular: str, plural: str | None = None) -> str:
    """`1 service`, `3 services`."""
    return f"{number:,} {singular if number == 1 else plural or singular + 's'}"


def listed(words: Sequence[str]) -> str:
    """`cart`, `cart and orders`, `cart, orders and web`."""
    if len(words) < 2:
        return "".join(words)
    return ", ".join(words[:-1]) + " and " + words[-1]


def zone_named(name: str) -> ZoneInfo:
    """The time zone of an IANA name; UTC for a name that this machine does not know."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return ZoneInfo("UTC")


def utc_text(at: datetime) -> str:
    """The moment in UTC, for a hover and for a link: `2026-11-25 02:47:53 UTC`."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def clock_text(at: datetime, zone: ZoneInfo, now: datetime, *, seconds: bool = True) -> str:
    """The time of day in `zone`; with its date when that is not `now`'s."""
    local = at.astimezone(zone)
    time = f"{local:%H:%M:%S}" if seconds else f"{local:%H:%M}"
    today = now.astimezone(zone).date()
    if local.date() == today:
        return time
    year = f" {local:%Y}" if local.year != today.year else ""
    return f"{local:%a} {local.day} {local:%b}{year} {time}"


def ago(at: datetime, now: datetime) -> str:
    """`just now`, `12 s ago`, `3 min ago`; `in 2 h` for what is to come."""
    seconds = (now - at).total_seconds()
    if abs(seconds) < 2:
        return "just now"
    return f"{duration(round(seconds))} ago" if seconds > 0 else f"in {duration(round(-seconds))}"
