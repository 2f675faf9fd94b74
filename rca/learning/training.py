"""Weights from judged causes: a conditional logit over the candidates' terms, with the shipped weights as its prior.

The chance that a candidate is the cause is the soft maximum of the scores (McFadden, Conditional logit analysis of
qualitative choice behavior, 1974) with a free sharpness: how sure a score is, the labels decide, so that weights learn
from wrong rankings and not from low scores. They maximise the likelihood of the named causes times a normal prior
around the shipped weights: a few labels move little, and what no label speaks of stays as it was. No weight changes
its sign: labels say how much evidence counts, not what it is evidence for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import numpy as np

from rca.case import F64
from rca.learning.judged import JudgedCase
from rca.weights import weight_of

# How far a weight may lie from the shipped one, as a share of it: one standard deviation of the prior. Half is what the
# weights that suit one development pack differ by from those that suit another.
SPREAD: Final = 0.5
LARGEST: Final = 3.0  # times the shipped weight; beyond, one kind of evidence would decide alone
STEPS: Final = 200  # of accelerated descent; the loss has settled to 1e-6 long before
# How often larger than the scores what the soft maximum is taken of; of these the likeliest is used. The scores' own
# differences are about 1, and a sharpness of 8 takes any such difference for certain.
SHARPNESSES: Final = (1.0, 2.0, 4.0, 8.0)
FOLDS: Final = 10  # the usual number: each judges a tenth by the other nine
DIGITS: Final = 4  # of a stored weight

Weights = Mapping[str, float]


def train(cases: Sequence[JudgedCase], prior: Weights, spread: float = SPREAD) -> dict[str, float]:
    """Weights for every name of `prior`, and for each kind of term that one of these covers; 0.1 s for 60 incidents.

    Args:
        cases: judged incidents. One whose cause is no candidate teaches nothing.
        prior: the shipped weights.
        spread: standard deviation of the prior, as a share of each weight.
    """
    usable = [case for case in cases if case.cause in case.terms and len(case.terms) > 1]
    kinds = {kind for case in usable for strengths in case.terms.values() for kind in strengths}
    names = sorted(kind for kind in kinds if weight_of(kind, prior))
    shipped = np.array([weight_of(name, prior) for name in names])
    if not names:
        return dict(prior)
    tables = _Tables(usable, names, shipped)
    _, factors = max((tables.fit(sharpness, spread) for sharpness in SHARPNESSES), key=lambda found: found[0])
    trained = {name: float(share * weight) for name, share, weight in zip(names, factors, shipped, strict=True)}
    return {**prior, **{name: round(weight, DIGITS) for name, weight in trained.items()}}


class _Tables:
    """Judged cases as one array of what each candidate's terms add to its score as shipped."""

    def __init__(self, cases: Sequence[JudgedCase], names: Sequence[str], shipped: F64) -> None:
        most = max(len(case.terms) for case in cases)
        self.added = np.zeros((len(cases), most, len(names)))
        self.absent = np.ones((len(cases), most), dtype=bool)
        self.cause = np.zeros(len(cases), dtype=np.int64)
        for row, case in enumerate(cases):
            candidates = sorted(case.terms)
            strengths = [[case.terms[candidate].get(name, 0.0) for name in names] for candidate in candidates]
            self.added[row, : len(candidates)] = np.array(strengths) * shipped
            self.absent[row, : len(candidates)] = False
            self.cause[row] = candidates.index(case.cause)
        self.of_cause = self.added[np.arange(len(cases)), self.cause]

    def fit(self, sharpness: float, spread: float) -> tuple[float, F64]:
        """The likeliest factors of the shipped weights, `(names,)`, and the logarithm of their likelihood."""
        centred = self.added - self.added.mean(axis=1, keepdims=True)
        steepest = sharpness**2 * float(np.square(centred).sum(axis=2).max(axis=1).sum()) + 1.0 / spread**2
        factors = previous = ahead = np.ones(self.added.shape[2])
        momentum = 1.0
        for _ in range(STEPS):
            expected = np.einsum("ij,ijk->k", np.exp(self._log_chances(ahead, sharpness)), self.added)
            slope = (1.0 - ahead) / spread**2 + sharpness * (self.of_cause.sum(axis=0) - expected)
            factors = np.clip(ahead + slope / steepest, 0.0, LARGEST)
            onward = (1.0 + np.sqrt(1.0 + 4.0 * momentum**2)) / 2.0
            ahead = factors + (momentum - 1.0) / onward * (factors - previous)
            previous, momentum = factors, onward
        of_causes = self._log_chances(factors, sharpness)[np.arange(len(self.cause)), self.cause]
        return float(of_causes.sum() - 0.5 * np.square((factors - 1.0) / spread).sum()), factors

    def _log_chances(self, factors: F64, sharpness: float) -> F64:
        """The logarithm of each candidate's chance, `(cases, candidates)`."""
        scores = np.where(self.absent, -np.inf, sharpness * (self.added @ factors))
        scores = scores - scores.max(axis=1, keepdims=True)
        return np.asarray(scores - np.log(np.exp(scores).sum(axis=1, keepdims=True)), dtype=np.float64)


def held_out(
    cases: Sequence[JudgedCase], prior: Weights, fit: Callable[[Sequence[JudgedCase], Weights], Weights] = train
) -> dict[str, bool]:
    """Whether each case's cause stands first by weights that were trained without its incident."""
    ids = sorted({case.id for case in cases})
    fold_of = {name: number % FOLDS for number, name in enumerate(ids)}
    right: dict[str, bool] = {}
    for fold in sorted(set(fold_of.values())):
        weights = fit([case for case in cases if fold_of[case.id] != fold], prior)
        right |= {case.id: case.right(weights) for case in cases if fold_of[case.id] == fold}
    return right
