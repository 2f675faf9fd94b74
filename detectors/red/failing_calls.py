"""Calls that fail as their callers see it: of a dependency that reports nothing, or on the way. Tickets.

Idea: the calls to each callee are judged as a service's requests are (`detectors.red.errors`), caller by caller and all
together. Whoever does without the answer, or gets it elsewhere, hides the failure from users; somebody should know.
What callers or callee report as failed or missing requests of their own is left to those findings.
Assumes calls that end in an error are marked as such. Cost: that of judging errors, over calls instead of operations.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Final

import numpy as np
import numpy.typing as npt

from detectors.detector import Seen, Setup
from detectors.evidence import RAISE, by_group, cumulative, first_bad, to_probability
from detectors.history import History
from detectors.red.errors import ErrorBaseline, judge_errors
from detectors.red.raising import worst
from detectors.red.rows import GUARD, JUDGED, REACH, Rows
from detectors.simulated import Example, Requests, Simulated
from watchkeeper.vocabulary import Finding, utc

VERSION: Final = "1"
LEAST_RATE: Final = 0.2  # of the calls must fail: callers try again, so that less is hardly noticed
LEAST_COUNT: Final = 5.0
CLEAR: Final = 6  # buckets without news before it ends: a minute
COVERED: Final = frozenset({"errors", "silence"})  # findings that say it already


class FailingCalls:
    """Calls to a callee that fail more often than they used to. Tickets.

    State: which callees fail, judged when a bucket is complete.
    """

    version = VERSION
    needs = ("edges",)
    after = ("red", "metered")

    def __init__(self, setup: Setup) -> None:  # noqa: ARG002 - it has a time of its own
        self._failing: dict[str, Finding] = {}
        self._newest = 0

    @staticmethod
    def example() -> Example:
        """A cache that refuses most calls, while its caller goes on without it."""
        telemetry = Simulated(
            seconds=2200,
            requests={("web", "GET /"): lambda _: Requests(per_s=10)},
            calls={("web", "redis"): lambda _: 9.0},
            failing={("web", "redis"): lambda t: 0.9 if 900 <= t < 1500 else 0.0},
        )
        return Example(telemetry=telemetry, begins_s=900, ends_s=1500)

    def judge(self, seen: Seen) -> list[Finding]:
        """A ticket for each callee; they are judged anew when a bucket is complete."""
        history, complete = seen["edges"], seen.complete["edges"]
        if history.size == 0 or complete < JUDGED:
            return []
        newest = int(history.starts()[complete - 1])
        if newest != self._newest:
            self._newest = newest
            self._failing = self._judged(self._rows(history, complete), history.starts()[:complete], seen.now)
        covered = {finding.service for finding in seen.findings if finding.kind in COVERED}
        return [
            replace(finding, seen_at=seen.now)
            for callee, finding in self._failing.items()
            if callee not in covered and finding.service not in covered
        ]

    def _judged(self, rows: Rows, starts: npt.NDArray[np.int64], now: datetime) -> dict[str, Finding]:
        """What fails, by callee: it lasts until all of its callers are well."""
        recent = np.ones(rows.recent_calls.shape, np.bool_)
        verdict = judge_errors(rows, ErrorBaseline.of(rows), LEAST_RATE, LEAST_COUNT, CLEAR, recent)
        evidence = np.maximum(verdict.lasting, cumulative(verdict.scores[:, -JUDGED:])[:, -1] / RAISE)
        columns = np.arange(verdict.scores.shape[1])[None, :]
        newest = columns >= verdict.scores.shape[1] - verdict.span[:, None]
        # What nobody calls any more is over: where only failed calls bear a name, those that are answered bear another.
        unwell = ((verdict.scores > 1.0) & newest).any(axis=1) & rows.recent_calls[:, -JUDGED:].any(axis=1)
        goes_on = np.isin(rows.owners, [at for at, name in enumerate(rows.services) if name in self._failing])
        shown = np.flatnonzero(unwell & ((evidence >= 1.0) | goes_on))
        failing: dict[str, Finding] = {}
        for row in shown[np.argsort(-evidence[shown], kind="stable")].tolist():
            callee, caller = rows.name(row)
            if callee in failing:
                continue
            before = self._failing.get(callee)
            if before is not None:
                onset, caller = before.onset, before.service
            else:
                onset = utc(float(starts[-verdict.scores.shape[1] :][first_bad(verdict.scores)[row]]))
                caller = caller or _most_failing(rows, rows.services.index(callee))
            value = worst(verdict.values[row, -JUDGED:], verdict.scores[row, -JUDGED:])
            failing[callee] = _finding(
                (caller, callee), onset, value, float(verdict.expected[row]), float(evidence[row]), now
            )
        return failing

    def _rows(self, history: History, complete: int) -> Rows:
        """Callees as services, and their callers as operations; while calls fail, they teach nothing."""
        names = [(callee, caller) for caller, callee, *_ in history.names()]
        known, code = np.unique(np.array([callee for callee, _ in names]), return_inverse=True)
        code = code.reshape(-1).astype(np.int64)
        starts = history.starts()[:complete]
        calm = np.ones((history.size, complete), np.bool_)
        calm[:, max(0, complete - GUARD) :] = False
        for callee, finding in self._failing.items():
            since = starts >= finding.onset.timestamp() - history.step_s
            calm[np.ix_(known[code] == callee, since)] = False
        calls = history["calls"][:, :complete]
        errors = np.minimum(history["errors"][:, :complete], calls)
        return Rows(
            services=known.tolist(),
            operations=[caller for _, caller in names],
            code=code,
            calls=calls,
            errors=errors,
            mean_ms=np.full(calls.shape, np.nan),
            calm=calm,
            recent_calls=np.concatenate([calls[:, -REACH:], by_group(code, calls[:, -REACH:])]),
            recent_errors=np.concatenate([errors[:, -REACH:], by_group(code, errors[:, -REACH:])]),
        )


def _most_failing(rows: Rows, number: int) -> str:
    """The caller whose calls to a callee fail most."""
    own = np.flatnonzero(rows.code == number)
    return rows.operations[int(own[np.argmax(rows.recent_errors[own, -JUDGED:].sum(axis=1))])]


def _finding(
    call: tuple[str, str], onset: datetime, value: float, expected: float, evidence: float, now: datetime
) -> Finding:
    caller, callee = call
    return Finding(
        detector="calls",
        detector_version=VERSION,
        kind="topology",
        service=caller,
        summary=f"{value:.0%} of calls to {callee} fail (usually {expected:.1%}) since {onset:%H:%M:%S} UTC, "
        f"most of all those of {caller}",
        onset=min(onset, now),
        seen_at=now,
        score=float(to_probability(np.array(max(evidence, 1.0) * RAISE))),
        severity="ticket",
        value=value if np.isfinite(value) else None,
        expected=expected if np.isfinite(expected) else None,
        unit="of calls",
        signal=f"{caller} → {callee}",
        key=f"calls:{callee}",
    )
