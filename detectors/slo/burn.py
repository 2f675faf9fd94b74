"""Burn of error budgets by several windows at once, and what is left of each budget, exactly.

Idea: an alert needs a long window (it matters) and a short one (it still goes on) to burn; the factors are those of
the SRE Workbook, ch. 5: 2 % of the budget in an hour, 5 % in six, 10 % in a day and in three. Counts are kept by the
minute from the same roll-ups that everything else reads. A budget is never above 100 %; what cannot be measured says
so and freezes. A minimum of bad events keeps a lonely failure at night from waking anybody.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

import numpy as np
import numpy.typing as npt

from detectors.detector import Seen, Served, Setup
from detectors.simulated import Example, Requests, Simulated
from detectors.slo.minutes import Minutes, State
from detectors.slo.openslo import Slo
from watchkeeper.durations import duration
from watchkeeper.vocabulary import Finding, Severity

VERSION: Final = "1"
EVERY_S: Final = 20  # a third of a minute: counts are by the minute
FRESH_S: Final = 180  # read again at each round: what came late still counts
HOUR: Final = 3600
LEAST_BAD: Final = 10.0  # failures in the long window: a lonely one at night pages nobody
LEAST_TOTAL: Final = 50.0  # requests in the long window: of fewer, a share means little

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Alert:
    """One pair of windows: burning `share` of the budget within `long_s`, and still so over `short_s`."""

    long_s: int
    short_s: int
    share: float
    severity: Severity

    def factor(self, slo: Slo) -> float:
        """How many times too fast the budget must burn."""
        return self.share * slo.window_s / self.long_s


ALERTS: Final = (
    Alert(HOUR, 300, 0.02, "page"),
    Alert(6 * HOUR, 1800, 0.05, "page"),
    Alert(24 * HOUR, 2 * HOUR, 0.10, "ticket"),
    Alert(72 * HOUR, 6 * HOUR, 0.10, "ticket"),
)


def burns_too_fast(slo: Slo, minutes: Minutes, alert: Alert) -> tuple[float, float] | None:
    """How many times too fast the budget burns over the long and the short window; None where that is no alert."""
    if alert.long_s > slo.window_s:
        return None
    rates = []
    for seconds in (alert.long_s, alert.short_s):
        good, total = minutes.sums(seconds)
        rates.append((total - good) / total / (1 - slo.target) if total else 0.0)
    good, total = minutes.sums(alert.long_s)
    if min(rates) < alert.factor(slo) or total - good < LEAST_BAD or total < LEAST_TOTAL:
        return None
    return rates[0], rates[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What is left of an objective's error budget over its window.

    `left` is 1 for an untouched budget and below 0 when overdrawn; never above 1. Meaningless unless `state` is
    "measured": then it is frozen at the last known value.
    """

    slo: Slo
    state: State
    good: float
    total: float
    left: float
    reason: str = ""


class SloBurn:
    """Error budgets that burn too fast. Pages and tickets.

    State: every objective's good and total events by the minute.
    """

    version = VERSION
    needs = ("served",)

    def __init__(self, setup: Setup) -> None:
        self._slos = setup.objectives
        self._series = {slo.name: Minutes(slo.window_s) for slo in self._slos}
        self._read_until: datetime | None = None
        self._budgets: dict[str, Budget] = {}

    def _read(self, served: Served, now: datetime) -> None:
        """Take in what is new; the whole window at first."""
        if self._read_until is not None and (now - self._read_until).total_seconds() < EVERY_S:
            return
        for slo in self._slos:
            back = slo.window_s if self._read_until is None else FRESH_S + (now - self._read_until).total_seconds()
            self._series[slo.name].read(slo, served, now, back)
        self._read_until = now

    def place(self, name: str, now: datetime, minute: npt.NDArray[np.int64], good: Floats, total: Floats) -> None:
        """Take in counts from elsewhere: events by minute (Unix seconds)."""
        self._series[name].advance(now)
        self._series[name].place(minute, good, total)

    def budgets(self) -> tuple[Budget, ...]:
        """Every objective's budget, as of the last round."""
        return tuple(self._budgets[slo.name] for slo in self._slos if slo.name in self._budgets)

    @staticmethod
    def example() -> Example:
        """Every request fails for a minute and a half; far more traffic, later, makes that a small share."""

        def goods(t: float) -> Requests:
            return Requests(per_s=10 if t < 600 else 300, failing=1.0 if 300 <= t < 390 else 0.0)

        slo = Slo(name="goods", title="Goods", service="goods", operation="", target=0.99, window_s=28 * 86_400)
        telemetry = Simulated(seconds=1500, requests={("goods", "GET /"): goods})
        return Example(
            telemetry=telemetry, begins_s=300, ends_s=390, clears_within_s=1000, setup=Setup(objectives=(slo,))
        )

    def judge(self, seen: Seen) -> list[Finding]:
        """Burning budgets, and objectives that cannot be measured."""
        now = seen.now
        if seen.served and self._slos:
            self._read(seen.served, now)
        findings: list[Finding] = []
        for slo in self._slos:
            minutes = self._series[slo.name]
            severities: set[Severity] = set()
            minutes.advance(now)
            budget = self._budget(slo, minutes)
            self._budgets[slo.name] = budget
            if budget.state != "measured":
                findings.append(self._finding(slo, "ticket", budget.reason, now, now))
                continue
            for alert in ALERTS:
                finding = self._burns(slo, minutes, alert, budget, now)
                if finding and finding.severity not in severities:
                    severities.add(finding.severity)
                    findings.append(finding)
        return findings

    def _budget(self, slo: Slo, minutes: Minutes) -> Budget:
        good, total = minutes.sums(slo.window_s)
        before = self._budgets.get(slo.name)
        state, reason = minutes.state()
        if state != "measured":
            left = before.left if before else 1.0
            words = f"{slo.title}: {reason}; its budget stays at {left:.1%}"
            return Budget(slo=slo, state=state, good=good, total=total, left=left, reason=words)
        allowed = total * (1 - slo.target)
        left = 1.0 - (total - good) / allowed if allowed else 1.0
        return Budget(slo=slo, state="measured", good=good, total=total, left=min(1.0, left))

    def _burns(self, slo: Slo, minutes: Minutes, alert: Alert, budget: Budget, now: datetime) -> Finding | None:
        burns = burns_too_fast(slo, minutes, alert)
        if burns is None:
            return None
        onset = minutes.first_bad(alert.long_s, alert.factor(slo) * (1 - slo.target), now)
        words = (
            f"{slo.title} burns its budget {burns[0]:.1f} times too fast over {duration(alert.long_s)} "
            f"({burns[1]:.1f} over {duration(alert.short_s)}); {max(budget.left, 0):.1%} is left"
        )
        return self._finding(slo, alert.severity, words, onset, now, burns[0])

    def _finding(
        self, slo: Slo, severity: Severity, words: str, onset: datetime, now: datetime, burn: float | None = None
    ) -> Finding:
        """A finding of a budget that burns `burn` times too fast, or that cannot be measured."""
        score = 0.5 if burn is None else min(0.99, burn / (burn + 5.0))
        return Finding(
            detector="slo.burn" if burn is not None else "slo.unmeasured",
            detector_version=self.version,
            kind="slo",
            service=slo.service,
            operation=slo.operation or None,
            summary=words,
            onset=min(onset, now),
            seen_at=now,
            score=score,
            severity=severity,
            signal="error budget",
            value=burn,
            expected=None if burn is None else 1.0,
            unit="× budget",
            key=f"slo:{slo.name}:{severity}",
        )
