"""The last hour and the last week at a glance: when an incident was open, as a strip and as a calendar of hours."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from dash import html

from dashboard.components.elements import Part, card
from dashboard.components.wording import clock_text, count
from dashboard.reads.records import Spell
from dashboard.reads.sources import Sources
from dashboard.viewer import Viewer
from watchkeeper.durations import duration

HOUR_CELLS: Final = 12
CELL: Final = timedelta(minutes=5)
DAYS: Final = 7
HOUR: Final = timedelta(hours=1)
NAMED_HOURS: Final = 6  # every so many hours one is named
# A cell's tone and its mark: the mark is enough without the colour.
PAGE: Final = ("failing", "◆")
TICKET: Final = ("degraded", "▪")
QUIET: Final = ("quiet-cell", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """How many incidents were open within a span of time."""

    start: datetime
    end: datetime
    pages: int
    tickets: int

    @property
    def look(self) -> tuple[str, str]:
        """Tone and mark."""
        return PAGE if self.pages else TICKET if self.tickets else QUIET


def cells(spells: Iterable[Spell], start: datetime, width: timedelta, number: int) -> list[Cell]:
    """Spans of `width` from `start`, each with the incidents that were open within it."""
    known = list(spells)
    made = []
    for index in range(number):
        first, last = start + width * index, start + width * (index + 1)
        within = [one.severity for one in known if one.start < last and (one.end is None or one.end > first)]
        made.append(Cell(start=first, end=last, pages=within.count("page"), tickets=within.count("ticket")))
    return made


def glance_card(sources: Sources, viewer: Viewer) -> Part:
    """The strip of the hour, and below it a row of hours for each of seven days in the reader's time zone."""
    now = viewer.now
    today = now.astimezone(viewer.zone).replace(hour=0, minute=0, second=0, microsecond=0)
    days = [today - timedelta(days=DAYS - 1 - index) for index in range(DAYS)]
    spells = sources.records.spells(days[0].astimezone(now.tzinfo))
    past = [one for one in spells if one.start <= now]
    hour = cells(past, _floor(now) - CELL * (HOUR_CELLS - 1), CELL, HOUR_CELLS)
    week = [_hours(past, day, now) for day in days]
    return card(
        "At a glance",
        html.Div(
            [
                html.Div("Last hour", className="glance-name"),
                _row(hour, viewer, "hour-strip", _sentence("the last hour", past, now - HOUR, now)),
            ],
            className="glance-strip",
        ),
        html.Div(
            [
                html.Div("", className="glance-name"),
                html.Div(
                    [html.Span(f"{n:02d}" if n % NAMED_HOURS == 0 else "") for n in range(24)],
                    className="week-strip muted",
                    **{"aria-hidden": "true"},
                ),
            ],
            className="glance-strip",
        ),
        *[
            html.Div(
                [
                    html.Div(f"{day:%a} {day.day}", className="glance-name"),
                    _row(row, viewer, "week-strip", _sentence(f"{day:%A}", past, row[0].start, row[-1].end)),
                ],
                className="glance-strip",
            )
            for day, row in zip(days, week, strict=True)
        ],
        html.P("◆ a page was open, ▪ a ticket", className="muted glance-key"),
        aside=_sentence("seven days", past, days[0], now),
    )


def _hours(spells: Sequence[Spell], day: datetime, now: datetime) -> list[Cell]:
    """The hours of a day until now, by the wall clock: 23 or 25 where the clock changes."""
    following = (day + timedelta(days=1)).astimezone(now.tzinfo)
    start = day.astimezone(now.tzinfo)
    number = int((min(following, now + HOUR) - start) / HOUR)
    return cells(spells, start, HOUR, max(1, number))


def _row(row: Sequence[Cell], viewer: Viewer, kind: str, words: str) -> Part:
    marks = []
    for cell in row:
        tone, mark = cell.look
        begins = clock_text(cell.start, viewer.zone, viewer.now, seconds=False)
        marks.append(html.Span(mark, className=f"cell-mark {tone}", title=f"{begins}: {_counts(cell)}"))
    return html.Div(marks, className=kind, role="img", **{"aria-label": words})


def _counts(cell: Cell) -> str:
    parts = [count(cell.pages, "page")] if cell.pages else []
    parts += [count(cell.tickets, "ticket")] if cell.tickets else []
    return " and ".join(parts) + " open" if parts else "no incident open"


def _sentence(name: str, spells: Sequence[Spell], start: datetime, end: datetime) -> str:
    """`3 pages in the last hour, open for 25 min`: the time in which at least one page was open."""
    within = [one for one in spells if one.start < end and (one.end is None or one.end > start)]
    pages = [one for one in within if one.severity == "page"]
    tickets = len(within) - len(pages)
    if not within:
        return f"no incident in {name}"
    spans = sorted((max(one.start, start), min(one.end or end, end)) for one in pages)
    opened, until = timedelta(0), start
    for first, last in spans:
        opened += max(timedelta(0), last - max(first, until))
        until = max(until, last)
    parts = [f"{count(len(pages), 'page')} ({duration(opened)})"] if pages else []
    parts += [count(tickets, "ticket")] if tickets else []
    return f"{', '.join(parts)} in {name}"


def _floor(now: datetime) -> datetime:
    """The last whole five minutes: the newest cell is the one that goes on."""
    return now - timedelta(minutes=now.minute % 5, seconds=now.second, microseconds=now.microsecond)
