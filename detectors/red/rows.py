"""Rows that are judged: every operation of every service, then every service as a whole.

A service as a whole has a past when an operation of it does not: failures that come under another name than successes,
or a deploy that renames its operations, are still the service's.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt

from detectors.evidence import Bools, Floats, by_group
from detectors.history import History

STEP_S: Final = 5  # seconds in a bucket of the history
JUDGED: Final = 12  # buckets that a decision looks back over where requests are frequent: one minute
REACH: Final = 60  # buckets that it looks back over where they are rare: five minutes
GUARD: Final = 4  # newest buckets that the baseline leaves out, so that an onset doesn't teach it
WARM: Final = 7  # buckets with requests before a row has a level of its own
PARTS: Final = 3  # of the past: ten minutes each; what is usual is seen in all of them, an accident in one or two
SAMPLED: Final = 120  # buckets of the past that a median is taken of; the noise of one of 120 is a tenth of the spread


@dataclass(frozen=True, slots=True)
class Rows:
    """One tick's operations and services: n operations, s services, m complete buckets.

    Attributes:
        services: names, sorted (s).
        operations: names (n).
        code: the number of each operation's service (n,).
        calls, errors, mean_ms: of each operation (n, m); `mean_ms` is NaN where nobody called.
        calm: where an operation's service was in no trouble, (n, m); the newest GUARD buckets are left out.
        recent_calls, recent_errors: the newest REACH buckets (or fewer) of operations, then of services, (n + s, r).
    """

    services: list[str]
    operations: list[str]
    code: npt.NDArray[np.int64]
    calls: Floats
    errors: Floats
    mean_ms: Floats
    calm: Bools
    recent_calls: Floats
    recent_errors: Floats

    @classmethod
    def of(cls, history: History, complete: int, tainted: Bools) -> Rows:
        """From the requests' history and the buckets that may not teach a baseline, (n, buckets)."""
        names = history.names()
        known, code = np.unique(np.array([name[0] for name in names]), return_inverse=True)
        code = code.reshape(-1).astype(np.int64)
        calls, errors = history["calls"][:, :complete], history["errors"][:, :complete]
        calm = ~tainted[:, :complete]
        calm[:, max(0, complete - GUARD) :] = False
        return cls(
            services=known.tolist(),
            operations=[name[1] for name in names],
            code=code,
            calls=calls,
            errors=errors,
            mean_ms=history["mean_ms"][:, :complete],
            calm=calm,
            recent_calls=np.concatenate([calls[:, -REACH:], by_group(code, calls[:, -REACH:])]),
            recent_errors=np.concatenate([errors[:, -REACH:], by_group(code, errors[:, -REACH:])]),
        )

    @property
    def count(self) -> int:
        """Operations and services."""
        return len(self.operations) + len(self.services)

    @property
    def owners(self) -> npt.NDArray[np.int64]:
        """Each row's service as a number, (n + s,)."""
        return np.concatenate([self.code, np.arange(len(self.services))])

    def name(self, row: int) -> tuple[str, str | None]:
        """A row's service, and its operation unless it is the service as a whole."""
        if row < len(self.operations):
            return self.services[int(self.code[row])], self.operations[row]
        return self.services[row - len(self.operations)], None

    def calm_services(self) -> Bools:
        """Where a service was in no trouble, (s, m)."""
        return np.asarray(by_group(self.code, (~self.calm).astype(np.float64)) == 0)


@dataclass(slots=True)
class Verdict:
    """One kind of judgement over all rows, operations first; r recent buckets.

    Attributes:
        scores: in standard deviations of a bucket, higher is worse, NaN where nothing can be said, (rows, r).
        values, expected: what is shown, (rows, r) and (rows,).
        lasting: evidence of longer windows for what is rare or slow to show, (rows,); 1 raises.
        span: how many newest buckets must be normal before a finding ends, (rows,).
        cumulates: whether scores add up to evidence, too.
        hints: evidence that is too little to raise anything by itself, (rows,); None where there is no such thing.
        usual_sums: the sum of scores that the past reaches by itself, (rows,); None where nobody knows.
    """

    scores: Floats
    values: Floats
    expected: Floats
    lasting: Floats
    span: npt.NDArray[np.int64]
    cumulates: bool = True
    hints: Floats | None = None
    usual_sums: Floats | None = None


def parts_of(values: Floats) -> list[slice]:
    """The columns of (rows, m) in equal parts, the oldest first."""
    edges = [values.shape[1] * number // PARTS for number in range(PARTS + 1)]
    return [slice(first, last) for first, last in pairwise(edges)]


def window_sums(values: Floats, width: int) -> Floats:
    """Each row's sum over the newest `width` buckets, (rows,)."""
    return np.asarray(values[:, -width:].sum(axis=1))


def clear_spans(calls: Floats, least: int) -> npt.NDArray[np.int64]:
    """How many newest buckets hold some three requests, at least `least` and at most all that there are, (rows,)."""
    counted = np.cumsum(calls[:, ::-1], axis=1) >= 3
    enough = np.where(counted.any(axis=1), np.argmax(counted, axis=1) + 1, calls.shape[1])
    return np.asarray(np.clip(enough, least, calls.shape[1]), np.int64)


def ages(calls: Floats) -> npt.NDArray[np.int64]:
    """Buckets since the first request, 0 where none came, (rows,)."""
    came = calls > 0
    return np.asarray(np.where(came.any(axis=1), came.shape[1] - np.argmax(came, axis=1), 0), np.int64)


def newest_past(calm: Bools, reach: int = REACH) -> Bools:
    """The calm buckets that are older than the longest window, so that a window is compared with what was before it."""
    older = calm.copy()
    older[:, max(0, calm.shape[1] - reach) :] = False
    return older
