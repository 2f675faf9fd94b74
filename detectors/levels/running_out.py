"""Limits that will be reached, or nearly are: memory, disks, pools, file descriptors, certificates.

A limit that is reached within the time it takes to react is a page, for users feel it next; one that is reached within
a day is a ticket, and so is memory that only grows where no limit is known. How trends are read: `detectors.levels.
forecast`; what belongs together: `detectors.levels.limits`.

Assumes a value every bucket or so, of some minutes at least. Fails on what jumps to its limit at once: that has no
trend. Cost: some µs a series with a limit and bucket, and 1 ms for one that rises.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

import numpy as np

from detectors.detector import Seen, Setup
from detectors.evidence import Bools, Floats
from detectors.history import History
from detectors.levels.forecast import LEAST_RISE, NEW_HIGH, WINDOWS_S, Rise, rises
from detectors.levels.limits import GROWTH, Use, levels, uses
from detectors.simulated import Example, Simulated
from watchkeeper.durations import duration
from watchkeeper.metric_names import amount, describe
from watchkeeper.vocabulary import Finding, Severity, utc

VERSION: Final = "1"
STEP_S: Final = 10  # seconds in a bucket of metrics
REACT_S: Final = 1800.0  # somebody who is paged needs so long to read, decide and act
TICKET_S: Final = 86_400.0  # a limit that is further away can wait for another day
CERTIFICATE_S: Final = 7 * 86_400.0  # to have one issued takes days
# A rise must have been seen for such a share of the time left; for a ticket it is enough at so many seconds.
PAGE_SEEN: Final = 1 / 3
BURST_S: Final = 300.0  # a rise that was seen for less may be a burst: it must have been seen for all of the time left
TICKET_SEEN: Final = 1 / 6
TICKET_SEEN_S: Final = 1500.0
LEAST_PAGE: Final = 0.5  # of the limit: below, there is room that nobody has used yet
LEAST_TICKET: Final = 0.3
# A pool fills and empties with the load: it must be nearly full, and rise for longer than a burst.
POOL_PAGE: Final = 0.8
POOL_SEEN_S: Final = 500.0
FULL: Final = 0.9  # of the limit, for `FULL_S` without a moment below
FULL_S: Final = 300.0
WAS_NOT_FULL: Final = 0.85  # what has stood higher all the time is meant to
KEPT_S: Final = 180.0  # a finding ends when nothing has spoken for it for so long,
FALLEN: Final = 0.05  # or as soon as the level is lower by so much of the limit
# Where no limit is known, growth by a third of the start in half an hour counts.
GROWTH_SEEN_S: Final = 1500.0
GROWTH_LEAST: Final = 0.3 / GROWTH


@dataclass(frozen=True, slots=True, kw_only=True)
class _Firing:
    """A finding that fires, the series that spoke for it last, at which level, and when."""

    finding: Finding
    row: int
    level: float
    at: float


class RunningOut:
    """Limits of memory, disks, pools, file descriptors and certificates that will soon be reached. Pages or tickets.

    State: what is followed, since when, the highest levels that have left the history, and what fires.
    """

    version = VERSION
    needs = ("metrics",)

    def __init__(self, setup: Setup) -> None:  # noqa: ARG002 - nothing of it concerns limits
        self._uses: list[Use] = []
        self._size = 0
        self._highest: Floats = np.zeros(0)
        self._since: Floats = np.zeros(0)
        self._fed = 0
        self._firing: dict[str, _Firing] = {}

    @staticmethod
    def example() -> Example:
        """Memory that leaks for ten minutes, towards a limit that it would reach after fifteen."""
        used = {
            ("mail", "process.memory.usage"): lambda t: 4e8 + max(0.0, min(t, 2400) - 1800) * 7e5 * (t < 2400),
            ("mail", "container.memory.limit"): lambda _: 1e9,
        }
        return Example(telemetry=Simulated(seconds=3100, metrics=used), begins_s=1800, ends_s=2400)

    def judge(self, seen: Seen) -> list[Finding]:
        """Take what is complete, once a bucket: at most one finding for each service and resource."""
        history, complete = seen["metrics"], seen.complete["metrics"]
        if history.size == 0 or complete < 1:
            return []
        starts = history.starts()[:complete]
        if int(starts[-1]) > self._fed:
            self._fed = int(starts[-1])
            self._follow(history)
            self._consider(history["value"][:, :complete], starts.astype(np.float64), seen.now)
        return [firing.finding for firing in self._firing.values()]

    def _follow(self, history: History) -> None:
        """Find the uses among series that are new; those that were known keep what is known of them."""
        if history.size == self._size:
            return
        known = {use.row: number for number, use in enumerate(self._uses)}
        self._uses, self._size = uses(history.names()), history.size
        highest, since = np.full(len(self._uses), -np.inf), np.full(len(self._uses), np.inf)
        for number, use in enumerate(self._uses):
            if use.row in known:
                highest[number], since[number] = self._highest[known[use.row]], self._since[known[use.row]]
        self._highest, self._since = highest, since

    def _consider(self, values: Floats, starts: Floats, now: datetime) -> None:
        at = float(starts[-1])
        if not self._uses:
            return
        rows = np.array([use.row for use in self._uses])
        held = values[rows]
        seen = np.isfinite(held)
        first = np.where(seen.any(axis=1), starts[seen.argmax(axis=1)], np.inf)
        self._since = np.minimum(self._since, first)
        share, limits, known = levels(self._uses, values)
        best: dict[str, _Firing] = {}
        for number in np.flatnonzero(self._worth_a_look(share)).tolist():
            there = np.isfinite(share[number])
            limit = float(limits[number])
            finding = (
                _certificate(self._uses[number], float(held[number, there][-1]), now)
                if self._uses[number].role == "end"
                else self._judge_one(number, starts[there], share[number, there], limit, known[number], now)
            )
            if finding is None:
                continue
            if finding.key not in best or _urgency(finding) > _urgency(best[finding.key].finding):
                level = float(share[number, there][-1])
                best[finding.key] = _Firing(finding=finding, row=self._uses[number].row, level=level, at=at)
        turned = np.array([-1.0 if use.role == "free" else 1.0 for use in self._uses])
        self._highest = np.fmax(self._highest, turned * held[:, 0])
        self._keep(best, at, share)

    def _worth_a_look(self, share: Floats) -> Bools:
        """Which uses reach a new high at the end of a window, or are nearly full; certificates always."""
        high = np.maximum.accumulate(np.where(np.isfinite(share), share, -np.inf), axis=1)
        low = np.where(np.isfinite(share), share, np.inf).min(axis=1)
        newest = np.where(np.isfinite(share[:, -6:]), share[:, -6:], -np.inf).max(axis=1)
        before = [max(0, share.shape[1] - 1 - int(seconds) // STEP_S) for seconds in WINDOWS_S]
        rose = np.logical_or.reduce([newest >= high[:, column] + NEW_HIGH for column in before])
        ends = np.array([use.role == "end" for use in self._uses])
        return np.asarray((rose & (newest >= low + LEAST_RISE)) | (newest >= FULL) | ends)

    def _judge_one(
        self, number: int, at: Floats, level: Floats, limit: float, is_known: bool, now: datetime
    ) -> Finding | None:
        """One series: when it was how full, and the limit or what stands for it."""
        use = self._uses[number]
        highest = float(self._highest[number]) / limit
        known_s = float(at[-1] - self._since[number])
        highest = 1.0 + highest if use.role == "free" else highest
        found = rises(at, level, known_s=known_s, highest_before=highest)
        if not is_known:
            grown = [one for one in found if one.seen_s >= GROWTH_SEEN_S and one.level - one.before >= GROWTH_LEAST]
            return _growth(use, grown[-1], limit, now) if grown else None
        judged = [(_severity(use, rise), rise) for rise in found]
        for wanted in ("page", "ticket"):
            for severity, rise in judged:
                if severity == wanted:
                    return _forecast(use, severity, rise, limit, float(at[-1]), now)
        return _full(use, at, level, limit, now)

    def _keep(self, best: dict[str, _Firing], at: float, share: Floats) -> None:
        """What is confirmed now, and what still fires: severity never falls while it does."""
        number_of = {use.row: number for number, use in enumerate(self._uses)}
        for key, before in self._firing.items():
            now = best.get(key)
            if now is not None:
                severity: Severity = "page" if "page" in (before.finding.severity, now.finding.severity) else "ticket"
                finding = replace(now.finding, severity=severity, onset=before.finding.onset)
                best[key] = replace(now, finding=finding)
                continue
            level = share[number_of[before.row]]
            known = level[np.isfinite(level)]
            if at - before.at < KEPT_S and len(known) and known[-1] > before.level - FALLEN:
                best[key] = before
        self._firing = best


def _severity(use: Use, rise: Rise) -> Severity | None:
    """What a rise of a use warrants, if anything."""
    pool = use.resource == "pool"
    share = PAGE_SEEN if rise.seen_s >= BURST_S else 1.0
    near = rise.left_s <= REACT_S and rise.latest_s <= 2 * REACT_S and rise.seen_s >= share * rise.left_s
    if near and rise.level >= (POOL_PAGE if pool else LEAST_PAGE) and (not pool or rise.seen_s >= POOL_SEEN_S):
        return "page"
    soon = rise.left_s <= TICKET_S and rise.seen_s >= min(TICKET_SEEN * rise.left_s, TICKET_SEEN_S)
    return "ticket" if soon and rise.level >= LEAST_TICKET else None


def _forecast(use: Use, severity: Severity, rise: Rise, limit: float, at: float, now: datetime) -> Finding:
    of = f" of {amount(use.metric, limit)}" if use.role == "used" else ""
    words = (
        f"{use.service}: {describe(use.metric, use.attributes)} reaches its limit{of} in about "
        f"{duration(max(1, round(rise.left_s)))}: {rise.level:.0%} now, {rise.before:.0%} "
        f"{duration(round(rise.seen_s))} ago"
    )
    score = float(np.clip(1.0 - 0.5 * rise.left_s / TICKET_S, 0.5, 1.0))
    began = rise.seen_s + (now.timestamp() - at)
    return _finding(use, severity, words, now, began=began, score=score, value=rise.level, expected=rise.before)


def _growth(use: Use, rise: Rise, scale: float, now: datetime) -> Finding:
    """What only grows, where no limit is known: `scale` is what 1 stands for."""
    before, value = rise.before * scale, rise.level * scale
    words = (
        f"{use.service}: {describe(use.metric, use.attributes)} grows steadily, from {amount(use.metric, before)} to "
        f"{amount(use.metric, value)} in {duration(round(rise.seen_s))}; its limit is unknown"
    )
    return _finding(use, "ticket", words, now, began=rise.seen_s, score=0.6, value=value, expected=before, unit="")


def _full(use: Use, at: Floats, level: Floats, limit: float, now: datetime) -> Finding | None:
    """A use that has been nearly full for some minutes, and was not before."""
    lately = at > at[-1] - FULL_S - 1.0
    if lately.sum() < 3 or at[-1] - at[lately][0] < 0.75 * FULL_S:
        return None
    if level[lately].min() < FULL or (len(level[~lately]) and level[~lately].min() >= WAS_NOT_FULL) or lately.all():
        return None
    of = f" of {amount(use.metric, limit)}" if use.role == "used" else ""
    words = (
        f"{use.service}: {describe(use.metric, use.attributes)} is at {level[-1]:.0%} of its limit{of}, "
        f"and was not below {level[lately].min():.0%} for {duration(round(FULL_S))}"
    )
    before = float(np.median(level[~lately]))
    return _finding(use, "ticket", words, now, began=FULL_S, score=0.7, value=float(level[-1]), expected=before)


def _certificate(use: Use, value: float, now: datetime) -> Finding | None:
    """A certificate that ends soon, from the time at which it does or from what is left until then."""
    if value > 1e11:
        left = value / 1e3 - now.timestamp()
    elif value > 1e9:
        left = value - now.timestamp()
    else:
        left = value * (86_400.0 if "days" in use.metric.lower() else 3600.0 if "hours" in use.metric.lower() else 1.0)
    if left > CERTIFICATE_S:
        return None
    name = describe("certificate", use.attributes)
    words = f"{use.service}: {name} ends in {duration(round(left))}" if left > 0 else f"{use.service}: {name} has ended"
    severity: Severity = "page" if -CERTIFICATE_S < left <= REACT_S else "ticket"
    return _finding(use, severity, words, now, began=0.0, score=0.9, value=left, expected=None, unit="s")


def _finding(
    use: Use,
    severity: Severity,
    words: str,
    now: datetime,
    *,
    began: float,
    score: float,
    value: float,
    expected: float | None,
    unit: str = "ratio",
) -> Finding:
    return Finding(
        detector="limits",
        detector_version=VERSION,
        kind="metric",
        service=use.service,
        summary=words,
        onset=utc(now.timestamp() - began),
        seen_at=now,
        score=score,
        severity=severity,
        signal=use.metric,
        value=value,
        expected=expected,
        unit=unit,
        key=f"limits:{use.service}:{use.resource}",
    )


def _urgency(finding: Finding) -> tuple[bool, float]:
    return finding.severity == "page", finding.score
