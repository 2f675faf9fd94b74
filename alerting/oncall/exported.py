"""What another system's JSON export becomes here: people, schedules, policies, overrides, and a line for each. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict

from alerting.oncall.schedule import Override
from watchkeeper.config import LayerConfig, OnCallConfig, PersonConfig, PolicyConfig, ScheduleConfig
from watchkeeper.config_days import ALL_DAY, DAYS, Day
from watchkeeper.text import one_line

HowTaken = Literal["taken", "taken in part", "not taken"]
MINUTES_A_DAY: Final = 24 * 60
DAY_S: Final = 86_400
LONGEST_ID: Final = 64
# The label by which an escalation is chosen that the export names no service for.
LABEL: Final = "escalation_policy"


class Foreign(BaseModel):
    """A part of somebody else's JSON. What is not read here is ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """What became of one part of the export, and why not all of it."""

    how: HowTaken
    what: str
    why: str = ""

    def __str__(self) -> str:
        return f"{self.how}: {one_line(self.what, 200)}" + (f": {one_line(self.why, 400)}" if self.why else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Hours:
    """Hours of the day, as `09:00-17:00`, and the days on which they begin."""

    hours: str = ALL_DAY
    days: tuple[Day, ...] = DAYS


@dataclass(slots=True, kw_only=True)
class Export:
    """What was read so far. `people` are only those whom the rota does not know; `channels` are configured."""

    oncall: OnCallConfig
    mapped: Mapping[str, str]
    channels: Collection[str] = ()
    people: dict[str, PersonConfig] = field(default_factory=dict)
    schedules: dict[str, ScheduleConfig] = field(default_factory=dict)
    policies: dict[str, PolicyConfig] = field(default_factory=dict)
    overrides: list[Override] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)

    def note(self, how: HowTaken, what: str, why: str = "") -> None:
        """Add a line to the report."""
        self.lines.append(Line(how=how, what=what, why=why))

    def note_whole(self, what: str, before: int) -> None:
        """Add the line of what was taken: in part, if there are lines about its parts since there were `before`."""
        partly = len(self.lines) > before
        self.note("taken in part" if partly else "taken", what, "see above" if partly else "")

    def person(self, foreign_id: str, name: str, email: str) -> str:
        """Our id of somebody: mapped, known by name or e-mail address, or new."""
        for text in (name, email, foreign_id):
            if text in self.mapped:
                return self.mapped[text]
            known = self.oncall.named(text) if text else None
            if known:
                return known.id
        if foreign_id not in self.people:
            taken = [*self._taken(), *(schedule.id for schedule in self.oncall.schedules)]
            addresses = {"email": email} if email and "email" in self.channels else {}
            if not addresses:
                why = "no address of theirs is one of a configured channel: add one before they are on call"
                self.note("taken in part", f"person {name or foreign_id}", why)
            made = PersonConfig(id=free_id(name or foreign_id, taken), name=name or foreign_id, addresses=addresses)
            self.people[foreign_id] = made
        return self.people[foreign_id].id

    def schedule_id(self, name: str) -> str:
        """An id for a schedule that no person, and no other schedule of this export, has."""
        return free_id(name, self._taken())

    def policy_id(self, name: str) -> str:
        """An id for an escalation that no other one of this export has."""
        return free_id(name, [policy.id for policy in self.policies.values()])

    def _taken(self) -> list[str]:
        people = [person.id for person in (*self.oncall.people, *self.people.values())]
        return [*people, *(schedule.id for schedule in self.schedules.values())]


def free_id(name: str, taken: Collection[str]) -> str:
    """A short id from a name.

    >>> free_id("Payments: primary", ["ana"])
    'payments-primary'
    """
    plain = re.sub(r"[\W_]+", "-", name.casefold()).strip("-")[: LONGEST_ID - 4] or "imported"
    number, found = 2, plain
    while found in taken:
        number, found = number + 1, f"{plain}-{number}"
    return found


def local_text(at: datetime, zone: ZoneInfo) -> str:
    """An instant as a local time of a zone, as a layer has its start."""
    return at.astimezone(zone).replace(tzinfo=None).isoformat(timespec="minutes")


def daily(start_minute: int, minutes: int, days: tuple[Day, ...] = DAYS) -> Hours:
    """Hours that begin on some days, and last less than a day, or a whole one from midnight.

    >>> daily(22 * 60, 8 * 60).hours
    '22:00-06:00'
    """
    end = start_minute + minutes
    last = end if end <= MINUTES_A_DAY else end - MINUTES_A_DAY
    return Hours(hours=f"{start_minute // 60:02}:{start_minute % 60:02}-{last // 60:02}:{last % 60:02}", days=days)


def weekly(start_minute: int, minutes: int) -> list[Hours]:
    """Hours of each day that a span has; `start_minute` counts from Monday's midnight."""
    pieces = []
    at, end = start_minute, start_minute + minutes
    while at < end:
        until = min(end, (at // MINUTES_A_DAY + 1) * MINUTES_A_DAY)
        day: Day = DAYS[at // MINUTES_A_DAY % 7]
        pieces.append(daily(at % MINUTES_A_DAY, until - at, (day,)))
        at = until
    return pieces


def gathered(pieces: Sequence[Hours]) -> list[Hours]:
    """Hours that differ in their days alone, as one."""
    days: dict[str, set[Day]] = {}
    for piece in pieces:
        days.setdefault(piece.hours, set()).update(piece.days)
    return [Hours(hours=hours, days=tuple(day for day in DAYS if day in on)) for hours, on in days.items()]


def layers_of(rotation: LayerConfig, hours: Sequence[Hours]) -> tuple[LayerConfig, ...]:
    """One rotation on call in several spans of hours: a layer for each."""
    return tuple(rotation.model_copy(update={"hours": each.hours, "days": each.days}) for each in hours)
