"""Figures over many worlds, with intervals; the cells that are weak; every miss."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from bench.worlds.scoring import SHOWN, Fault, World
from watchkeeper.intervals import wilson

ENOUGH: Final = 20  # faults in a cell, before its recall is judged
WEAK: Final = 0.85
LONGEST: Final = 300  # characters of what was found instead

Cell = Callable[[Fault], Iterable[str]]
CELLS: Final[dict[str, Cell]] = {
    "kind": lambda fault: (fault.event.kind,),
    "habit": lambda fault: fault.habits,
    "size": lambda fault: (fault.size,),
    "rate": lambda fault: (fault.rate,),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """`of` cases, of which `right` were; `low` and `high` are Wilson's 95 % interval."""

    right: int
    of: int
    low: float
    high: float

    @classmethod
    def among(cls, outcomes: Iterable[bool]) -> Share:
        known = list(outcomes)
        low, high = wilson(sum(known), len(known))
        return cls(right=sum(known), of=len(known), low=low, high=high)

    @property
    def share(self) -> float:
        return self.right / self.of if self.of else float("nan")

    def __str__(self) -> str:
        return f"{self.share:.3f} [{self.low:.2f}, {self.high:.2f}] of {self.of}" if self.of else "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What one way of watching reached, over all its worlds.

    Attributes:
        recall: page-worthy faults that paged.
        seconds: from the beginning of such a fault to its page: median and 90 % quantile; None without any.
        first, three: of all page-worthy faults, those whose page named a right service first, or in the first three.
        first_found, last_found: the same of the faults that paged, at the page and at the last diagnosis.
        three_found: in three, of those that paged, at the last diagnosis.
        mechanism: of the right services in the first three, those with the right mechanism, at the last diagnosis.
        abstained: of first suspects that were wrong at the last diagnosis, those that were not named as the cause.
        pages: for a fault that paged.
        ticketed: faults that users don't feel, of which a human heard in time.
        false_pages, false_tickets: of a system's day.
        unfelt: of those pages, the ones about a fault that users don't feel, of a system's day.
    """

    worlds: int
    days: float
    recall: Share
    seconds: tuple[float, float] | None
    first: Share
    three: Share
    first_found: Share
    last_found: Share
    three_found: Share
    mechanism: Share
    abstained: Share
    pages: float
    ticketed: Share
    false_pages: float
    unfelt: float
    false_tickets: float


def figures(worlds: Sequence[World]) -> Figures:
    """The figures of all worlds together."""
    faults = [fault for world in worlds for fault in world.faults]
    paging = [fault for fault in faults if fault.event.pages]
    detected = [fault for fault in paging if fault.detected]
    seconds = [fault.seconds for fault in detected if fault.seconds is not None]
    shown = [fault.at_last for fault in detected if _among(fault.at_last.rank, SHOWN)]
    days = sum(world.days for world in worlds)
    return Figures(
        worlds=len(worlds),
        days=days,
        recall=Share.among(fault.detected for fault in paging),
        seconds=(float(np.median(seconds)), float(np.quantile(seconds, 0.9))) if seconds else None,
        first=Share.among(_among(fault.at_page.rank, 1) for fault in paging),
        three=Share.among(_among(fault.at_page.rank, SHOWN) for fault in paging),
        first_found=Share.among(_among(fault.at_page.rank, 1) for fault in detected),
        last_found=Share.among(_among(fault.at_last.rank, 1) for fault in detected),
        three_found=Share.among(_among(fault.at_last.rank, SHOWN) for fault in detected),
        mechanism=Share.among(answer.mechanism for answer in shown),
        abstained=Share.among(fault.at_last.abstained for fault in detected if not _among(fault.at_last.rank, 1)),
        pages=sum(fault.pages for fault in detected) / len(detected) if detected else 0.0,
        ticketed=Share.among(fault.passed for fault in faults if not fault.event.pages),
        false_pages=sum(len(world.false_pages) for world in worlds) / days if days else 0.0,
        unfelt=sum(one.unfelt for world in worlds for one in world.false_pages) / days if days else 0.0,
        false_tickets=sum(len(world.false_tickets) for world in worlds) / days if days else 0.0,
    )


def cells(worlds: Sequence[World], by: Cell) -> dict[str, tuple[Share, Share]]:
    """Recall, and right first at the last diagnosis of those found, of page-worthy faults, by cell."""
    found: defaultdict[str, list[Fault]] = defaultdict(list)
    for fault in (fault for world in worlds for fault in world.faults if fault.event.pages):
        for name in by(fault):
            found[name].append(fault)
    return {
        name: (
            Share.among(fault.detected for fault in faults),
            Share.among(_among(fault.at_last.rank, 1) for fault in faults if fault.detected),
        )
        for name, faults in sorted(found.items())
    }


def weak(worlds: Sequence[World]) -> list[str]:
    """The cells with enough faults whose recall is too low."""
    return [
        f"{title} {name}: recall {recall}"
        for title, by in CELLS.items()
        for name, (recall, _) in cells(worlds, by).items()
        if recall.of >= ENOUGH and recall.share < WEAK
    ]


def as_json(ways: dict[str, Sequence[World]]) -> dict[str, Any]:
    """Everything, for other programs."""
    return {
        way: {
            "figures": asdict(figures(worlds)),
            "cells": {
                title: {
                    name: {"recall": asdict(recall), "first": asdict(first)}
                    for name, (recall, first) in cells(worlds, by).items()
                }
                for title, by in CELLS.items()
            },
            "weak": weak(worlds),
            "faults": [_fault(fault) for world in worlds for fault in world.faults],
            "false_pages": [asdict(one) for world in worlds for one in world.false_pages],
            "false_tickets": [asdict(one) for world in worlds for one in world.false_tickets],
            "problems": _problems(worlds),
        }
        for way, worlds in ways.items()
    }


def tables(ways: dict[str, Sequence[World]]) -> list[str]:
    """Lines for a human: the figures of each way beside the others, then the cells of the first."""
    columns = {way: _shown(figures(worlds)) for way, worlds in ways.items()}
    names = list(next(iter(columns.values())))
    lines = [f"{'':<48}" + "".join(f"{way:<36}" for way in columns)]
    lines += [f"{name:<48}" + "".join(f"{column[name]:<36}" for column in columns.values()) for name in names]
    worlds = next(iter(ways.values()))
    for title, by in CELLS.items():
        lines += ["", f"by {title:<28} {'recall':<34} right first at last"]
        lines += [f"{name:<31} {recall!s:<34} {first}" for name, (recall, first) in cells(worlds, by).items()]
    below = weak(worlds)
    lines += ["", f"cells of {ENOUGH} faults or more with a recall below {WEAK}: {len(below) or 'none'}", *below]
    problems = _problems(worlds)
    return lines + (["", "parts that failed, which must not happen:", *problems] if problems else [])


def misses(worlds: Sequence[World]) -> list[str]:
    """Every fault that was missed or misnamed, and every page and ticket without a fault, by kind.

    The most frequent come first. A heading says how many of how many faults of that kind; below it is a line for each.
    """
    faults = [fault for world in worlds for fault in world.faults]
    of_kind = Counter(fault.event.kind for fault in faults)
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for fault in faults:
        if line := _miss(fault):
            verdict, _, rest = line.partition(" ")
            groups[f"{verdict} {fault.event.kind} (of {of_kind[fault.event.kind]})"].append(rest)
    for title, found in (
        ("FALSE PAGE", [one for world in worlds for one in world.false_pages]),
        ("FALSE TICKET", [one for world in worlds for one in world.false_tickets]),
    ):
        for one in found:
            during = f"seed {one.seed} at {one.at_s:.0f} s, during {one.during}: {one.summary[:LONGEST]}"
            groups[f"{title} of {one.summary.partition(':')[0]}"].append(during)
    lines = []
    for title, own in sorted(groups.items(), key=lambda group: (-len(group[1]), group[0])):
        lines += [f"{len(own)} x {title}", *(f"    {line}" for line in own)]
    return lines


def _miss(fault: Fault) -> str:
    """What went wrong with a fault, empty where nothing did; it begins with the verdict."""
    event = fault.event
    about = (
        f"seed {fault.seed} at {event.begins_s:.0f}-{event.ends_s:.0f} s in {event.culprit}"
        f" ({event.mechanism}; {fault.size}, {fault.rate}; {', '.join(fault.habits)}): {event.detail}"
    )
    if not fault.passed:
        return f"{'MISSED' if event.pages else 'UNTICKETED'} {about}; found: {fault.found[:LONGEST]}"
    if not event.pages or (_among(fault.at_last.rank, 1) and fault.at_last.mechanism):
        return ""
    if _among(fault.at_last.rank, 1):
        return f"MECHANISM {about}; named: {fault.at_last.named}"
    place = f"ranked {fault.at_last.rank}" if fault.at_last.rank else "not among the suspects"
    sure = "abstained" if fault.at_last.abstained else "named"
    return f"MISNAMED {about}; {place}, {sure}: {fault.at_last.named}; page: {fault.found[:LONGEST]}"


def _shown(one: Figures) -> dict[str, str]:
    return {
        "worlds, days watched": f"{one.worlds}, {one.days:.2f}",
        "recall of faults that users feel": str(one.recall),
        "seconds to the page, median / p90": "-" if one.seconds is None else "{:.0f} / {:.0f}".format(*one.seconds),
        "right first at the page, of all faults": str(one.first),
        "right in three at the page, of all faults": str(one.three),
        "right first at the page, of those found": str(one.first_found),
        "right first at last, of those found": str(one.last_found),
        "right in three at last, of those found": str(one.three_found),
        "mechanism right, of those in three": str(one.mechanism),
        "abstained, of those wrong at last": str(one.abstained),
        "pages a fault": f"{one.pages:.2f}",
        "ticket or page for faults users don't feel": str(one.ticketed),
        "false pages a system-day": f"{one.false_pages:.2f}",
        "  of them during faults that users don't feel": f"{one.unfelt:.2f}",
        "false tickets a system-day": f"{one.false_tickets:.1f}",
    }


def _fault(fault: Fault) -> dict[str, Any]:
    flat = asdict(fault)
    event = flat.pop("event")
    named = {name: event[name] for name in ("kind", "culprit", "mechanism", "begins_s", "ends_s")}
    return named | flat | {"users_feel_it": fault.event.pages, "passed": fault.passed}


def _problems(worlds: Sequence[World]) -> list[str]:
    return [f"seed {world.seed}: {problem}" for world in worlds for problem in world.problems]


def _among(rank: int | None, most: int) -> bool:
    return rank is not None and rank <= most
