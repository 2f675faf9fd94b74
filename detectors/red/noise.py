"""What makes requests noisier than chance: errors that come bunched, and slowdowns that all services share."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from detectors.evidence import Bools, Floats, by_group

BLOCK: Final = 12  # buckets of which errors are summed: the minute that is judged
# A slowdown that this share of the services has in common is the machine's or the network's, and explains itself
# away; after COMMON_FOR buckets it counts, because it is then the users' trouble, whoever's fault it is.
COMMON_SHARE: Final = 0.65
COMMON_SERVICES: Final = 5  # of fewer, two that call each other are nearly all
COMMON_FOR: Final = 30  # two and a half minutes: longer than a machine is busy with something else
KNOWN_ERRORS: Final = 5.0  # errors by chance that count as seen beforehand, so that a few do not look bunched
BUNCHED: Final = 20.0  # at most: beyond, a fault that fails everything could hide in a past that failed in bursts


def by_service(calls: Floats, calm: Bools, services: list[str]) -> tuple[npt.NDArray[np.int64], Floats, Bools]:
    """Each row's service as a number (n,), and by service: its calls and where all of its rows are calm (s, m)."""
    code = np.unique(np.array(services), return_inverse=True)[1].reshape(-1)
    return code, by_group(code, calls), by_group(code, (~calm).astype(np.float64)) == 0


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


def shared_slowdown(log_ratio: Floats, calls: Floats, services: list[str]) -> Floats:
    """How much slower nearly all services are at once, in each bucket: a logarithm, 0 where they are not, (m,).

    `log_ratio` (n, m) is each series' latency over its own level. A lower quantile over services, so that what a fault
    does to a service and its callers stays theirs. 0 for few services, and once it has lasted COMMON_FOR buckets.
    """
    code = np.unique(np.array(services), return_inverse=True)[1].reshape(-1)
    known = np.isfinite(log_ratio) & (calls > 0)
    weight = by_group(code, np.where(known, calls, 0.0))
    total = by_group(code, np.where(known, calls * log_ratio, 0.0))
    enough = (weight > 0).sum(axis=0) >= COMMON_SERVICES
    by_service = np.where(weight > 0, total / np.maximum(weight, 1e-9), np.inf)
    rank = np.sort(by_service, axis=0)  # services that say nothing come last
    at = ((1.0 - COMMON_SHARE) * np.maximum((weight > 0).sum(axis=0) - 1, 0)).astype(np.int64)
    shared = np.where(enough, np.maximum(rank[at, np.arange(rank.shape[1])], 0.0), 0.0)
    lasting = np.lib.stride_tricks.sliding_window_view(np.pad(shared, (COMMON_FOR - 1, 0)), COMMON_FOR).min(axis=1)
    return np.asarray(np.where(lasting > np.log(2.0), 0.0, shared))
