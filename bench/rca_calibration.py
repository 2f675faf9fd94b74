"""How far the chances of first suspects can be believed: as shipped, and fitted with each system left out."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rca.calibration import COEFFICIENTS, INTERCEPT, Signs, chance_of_first
from rca.case import F64

BINS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One case: the signs that the chance goes by, and whether the first suspect was the cause."""

    system: str
    signs: Signs
    right: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Reliability:
    """`error` is the expected calibration error; `rows` are (mean stated chance, cases, share right) by tenths."""

    error: float
    rows: tuple[tuple[float, int, float], ...]


def reliability(chance: F64, right: F64) -> Reliability:
    """The reliability curve of chances `(n,)` against outcomes `(n,)` of 0 and 1."""
    rows, error = [], 0.0
    edges = np.linspace(0, 1, BINS + 1)
    for low, high in itertools.pairwise(edges.tolist()):
        inside = (chance >= low) & ((chance < high) | (high == 1.0))
        if inside.any():
            stated, was = float(chance[inside].mean()), float(right[inside].mean())
            error += float(inside.mean()) * abs(stated - was)
            rows.append((stated, int(inside.sum()), was))
    return Reliability(error=error, rows=tuple(rows))


def fitted(judged: Sequence[Judged]) -> tuple[float, tuple[float, ...]]:
    """Intercept and coefficients by ridge logistic regression; each system counts the same, whatever its size."""
    from sklearn.linear_model import LogisticRegression

    systems = [one.system for one in judged]
    weight = np.array([100.0 / systems.count(system) for system in systems])
    features = np.array([one.signs.features() for one in judged])
    model = LogisticRegression(C=1.0, max_iter=1000)
    model.fit(features, np.array([one.right for one in judged]), sample_weight=weight)
    return float(model.intercept_[0]), tuple(float(c) for c in model.coef_[0])


def left_out(judged: Sequence[Judged]) -> F64:
    """Each case's chance by constants that were fitted on the other systems, (n,)."""
    chance = np.zeros(len(judged))
    for system in dict.fromkeys(one.system for one in judged):
        intercept, coefficients = fitted([one for one in judged if one.system != system])
        for number, one in enumerate(judged):
            if one.system == system:
                chance[number] = chance_of_first(one.signs, intercept, coefficients)
    return chance


def print_calibration(judged: Sequence[Judged]) -> None:
    """Reliability as shipped and left out, by system, and what fitting on all of these cases would give."""
    right = np.array([one.right for one in judged], dtype=np.float64)
    shipped = np.array([chance_of_first(one.signs) for one in judged])
    print("\nreliability of the first suspect's chance (all systems)\nstated chance   cases   right")
    found = reliability(shipped, right)
    for stated, cases, was in found.rows:
        print(f"{stated:>11.2f} {cases:>7} {was:>7.2f}")
    print(f"expected calibration error as shipped: {found.error:.3f}")
    systems = list(dict.fromkeys(one.system for one in judged))
    if len(systems) < 3 or len(set(right.tolist())) < 2:
        return
    estimated = left_out(judged)
    print(f"fitted on the other systems: {reliability(estimated, right).error:.3f}")
    print(f"{'system':<32} {'cases':>5} {'right':>6} {'shipped':>8} {'left out':>8}   (mean chance)")
    for system in systems:
        rows = np.array([one.system == system for one in judged])
        means = f"{right[rows].mean():>6.2f} {shipped[rows].mean():>8.2f} {estimated[rows].mean():>8.2f}"
        print(f"{system:<32} {int(rows.sum()):>5} {means}")
    intercept, coefficients = fitted(judged)
    print(f"constants shipped {INTERCEPT} {COEFFICIENTS}; fitted on these cases alone ", end="")
    print(f"{intercept:.2f} ({', '.join(f'{one:.2f}' for one in coefficients)})")
