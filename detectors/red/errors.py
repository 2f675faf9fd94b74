"""Requests that fail: as many errors by chance, at the usual rate, in the last ten seconds or in longer windows.

An operation without a past borrows its service's rate. What it fails counts once users of the service can feel it.
What is usual comes back in every part of the past: an outage that lies in some part of it teaches nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.special import betainc

from detectors.evidence import Bools, Floats, by_group
from detectors.red.noise import bunching
from detectors.red.rows import WARM, Rows, Verdict, ages, clear_spans, newest_past, parts_of, window_sums

PRIOR_RATE: Final = 0.01  # believed beforehand: one in a hundred fails,
PRIOR_CALLS: Final = 50.0  # as firmly as so many requests would show it
NEWS_SCORE: Final = 2.0  # taken off the score of errors that users can hardly feel
UNWELL_SCORE: Final = 1.5  # of a bucket with few requests and errors among them: more than normal, less than the drift
NEWS_TIMES: Final = 2.0  # as many errors as usual are no news yet
HIGHEST_RATE: Final = 0.9  # of errors that may be usual: an operation that always fails still has news
SMALLEST_CHANCE: Final = 1e-30  # that is distinguished: its score is 11.8
WINDOWS: Final = (6, 12, 24, 60)  # buckets, from half a minute: what is rare, or a small share, needs longer to show
RARE: Final = 1e-7  # chance of as many errors in such a window: thousands of rows are looked at all day
FEW: Final = 2.0  # failures of an entry that mean something where a service behind it surely fails
LASTING_RATE: Final = 0.05  # of requests that fail for as long: one in twenty is felt,
LITTLE_PAST: Final = 36  # buckets: where less is known,
LITTLE_RATE: Final = 0.2  # so many must fail
BLOCK: Final = 6  # buckets of which the worst share of the past is taken: half a minute
BLOCK_CALLS: Final = 20.0  # of fewer requests, a share says nothing
PEAK_TIMES: Final = 1.3  # as much as the worst half minute of each part of the past, where it swings by itself
DEVIATIONS: Final = 2.0  # of a count of errors: as far it may be from what is usual by chance
NEW_SHARE: Final = 0.03  # of its service's requests: failures of an operation without a past count from there
# A service that came into a running system and fails from its first minute on has no past to compare with.
YOUNG: Final = 24  # buckets
RUNNING: Final = 60  # buckets for which others must have been there
YOUNG_RATE: Final = 0.5  # of requests that must fail


@dataclass(frozen=True, slots=True)
class _Past:
    """Of some buckets of the past: the share believed to fail, that which did, how bunched errors were, and how many
    came in a bucket; (rows,)."""

    believed: Floats
    usual: Floats
    bunch: Floats
    errors: Floats

    @classmethod
    def of(cls, rows: Rows, within: Bools, within_services: Bools) -> _Past:
        """Of the buckets `within` (n, m) of operations, and of those of services as a whole (s, m)."""
        calls, errors = (np.where(rows.calm, values, 0.0) for values in (rows.calls, rows.errors))
        served, failed = (np.where(within_services, by_group(rows.code, values), 0.0) for values in (calls, errors))
        served, failed = _usual(served, failed)
        calls, errors = _usual(np.where(within, calls, 0.0), np.where(within, errors, 0.0))
        rate = _believed(served.sum(axis=1), failed.sum(axis=1), PRIOR_RATE)
        # Beforehand an operation fails as often as its service, at least as often as any.
        prior = np.clip(rate[rows.code], PRIOR_RATE, HIGHEST_RATE)
        own = _believed(calls.sum(axis=1), errors.sum(axis=1), prior)
        asked = np.concatenate([calls.sum(axis=1), served.sum(axis=1)])
        return cls(
            believed=np.concatenate([own, rate]),
            usual=np.concatenate([errors.sum(axis=1), failed.sum(axis=1)]) / np.maximum(asked, 1.0),
            bunch=np.concatenate([bunching(calls, errors, own), bunching(served, failed, rate)]),
            errors=np.concatenate([_a_bucket(errors, calls), _a_bucket(failed, served)]),
        )


@dataclass(frozen=True, slots=True)
class ErrorBaseline:
    """What share usually fails, by row.

    Attributes:
        now: of all that is calm.
        before: of what is older than the longest window, where there is enough of it.
        lasting: the share from which on errors count that last, (rows,).
        warm: rows with a past, (rows,).
        young: rows of services that came into a running system, (rows,).
    """

    now: _Past
    before: _Past
    lasting: Floats
    warm: Bools
    young: Bools

    @classmethod
    def of(cls, rows: Rows) -> ErrorBaseline:
        """From everything calm."""
        calm, code = rows.calm, rows.code
        calm_services = rows.calm_services()
        before = _Past.of(
            rows,
            _before_windows(calm, rows.calls),
            _before_windows(calm_services, by_group(code, rows.calls)),
        )
        calls, errors = np.where(calm, rows.calls, 0.0), np.where(calm, rows.errors, 0.0)
        served, failed = by_group(code, calls), by_group(code, errors)
        peak = np.concatenate([_peak(calls, errors), _peak(served, failed)])
        past = np.concatenate([(calls > 0).sum(axis=1), (served > 0).sum(axis=1)])
        asked = by_group(code, rows.calls)
        age = ages(asked)
        young = (age <= YOUNG) & (age.max(initial=0) >= RUNNING)
        lasting = np.maximum(np.where(past < LITTLE_PAST, LITTLE_RATE, LASTING_RATE), PEAK_TIMES * peak)
        return cls(
            now=_Past.of(rows, calm, calm_services),
            before=before,
            lasting=np.maximum(lasting, NEWS_TIMES * before.usual),
            warm=np.concatenate([(rows.calls > 0).sum(axis=1) >= WARM, (asked > 0).sum(axis=1) >= WARM]),
            young=np.concatenate([young[code], young]),
        )


def _before_windows(calm: Bools, calls: Floats) -> Bools:
    """What is calm and older than the longest window, where there is enough of it, else all that is calm; (rows, m).

    Each row has its own: a service as a whole has a past although none of its many rare operations has.
    """
    older = newest_past(calm)
    long_past = (older & (calls > 0)).sum(axis=1) >= WARM
    return np.where(long_past[:, None], older, calm)


def judge_errors(
    rows: Rows, baseline: ErrorBaseline, least_rate: float, least_count: float, clear: int, fresh: Bools
) -> Verdict:
    """Scores of pairs of buckets, and the evidence of longer windows.

    From `least_rate` and `least_count` on users feel it. `clear` buckets must be normal to end. Windows hold only
    buckets that are `fresh` (rows, r): newer than what has ended.
    """
    calls, errors = rows.recent_calls, rows.recent_errors
    past, young = baseline.now, baseline.young
    pair_calls, pair_errors = _pairs(calls), _pairs(errors)
    rate = _news(_by_mix(rows, pair_calls, past.believed, 2.0 * past.errors), young)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(calls > 0, errors / np.maximum(calls, 1.0), 0.0)
        pair_share = pair_errors / np.maximum(pair_calls, 1.0)
    scores = np.sqrt(-2.0 * np.log(_chance(pair_calls, pair_errors, rate, past.bunch)))
    usually = NEWS_TIMES * _by_mix(rows, pair_calls, past.usual, 2.0 * past.errors)
    least = np.where(young[:, None], YOUNG_RATE, np.maximum(least_rate, usually))
    felt = (pair_share >= least) & (pair_errors >= least_count) & (share > 0)
    judged, felt_new = _judged(rows, baseline, pair_errors)
    felt &= felt_new
    # Too few to count by themselves, and yet no sign that all is well again.
    unwell = (errors > 0) & (share >= least)
    unfelt = np.where(unwell, UNWELL_SCORE, np.minimum(scores - NEWS_SCORE, 0.0))
    scores = np.where(calls > 0, np.where(felt, scores, unfelt), np.nan)
    scores[~judged] = np.nan
    span = clear_spans(calls, clear)
    lasting, hints = (np.where(judged, one, 0.0) for one in _lasting(rows, baseline, least_count, fresh))
    values, usual = np.where(calls > 0, share, np.nan), np.where(young, 0.0, past.usual)
    return Verdict(scores, values, usual, lasting, span, hints=hints)


def _judged(rows: Rows, baseline: ErrorBaseline, pair_errors: Floats) -> tuple[Bools, Bools]:
    """Which rows are judged (rows,): those with a past, and operations of services with one; and what of the latter
    counts, (rows, r): what is a good part of its service's requests."""
    operations = len(rows.operations)
    of_service = baseline.warm[operations:][rows.code]
    judged = baseline.warm.copy()
    judged[:operations] |= of_service
    asked = _pairs(rows.recent_calls[operations:])[rows.code]
    counts = np.ones(pair_errors.shape, np.bool_)
    counts[:operations] = baseline.warm[:operations, None] | (pair_errors[:operations] >= NEW_SHARE * asked)
    return judged, counts


def _lasting(rows: Rows, baseline: ErrorBaseline, least_count: float, fresh: Bools) -> tuple[Floats, Floats]:
    """Evidence of longer windows, 1 raises, and of services as a whole that of fewer failures; (rows,) each."""
    operations = len(rows.operations)
    calls, errors = np.where(fresh, rows.recent_calls, 0.0), np.where(fresh, rows.recent_errors, 0.0)
    best, hints = np.zeros(len(calls)), np.zeros(len(calls))
    whole = np.arange(len(calls)) >= operations
    least_share = np.where(baseline.young, YOUNG_RATE, baseline.lasting)
    for width in WINDOWS:
        asked, failed = window_sums(calls, width), window_sums(errors, width)
        share = failed / np.maximum(asked, 1.0)
        # It still goes on: the newer half fails no less than the window as a whole does at least.
        late_asked, late_failed = window_sums(calls, width // 2), window_sums(errors, width // 2)
        goes_on = (late_failed > 0) & (late_failed >= least_share * late_asked)
        felt = (failed >= np.where(whole, FEW, least_count)) & (share >= least_share) & goes_on
        of_service = asked[operations:][rows.code]
        felt[:operations] &= baseline.warm[:operations] | (failed[:operations] >= NEW_SHARE * of_service)
        if not felt.any():
            continue
        before = baseline.before
        usual = _by_mix(rows, asked[:, None], before.believed, min(width, calls.shape[1]) * before.errors)
        rate = _news(usual, baseline.young)
        chance = np.ones(len(calls))
        bunch = baseline.before.bunch[felt]
        chance[felt] = _chance(asked[felt][:, None], failed[felt][:, None], rate[felt], bunch)[:, 0]
        evidence = np.log(chance) / np.log(RARE)
        best = np.maximum(best, np.where(failed >= least_count, evidence, 0.0))
        hints = np.maximum(hints, np.where(whole, evidence, 0.0))
    return best, hints


def _by_mix(rows: Rows, calls: Floats, share: Floats, errors: Floats) -> Floats:
    """The share (rows,) that usually fails of `calls` (rows, k): a service's by what is asked of it now, (rows, k).

    An operation that always fails makes no news of the service when hardly any other is asked for any more: as many
    `errors` (rows,) as usually come in as long a time are none. More of them are, where failures have their own name.
    """
    count = len(rows.operations)
    failing = np.minimum(calls[:count] * share[:count, None], errors[:count, None])
    with np.errstate(divide="ignore", invalid="ignore"):
        mixed = by_group(rows.code, failing) / by_group(rows.code, calls[:count])
    usual = np.repeat(share[:, None], calls.shape[1], axis=1)
    usual[count:] = np.fmax(usual[count:], mixed)
    return usual


def _a_bucket(errors: Floats, calls: Floats) -> Floats:
    """Errors in a bucket, of those since the first request, (rows,)."""
    since = (np.cumsum(calls, axis=1) > 0).sum(axis=1)
    return np.asarray(errors.sum(axis=1) / np.maximum(since, 1))


def _news(share: Floats, young: Bools) -> Floats:
    """The share (rows, k) that is no news yet; of services without a past that of any."""
    return np.asarray(np.minimum(NEWS_TIMES * np.where(young[:, None], PRIOR_RATE, share), HIGHEST_RATE))


def _chance(calls: Floats, errors: Floats, rate: Floats, bunch: Floats) -> Floats:
    """The chance of as many errors among so many requests, by the binomial distribution, in whole bunches.

    `calls`, `errors` and `rate` are (rows, k), `bunch` (rows,).
    """
    chance = np.ones(calls.shape)
    row, column = np.nonzero(errors > 0)
    asked, failed, size = calls[row, column], errors[row, column], bunch[row]
    others = np.maximum(asked - failed, 0.0)
    chance[row, column] = betainc(np.maximum(failed, 1.0) / size, others / size + 1.0, rate[row, column])
    return np.asarray(np.clip(chance, SMALLEST_CHANCE, 1.0))


def _usual(calls: Floats, errors: Floats) -> tuple[Floats, Floats]:
    """Calls and errors, (rows, m) each, without the parts of the past that failed for certain more than the calmest."""
    asked, failed = (np.stack([values[:, part].sum(axis=1) for part in parts_of(calls)]) for values in (calls, errors))
    with np.errstate(divide="ignore", invalid="ignore"):
        # Of a part with few requests, little is certain: it is not the calmest because it happens to have no error.
        most = np.where(asked > 0, (failed + DEVIATIONS * np.sqrt(failed) + DEVIATIONS) / asked, np.inf)
    calmest = np.minimum(most.min(axis=0), 1.0)
    differs = failed - DEVIATIONS * np.sqrt(failed) > NEWS_TIMES * calmest * asked
    keep = np.ones(calls.shape, np.bool_)
    for number, part in enumerate(parts_of(calls)):
        keep[:, part] = ~differs[number][:, None]
    return np.where(keep, calls, 0.0), np.where(keep, errors, 0.0)


def _peak(calls: Floats, errors: Floats) -> Floats:
    """The worst share of half a minute that every part of the past has seen, before the longest window, (rows,)."""
    past = max(0, calls.shape[1] - WINDOWS[-1]) // BLOCK * BLOCK
    peaks = []
    for part in parts_of(calls[:, :past]):
        width = (part.stop - part.start) // BLOCK * BLOCK
        shape = (len(calls), width // BLOCK, BLOCK)
        newest = slice(part.stop - width, part.stop)
        asked, failed = (values[:, newest].reshape(shape).sum(axis=2) for values in (calls, errors))
        share = np.where(asked >= BLOCK_CALLS, failed / np.maximum(asked, 1.0), 0.0)
        # A part without requests says nothing.
        peaks.append(np.where(asked.any(axis=1), share.max(axis=1, initial=0.0), 1.0))
    return np.where(np.min(peaks, axis=0) < 1.0, np.min(peaks, axis=0), 0.0)


def _believed(asked: Floats, failed: Floats, prior: Floats | float) -> Floats:
    return np.asarray((failed + PRIOR_CALLS * prior) / (asked + PRIOR_CALLS))


def _pairs(values: Floats) -> Floats:
    """Each bucket together with the one before it."""
    before = np.concatenate([np.zeros((values.shape[0], 1)), values[:, :-1]], axis=1)
    return np.asarray(values + before)
