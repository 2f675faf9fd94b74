"""Watching the watcher: what its labels say by window, its inputs, fairness and time. Tickets, never pages.

Ideas: the newest labelled incidents against those before, shares by a two-sided exact test (Fisher), what the model
looks at by the largest distance of two distributions (Kolmogorov and Smirnov); a service, team or shift is treated
unfairly when its interval lies above all others' together (`detectors.learning.fairness`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

import numpy as np

from detectors.learning.examples import Example
from detectors.learning.fairness import pages, troubles, unfair, ways
from detectors.learning.features import NAMES, features
from detectors.learning.suppression import Reopening
from detectors.learning.track_record import tally
from watchkeeper.vocabulary import Finding

VERSION: Final = "2"
WATCHER: Final = "drift.watcher"
RECENT: Final = 20  # incidents in the newer window
BEFORE: Final = 10  # incidents that there must be before it
# Chance at which a worse precision or recall opens a ticket: looked at every few labels, 5 % would cry wolf.
SURE: Final = 0.01
# Five inputs are compared at every label; the distance must be sure in all of that.
SURE_OF_INPUTS: Final = 0.001
SLOW_S: Final = 0.05  # of a tick of two seconds: beyond a fortieth, judging delays detection


def watch_the_watcher(
    known: Sequence[Example],
    seconds_per_tick: float,
    now: datetime,
    *,
    reopened: Sequence[Reopening] = (),
    teams: Mapping[str, Sequence[str]] | None = None,
    unreadable: str = "",
) -> list[Finding]:
    """What is wrong with the detectors themselves.

    Args:
        known: labelled findings, oldest label first.
        seconds_per_tick: how long the model usually took for a tick's findings lately.
        now: the time of the judgement.
        reopened: what was suppressed and should not have been.
        teams: the services of each team.
        unreadable: why a version that should decide cannot be read, if so.
    """
    tickets = []
    for detector in sorted({example.finding.detector for example in known}):
        own = [example for example in known if example.finding.detector == detector]
        if words := _precision_moved(own):
            tickets.append(_ticket(f"precision of {detector}", f"{detector} {words}", now))
        if words := _inputs_moved(own):
            tickets.append(_ticket(f"inputs of {detector}", f"{detector}'s findings {words}", now))
    if words := _recall_moved(known, reopened):
        tickets.append(_ticket("recall", words, now))
    for name, by in ways(teams or {}).items():
        for what, cases, words in (
            ("false pages", pages(known), "pages for {group} were false"),
            ("misses", troubles(known, reopened), "troubles of {group} were suppressed until somebody reopened them"),
        ):
            if pair := unfair(cases, by):
                worst, others = pair
                words_of_worst = f"{worst.wrong} of {worst.judged} {words.format(group=worst.group)}"
                elsewhere = f"{others.wrong} of {others.judged} elsewhere"
                tickets.append(_ticket(f"fairness of {what} by {name}", f"{words_of_worst}, {elsewhere}", now))
    if seconds_per_tick > SLOW_S:
        words = f"the model takes {seconds_per_tick * 1000:.0f} ms for a tick's findings"
        tickets.append(_ticket("prediction time", words, now))
    if unreadable:
        tickets.append(_ticket("unreadable version", unreadable, now))
    return tickets


def _windows(known: Sequence[Example]) -> tuple[list[Example], list[Example]] | None:
    """The examples of the newest incidents, and those before; None while there are too few."""
    order = list(dict.fromkeys(example.incident_id for example in known))
    if len(order) < RECENT + BEFORE:
        return None
    newer = set(order[-RECENT:])
    return [e for e in known if e.incident_id in newer], [e for e in known if e.incident_id not in newer]


def _chance(table: Sequence[Sequence[int]]) -> float:
    """How probable shares that differ so much are, by chance alone."""
    from scipy.stats import fisher_exact  # here: a role starts in three quarters of the time without it

    return float(fisher_exact(table).pvalue)


def _precision_moved(known: Sequence[Example]) -> str:
    windows = _windows(known)
    if windows is None:
        return ""
    (right_new, judged_new), (right_old, judged_old) = tally(windows[0]), tally(windows[1])
    table = [[right_new, judged_new - right_new], [right_old, judged_old - right_old]]
    if _chance(table) >= SURE:
        return ""
    return f"was right {right_new} of the last {judged_new} times, and {right_old} of {judged_old} before"


def _recall_moved(known: Sequence[Example], reopened: Sequence[Reopening]) -> str:
    """Whether more of what warranted a page is missed lately than before."""
    cases = sorted(troubles(known, reopened), key=lambda case: case.at)
    if len(cases) < RECENT + BEFORE:
        return ""
    newer, older = cases[-RECENT:], cases[:-RECENT]
    missed_new, missed_old = sum(case.bad for case in newer), sum(case.bad for case in older)
    table = [[missed_new, len(newer) - missed_new], [missed_old, len(older) - missed_old]]
    if missed_new * len(older) <= missed_old * len(newer) or _chance(table) >= SURE:
        return ""
    return (
        f"{missed_new} of the last {len(newer)} troubles were suppressed and reopened, and {missed_old} of "
        f"{len(older)} before: consider `watchkeeper model rollback`"
    )


def _inputs_moved(known: Sequence[Example]) -> str:
    """Whether what the model looks at is distributed otherwise than before, and in what."""
    windows = _windows(known)
    if windows is None:
        return ""
    from scipy.stats import ks_2samp

    newer, older = (np.array([features(one.finding) for one in _once(window)]) for window in windows)
    for column, name in enumerate(NAMES):
        if float(ks_2samp(newer[:, column], older[:, column]).pvalue) < SURE_OF_INPUTS:
            return (
                f"differ from earlier ones in `{name}`: a median of {np.median(newer[:, column]):.2f} lately, "
                f"{np.median(older[:, column]):.2f} before; versions trained on those may not fit"
            )
    return ""


def _once(examples: Sequence[Example]) -> list[Example]:
    """A finding of an incident once, whoever judged it."""
    return list({(one.incident_id, one.finding.key): one for one in examples}.values())


def _ticket(signal: str, words: str, now: datetime) -> Finding:
    return Finding(
        detector=WATCHER,
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
