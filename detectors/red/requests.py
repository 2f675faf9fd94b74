"""Latency, errors and silence of every service, from the RED roll-up: what its callers feel.

Idea: each row's recent buckets against its own calm past; a row is an operation, or a service over all its operations
(`detectors.red.rows`). Evidence gathers bucket by bucket where requests are frequent, and in windows of up to five
minutes where they are rare. What users feel pages: trouble of an entry, or of a service behind one that fails or is
slow at the same time (`detectors.red.entries`); the rest is a ticket.
Assumes requests are counted when they end. Fails where a service has fewer than about one request in half a minute.
Cost: one pass over (rows, 60) arrays a bucket, and one over the entire history every quarter of a minute.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import numpy as np
import numpy.typing as npt

from detectors.detector import Seen, Setup
from detectors.evidence import RAISE, Bools, Floats, by_group, cumulative, first_bad, to_probability
from detectors.history import History
from detectors.red.entries import Entries
from detectors.red.errors import ErrorBaseline, judge_errors
from detectors.red.felt import Felt
from detectors.red.latency import LatencyBaseline, judge_latency
from detectors.red.noise import shared_slowdown
from detectors.red.raising import UNITS, Raising, summary, worst
from detectors.red.rows import JUDGED, REACH, STEP_S, Rows, Verdict
from detectors.red.silence import Lag, SilenceBaseline, empty_buckets, judge_silence
from detectors.simulated import Example, Requests, Simulated
from watchkeeper.vocabulary import Conditions, Finding, FindingKind, Severity, utc

VERSION: Final = "2"
LEARN_EVERY_S: Final = 15  # a baseline of half an hour says the same some buckets later,
LITTLE: Final = 180  # but one of fewer buckets does not
# Alert once, then adapt: what has lasted this many buckets teaches the baseline after all. Budgets still see it.
FROZEN: Final = 180  # a quarter of an hour: by then somebody has been paged and escalated to
DEGRADED: Final = 0.5  # of the evidence that raises: so much of it at an entry means that users feel it
HINT: Final = 0.35  # of it, of few failures at an entry behind which a service surely fails
NOTICED_MS: Final = (
    100.0  # a delay that a human notices; what is less is a ticket (Nielsen, Usability Engineering, ch. 5)
)
NOTICED_TIMES: Final = 2.5  # and as long as usual at least, for what takes long anyway
NEWEST_BAD: Final = 2  # bad buckets whose mean a human notices
AFTERMATH_S: Final = 30  # after a slowdown ended, in which requests may still begin that wait for what it left
BEYOND: Final = 1.3  # times the sum of scores that most parts of the past reach by themselves
KINDS: Final[tuple[FindingKind, ...]] = ("latency", "errors", "silence")


@dataclass(frozen=True, slots=True, kw_only=True)
class RedThresholds:
    """What users can feel, and so counts towards a page. Fixed: what labels teach decides on findings, not here.

    Attributes:
        latency_ratio: times the usual latency.
        latency_more_ms: and so much longer; below, nobody notices.
        error_rate: share of requests that fail: one in twelve is noticed, one in a hundred is what budgets are for.
        error_count: failures: fewer may be one user who tries again.
    """

    latency_ratio: float = 2.0
    latency_more_ms: float = 30.0
    error_rate: float = 0.08
    error_count: float = 4.0


@dataclass(frozen=True, slots=True)
class _Baselines:
    """What is usual, and who calls whom; `learned_at` is the newest bucket's start, `lasts_s` for how long it is
    used, `size` the number of operations."""

    latency: LatencyBaseline
    errors: ErrorBaseline
    silence: SilenceBaseline
    entries: Entries
    traffic: Floats  # usual requests a bucket, by service
    learned_at: int
    lasts_s: int
    size: int


@dataclass(frozen=True, slots=True)
class _Judged:
    """A verdict with what follows from it, by row: evidence, which rows are normal again, and where it began."""

    verdict: Verdict
    evidence: Floats
    calm_again: Bools
    began: npt.NDArray[np.int64]

    def evident(self) -> Bools:
        """Rows with half of the evidence that raises, or more, (rows,)."""
        return np.asarray((self.evidence >= DEGRADED) & ~self.calm_again)


class RedDetector:
    """Requests of a service that fail, are slow, or no longer come. Pages where users feel it, else tickets.

    State: which findings fire, so that they end with hysteresis; and baselines, learned again every LEARN_EVERY_S.
    """

    version = VERSION
    needs = ("red",)

    def __init__(self, setup: Setup, thresholds: RedThresholds | None = None) -> None:
        self._clear_buckets = max(2, math.ceil(setup.clear_s / STEP_S))
        self.thresholds = thresholds or RedThresholds()
        self._firing: dict[tuple[str, FindingKind], Finding] = {}
        self._tainted: Bools = np.zeros((0, 0), np.bool_)
        self._tainted_until = 0
        self._cleared: dict[tuple[str, FindingKind], int] = {}
        self._baselines: _Baselines | None = None
        self._lag = Lag()

    @staticmethod
    def example() -> Example:
        """Orders that take eight times as long, for ten minutes."""

        def orders(t: float) -> Requests:
            return Requests(per_s=10, mean_ms=320.0 if 900 <= t < 1500 else 40.0)

        return Example(
            telemetry=Simulated(seconds=2200, requests={("orders", "POST /"): orders}), begins_s=900, ends_s=1500
        )

    def judge(self, seen: Seen) -> list[Finding]:
        """The findings that fire, each with the version of the model that serves."""
        history, complete, self.version = seen["red"], seen.complete["red"], seen.model_version
        if history.size == 0 or complete < JUDGED:
            return []
        self._follow(history)
        rows = Rows.of(history, complete, self._tainted)
        starts = history.starts()
        newest = int(starts[complete - 1])
        learned = self._learn(rows, seen, newest)
        judged = self._judge(rows, learned, seen, starts[:complete][-REACH:])
        firing = self._decide(judged, rows, learned, starts[:complete][-REACH:], seen)
        conditions = _conditions(rows, learned)
        shown = {key: self._finding(judged, raising, conditions, seen.now) for key, raising in firing.items()}
        for key in self._firing.keys() - shown.keys():
            # What ended is over: its buckets must not add up with whatever comes next.
            self._cleared[key] = newest - (self._clear_buckets - 1) * history.step_s
        if shown.keys() != self._firing.keys():
            self._baselines = None
        self._firing = shown
        self._taint(rows, starts)
        return list(shown.values())

    def _learn(self, rows: Rows, seen: Seen, newest: int) -> _Baselines:
        """What is usual, learned anew when some buckets have passed, rows were added or a finding came or went."""
        known = self._baselines
        if known is not None and known.size == len(rows.operations) and 0 <= newest - known.learned_at < known.lasts_s:
            return known
        limits = self.thresholds
        silence = SilenceBaseline.of(rows)
        self._baselines = _Baselines(
            latency=LatencyBaseline.of(rows, limits.latency_ratio, limits.latency_more_ms),
            errors=ErrorBaseline.of(rows),
            silence=silence,
            entries=Entries(seen["red"], seen.histories.get("edges")),
            traffic=silence.usual[len(rows.operations) :],
            learned_at=newest,
            lasts_s=LEARN_EVERY_S if rows.calls[:, :-LITTLE].any() else STEP_S,
            size=len(rows.operations),
        )
        return self._baselines

    def _judge(
        self, rows: Rows, learned: _Baselines, seen: Seen, starts: npt.NDArray[np.int64]
    ) -> dict[FindingKind, _Judged]:
        limits, clear = self.thresholds, self._clear_buckets
        served = by_group(rows.code, rows.calls)
        empty = np.concatenate([empty_buckets(rows.calls), empty_buckets(served)])
        lag = self._lag.of(rows.services, served, seen["red"].starts()[: rows.calls.shape[1]])
        ended = {kind: self._ended(rows, kind) for kind in KINDS}
        fresh = {kind: starts[None, :] >= ended[kind][:, None] for kind in KINDS}
        verdicts: dict[FindingKind, Verdict] = {
            "latency": judge_latency(
                rows, learned.latency, limits.latency_ratio, limits.latency_more_ms, clear, fresh["latency"]
            ),
            "errors": judge_errors(rows, learned.errors, limits.error_rate, limits.error_count, clear, fresh["errors"]),
            "silence": judge_silence(rows, learned.silence, empty, lag, seen, clear),
        }
        _leave_out_begun_before(verdicts["latency"], rows, ended["latency"], starts)
        verdicts["latency"].usual_sums = learned.latency.sums
        judged = {kind: _weighed(verdict, fresh[kind]) for kind, verdict in verdicts.items()}
        for kind in ("latency", "errors"):
            _end_with_service(judged[kind], rows, clear)
        return judged

    def _ended(self, rows: Rows, kind: FindingKind) -> npt.NDArray[np.int64]:
        """When the last finding of each row's service ended, 0 where there was none, (rows,)."""
        by_service = np.array([self._cleared.get((name, kind), 0) for name in rows.services], np.int64)
        return by_service[rows.owners]

    def _decide(
        self,
        judged: dict[FindingKind, _Judged],
        rows: Rows,
        learned: _Baselines,
        starts: npt.NDArray[np.int64],
        seen: Seen,
    ) -> dict[tuple[str, FindingKind], Raising]:
        noticed = _noticed(judged["latency"].verdict)
        evident = judged["errors"].evident() | (judged["latency"].evident() & noticed)
        # Where a service surely fails, it takes less to see that users feel it: one chance in three hundred.
        hints = judged["errors"].verdict.hints
        evident |= hints >= HINT if hints is not None else False
        felt = Felt.of(rows, learned.silence.usual, learned.entries, evident, noticed, seen)
        firing: dict[tuple[str, FindingKind], Raising] = {}
        for kind, one in judged.items():
            raised = (one.evidence >= 1.0) & ~one.calm_again
            lasting = [(key, finding) for key, finding in self._firing.items() if _verdict_of(key[1]) == kind]
            rows_of = np.flatnonzero(raised)
            candidates = rows_of[np.argsort(-one.evidence[rows_of], kind="stable")].tolist()
            # The clearest operation speaks for its service; the service as a whole where no operation is clear.
            candidates.sort(key=lambda row: row >= len(rows.operations) and kind != "silence")
            for row in candidates:
                service, operation = rows.name(row)
                found: FindingKind = "traffic" if kind == "silence" and operation else kind
                key = (service, found)
                if key in firing:
                    continue
                before = self._firing.get(key)
                onset = before.onset if before else utc(float(starts[one.began[row]]))
                severity = _severity(before, felt, row, service, found, onset)
                # It is told of the same operation as long as that is raised.
                same = _row_of(rows, before) if before is not None and before.severity == severity else None
                told = row if same is None or not raised[same] else same
                firing[key] = Raising(
                    row=told,
                    service=service,
                    operation=rows.name(told)[1],
                    kind=found,
                    severity=severity,
                    onset=onset,
                    evidence=float(one.evidence[row]),
                )
            for key, before in lasting:
                row_before = _row_of(rows, before) if key not in firing else None
                if row_before is not None and not one.calm_again[row_before]:
                    firing[key] = Raising(
                        row=row_before,
                        service=key[0],
                        operation=before.operation,
                        kind=key[1],
                        severity=_severity(before, felt, row_before, key[0], key[1], before.onset),
                        onset=before.onset,
                        evidence=float(one.evidence[row_before]),
                    )
        return firing

    def _finding(
        self,
        judged: dict[FindingKind, _Judged],
        raising: Raising,
        conditions: dict[str, Conditions],
        now: datetime,
    ) -> Finding:
        verdict, kind, row = judged[_verdict_of(raising.kind)].verdict, raising.kind, raising.row
        value = worst(verdict.values[row, -JUDGED:], verdict.scores[row, -JUDGED:])
        expected = float(verdict.expected[row])
        return Finding(
            detector=f"red.{kind}",
            detector_version=self.version,
            kind=kind,
            service=raising.service,
            operation=raising.operation,
            summary=summary(kind, raising, value, expected),
            onset=min(raising.onset, now),
            seen_at=now,
            score=float(to_probability(np.array(raising.evidence * RAISE))),
            severity=raising.severity,
            value=value if np.isfinite(value) else None,
            expected=expected if np.isfinite(expected) else None,
            unit=UNITS[kind],
            signal=kind,
            conditions=conditions[raising.service],
            # The operation is left out of the key: as trouble spreads, it is still one finding.
            key=f"red:{kind}:{raising.service}",
        )

    def _follow(self, history: History) -> None:
        """Let the mask of tainted buckets follow the history as it grows and moves on."""
        newest = int(history.starts()[-1])
        shift = (newest - self._tainted_until) // history.step_s if self._tainted_until else 0
        if shift == 0 and self._tainted.shape == (history.size, history.buckets):
            return
        mask = np.zeros((history.size, history.buckets), np.bool_)
        keep = history.buckets - shift
        if 0 < keep <= history.buckets and self._tainted.size:
            mask[: self._tainted.shape[0], :keep] = self._tainted[:, shift:] if shift else self._tainted
        self._tainted = mask
        self._tainted_until = newest

    def _taint(self, rows: Rows, starts: npt.NDArray[np.int64]) -> None:
        """Broken is not normal: what a finding covers never teaches the baseline of its service.

        Of a finding that lasts, what is older than FROZEN does; what ended before it began stays left out.
        """
        owners = np.array(rows.services)[rows.code]
        firing = ((name, int(one.onset.timestamp())) for (name, _), one in self._firing.items())
        covered = [(owners == name, starts >= onset - STEP_S) for name, onset in firing]
        for of_service, since in covered:
            lasts = since.copy()
            lasts[-FROZEN:] = False
            self._tainted &= ~(of_service[:, None] & lasts[None, :])
        for of_service, since in covered:
            since[:-FROZEN] = False
            self._tainted |= of_service[:, None] & since[None, :]


def _severity(
    before: Finding | None, felt: Felt, row: int, service: str, kind: FindingKind, onset: datetime
) -> Severity:
    """A finding that paged goes on as a page."""
    if before is not None and before.severity == "page":
        return "page"
    return felt.severity(row, service, kind, onset)


def _verdict_of(kind: FindingKind) -> FindingKind:
    """The verdict that a finding comes from: an operation without requests is a matter of traffic, a service silent."""
    return "silence" if kind == "traffic" else kind


def _weighed(verdict: Verdict, fresh: Bools) -> _Judged:
    """Evidence and onset of each row."""
    scores = verdict.scores
    judged = np.where(fresh, scores, np.nan)
    evidence = verdict.lasting
    began = first_bad(judged)
    if verdict.cumulates:
        short = judged[:, -JUDGED:]
        least = RAISE if verdict.usual_sums is None else np.maximum(RAISE, BEYOND * verdict.usual_sums)
        sums = cumulative(short)[:, -1] / least
        began = np.where(sums >= 1.0, first_bad(short) + scores.shape[1] - short.shape[1], began)
        evidence = np.maximum(evidence, sums)
    columns = np.arange(scores.shape[1])[None, :]
    newest = columns >= scores.shape[1] - verdict.span[:, None]
    calm_again = ~((scores > 1.0) & newest).any(axis=1)
    return _Judged(verdict, evidence, np.asarray(calm_again), np.asarray(began))


def _leave_out_begun_before(
    latency: Verdict, rows: Rows, ended: npt.NDArray[np.int64], starts: npt.NDArray[np.int64]
) -> None:
    """Requests that began during trouble that has ended, and end only now, are no new trouble."""
    count = len(rows.operations)
    with np.errstate(invalid="ignore"):
        began = starts[None, :] - latency.values / 1000.0
        before = (ended[:, None] > 0) & (began < ended[:, None] + AFTERMATH_S)
    before[count:] |= by_group(rows.code, before[:count].astype(np.float64)) > 0
    latency.scores[before] = np.nan
    latency.lasting[before[:, -JUDGED:].any(axis=1)] = 0.0


def _end_with_service(judged: _Judged, rows: Rows, clear: int) -> None:
    """An operation that nobody asks for any more is normal again when its service is."""
    count = len(rows.operations)
    gone = rows.recent_calls[:count, -clear:].sum(axis=1) == 0
    well = judged.calm_again[count:] & (rows.recent_calls[count:, -clear:].sum(axis=1) > 0)
    judged.calm_again[:count] |= gone & well[rows.code]


def _noticed(latency: Verdict) -> Bools:
    """Rows that are slower by what a human notices, on average over the newest bad ones of the judged buckets, (rows,).

    The newest ones: a slowdown that grows is noticed by what it has become.
    """
    values = latency.values[:, -JUDGED:]
    bad = (latency.scores[:, -JUDGED:] > 1.0) & np.isfinite(values)
    bad &= np.cumsum(bad[:, ::-1], axis=1)[:, ::-1] <= NEWEST_BAD
    mean = np.where(bad, values, 0.0).sum(axis=1) / np.maximum(bad.sum(axis=1), 1)
    usual = latency.expected
    return np.asarray((mean >= usual + NOTICED_MS) & (mean >= NOTICED_TIMES * usual))


def _row_of(rows: Rows, finding: Finding) -> int | None:
    """The row that a finding is about."""
    if finding.service not in rows.services:
        return None
    number = rows.services.index(finding.service)
    if finding.operation is None:
        return len(rows.operations) + number
    for row in np.flatnonzero(rows.code == number).tolist():
        if rows.operations[row] == finding.operation:
            return int(row)
    return None


def _conditions(rows: Rows, learned: _Baselines) -> dict[str, Conditions]:
    """What else was unusual: each service's traffic over its usual traffic, and how much slower all are at once."""
    count = len(rows.operations)
    recent = rows.recent_calls[count:, -JUDGED:].mean(axis=1)
    load = (recent + 0.1) / (np.nan_to_num(learned.traffic) + 0.1)
    common = shared_slowdown(rows.mean_ms, rows.calls, learned.latency.centre[:count], rows.code)
    return {
        name: Conditions(load=value, slowdown=common) for name, value in zip(rows.services, load.tolist(), strict=True)
    }
