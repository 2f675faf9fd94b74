"""How many requests come from outside, when nothing special is going on."""

from __future__ import annotations

import numpy as np

from chaos.worlds.physics import STEP_S
from chaos.worlds.system import F64, System


def draw_traffic(rng: np.random.Generator, system: System, buckets: int) -> dict[int, F64]:
    """Requests a second by operation, `(buckets,)`: a piece of a day's and of an hour's wave, and short bursts."""
    at = np.arange(buckets) * STEP_S
    day = 1 + float(rng.uniform(0, 0.5)) * np.sin(2 * np.pi * (at / 86_400 + rng.random()))
    hour = 1 + float(rng.uniform(0, 0.15)) * np.sin(2 * np.pi * (at / rng.uniform(900, 4000) + rng.random()))
    shared = day * hour * _wandering(rng, buckets, float(rng.uniform(0.01, 0.06)))
    found: dict[int, F64] = {}
    for number, operation in enumerate(system.operations):
        if operation.weight:
            own = _wandering(rng, buckets, float(rng.uniform(0.01, 0.08)))
            found[number] = system.entry_rate * operation.weight * shared * own
        elif operation.every_s:
            instances = system.nodes[operation.node].instances
            found[number] = np.full(buckets, instances / operation.every_s)
    return found


def _wandering(rng: np.random.Generator, buckets: int, spread: float) -> F64:
    """A factor around 1 that wanders, and bursts now and then, `(buckets,)`."""
    steps = rng.normal(0, spread * np.sqrt(1 - 0.9**2), buckets)
    kernel = 0.9 ** np.arange(60)
    wander = np.convolve(steps, kernel)[:buckets]
    bursts = np.where(rng.random(buckets) < 0.004, rng.uniform(0.1, 0.4, buckets), 0.0)
    return np.asarray(np.exp(wander) * (1 + np.convolve(bursts, np.exp(-np.arange(8) / 2.5))[:buckets]))


def regular_operations(system: System) -> frozenset[int]:
    """Operations whose requests come at even distances."""
    return frozenset(number for number, operation in enumerate(system.operations) if operation.every_s)
