"""Requests that fail: as many errors by chance, at the usual rate, in the last ten seconds or in longer windows.

An operation without a past borrows its service's rate. What it fails counts once users of the service can feel it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.special import betainc

from detectors.evidence import Bools, Floats, by_group
from detectors.red.noise import bunching
from detectors.red.rows import WARM, Rows, Verdict, clear_spans, newest_past, window_sums

PRIOR_RATE: Final = 0.01  # believed beforehand: one in a hundred fails,
PRIOR_CALLS: Final = 50.0  # as firmly as so many requests would show it
NEWS_SCORE: Final = 2.0  # taken off the score of errors that users can hardly feel
UNWELL_SCORE: Final = 1.5  # of a bucket with few requests and errors among them: more than normal, less than the drift
NEWS_TIMES: Final = 2.0  # as many errors as usual are no news yet
HIGHEST_RATE: Final = 0.9  # of errors that may be usual: an operation that always fails still has news
SMALLEST_CHANCE: Final = 1e-30  # that is distinguished: its score is 11.8
WINDOWS: Final = (6, 12, 24, 60)  # buckets, from half a minute: what is rare, or a small share, needs longer to show
RARE: Final = 1e-7  # chance of as many errors in such a window: thousands of rows are looked at all day
LASTING_RATE: Final = 0.05  # of requests that fail for as long: one in twenty is felt,
LITTLE_PAST: Final = 36  # buckets: where less is known,
LITTLE_RATE: Final = 0.2  # so many must fail
BLOCK: Final = 6  # buckets of which the worst share of the past is taken: half a minute
BLOCK_CALLS: Final = 20.0  # of fewer requests, a share says nothing
PEAK_TIMES: Final = 1.3  # as much as the worst half minute of the past, where it swings by itself
NEW_SHARE: Final = 0.03  # of its service's requests: failures of an operation without a past count from there
# A service that came into a running system and fails from its first minute on has no past to compare with.
YOUNG: Final = 24  # buckets
RUNNING: Final = 60  # buckets for which others must have been there
YOUNG_RATE: Final = 0.5  # of requests that must fail


@dataclass(frozen=True, slots=True)
class ErrorBaseline:
    """What share usually fails, by row: believed, shown, how bunched, and which rows have a past; each (rows,)."""

    believed: Floats
    believed_before: Floats  # of what is older than the longest window
    usual: Floats
    lasting: Floats  # share from which on errors count that last
    bunch: Floats
    warm: Bools
    young: Bools

    @classmethod
    def of(cls, rows: Rows) -> ErrorBaseline:
        """From everything calm."""
        calm = rows.calm
        older = newest_past(calm)
        long_past = (older & (rows.calls > 0)).sum(axis=1) >= WARM
        own = [np.where(calm, values, 0.0) for values in (rows.calls, rows.errors)]
        asked, failed = (values.sum(axis=1) for values in own)
        asked_before = np.where(long_past, np.where(older, rows.calls, 0.0).sum(axis=1), asked)
        failed_before = np.where(long_past, np.where(older, rows.errors, 0.0).sum(axis=1), failed)
        code = rows.code
        of_service = [by_group(code, part[:, None])[:, 0] for part in (asked, failed, asked_before, failed_before)]
        service_rate = _believed(of_service[0], of_service[1], PRIOR_RATE)
        before_rate = _believed(of_service[2], of_service[3], PRIOR_RATE)
        # Beforehand an operation fails as often as its service, at least as often as any.
        believed = _believed(asked, failed, np.clip(service_rate[code], PRIOR_RATE, HIGHEST_RATE))
        before = _believed(asked_before, failed_before, np.clip(before_rate[code], PRIOR_RATE, HIGHEST_RATE))
        summed = [by_group(code, values) for values in own]
        bunch = np.concatenate([bunching(own[0], own[1], believed), bunching(summed[0], summed[1], service_rate)])
        served = by_group(code, rows.calls) > 0
        warm = np.concatenate([(rows.calls > 0).sum(axis=1) >= WARM, served.sum(axis=1) >= WARM])
        age = np.where(served.any(axis=1), served.shape[1] - np.argmax(served, axis=1), 0)
        young = (age <= YOUNG) & (age.max(initial=0) >= RUNNING)
        young_rows = np.concatenate([young[code], young])
        calm_services = rows.calm_services()
        peak = np.concatenate([_peak(own[0], own[1]), _peak(*(np.where(calm_services, part, 0.0) for part in summed))])
        past = np.concatenate([(own[0] > 0).sum(axis=1), ((summed[0] > 0) & calm_services).sum(axis=1)])
        usual = np.concatenate([failed / np.maximum(asked, 1.0), of_service[1] / np.maximum(of_service[0], 1.0)])
        lasting = np.maximum(np.where(past < LITTLE_PAST, LITTLE_RATE, LASTING_RATE), PEAK_TIMES * peak)
        return cls(
            believed=np.concatenate([believed, service_rate]),
            believed_before=np.concatenate([before, before_rate]),
            usual=np.where(young_rows, 0.0, usual),
            lasting=np.where(young_rows, YOUNG_RATE, np.maximum(lasting, NEWS_TIMES * usual)),
            bunch=bunch,
            warm=warm,
            young=young_rows,
        )


def judge_errors(
    rows: Rows, baseline: ErrorBaseline, least_rate: float, least_count: float, clear: int, fresh: Bools
) -> Verdict:
    """Scores of pairs of buckets, and the evidence of longer windows.

    From `least_rate` and `least_count` on users feel it. `clear` buckets must be normal to end. Windows hold only
    buckets that are `fresh` (rows, r): newer than what has ended.
    """
    calls, errors = rows.recent_calls, rows.recent_errors
    rate = np.where(baseline.young, PRIOR_RATE, baseline.believed)
    rate = np.minimum(NEWS_TIMES * rate, HIGHEST_RATE)
    pair_calls, pair_errors = _pairs(calls), _pairs(errors)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(calls > 0, errors / np.maximum(calls, 1.0), 0.0)
        pair_share = pair_errors / np.maximum(pair_calls, 1.0)
    scores = np.sqrt(-2.0 * np.log(_chance(pair_calls, pair_errors, rate, baseline.bunch)))
    least = np.maximum(least_rate, NEWS_TIMES * baseline.usual)
    least = np.where(baseline.young, YOUNG_RATE, least)
    felt = (pair_share >= least[:, None]) & (pair_errors >= least_count) & (share > 0)
    judged, felt_new = _judged(rows, baseline, pair_errors)
    felt &= felt_new
    # Too few to count by themselves, and yet no sign that all is well again.
    unwell = (errors > 0) & (share >= least[:, None])
    unfelt = np.where(unwell, UNWELL_SCORE, np.minimum(scores - NEWS_SCORE, 0.0))
    scores = np.where(calls > 0, np.where(felt, scores, unfelt), np.nan)
    scores[~judged] = np.nan
    span = clear_spans(calls, clear)
    lasting = np.where(judged, _lasting(rows, baseline, least_count, fresh), 0.0)
    return Verdict(scores, np.where(calls > 0, share, np.nan), baseline.usual, lasting, span)


def _judged(rows: Rows, baseline: ErrorBaseline, pair_errors: Floats) -> tuple[Bools, Bools]:
    """Which rows are judged (rows,): those with a past, and operations of services with one; and what of the latter
    counts, (rows, r): what is a good part of its service's requests."""
    operations = len(rows.operations)
    of_service = baseline.warm[operations:][rows.code]
    judged = baseline.warm.copy()
    judged[:operations] |= of_service
    known = baseline.warm.copy()
    known[operations:] = True
    asked = _pairs(rows.recent_calls[operations:])[rows.code]
    counts = np.ones(pair_errors.shape, np.bool_)
    counts[:operations] = known[:operations, None] | (pair_errors[:operations] >= NEW_SHARE * asked)
    return judged, counts


def _lasting(rows: Rows, baseline: ErrorBaseline, least_count: float, fresh: Bools) -> Floats:
    """Evidence of longer windows, 1 raises, (rows,)."""
    operations = len(rows.operations)
    calls, errors = np.where(fresh, rows.recent_calls, 0.0), np.where(fresh, rows.recent_errors, 0.0)
    rate = np.minimum(NEWS_TIMES * np.where(baseline.young, PRIOR_RATE, baseline.believed_before), HIGHEST_RATE)
    best = np.zeros(len(calls))
    least_share = baseline.lasting
    for width in WINDOWS:
        asked, failed = window_sums(calls, width), window_sums(errors, width)
        share = failed / np.maximum(asked, 1.0)
        # It still goes on: the newer half fails no less than the window as a whole does at least.
        late_asked, late_failed = window_sums(calls, width // 2), window_sums(errors, width // 2)
        goes_on = (late_failed > 0) & (late_failed >= least_share * late_asked)
        felt = (failed >= least_count) & (share >= least_share) & goes_on
        of_service = asked[operations:][rows.code]
        felt[:operations] &= baseline.warm[:operations] | (failed[:operations] >= NEW_SHARE * of_service)
        if not felt.any():
            continue
        chance = np.ones(len(calls))
        chance[felt] = _chance(asked[felt][:, None], failed[felt][:, None], rate[felt], baseline.bunch[felt])[:, 0]
        best = np.maximum(best, np.log(chance) / np.log(RARE))
    return best


def _chance(calls: Floats, errors: Floats, rate: Floats, bunch: Floats) -> Floats:
    """The chance of as many errors among so many requests, by the binomial distribution, in whole bunches."""
    chance = np.ones(calls.shape)
    row, column = np.nonzero(errors > 0)
    asked, failed, size = calls[row, column], errors[row, column], bunch[row]
    others = np.maximum(asked - failed, 0.0)
    chance[row, column] = betainc(np.maximum(failed, 1.0) / size, others / size + 1.0, rate[row])
    return np.asarray(np.clip(chance, SMALLEST_CHANCE, 1.0))


def _peak(calls: Floats, errors: Floats) -> Floats:
    """The worst share of half a minute of the past, of those before the longest window, (rows,)."""
    blocks = max(0, calls.shape[1] - WINDOWS[-1]) // BLOCK
    shape = (len(calls), blocks, BLOCK)
    asked, failed = (values[:, : blocks * BLOCK].reshape(shape).sum(axis=2) for values in (calls, errors))
    share = np.where(asked >= BLOCK_CALLS, failed / np.maximum(asked, 1.0), 0.0)
    return np.asarray(share.max(axis=1, initial=0.0))


def _believed(asked: Floats, failed: Floats, prior: Floats | float) -> Floats:
    return np.asarray((failed + PRIOR_CALLS * prior) / (asked + PRIOR_CALLS))


def _pairs(values: Floats) -> Floats:
    """Each bucket together with the one before it."""
    before = np.concatenate([np.zeros((values.shape[0], 1)), values[:, :-1]], axis=1)
    return np.asarray(values + before)
