"""Hours of the day, days of the week and dates, as a configuration file writes them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import date, timedelta
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BeforeValidator

DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
ALL_DAY: Final = "00:00-24:00"
MINUTES: Final = 24 * 60
LONGEST_DATES: Final = timedelta(days=400)


def office_hours(text: str) -> tuple[int, int]:
    """The minutes of the day between which something may begin. Raises ValueError for anything but `09:00-17:00`."""
    first, last = _minutes(text)
    if not first < last <= MINUTES:
        raise ValueError("must end after it begins, and on the same day")
    return first, last


def duty_hours(text: str) -> tuple[int, int]:
    """The minutes from a day's midnight between which somebody is on call; those of a night end on the next day.

    Raises:
        ValueError: anything but `09:00-17:00` or `22:00-06:00`.

    >>> duty_hours("22:00-06:00")
    (1320, 1800)
    """
    first, last = _minutes(text)
    if first == last or last > MINUTES:
        raise ValueError("must end at another time than it begins, at 24:00 at the latest; all day is 00:00-24:00")
    return first, last if last > first else last + MINUTES


def _minutes(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-4]):([0-5]\d)", text)
    if not match:
        raise ValueError("write hours like 09:00-17:00")
    first, last = (60 * int(match[i]) + int(match[i + 1]) for i in (1, 3))
    return first, last


def dates(text: str) -> tuple[date, date]:
    """The first and the last day. Raises ValueError for anything but `2026-12-24` or `2026-12-24..2027-01-02`."""
    first, _, last = text.partition("..")
    try:
        span = date.fromisoformat(first), date.fromisoformat(last or first)
    except ValueError as error:
        raise ValueError("write a day like 2026-12-24, or days like 2026-12-24..2027-01-02") from error
    if not timedelta(0) <= span[1] - span[0] <= LONGEST_DATES:
        raise ValueError("must end on its first day or later, within 400 days")
    return span


def _office(text: str) -> str:
    office_hours(text)
    return text


def _duty(text: str) -> str:
    duty_hours(text)
    return text


def _dates(text: str) -> str:
    dates(text)
    return text


def _as_text(given: Any) -> Any:
    """YAML reads `2026-12-24` as a date."""
    return [str(day) if isinstance(day, date) else day for day in given] if isinstance(given, (list, tuple)) else given


def is_in(day: date, spans: Iterable[str]) -> bool:
    """Whether a day is one of some `dates`."""
    return any(first <= day <= last for first, last in map(dates, spans))


OfficeHours = Annotated[str, AfterValidator(_office)]
DutyHours = Annotated[str, AfterValidator(_duty)]
Dates = Annotated[tuple[Annotated[str, AfterValidator(_dates)], ...], BeforeValidator(_as_text)]
