"""Scores as chances: how often a first suspect with such a score and such a lead was the cause.

The chance of the first suspect is a logistic function of three plain signs: how strong its evidence is, how far it
leads the second, and how much of the evidence is rarity or circumstance alone (events without sizes are weaker
evidence). The constants are fitted on labelled cases, some of them with the culprit hidden from the telemetry, so that
thin evidence stays thin; `watchkeeper bench rca` fits them again with each system left out in turn. Figures:
docs/benchmarks.md.
The order of suspects is that of their scores: chances never change it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass

from rca.terms import Term

# Fitted on the labelled development packs by `watchkeeper bench rca`, which prints the values of a new fit.
INTERCEPT = -1.01
COEFFICIENTS = (1.11, 2.96, -1.03)  # of Signs, in its order
# Evidence of where and when, without a sign of harm: it is believed as little as what is merely rare. So is harm of
# which nobody knows who waits for whom.
CIRCUMSTANTIAL = ("rare ", "commit live", "commit service", "metered_")
# What remains is shared by a soft maximum over the other scores and over "none of these", which counts as a suspect of
# score `NOBODY`. These two decide no order and no answer: they only divide the rest.
NOBODY = 0.5
SHARPNESS = 2.0
LEAST_SCORE = 1e-3  # keeps the lead over nothing finite
SCORE_OFFSET = 0.1  # scores below this differ in noise alone: their logarithm stays flat


@dataclass(frozen=True, slots=True, kw_only=True)
class Signs:
    """What the chance goes by. `strength`: logarithm of the first score; `lead`, `rare`: shares of it, 0 to 1."""

    strength: float
    lead: float
    rare: float

    def features(self) -> tuple[float, ...]:
        return astuple(self)


def signs(scores: Sequence[float], first: Sequence[tuple[float, Term]]) -> Signs:
    """The signs of a ranking: `scores` best first, `first` the weighed terms of the first suspect."""
    best = max(scores[0], LEAST_SCORE)
    second = max(scores[1], 0.0) if len(scores) > 1 else 0.0
    total = sum(abs(weight) for weight, _ in first)
    rare = sum(abs(weight) for weight, term in first if term.kind.startswith(CIRCUMSTANTIAL))
    return Signs(
        strength=math.log(best + SCORE_OFFSET),
        lead=max(best - second, 0.0) / best,
        rare=rare / total if total > 0 else 0.0,
    )


def chance_of_first(found: Signs, intercept: float = INTERCEPT, coefficients: Sequence[float] = COEFFICIENTS) -> float:
    """The chance that the first suspect is the cause."""
    odds = intercept + sum(c * x for c, x in zip(coefficients, found.features(), strict=True))
    return 1.0 / (1.0 + math.exp(-odds))


def chances(scores: Mapping[str, float], terms: Mapping[str, Sequence[tuple[float, Term]]]) -> dict[str, float]:
    """A chance for each candidate; they sum to less than 1, and what is missing is that it is none of them."""
    order = sorted(scores, key=lambda name: (-scores[name], name))
    if not order:
        return {}
    first = chance_of_first(signs([scores[name] for name in order], terms[order[0]]))
    others = {name: math.exp(SHARPNESS * (scores[name] - scores[order[0]])) for name in order[1:]}
    nobody = math.exp(SHARPNESS * (max(NOBODY - scores[order[0]], -5.0)))
    total = sum(others.values()) + nobody
    rest = {name: min(first, (1.0 - first) * mass / total) for name, mass in others.items()}
    return {order[0]: first, **rest}
