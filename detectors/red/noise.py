"""What makes requests noisier than chance: errors that come bunched, and slowdowns that all services share."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from detectors.evidence import Floats, by_group
from detectors.red.latency import logarithms

BLOCK: Final = 12  # buckets of which errors are summed: the minute that is judged
COMMON_SHARE: Final = 0.65  # of the services must be slower at once, before a slowdown is one that they share
COMMON_SERVICES: Final = 5  # of fewer, two that call each other are nearly all
KNOWN_ERRORS: Final = 5.0  # errors by chance that count as seen beforehand, so that a few do not look bunched
BUNCHED: Final = 20.0  # at most: beyond, a fault that fails everything could hide in a past that failed in bursts


def bunching(calls: Floats, errors: Floats, rate: Floats) -> Floats:
    """How many errors come together: the variance of a minute's errors over what chance would give, (n,), 1 to BUNCHED.

    `calls` and `errors` are (n, m), `rate` (n,). Where a rate swings by itself, so many errors are one piece of news.
    """
    blocks = calls.shape[1] // BLOCK
    complete = slice(calls.shape[1] - blocks * BLOCK, None)
    asked = calls[:, complete].reshape(len(calls), blocks, BLOCK).sum(axis=2)
    failed = errors[:, complete].reshape(len(calls), blocks, BLOCK).sum(axis=2)
    expected = asked * rate[:, None]
    square = np.where(asked > 0, (failed - expected) ** 2, 0.0).sum(axis=1)
    by_chance = (expected * (1.0 - rate[:, None])).sum(axis=1)
    # By chance beforehand, as firmly as so many errors would show it.
    return np.asarray(np.clip((square + KNOWN_ERRORS) / (by_chance + KNOWN_ERRORS), 1.0, BUNCHED))


def shared_slowdown(mean_ms: Floats, calls: Floats, centre: Floats, code: npt.NDArray[np.int64]) -> float:
    """How many times slower nearly all services are in the newest bucket; 1 where they are not, or are few.

    `mean_ms` and `calls` are (n, m), `centre` (n,) is the usual logarithm, `code` (n,) each operation's service. A
    lower quantile over services, so that what a fault does to a service and its callers stays theirs.
    """
    took, asked = mean_ms[:, -1], calls[:, -1]
    change = logarithms(asked, took) - centre
    known = np.isfinite(change)
    weight = by_group(code, np.where(known, asked, 0.0)[:, None])[:, 0]
    total = by_group(code, np.where(known, asked * change, 0.0)[:, None])[:, 0]
    by_service = np.sort(total[weight > 0] / weight[weight > 0])
    if by_service.size < COMMON_SERVICES:
        return 1.0
    shared = by_service[int((1.0 - COMMON_SHARE) * (by_service.size - 1))]
    return float(np.exp(min(max(float(shared), 0.0), 50.0)))
