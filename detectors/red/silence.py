"""Requests that no longer come: of a service, or of one operation of a service that goes on.

Idea: the usual number of requests in as long a time, by Poisson, and longer than any gap of the past, so that requests
that come in bursts or by the clock are no surprise when they do not come for a while.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from detectors.detector import Seen
from detectors.evidence import Bools, Floats, by_group
from detectors.red.pipeline import still_reports
from detectors.red.rows import JUDGED, STEP_S, WARM, Rows, Verdict, ages, parts_of

LATELY: Final = 24  # buckets before those judged that say what traffic there is now
EXPECTED: Final = 16.0  # requests that did not come: by chance that is one in ten million
SHORTEST: Final = 2  # buckets without a request
GAP_TIMES: Final = 1.5  # as long as the longest gap of the past
LIVED: Final = 0.5  # of the stretches in which requests of anything came, must some have come
STRETCH: Final = 12  # buckets: a minute, in which requests come that are frequent enough to be missed
PIPELINE: Final = 0.2  # of all services' usual requests: with fewer, it is the pipeline that is silent
LAGS: Final = 24  # arrivals of which the latest says how late a service is: two minutes where requests are frequent
FIRST_S: Final = 60  # after the start, in which a service may be late rather than silent
ONE_BUCKET: Final = 3.0  # score of a silent bucket: over the drift of the sum by which an onset is found
RENAMED: Final = 0.5  # of what an operation served comes under new names instead
NEW: Final = 1.5  # times as long as the silence: operations that came since then may be the old one under a new name

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class SilenceBaseline:
    """Usual requests a bucket, whether they have come for long, and the longest gap in buckets, (n + s,) each.

    `total` is what all services usually serve in a bucket.
    """

    usual: Floats
    settled: Bools
    gap: Floats
    total: float

    @classmethod
    def of(cls, rows: Rows) -> SilenceBaseline:
        """From everything calm."""
        usual, gap = _level(rows.calls, rows.calm)
        served = by_group(rows.code, rows.calls)
        service_usual, service_gap = _level(served, rows.calm_services())
        total = served.sum(axis=0)
        calm_total = float(np.median(total[:-JUDGED])) if total.size > JUDGED else 0.0
        every = np.concatenate([usual, service_usual])
        # What came only lately, or for a while, may go again: a new operation, a scan, a test, failures under a name of
        # their own, a service that was retired long before the first look.
        lived = np.concatenate([_lived(rows.calls), _lived(served)])
        settled = lived >= LIVED * _lived(total[None, :]).max(initial=0)
        return cls(every, settled, np.concatenate([gap, service_gap]), calm_total)


class Lag:
    """For how many of its newest buckets a service's requests may still come, since its telemetry comes late.

    Idea: a bucket that was empty when it was looked at before, and holds requests now, came late by as much; one that
    stays empty did not. So neither rare requests nor an outage that ended look late, and batches that come together do.
    A service of which nothing new has come since the start may be late, for a while.
    """

    def __init__(self) -> None:
        self._last: dict[str, int] = {}
        self._lags: dict[str, deque[int]] = {}
        self._began: int | None = None
        self._looked = 0

    def of(self, services: Sequence[str], served: Floats, starts: Counts) -> Counts:
        """Each service's lag in buckets, (s,).

        Args:
            services: names, (s,).
            served: requests by bucket, (s, m).
            starts: the start of each bucket, Unix seconds, (m,).
        """
        newest = int(starts[-1])
        self._began = newest if self._began is None else self._began
        waits = newest - self._began < FIRST_S
        before = np.array([self._last.get(name, newest) for name in services], np.int64)
        came = served > 0
        new = came & (starts[None, :] > before[:, None])
        first = np.where(new.any(axis=1), starts[np.argmax(new, axis=1)], 0)
        empty = empty_buckets(served)
        lags = []
        for name, since, buckets in zip(services, first.tolist(), empty.tolist(), strict=True):
            if since:
                late = max(0, (self._looked - since) // STEP_S + 1)
                self._lags.setdefault(name, deque(maxlen=LAGS)).append(late)
            if since or name not in self._last:
                self._last[name] = newest - buckets * STEP_S
            known = self._lags.get(name)
            lags.append(max(known) if known else buckets if waits else 0)
        self._looked = newest
        return np.array(lags, np.int64)


def judge_silence(rows: Rows, baseline: SilenceBaseline, empty: Counts, lag: Counts, seen: Seen, clear: int) -> Verdict:
    """Evidence that a row is silent. When everything is, and nothing else comes either, the pipeline is what failed.

    `empty` (n + s,) is how many newest buckets are without a request, `lag` (s,) how many of a service's because they
    come late. `clear` buckets must be normal to end.
    """
    calls = rows.recent_calls
    count, reach = len(rows.operations), calls.shape[1]
    zeros = np.maximum(empty - lag[rows.owners], 0)
    usual = np.fmin(baseline.usual, _lately(calls, zeros))
    expected = np.nan_to_num(usual) * zeros
    long = np.maximum(SHORTEST, GAP_TIMES * baseline.gap + 1)
    raised = baseline.settled & (expected >= EXPECTED) & (zeros >= long)
    if raised.any():
        now = calls[count:, -SHORTEST - int(np.median(lag)) :][:, :SHORTEST].sum(axis=0)
        raised &= bool((now > PIPELINE * baseline.total).all()) or still_reports(seen)
    # An operation of a silent service is that service's silence; one that others took over is no silence.
    raised[:count] &= zeros[count:][rows.code] < zeros[:count]
    if raised[:count].any():
        raised[:count] &= ~_renamed(rows, usual, zeros)
    return Verdict(
        scores=np.where(_gaps(calls, lag[rows.owners]) >= long[:, None], ONE_BUCKET, -ONE_BUCKET),
        values=calls / STEP_S,
        expected=baseline.usual / STEP_S,
        lasting=np.where(raised, expected / EXPECTED, 0.0),
        span=np.full(len(calls), min(clear, reach), np.int64),
        cumulates=False,
    )


def _gaps(calls: Floats, lag: Counts) -> Floats:
    """How long the gap is in which each bucket lies, in buckets; 0 where requests came, (rows, r).

    Of a gap that lasts, the part does not count in which requests may still come.
    """
    columns, last = np.arange(calls.shape[1]), calls.shape[1]
    came = calls > 0
    before = np.maximum.accumulate(np.where(came, columns, -1), axis=1)
    after = np.minimum.accumulate(np.where(came, columns, last)[:, ::-1], axis=1)[:, ::-1]
    return np.asarray(np.where(came, 0, after - before - 1 - np.where(after == last, lag[:, None], 0)), np.float64)


def empty_buckets(calls: Floats) -> Counts:
    """How many of the newest buckets are without a request, (rows,)."""
    came = calls > 0
    return np.asarray(np.where(came.any(axis=1), np.argmax(came[:, ::-1], axis=1), came.shape[1]), np.int64)


def _level(calls: Floats, calm: Bools) -> tuple[Floats, Floats]:
    """Requests a bucket since the first one, and the longest usual gap between two, (rows,); NaN and 0 where too young.

    A gap that chance does not explain is usual only where most parts of the past had one: else it was an outage.
    """
    since = np.cumsum(calls, axis=1) > 0
    seen = calm & since
    buckets = seen.sum(axis=1)
    usual = np.where(seen, calls, 0.0).sum(axis=1) / np.maximum(buckets, 1)
    columns = np.arange(calls.shape[1])
    # Gaps that ended: the one that lasts is what is judged.
    last = np.maximum.accumulate(np.where(calls > 0, columns, -1), axis=1)
    before = np.concatenate([np.full((len(calls), 1), -1), last[:, :-1]], axis=1)
    ended = (calls > 0) & (before >= 0) & calm
    gaps = np.where(ended, columns - before - 1, 0)
    by_part = np.stack([gaps[:, part].max(axis=1, initial=0) for part in parts_of(calls)])
    # Of a part that was all trouble, nothing is known: it takes nothing from what the others had.
    known = np.stack([ended[:, part].any(axis=1) for part in parts_of(calls)])
    by_part = np.where(known, by_part, by_part.max(axis=0))
    explained = np.where(gaps * usual[:, None] < EXPECTED, gaps, 0)
    gap = np.maximum(explained.max(axis=1, initial=0), np.median(by_part, axis=0))
    enough = ((calls > 0) & seen).sum(axis=1) >= WARM
    return np.where(enough, usual, np.nan), gap.astype(np.float64)


def _lived(calls: Floats) -> Counts:
    """In how many stretches of the past requests came, (rows,)."""
    padded = np.pad(calls, ((0, 0), (-calls.shape[1] % STRETCH, 0)))
    return np.asarray((padded.reshape(len(calls), -1, STRETCH) > 0).any(axis=2).sum(axis=1), np.int64)


def _lately(calls: Floats, zeros: Counts) -> Floats:
    """Requests a bucket just before the silence, NaN where it is long: a fall of traffic makes it no surprise."""
    columns = np.arange(calls.shape[1])[None, :]
    end = calls.shape[1] - zeros[:, None]
    before = (columns < end) & (columns >= end - LATELY)
    total = np.where(before, calls, 0.0).sum(axis=1)
    return np.asarray(np.where(zeros <= calls.shape[1] - LATELY, total / np.maximum(before.sum(axis=1), 1), np.nan))


def _renamed(rows: Rows, usual: Floats, zeros: Counts) -> Bools:
    """Operations whose requests come under a new name, (n,)."""
    count = len(rows.operations)
    age = ages(rows.calls)
    longest = np.zeros(len(rows.services))
    silent = (zeros[:count] >= SHORTEST) & (zeros[:count] < rows.calls.shape[1])
    np.maximum.at(longest, rows.code[silent], zeros[:count][silent])
    new = (age > 0) & (age <= NEW * longest[rows.code] + SHORTEST)
    came = by_group(rows.code, np.where(new[:, None], rows.calls[:, -JUDGED:], 0.0))
    a_bucket = came.sum(axis=1) / np.maximum((came > 0).sum(axis=1), 1)
    return np.asarray(a_bucket[rows.code] >= RENAMED * np.nan_to_num(usual[:count]))
