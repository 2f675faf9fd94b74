"""What a schedule leaves open, and whom it has on call twice: seen ahead, before somebody is paged."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from alerting.oncall.layers import layer_at
from alerting.oncall.schedule import Override, cover_at, final_schedule, schedule_of
from watchkeeper.config import OnCallConfig
from watchkeeper.text import one_line
from watchkeeper.vocabulary import Window


def warnings(
    oncall: OnCallConfig, schedule_id: str, window: Window, overrides: Sequence[Override] = ()
) -> Iterator[str]:
    """What is perhaps not meant, a sentence each: gaps, layers and overrides that are covered, and double shifts."""
    yield from _gaps(oncall, schedule_id, window, overrides)
    yield from _covered_layers(oncall, schedule_id, window)
    yield from _covered_overrides(schedule_id, window, overrides)
    yield from _double_shifts(oncall, schedule_id, window, overrides)


def _gaps(oncall: OnCallConfig, schedule_id: str, window: Window, overrides: Sequence[Override]) -> Iterator[str]:
    shifts = final_schedule(oncall, schedule_id, window, overrides)
    gaps = [shift for shift in shifts if shift.source == "gap"]
    if gaps:
        more = f" ({_more(len(gaps))})"
        then = f"then {one_line(oncall.people[0].name, 100)} is paged. Set a fallback."
        yield f"nobody is on call from {_time(gaps[0].start)}{more if len(gaps) > 1 else ''}; {then}"


def _covered_layers(oncall: OnCallConfig, schedule_id: str, window: Window) -> Iterator[str]:
    """Layers that have somebody, whom later layers cover all the time."""
    schedule = schedule_of(oncall, schedule_id)
    in_use: set[int] = set()
    waiting: set[int] = set()
    at = window.start
    while at < window.end and len(in_use) < len(schedule.layers):
        until, covered = window.end, False
        for number in range(len(schedule.layers) - 1, -1, -1):
            shift = layer_at(schedule.layers[number], schedule.timezone, at)
            until = min(until, shift.until)
            if shift.person is not None:
                (waiting if covered else in_use).add(number)
                covered = True
        at = until
    for number in sorted(waiting - in_use):
        yield f"layer {number + 1} of {schedule_id!r} is never on call: later layers cover it. Remove it, or limit them"


def _covered_overrides(schedule_id: str, window: Window, overrides: Sequence[Override]) -> Iterator[str]:
    """Overrides that one made later covers, for another person."""
    ours = [o for o in overrides if o.schedule == schedule_id and o.end > window.start and o.start < window.end]
    for number, early in enumerate(ours):
        for late in ours[number + 1 :]:
            if late.person != early.person and late.start < early.end and early.start < late.end:
                begin = max(early.start, late.start, window.start)
                yield f"{late.person}'s override covers {early.person}'s from {_time(begin)}: it was made later"


def _double_shifts(
    oncall: OnCallConfig, schedule_id: str, window: Window, overrides: Sequence[Override]
) -> Iterator[str]:
    """Somebody on call in two schedules of one escalation: its next step would page who did not answer."""
    ids = [schedule.id for schedule in oncall.schedules]
    others: dict[str, None] = {}
    for escalation in _escalations(oncall):
        named = [name for name in dict.fromkeys(escalation) if name in ids]
        if schedule_id in named:
            others |= dict.fromkeys(named[named.index(schedule_id) + 1 :])
    for other in others:
        if first := _together(oncall, schedule_id, other, window, overrides):
            at, who = first
            yield f"{who} is on call in {schedule_id!r} and in {other!r} from {_time(at)}: both steps page them"


def _escalations(oncall: OnCallConfig) -> Iterator[tuple[str, ...]]:
    for steps in (oncall.escalation, *(policy.steps for policy in oncall.policies)):
        yield tuple(name for step in steps for name in step.notify)


def _together(
    oncall: OnCallConfig, one: str, other: str, window: Window, overrides: Sequence[Override]
) -> tuple[datetime, str] | None:
    """When somebody is on call in two schedules at once for the first time; fallbacks stand in for nobody else."""
    schedules = schedule_of(oncall, one), schedule_of(oncall, other)
    at = window.start
    while at < window.end:
        covers = [cover_at(oncall, schedule, at, overrides) for schedule in schedules]
        if covers[0].person and covers[0].person == covers[1].person and "fallback" not in {c.source for c in covers}:
            return at, covers[0].person
        at = min(cover.until for cover in covers)
    return None


def _time(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"


def _more(count: int) -> str:
    return f"and {count - 1} times more" if count > 2 else "and once more"
