"""One engine, one configuration: the kinds of evidence, what each may weigh, and the ranking.

A candidate's score is the sum over kinds of `weight × strength`, each a named term that is shown. Kinds
find their own table missing and say nothing, so the same configuration serves a live system with traces
and a recorded one with five metric samples.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from rca.case import Case
from rca.change_events import change_events
from rca.cut_short import cut_short
from rca.errors import errors
from rca.excess import excess
from rca.ledger import Ledger, book
from rca.log_change import log_change
from rca.metric_change import metric_change
from rca.operation_change import operation_change
from rca.operation_lines import operation_lines
from rca.rarity import rarity
from rca.reach import reach
from rca.silence import silence, unanswered
from rca.terms import Term
from watchkeeper.vocabulary import Evidence, Mechanism, Suspect

ENGINE_VERSION = "1"

KINDS: tuple[Callable[[Case, Ledger], list[Term]], ...] = (
    excess,
    errors,
    lambda case, _: unanswered(case),
    lambda case, _: silence(case),
    lambda case, _: metric_change(case),
    lambda case, _: log_change(case),
    lambda case, _: change_events(case),
    lambda case, _: operation_change(case),
    lambda case, _: operation_lines(case),
    lambda case, _: cut_short(case),
    lambda case, _: rarity(case),
    lambda case, _: reach(case),
)

# What the whole of a kind's signal is worth. Symptoms at their origin weigh most; a change or a busy
# processor alone is no symptom, and tips the scale between candidates that have some.
WEIGHTS: Mapping[str, float] = {
    "self_time": 3.0,
    "call_gap": 3.0,
    "dependency": 3.0,
    "errors": 3.0,
    "unanswered": 3.0,
    "silence": 3.0,
    "cpu": 2.0,
    "memory": 0.7,
    "logs": 1.0,
    "change": 1.0,
    "fewer_spans": 2.0,
    "fewer_lines": 2.0,
    "complaints": 2.5,
    "lost_lines": 3.0,
    "cut_short": 1.5,
    "out_of_reach": -2.0,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranked:
    """One candidate with its score, probability and terms, heaviest first."""

    candidate: str
    score: float
    probability: float
    mechanism: Mechanism
    terms: tuple[tuple[float, Term], ...]


def rank(case: Case, weights: Mapping[str, float] | None = None) -> tuple[Ranked, ...]:
    """Every candidate of `case`, best first. Pure: the same case gives the same answer."""
    weigh = {**WEIGHTS, **(weights or {})}
    ledger = book(case)
    terms: defaultdict[str, list[tuple[float, Term]]] = defaultdict(list)
    for kind in KINDS:
        for term in kind(case, ledger):
            if term.candidate in case.candidates and abs(term.strength) >= NEGLIGIBLE:
                terms[term.candidate].append((weigh.get(term.kind, RARE) * term.strength, term))
    scores = {candidate: sum(weight for weight, _ in terms[candidate]) for candidate in case.candidates}
    chances = probabilities(scores)
    order = sorted(case.candidates, key=lambda candidate: (-scores[candidate], candidate))
    return tuple(
        Ranked(
            candidate=candidate,
            score=scores[candidate],
            probability=chances[candidate],
            mechanism=mechanism(terms[candidate]),
            terms=tuple(sorted(terms[candidate], key=lambda pair: -pair[0])),
        )
        for candidate in order
    )


RARE = 3.0  # what the greatest surprise of any node is worth, spread over its concepts
NEGLIGIBLE = 0.02  # a smaller share of a kind's signal is noise: it is neither counted nor shown

# What brings about which symptoms, the most specific cause first.
CAUSES: tuple[tuple[Mechanism, tuple[Mechanism, ...]], ...] = (
    ("database", ("latency", "errors")),
    ("cpu", ("latency",)),
    ("deploy", ("latency", "errors", "cpu", "memory")),
    ("memory", ("latency",)),
)
CAUSE_SEEN = 0.6

NOBODY = 1.0  # the score that "none of them" starts with
SHARPNESS = 1.6


def probabilities(scores: Mapping[str, float]) -> dict[str, float]:
    """Scores as chances that sum to less than 1; what is missing is the chance that it is none of them."""
    highest = max([*scores.values(), NOBODY])
    masses = {name: math.exp(SHARPNESS * (score - highest)) for name, score in scores.items()}
    total = sum(masses.values()) + math.exp(SHARPNESS * (NOBODY - highest))
    return {name: mass / total for name, mass in masses.items()}


def mechanism(terms: list[tuple[float, Term]]) -> Mechanism:
    """How the candidate hurts: each term's weight goes to the mechanisms that it hints at.

    Slowness and errors are symptoms. Where a cause is seen beside them that brings them about (`CAUSES`),
    the cause is the mechanism; a cause that no symptom followed is a weak vote.
    """
    votes: defaultdict[Mechanism, float] = defaultdict(float)
    for weight, term in terms:
        whole = max(sum(term.hints.values()), 1e-9)
        for name, vote in term.hints.items():
            votes[name] += weight * vote / whole
    for cause, symptoms in CAUSES:
        if votes.get(cause, 0.0) >= CAUSE_SEEN:
            votes[cause] += sum(votes.pop(symptom, 0.0) for symptom in symptoms)
    return max(votes, key=lambda name: (votes[name], name)) if votes else "unknown"


def suspect(ranked: Ranked) -> Suspect:
    """The vocabulary's suspect, with the terms as evidence."""
    terms = [term for _, term in ranked.terms]
    return Suspect(
        service=ranked.candidate,
        score=ranked.score,
        probability=ranked.probability,
        mechanism=ranked.mechanism,
        operation=next((term.operation for term in terms if term.operation), None),
        metric=next((term.metric for term in terms if term.metric), None),
        change_id=next((term.change_id for term in terms if term.change_id), None),
        evidence=tuple(
            Evidence(
                kind=term.kind,
                weight=round(weight, 4),
                sentence=term.sentence,
                signal=term.signal,
                value=term.value,
                expected=term.expected,
                unit=term.unit,
            )
            for weight, term in ranked.terms
        ),
    )
