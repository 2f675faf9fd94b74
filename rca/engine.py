"""One engine, one configuration: the kinds of evidence, fused into a ranking that can be read.

A candidate's score is the sum over kinds of `weight × strength`, each a named term that is shown. Kinds
whose tables are missing give no terms, so the same configuration serves a live system with traces
and a recorded one with five metric samples.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from rca.calibration import chances
from rca.case import Case
from rca.evidence.change_events import change_events
from rca.evidence.code_change import NO_COMMIT, code_change
from rca.evidence.cut_short import cut_short
from rca.evidence.errors import errors
from rca.evidence.log_change import log_change
from rca.evidence.metric_change import metric_change
from rca.evidence.onset_order import onset_order
from rca.evidence.operation_change import operation_change
from rca.evidence.operation_lines import operation_lines
from rca.evidence.outlier import outlier
from rca.evidence.rarity import rarity
from rca.evidence.reach import reach
from rca.evidence.silence import silence, unanswered
from rca.evidence.unlinked import unlinked
from rca.excess import excess
from rca.ledger import Ledger, book
from rca.mechanism import mechanism
from rca.terms import Term
from rca.weights import NEGLIGIBLE, weight_of
from watchkeeper.vocabulary import Evidence, Mechanism, Suspect

ENGINE_VERSION = "1"

# The order is that of the explanation in docs/benchmarks.md; the sum does not depend on it.
KINDS: tuple[Callable[[Case, Ledger], list[Term]], ...] = (
    excess,
    errors,
    unlinked,
    lambda case, _: unanswered(case),
    lambda case, _: silence(case),
    lambda case, _: metric_change(case),
    lambda case, _: outlier(case),
    lambda case, _: onset_order(case),
    lambda case, _: log_change(case),
    lambda case, _: operation_change(case),
    lambda case, _: operation_lines(case),
    lambda case, _: cut_short(case),
    lambda case, _: rarity(case),
    lambda case, _: reach(case),
    lambda case, _: change_events(case),
)


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
    return order(case.candidates, weighed(case.candidates, gather_terms(case), weights or {}))


def gather_terms(case: Case) -> list[Term]:
    """The terms of every kind of evidence on the candidates, before they are weighed."""
    ledger = book(case)
    known = set(case.candidates)
    return [term for kind in KINDS for term in kind(case, ledger) if term.candidate in known]


def weighed(
    candidates: Sequence[str], terms: Sequence[Term], weights: Mapping[str, float]
) -> dict[str, list[tuple[float, Term]]]:
    """The terms of each candidate with what they add to its score.

    A change adds as much as the candidate has symptoms that it could explain: alone it explains nothing.
    """
    found: defaultdict[str, list[tuple[float, Term]]] = defaultdict(list)
    for term in terms:
        if term.kind != "change" and abs(term.strength) >= NEGLIGIBLE:
            found[term.candidate].append((weight_of(term.kind, weights) * term.strength, term))
    for term in terms:
        if term.kind == "change":
            symptoms = sum(max(weight, 0.0) for weight, _ in found[term.candidate])
            believed = term.strength * min(symptoms, 1.0)
            if believed >= NEGLIGIBLE:
                found[term.candidate].append((weight_of(term.kind, weights) * believed, term))
    return {candidate: found[candidate] for candidate in candidates}


def rank_commits(case: Case, weights: Mapping[str, float] | None = None) -> tuple[Ranked, ...]:
    """Every commit of `case` and `none`, best first; empty where no commit is known."""
    commits = tuple(change.id for change in case.changes if change.kind == "commit")
    if not commits:
        return ()
    candidates = (*commits, NO_COMMIT)
    return order(candidates, weighed(candidates, code_change(case), weights or {}))


def order(candidates: Sequence[str], terms: Mapping[str, list[tuple[float, Term]]]) -> tuple[Ranked, ...]:
    """Candidates by the sum of their terms, best first; equals by name."""
    scores = {candidate: sum(weight for weight, _ in terms[candidate]) for candidate in candidates}
    chance = chances(scores, terms)
    return tuple(
        Ranked(
            candidate=candidate,
            score=scores[candidate],
            probability=chance[candidate],
            mechanism=mechanism(terms[candidate]),
            terms=tuple(sorted(terms[candidate], key=lambda pair: -pair[0])),
        )
        for candidate in sorted(candidates, key=lambda name: (-scores[name], name))
    )


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
