"""Latency, errors and silence of every service, from the RED roll-up: what its callers feel.

Idea: each series' recent buckets against its own calm past. Latency: the logarithm of the mean, against a robust
level, with the noise of few requests added. Errors: the probability of as many errors by chance, given the usual
rate. Silence: the probability of no request at all, given the usual number, while others still report.
Assumes requests are counted when they end. Fails where a service has fewer than about one request in five seconds:
such a series stays in the stage `sparse`, and says so. Cost: one pass over (series, buckets) arrays a tick.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.special import betainc

from detectors.detector import Seen, Setup
from detectors.evidence import RAISE, Bools, Floats, cumulative, first_bad, robust_level, to_probability
from detectors.history import History
from detectors.red.noise import COMMON_FOR, bunching, by_service, shared_slowdown
from detectors.simulated import Example, Requests, Simulated
from watchkeeper.vocabulary import Conditions, Finding, FindingKind, utc

VERSION: Final = "1"
STEP_S: Final = 5  # seconds in a bucket of the history
JUDGED: Final = 12  # buckets that the decision looks back over: one minute
GUARD: Final = 4  # buckets before those judged as new that the baseline leaves out, so that an onset doesn't teach it
WARM: Final = 7  # buckets with requests before a series has a level of its own
SPARSE_CALLS: Final = 1.0  # a bucket
LATELY: Final = 24  # buckets before those judged that say what traffic there is now
SAMPLED: Final = 120  # buckets of the past that a median is taken of; the noise of one of 120 is a tenth of the spread
LOOK: Final = COMMON_FOR + JUDGED
# Alert once, then adapt: what has lasted this many buckets teaches the baseline after all. Budgets still see it.
FROZEN: Final = 180  # a quarter of an hour: by then somebody has been paged and escalated to
# The usual spread of log latency within one operation: of so many requests a mean is that uncertain, over their root.
LOG_SPREAD: Final = 0.6
LEAST_SPREAD: Final = 0.1  # of log latency: a level that never moved may still move by a tenth
OWN_OF_COMMON: Final = 0.7  # how much of a shared slowdown may be a service's own: added to its noise
PRIOR_ERRORS: Final = 0.5  # in PRIOR_CALLS requests are believed beforehand: one in a hundred fails
PRIOR_CALLS: Final = 50.0
NEWS_SCORE: Final = 2.0  # taken off the score of errors that users can hardly feel
NEWS_TIMES: Final = 2.0  # as many errors as usual are no news yet
HIGHEST_RATE: Final = 0.9  # of errors that may be usual: an operation that always fails still has news
SMALLEST_CHANCE: Final = 1e-30  # that is distinguished: its score is 11.8
STEADY: Final = 0.9  # the share of its buckets in which a service had requests, before its silence is judged
PIPELINE: Final = 0.2  # of all services' usual requests: with fewer, it is the pipeline that is silent
LARGEST_SILENCE: Final = 6.0  # score of a silent bucket at most: two of them raise


@dataclass(frozen=True, slots=True, kw_only=True)
class RedThresholds:
    """What users can feel, and so counts towards a page. Fixed: what labels teach decides on findings, not here.

    Attributes:
        latency_ratio: times the usual latency.
        latency_more_ms: and so much longer; below, nobody notices.
        error_rate: share of requests that fail: one in twelve is noticed, one in a hundred is what budgets are for.
        error_count: failures in ten seconds: fewer may be one user who tries again.
    """

    latency_ratio: float = 2.0
    latency_more_ms: float = 30.0
    error_rate: float = 0.08
    error_count: float = 4.0


@dataclass(slots=True)
class _Verdict:
    """One kind of judgement over all rows: scores and values of the judged buckets, and what is usual."""

    kind: FindingKind
    scores: Floats
    values: Floats
    expected: Floats
    unit: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Raising:
    """The row that speaks for a service: its operation (None for all), since when, and the sum of its scores."""

    row: int
    service: str
    operation: str | None
    onset: datetime
    total: float


class RedDetector:
    """Requests of a service that fail, are slow, or no longer come. Pages.

    State: which findings fire, so that they end with hysteresis.
    """

    version = VERSION
    needs = ("red",)

    def __init__(self, setup: Setup, thresholds: RedThresholds | None = None) -> None:
        self._clear_buckets = max(2, math.ceil(setup.clear_s / STEP_S))
        self.thresholds = thresholds or RedThresholds()
        self._firing: dict[tuple[str, str], Finding] = {}
        self._tainted: npt.NDArray[np.bool_] = np.zeros((0, 0), bool)
        self._tainted_until = 0
        self._cleared: dict[tuple[str, str], int] = {}
        self._history: History
        self._common = 0.0
        self._load: Floats = np.zeros(0)

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
        self._history, complete, self.version = seen["red"], seen.complete["red"], seen.model_version
        if self._history.size == 0 or complete < JUDGED:
            return []
        names = self._history.names()
        self._follow()
        calls, errors = self._history["calls"][:, :complete], self._history["errors"][:, :complete]
        mean = self._history["mean_ms"][:, :complete]
        calm = ~self._tainted[:, :complete]
        calm[:, complete - GUARD :] = False
        starts = self._history.starts()
        services = [name[0] for name in names]
        by_name = by_service(calls, calm, services)
        self._load = self._load_of(*by_name)
        firing: dict[tuple[str, str], Finding] = {}
        for verdict in (
            self._latency(calls, mean, calm, services),
            self._errors(calls, errors, calm),
            self._silence(*by_name),
        ):
            self._decide(verdict, names, services, starts[complete - JUDGED : complete], seen.now, firing)
        newest = int(starts[complete - 1])
        for key in self._firing.keys() - firing.keys():
            # What ended is over: its buckets must not add up with whatever comes next.
            self._cleared[key] = newest - (self._clear_buckets - 1) * self._history.step_s
        self._firing = firing
        self._taint(services, firing, starts)
        return list(firing.values())

    def _latency(self, calls: Floats, mean: Floats, calm: Bools, services: list[str]) -> _Verdict:
        # A median of a hundred buckets is as good as one of all, and an order of magnitude cheaper.
        sampled = slice(None, None, -max(1, calls.shape[1] // SAMPLED))
        past, latest = _logarithms(calls[:, sampled], mean[:, sampled]), _logarithms(calls[:, -LOOK:], mean[:, -LOOK:])
        centre, spread = robust_level(past, calm[:, sampled] & np.isfinite(past))
        few = (calm & (calls > 0) & np.isfinite(mean)).sum(axis=1) < WARM
        recent = latest[:, -JUDGED:]
        counts = np.maximum(calls[:, -JUDGED:], 1.0)
        with np.errstate(invalid="ignore", over="ignore"):
            common = shared_slowdown(latest - centre[:, None], calls[:, -LOOK:], services)[-JUDGED:]
            self._common = float(common[-1])
            # The spread holds the noise of the usual number of requests: fewer than that are noisier, not noisy twice.
            own = np.maximum(spread[:, None] ** 2, LEAST_SPREAD**2 + LOG_SPREAD**2 / counts)
            noise = np.sqrt(own + (OWN_OF_COMMON * common) ** 2)
            scores = (recent - centre[:, None] - common) / noise
            usual = np.exp(centre)
            explained = usual[:, None] * np.exp(common)
            bad = (mean[:, -JUDGED:] > explained * self.thresholds.latency_ratio) & (
                mean[:, -JUDGED:] > explained + self.thresholds.latency_more_ms
            )
        # What nobody can feel doesn't count towards a page, however unusual.
        scores = np.where(bad | np.isnan(scores), scores, np.minimum(scores, 0.0))
        scores[few] = np.nan
        return _Verdict("latency", scores, mean[:, -JUDGED:], usual, "ms")

    def _errors(self, calls: Floats, errors: Floats, calm: Bools) -> _Verdict:
        base_calls = np.where(calm, calls, 0.0).sum(axis=1)
        base_errors = np.where(calm, errors, 0.0).sum(axis=1)
        believed = (base_errors + PRIOR_ERRORS) / (base_calls + PRIOR_CALLS)
        rate = np.minimum(NEWS_TIMES * believed, HIGHEST_RATE)
        bunch = bunching(np.where(calm, calls, 0.0), np.where(calm, errors, 0.0), believed)[:, None]
        recent_calls, recent_errors = calls[:, -JUDGED:], errors[:, -JUDGED:]
        pair_calls, pair_errors = _pairs(recent_calls), _pairs(recent_errors)
        with np.errstate(divide="ignore", invalid="ignore"):
            # The chance of as many errors among so many requests, by the binomial distribution, in whole bunches.
            others = np.maximum(pair_calls - pair_errors, 0.0)
            chance = betainc(np.maximum(pair_errors, 1.0) / bunch, others / bunch + 1.0, rate[:, None])
            scores = np.sqrt(-2.0 * np.log(np.maximum(np.where(pair_errors > 0, chance, 1.0), SMALLEST_CHANCE)))
            share = np.where(recent_calls > 0, recent_errors / np.maximum(recent_calls, 1), 0.0)
            pair_share = np.where(pair_calls > 0, pair_errors / np.maximum(pair_calls, 1), 0.0)
        usual = base_errors / np.maximum(base_calls, 1.0)
        bad = (
            (pair_share >= np.maximum(self.thresholds.error_rate, NEWS_TIMES * usual[:, None]))
            & (pair_errors >= self.thresholds.error_count)
            & (share > 0)
        )
        scores = np.where(recent_calls > 0, np.where(bad, scores, np.minimum(scores - NEWS_SCORE, 0.0)), np.nan)
        # A system that starts fails while its parts come up one by one.
        scores[(calls > 0).sum(axis=1) < WARM] = np.nan
        shown = np.where(recent_calls > 0, share, np.nan)
        return _Verdict("errors", scores, shown, usual, "of requests")

    def _silence(self, services: npt.NDArray[np.int64], calls: Floats, calm: Bools) -> _Verdict:
        # A service is silent as a whole: judge the sum of its operations, then give each of its rows the score.
        seen = calm & (np.cumsum(calls, axis=1) > 0)
        usual = np.where(seen, calls, 0.0).sum(axis=1) / np.maximum(seen.sum(axis=1), 1)
        # Traffic that went down by itself makes silence less of a surprise.
        lately = seen & (np.arange(calls.shape[1]) >= calls.shape[1] - JUDGED - LATELY)
        lately[:, -JUDGED:] = False
        known_lately = lately.sum(axis=1)
        usual = np.where(
            known_lately > 0,
            np.minimum(usual, np.where(lately, calls, 0.0).sum(axis=1) / np.maximum(known_lately, 1)),
            usual,
        )
        steady = (np.where(seen, calls > 0, False).sum(axis=1) >= STEADY * seen.sum(axis=1)) & (
            seen.sum(axis=1) >= WARM
        )
        total = calls.sum(axis=0)
        calm_total = np.median(total[:-JUDGED]) if total.size > JUDGED else 0.0
        # When everything is silent, it is the pipeline: that is reported elsewhere.
        reporting = total[-JUDGED:] > PIPELINE * calm_total
        zero = (calls[:, -JUDGED:] == 0) & reporting[None, :]
        expected = np.sqrt(2.0 * np.maximum(usual, 0.0))[:, None]
        # The root of -2 log of the chance of no request, by Poisson; a little more, for silence rarely is chance.
        scores = np.where(zero, np.minimum(expected + 1.0, LARGEST_SILENCE), -LARGEST_SILENCE)
        scores = np.where(reporting[None, :], scores, np.nan)
        scores[~steady | (usual < SPARSE_CALLS)] = np.nan
        per_s = self._history.step_s
        shown, expected = calls[:, -JUDGED:] / per_s, usual / per_s
        return _Verdict("silence", scores[services], shown[services], expected[services], "requests/s")

    def _decide(
        self,
        verdict: _Verdict,
        names: list[tuple[str, ...]],
        services: list[str],
        starts: npt.NDArray[np.int64],
        now: datetime,
        firing: dict[tuple[str, str], Finding],
    ) -> None:
        cleared = np.array([self._cleared.get((service, verdict.kind), 0) for service in services])
        judged = np.where(starts[None, :] < cleared[:, None], np.nan, verdict.scores)
        sums = cumulative(judged)[:, -1]
        began = first_bad(judged)
        last = verdict.scores[:, -self._clear_buckets :]
        calm_again: Bools = np.asarray((np.isnan(last) | (last <= 1.0)).all(axis=1))
        # A long trouble leaves a sum that would take minutes to wear off: normal buckets end it at once.
        raised = (sums >= RAISE) & ~calm_again
        order = np.argsort(-sums)  # a service's worst operation speaks for it
        for row in order.tolist():
            service, operation = names[row][0], names[row][1]
            key = (service, verdict.kind)
            before = self._firing.get(key)
            lasting = before is not None and not calm_again[row]
            if key in firing or not (raised[row] or lasting):
                continue
            if before is not None and not raised[row] and before.operation not in (operation, None):
                continue
            onset = before.onset if before else utc(float(starts[began[row]]))
            shown = before.operation if before else None if verdict.kind == "silence" else operation
            raising = _Raising(row=row, service=service, operation=shown, onset=onset, total=float(sums[row]))
            firing[key] = self._finding(verdict, raising, now)

    def _finding(self, verdict: _Verdict, raising: _Raising, now: datetime) -> Finding:
        row, service = raising.row, raising.service
        value, expected = _worst(verdict.values[row], verdict.scores[row]), float(verdict.expected[row])
        return Finding(
            detector=f"red.{verdict.kind}",
            detector_version=self.version,
            kind=verdict.kind,
            service=service,
            operation=raising.operation,
            summary=_summary(verdict.kind, raising, value, expected),
            onset=min(raising.onset, now),
            seen_at=now,
            score=float(to_probability(np.array(raising.total))),
            value=value if np.isfinite(value) else None,
            expected=expected if np.isfinite(expected) else None,
            unit=verdict.unit,
            signal=verdict.kind,
            conditions=Conditions(load=float(self._load[row]), slowdown=float(np.exp(self._common))),
            # The operation is left out of the key: as trouble spreads, it is still one finding.
            key=f"red:{verdict.kind}:{service}",
        )

    def _follow(self) -> None:
        """Let the mask of tainted buckets follow the history as it grows and moves on."""
        newest = int(self._history.starts()[-1])
        shift = (newest - self._tainted_until) // self._history.step_s if self._tainted_until else 0
        mask = np.zeros((self._history.size, self._history.buckets), bool)
        keep = self._history.buckets - shift
        if keep > 0 and self._tainted.size:
            mask[: self._tainted.shape[0], :keep] = self._tainted[:, shift:] if shift else self._tainted
        self._tainted = mask
        self._tainted_until = newest

    def _taint(
        self, services: list[str], firing: dict[tuple[str, str], Finding], starts: npt.NDArray[np.int64]
    ) -> None:
        """Broken is not normal: what a finding covers never teaches the baseline of its service."""
        for (service, _), finding in firing.items():
            rows = np.array([name == service for name in services])
            since = starts >= int(finding.onset.timestamp()) - self._history.step_s
            since[:-FROZEN] = False
            self._tainted |= rows[:, None] & since[None, :]
            self._tainted[rows, :-FROZEN] = False

    @staticmethod
    def _load_of(code: npt.NDArray[np.int64], calls: Floats, calm: Bools) -> Floats:
        """Each row's service's traffic in the last minute over its usual traffic, (n,)."""
        seen = (np.cumsum(calls, axis=1) > 0) & calm
        recent = calls[:, -JUDGED:].mean(axis=1)
        usual = np.where(seen, calls, 0.0).sum(axis=1) / np.maximum(seen.sum(axis=1), 1)
        return np.asarray(((recent + 0.1) / (usual + 0.1))[code])


def _logarithms(calls: Floats, mean_ms: Floats) -> Floats:
    """Logarithms of latencies, NaN where nobody called."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(calls > 0, np.log(np.maximum(mean_ms, 0.01)), np.nan)


def _pairs(values: Floats) -> Floats:
    """Each bucket together with the one before it."""
    before = np.concatenate([np.zeros((values.shape[0], 1)), values[:, :-1]], axis=1)
    return np.asarray(values + before)


def _worst(values: Floats, scores: Floats) -> float:
    """The value of the clearest of the judged buckets, NaN where none has a score; of equals the latest.

    The last bucket may be half way back to normal: it would tell a human that nothing happened.
    """
    known = np.flatnonzero(np.isfinite(scores) & np.isfinite(values))
    if known.size == 0:
        return float("nan")
    return float(values[known[::-1][np.argmax(scores[known[::-1]])]])


def _summary(kind: FindingKind, raising: _Raising, value: float, expected: float) -> str:
    where = f"{raising.service} {raising.operation}" if raising.operation else raising.service
    since = f"since {raising.onset:%H:%M:%S} UTC"
    match kind:
        case "latency":
            return f"{where} takes {_ms(value)} (usually {_ms(expected)}) {since}"
        case "errors":
            return f"{where} fails {value:.0%} of requests (usually {expected:.1%}) {since}"
        case _:
            return f"{raising.service} has served no request (usually {expected:.1f}/s) {since}"


def _ms(value: float) -> str:
    return f"{value / 1000:.1f} s" if value >= 1000 else f"{value:.0f} ms"
