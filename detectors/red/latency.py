"""Requests that take longer: the logarithm of the mean of each operation, and of a service over all its operations.

A service as a whole is judged by the change within its operations, weighted by calls: a new mix of fast and slow
operations is no slowdown. Only where most requests are of operations without a past are they compared with what the
service as a whole took before, and then they must take far longer.

Where the past is noisy, its spread says little: what is slower than its worst buckets counts by how far it is beyond
them. Where slow buckets come again and again by themselves, as where one name covers quick and slow requests, each
counts by how rare they are.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from detectors.evidence import DRIFT, RAISE, Bools, Floats, by_group, cumulative, robust_level
from detectors.red.rows import (
    JUDGED,
    REACH,
    SAMPLED,
    WARM,
    Rows,
    Verdict,
    clear_spans,
    parts_of,
    window_sums,
)

# The usual spread of log latency within one operation: of so many requests a mean is that uncertain, over their root.
LOG_SPREAD: Final = 0.6
LEAST_SPREAD: Final = 0.1  # of log latency: a level that never moved may still move by a tenth
WINDOWS: Final = (12, 24, 60)  # buckets: what is rare, or slow to show, needs longer
CLEAR: Final = 5.0  # spreads of such a window's mean: thousands of rows are looked at all day
RARE_MORE_MS: Final = 100.0  # and at least so much longer there: a delay that one feels by itself
FULL: Final = 0.5  # of a part's buckets must hold requests before it says which sums are usual
MOST_LOG: Final = 3.0  # times e that one bucket counts in a window: a single outlier must not raise
LEAST_BUCKETS: Final = 3  # with requests, in a window
TAIL: Final = 0.9  # of the past's minutes: where more than a tenth of them is slow by itself, that is usual
TAIL_SPREADS: Final = 1.2816  # standard normal deviations at that quantile
LONGEST_MS: Final = 86_400_000.0  # a day: what is longer, or below nothing, was not measured
KNOWN_SHARE: Final = 0.5  # of a service's requests must be of operations with a past, for these to speak for it
DOUBT: Final = 3.0  # times as long: where its operations have no past, a service must be slower than that
SLOW: Final = 4.0  # spreads: a bucket that is slow
HABIT: Final = 2  # slow buckets in each part of the past: fewer are accidents
SURE: Final = 13.0  # the logarithm of the odds at which buckets that are slow by chance raise: one in 400,000


@dataclass(frozen=True, slots=True)
class LatencyBaseline:
    """Usual log latency: `centre` and `spread` by row, `minute` the spread of a minute's mean; (n + s,) each.

    `worst` (n + s,) is the change over the centre in the slowest bucket that most parts of the past have seen.

    `whole` (s,) is the level of a service's mean over all requests, whatever their operation; the centre of a service's
    row is that of the change within its operations: nearly 0.

    `most` (n + s,) is what a slow bucket counts, unless it is beyond the worst; infinite where they are no habit.
    `sums` (n + s,) is the highest sum of a minute's scores that most parts of the past reach by themselves.
    """

    centre: Floats
    spread: Floats
    minute: Floats
    worst: Floats
    whole: Floats
    most: Floats
    sums: Floats

    @classmethod
    def of(cls, rows: Rows, ratio: float, more_ms: float) -> LatencyBaseline:
        """What is usual, and how often the past has been slow by itself, by `ratio` times and `more_ms` more."""
        levels = cls.levels(rows)
        most, sums = _habits(rows, levels, ratio, more_ms)
        return replace(levels, most=most, sums=sums)

    @classmethod
    def levels(cls, rows: Rows) -> LatencyBaseline:
        """From a sample of what is calm: a median of a hundred buckets is as good as one of all, and far cheaper."""
        stride = max(1, rows.calls.shape[1] // SAMPLED)
        sampled = _sampled(rows.calls.shape[1], stride)
        calls, mean, calm = rows.calls[:, sampled], measured(rows.mean_ms[:, sampled]), rows.calm[:, sampled]
        logs = logarithms(calls, mean)
        timed = np.where(np.isfinite(logs), calls, 0.0)
        usable = calm & np.isfinite(logs)
        centre, spread = robust_level(logs, usable)
        centre[(rows.calm & (rows.calls > 0) & np.isfinite(rows.mean_ms)).sum(axis=1) < WARM] = np.nan
        minute = _minute_spread(logs - centre[:, None], calls, usable, stride)
        of_service = rows.calm_services()[:, sampled]
        change, known, total = _within(logs - centre[:, None], timed, rows)
        usable_service = of_service & np.isfinite(change) & (known >= KNOWN_SHARE * total)
        level, service_spread = robust_level(change, usable_service)
        whole = logarithms(total, _mean_of_all(calls, mean, rows))
        usable_whole = of_service & np.isfinite(whole)
        whole_level, _ = robust_level(whole, usable_whole)
        whole_level[usable_whole.sum(axis=1) < WARM] = np.nan
        service_minute = _minute_spread(change - level[:, None], known, usable_service, stride)
        return cls(
            centre=np.concatenate([centre, level]),
            spread=np.concatenate([spread, service_spread]),
            minute=np.concatenate([minute, service_minute]),
            worst=_worst(rows, centre, level),
            whole=whole_level,
            most=np.full(rows.count, np.inf),
            sums=np.zeros(rows.count),
        )


def judge_latency(
    rows: Rows, baseline: LatencyBaseline, ratio: float, more_ms: float, clear: int, fresh: Bools
) -> Verdict:
    """Scores of buckets, and the evidence of longer windows.

    Users feel `ratio` times as long and `more_ms` more. `clear` buckets must be normal to end. Windows hold only
    buckets that are `fresh` (rows, r): newer than what has ended.
    """
    count = len(rows.operations)
    reach = rows.recent_calls.shape[1]
    calls, mean = rows.calls[:, -reach:], measured(rows.mean_ms[:, -reach:])
    centre = baseline.centre[:count]
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        own = logarithms(calls, mean) - centre[:, None]
        usual = np.exp(centre)
        # Requests whose duration nobody measured say nothing of it, not even that their operation has no past.
        timed = np.where(np.isfinite(mean), calls, 0.0)
        change, known, total = _within(own, timed, rows)
        took = np.where(np.isfinite(own), calls * mean, 0.0)
        would_take = np.where(np.isfinite(own), calls * usual[:, None], 0.0)
        service_mean = by_group(rows.code, took) / known
        service_usual = by_group(rows.code, would_take) / known
        # Where hardly any request is of an operation with a past, the service's own level speaks, with doubt.
        strange = known < KNOWN_SHARE * total
        all_mean = _mean_of_all(calls, mean, rows)
        change = np.where(strange, logarithms(total, all_mean) - baseline.whole[:, None] - np.log(DOUBT), change)
        change = np.where(strange, change, change - baseline.centre[count:, None])
        service_mean = np.where(strange, all_mean, service_mean)
        service_usual = np.where(strange, DOUBT * np.exp(baseline.whole)[:, None], service_usual)
        ratios = np.concatenate([own, change])
        values = np.concatenate([np.where(calls > 0, mean, np.nan), service_mean])
        levels = np.concatenate([np.broadcast_to(usual[:, None], mean.shape), service_usual])
        counted = np.concatenate([calls, np.where(strange, total, known)])
        # The spread holds the noise of the usual number of requests: fewer than that are noisier, not noisy twice.
        noise = np.sqrt(
            np.maximum(baseline.spread[:, None] ** 2, LEAST_SPREAD**2 + LOG_SPREAD**2 / np.maximum(counted, 1.0))
        )
        few = np.sqrt(LEAST_SPREAD**2 + LOG_SPREAD**2 / np.maximum(counted, 1.0))
        scores = np.fmin(ratios / noise, baseline.most[:, None])
        scores = np.fmax(scores, DRIFT + (ratios - baseline.worst[:, None]) / few)
        felt = (values > levels * ratio) & (values > levels + more_ms)
        # What nobody can feel doesn't count towards a page, however unusual.
        scores = np.where(felt | np.isnan(scores), scores, np.minimum(scores, 0.0))
        shown = _last_known(levels, counted)
    lasting = _lasting(
        ratios, np.where(fresh, counted, 0.0), levels, baseline, np.log(ratio), max(more_ms, RARE_MORE_MS)
    )
    return Verdict(scores, values, shown, lasting, clear_spans(counted, clear))


def _habits(rows: Rows, levels: LatencyBaseline, ratio: float, more_ms: float) -> tuple[Floats, Floats]:
    """What a slow bucket counts, and the highest sum of a minute's scores in most parts of the past, (n + s,) each.

    Where slow requests come among many quick ones, buckets alternate between two levels, and runs of slow ones are
    usual. An outage lies in one part. A part of which little is known says nothing.
    """
    past = replace(rows, recent_calls=np.concatenate([rows.calls, by_group(rows.code, rows.calls)]))
    everything = np.ones(past.recent_calls.shape, np.bool_)
    verdict = judge_latency(past, levels, ratio, more_ms, 1, everything)
    calm = np.concatenate([rows.calm, rows.calm_services()])
    # What is older than the longest window, so that a slowdown is not compared with itself.
    scores = np.where(calm & (past.recent_calls > 0), verdict.scores, np.nan)[:, :-REACH]
    parts = [scores[:, part] for part in parts_of(scores)]
    finite = np.stack([np.isfinite(part).sum(axis=1) for part in parts], axis=1)
    known = finite >= FULL * np.array([max(part.shape[1], 1) for part in parts])
    with np.errstate(invalid="ignore"):
        slow = np.stack([(part > SLOW).sum(axis=1) for part in parts], axis=1)
    share = np.nan_to_num(robust_level(slow / np.maximum(finite, 1), known)[0])
    habit = np.nan_to_num(robust_level(slow.astype(np.float64), known)[0]) >= HABIT
    with np.errstate(divide="ignore"):
        most = np.where(habit, DRIFT + RAISE * np.maximum(-np.log(share), 0.0) / SURE, np.inf)
    peaks = np.stack([_minute_sums(np.fmin(part, most[:, None])) for part in parts], axis=1)
    return most, np.asarray(np.nan_to_num(robust_level(peaks, known)[0]))


def _minute_sums(scores: Floats) -> Floats:
    """The highest sum of any minute's scores, (rows,); exact where one can raise, else 0."""
    highest = np.zeros(len(scores))
    if scores.shape[1] < JUDGED:
        return highest
    can_raise = np.flatnonzero(cumulative(scores).max(axis=1) >= RAISE)
    minutes = np.lib.stride_tricks.sliding_window_view(scores[can_raise], JUDGED, axis=1)
    sums = cumulative(minutes.reshape(-1, JUDGED))[:, -1]
    highest[can_raise] = sums.reshape(minutes.shape[:2]).max(axis=1, initial=0.0)
    return highest


def _sampled(buckets: int, stride: int) -> npt.NDArray[np.int64]:
    """One column in each `stride`, the newest first, and not the same in each: what comes by the clock is seen, too."""
    number = np.arange(buckets // stride)
    return np.asarray(buckets - 1 - number * stride - number % stride, np.int64)


def measured(mean_ms: Floats) -> Floats:
    """Latencies that can be; NaN instead of others."""
    with np.errstate(invalid="ignore"):
        return np.where((mean_ms >= 0) & (mean_ms <= LONGEST_MS), mean_ms, np.nan)


def logarithms(calls: Floats, mean_ms: Floats) -> Floats:
    """Logarithms of latencies, NaN where nobody called."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(calls > 0, np.log(np.maximum(mean_ms, 0.01)), np.nan)


def _within(change: Floats, calls: Floats, rows: Rows) -> tuple[Floats, Floats, Floats]:
    """Services' mean change within operations, weighted by calls; the calls that it is of, and all calls; (s, m)."""
    known = np.isfinite(change)
    weight = by_group(rows.code, np.where(known, calls, 0.0))
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = by_group(rows.code, np.where(known, calls * change, 0.0)) / weight
    return mean, weight, by_group(rows.code, calls)


def _mean_of_all(calls: Floats, mean_ms: Floats, rows: Rows) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        known = (calls > 0) & np.isfinite(mean_ms)
        taken = by_group(rows.code, np.where(known, calls * mean_ms, 0.0))
        return np.asarray(taken / by_group(rows.code, np.where(known, calls, 0.0)))


def _worst(rows: Rows, centre: Floats, level: Floats) -> Floats:
    """The change over `centre` (n,) and `level` (s,) in the slowest calm bucket of most parts, (n + s,)."""
    calls = np.where(rows.calm, rows.calls, 0.0)
    own = logarithms(calls, measured(rows.mean_ms)) - centre[:, None]
    change = _within(own, calls, rows)[0] - level[:, None]
    every = np.concatenate([own, change])
    peaks = np.stack([np.fmax.reduce(every[:, part], axis=1, initial=np.nan) for part in parts_of(every)])
    # An outage that lies in one part is not usual.
    return robust_level(peaks.T, np.isfinite(peaks.T))[0]


def _minute_spread(change: Floats, calls: Floats, usable: Bools, stride: int) -> Floats:
    """How much the means of calm minutes differ from the level, upwards, (rows,)."""
    width = max(1, JUDGED // stride)
    blocks = change.shape[1] // width
    shape = (len(change), blocks, width)
    cut = blocks * width
    weight = np.where(usable, calls, 0.0)[:, :cut].reshape(shape).sum(axis=2)
    with np.errstate(divide="ignore", invalid="ignore"):
        clipped = np.where(usable, calls * np.clip(change, -MOST_LOG, MOST_LOG), 0.0)
        means = clipped[:, :cut].reshape(shape).sum(axis=2) / weight
    known = weight > 0
    _, spread = robust_level(means, known)
    ranked = np.sort(np.where(known, means, np.nan), axis=1)
    at = np.ceil(TAIL * np.maximum(known.sum(axis=1) - 1, 0)).astype(np.int64)
    tail = ranked[np.arange(len(ranked)), at] / TAIL_SPREADS
    return np.asarray(np.fmax(np.nan_to_num(spread), np.nan_to_num(tail)))


def _lasting(
    ratios: Floats, calls: Floats, levels: Floats, baseline: LatencyBaseline, least_log: float, more_ms: float
) -> Floats:
    """Evidence of longer windows, 1 raises, (rows,)."""
    known = np.isfinite(ratios) & (calls > 0)
    weight = np.where(known, calls, 0.0)
    clipped = np.where(known, weight * np.clip(ratios, -MOST_LOG, MOST_LOG), 0.0)
    worth = np.where(known, weight * np.nan_to_num(levels), 0.0)
    best = np.zeros(len(ratios))
    for width in WINDOWS:
        half = width // 2
        asked, late = window_sums(weight, width), window_sums(weight, half)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            mean = window_sums(clipped, width) / asked
            late_mean = window_sums(clipped, half) / late
            usual = window_sums(worth, width) / asked
            more = usual * (np.exp(mean) - 1.0)
            clear = mean / np.sqrt(baseline.minute**2 + LEAST_SPREAD**2 + LOG_SPREAD**2 / asked)
        felt = (mean >= least_log) & (late_mean >= least_log) & (more >= more_ms)
        felt &= known[:, -width:].sum(axis=1) >= LEAST_BUCKETS
        best = np.where(felt, np.fmax(best, clear / CLEAR), best)
    return best


def _last_known(levels: Floats, calls: Floats) -> Floats:
    """What is usual for the newest bucket with requests, (rows,)."""
    known = (calls > 0) & np.isfinite(levels)
    last = known.shape[1] - 1 - np.argmax(known[:, ::-1], axis=1)
    found = levels[np.arange(len(levels)), last]
    return np.asarray(np.where(known.any(axis=1), found, np.nan))
