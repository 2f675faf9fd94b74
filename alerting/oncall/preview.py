"""What a rota that is not kept yet would change: who is on call instead of whom, and how the object is written."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any

from alerting.oncall.coverage import warnings
from alerting.oncall.object_text import as_text
from alerting.oncall.ownership import KINDS, ONE, Kind, objects
from alerting.oncall.schedule import Override, Shift, final_schedule
from watchkeeper.config import OnCallConfig
from watchkeeper.vocabulary import Window


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """From `start` to `end` a schedule has `after` on call, by id, and not `before`; None is nobody."""

    schedule: str
    start: datetime
    end: datetime
    before: str | None
    after: str | None


def moved(before: OnCallConfig, after: OnCallConfig, window: Window, overrides: Sequence[Override]) -> list[Moved]:
    """Each span of a window in which somebody else is on call, by schedule and time."""
    ids = dict.fromkeys(each.id for rota in (before, after) for each in rota.schedules)
    return [each for name in ids for each in _moved_of(name, before, after, window, overrides)]


def _moved_of(
    name: str, before: OnCallConfig, after: OnCallConfig, window: Window, overrides: Sequence[Override]
) -> list[Moved]:
    lines = [_shifts(rota, name, window, overrides) for rota in (before, after)]
    edges = sorted({shift.start for line in lines for shift in line} | {window.end})
    spans: list[Moved] = []
    for start, end in pairwise(edges):
        then, now = (_who(line, start) for line in lines)
        if then == now:
            continue
        last = spans[-1] if spans else None
        goes_on = last is not None and last.end == start and (last.before, last.after) == (then, now)
        begins = spans.pop().start if goes_on else start
        spans.append(Moved(schedule=name, start=begins, end=end, before=then, after=now))
    return spans


def _shifts(rota: OnCallConfig, name: str, window: Window, overrides: Sequence[Override]) -> Sequence[Shift]:
    if any(each.id == name for each in rota.schedules):
        return final_schedule(rota, name, window, overrides)
    return (Shift(start=window.start, end=window.end, person=None, source="gap"),)


def _who(line: Sequence[Shift], at: datetime) -> str | None:
    shift = next(each for each in line if each.start <= at < each.end)
    return shift.person.id if shift.person else None


def new_warnings(
    before: OnCallConfig, after: OnCallConfig, window: Window, overrides: Sequence[Override]
) -> tuple[str, ...]:
    """What is perhaps not meant, and was not so before."""
    known = {text for each in before.schedules for text in warnings(before, each.id, window, overrides)}
    found = [
        f"{each.id}: {text}"
        for each in after.schedules
        for text in warnings(after, each.id, window, overrides)
        if text not in known
    ]
    return tuple(found)


def lines_of(kind: Kind, before: Any, after: Any) -> tuple[str, ...]:
    """The lines of an object that change: `- ` and `+ ` before each. None is an object that is not there."""
    was, now = (as_text(value).splitlines() if value is not None else [] for value in (before, after))
    lines = tuple(difflib.unified_diff(was, now, ONE[kind], ONE[kind], lineterm="", n=1))[2:]
    return tuple(f"{line[0]} {line[1:]}" for line in lines if not line.startswith("@@"))


def changed_objects(before: OnCallConfig, after: OnCallConfig) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Each object that differs between two rotas, such as `schedule primary`, with the lines of it that do."""
    found: list[tuple[str, tuple[str, ...]]] = []
    for kind in KINDS:
        was, now = objects(before, kind), objects(after, kind)
        found += [
            (f"{ONE[kind]} {name}", lines_of(kind, was.get(name), now.get(name)))
            for name in dict.fromkeys([*was, *now])
            if was.get(name) != now.get(name)
        ]
    return tuple(found)
