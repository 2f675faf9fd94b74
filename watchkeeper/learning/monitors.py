"""Watching the watcher: precision by window, missed faults, fairness and prediction time. Tickets, never pages.

Idea: labelled incidents in the order of their labels, the newest ones against those before, as a two-sided exact
test on shares (Fisher). A service or shift is treated unfairly when its interval lies apart from all others'.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from scipy.stats import fisher_exact

from watchkeeper.learning.examples import Example
from watchkeeper.learning.track_record import tally, wilson
from watchkeeper.vocabulary import Finding

VERSION: Final = "1"
RECENT: Final = 20  # incidents in the newer window
SURE: Final = 0.01
SHIFT_HOURS: Final = 8
SLOW_S: Final = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """False pages of one group: `wrong` of `judged`, with its 95 % interval."""

    group: str
    wrong: int
    judged: int
    low: float
    high: float


def fairness(known: Sequence[Example], by: Callable[[Example], str]) -> tuple[Share, ...]:
    """False pages by group, the worst first. `by` names an example's group: its service, team or shift."""
    groups: dict[str, list[Example]] = {}
    for example in known:
        groups.setdefault(by(example), []).append(example)
    shares = []
    for group, mine in groups.items():
        right, judged = tally(mine)
        low, high = wilson(judged - right, judged)
        shares.append(Share(group=group, wrong=judged - right, judged=judged, low=low, high=high))
    return tuple(sorted(shares, key=lambda share: (-share.low, share.group)))


def by_service(example: Example) -> str:
    """Its service."""
    return example.finding.service


def by_shift(example: Example) -> str:
    """The eight hours of the day, UTC, in which it began."""
    start = example.finding.onset.hour // SHIFT_HOURS * SHIFT_HOURS
    return f"{start:02d}:00 to {start + SHIFT_HOURS:02d}:00 UTC"


def watch_the_watcher(known: Sequence[Example], seconds_per_tick: float, now: datetime) -> list[Finding]:
    """What is wrong with the detectors themselves.

    Args:
        known: labelled findings, oldest label first.
        seconds_per_tick: how long the model took for the last findings.
        now: the time of the judgement.
    """
    found = []
    for detector in sorted({example.finding.detector for example in known}):
        mine = [example for example in known if example.finding.detector == detector]
        if words := _precision_moved(mine):
            found.append(_ticket(f"precision of {detector}", f"{detector} {words}", now))
    for name, by in (("service", by_service), ("shift", by_shift)):
        if words := _unfair(known, by):
            found.append(_ticket(f"fairness by {name}", words, now))
    if seconds_per_tick > SLOW_S:
        words = f"the model takes {seconds_per_tick * 1000:.0f} ms for a tick's findings"
        found.append(_ticket("prediction time", words, now))
    return found


def _precision_moved(mine: Sequence[Example]) -> str:
    order = list(dict.fromkeys(example.incident_id for example in mine))
    if len(order) < RECENT + 10:
        return ""
    newer = set(order[-RECENT:])
    right_new, judged_new = tally([example for example in mine if example.incident_id in newer])
    right_old, judged_old = tally([example for example in mine if example.incident_id not in newer])
    table = [[right_new, judged_new - right_new], [right_old, judged_old - right_old]]
    if float(fisher_exact(table).pvalue) >= SURE:
        return ""
    return f"was right {right_new} of the last {judged_new} times, and {right_old} of {judged_old} before"


def _unfair(known: Sequence[Example], by: Callable[[Example], str]) -> str:
    shares = fairness(known, by)
    if len(shares) < 2:
        return ""
    worst = shares[0]
    others = [example for example in known if by(example) != worst.group]
    right, judged = tally(others)
    _, high = wilson(judged - right, judged)
    if worst.judged < 8 or worst.low <= high:
        return ""
    return f"{worst.wrong} of {worst.judged} pages for {worst.group} were false, {judged - right} of {judged} elsewhere"


def _ticket(signal: str, words: str, now: datetime) -> Finding:
    return Finding(
        detector="drift.watcher",
        detector_version=VERSION,
        kind="drift",
        service="watchkeeper",
        summary=words,
        onset=now - timedelta(seconds=1),
        seen_at=now,
        score=0.8,
        severity="ticket",
        signal=signal,
    )
