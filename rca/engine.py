"""One engine, one configuration: the kinds of evidence, summed into a ranking that can be read.

A candidate's score is the sum over kinds of `weight × strength`, each a named term that is shown. Kinds
whose tables are missing give no terms, so the same configuration serves a live system with traces
and a recorded one with five metric samples. A kind that fails is named, and the others still count.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from rca.calibration import chances
from rca.case import Case
from rca.evidence_kind import NO_COMMIT, EvidenceKind, Subject
from rca.mechanism import mechanism
from rca.terms import Term
from rca.weights import NEGLIGIBLE, complete, defaults, weight_of
from watchkeeper.errors import DiagnosisError
from watchkeeper.vocabulary import Evidence, Mechanism, Suspect

ENGINE_VERSION: Final = "2"
DIGITS: Final = 4  # of what is stored: a weight is shown with two
ROUNDING: Final = 1e-6  # by how much a sum of shares may miss 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranked:
    """One candidate with its score, probability and terms, heaviest first."""

    candidate: str
    score: float
    probability: float
    mechanism: Mechanism
    terms: tuple[tuple[float, Term], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathered:
    """The terms of a case, and by kind of evidence why it gave none although its tables are there."""

    terms: tuple[tuple[EvidenceKind, Term], ...]
    failures: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """Every candidate, best first, and which kinds of evidence failed, each with its reason."""

    ranked: tuple[Ranked, ...]
    failures: Mapping[str, str]


class Engine:
    """Kinds of evidence with their weights. Pure: the same case gives the same answer."""

    def __init__(self, kinds: Mapping[str, EvidenceKind], weights: Mapping[str, float] | None = None) -> None:
        """Use `kinds` by name, with `weights` in place of some of their defaults.

        Raises:
            UnknownWeight: `weights` names what no kind declares.
        """
        self.kinds = dict(kinds)
        self.weights = complete(defaults(self.kinds.values()), weights)

    def rank(self, case: Case) -> Ranking:
        """Every service or instance of `case`, best first."""
        gathered = self.gather(case, "node")
        return Ranking(ranked=order(case.candidates, self.weigh(case.candidates, gathered)), failures=gathered.failures)

    def rank_commits(self, case: Case) -> Ranking:
        """Every commit of `case` and `none`, best first; empty where no commit is known."""
        candidates = commits_of(case)
        if not candidates:
            return Ranking(ranked=(), failures={})
        gathered = self.gather(case, "commit")
        return Ranking(ranked=order(candidates, self.weigh(candidates, gathered)), failures=gathered.failures)

    def gather(self, case: Case, subject: Subject = "node") -> Gathered:
        """The terms of every kind of evidence on the candidates, before they are weighed."""
        known = set(case.candidates if subject == "node" else commits_of(case))
        terms: list[tuple[EvidenceKind, Term]] = []
        failures: dict[str, str] = {}
        for name, kind in self.kinds.items():
            if kind.subject != subject or not kind.applies(case):
                continue
            try:
                found = checked(kind, kind.explain(case))
            except DiagnosisError as error:
                failures[name] = error.message
                continue
            except Exception as error:  # noqa: BLE001 - one kind of evidence that fails must not cost the diagnosis
                failures[name] = f"{type(error).__name__}: {error}"
                continue
            terms += [(kind, term) for term in found if term.candidate in known]
        return Gathered(terms=tuple(terms), failures=failures)

    def weigh(self, candidates: Sequence[str], gathered: Gathered) -> dict[str, list[tuple[float, Term]]]:
        """The terms of each candidate with what they add to its score.

        Evidence that needs symptoms, such as a change, adds as much as the candidate has symptoms for it to explain.
        """
        weighed: defaultdict[str, list[tuple[float, Term]]] = defaultdict(list)
        for kind, term in gathered.terms:
            if not kind.needs_symptoms and abs(term.strength) >= NEGLIGIBLE:
                weighed[term.candidate].append((weight_of(term.kind, self.weights) * term.strength, term))
        symptoms = {name: math.fsum(max(weight, 0.0) for weight, _ in terms) for name, terms in weighed.items()}
        for kind, term in gathered.terms:
            if kind.needs_symptoms:
                believed = term.strength * min(symptoms.get(term.candidate, 0.0), 1.0)
                if believed >= NEGLIGIBLE:
                    counted = replace(term, strength=believed)
                    weighed[term.candidate].append((weight_of(term.kind, self.weights) * believed, counted))
        return {candidate: weighed[candidate] for candidate in candidates}


def commits_of(case: Case) -> tuple[str, ...]:
    """The commits of a case, and `none` after them; empty where no commit is known."""
    commits = tuple(change.id for change in case.changes if change.kind == "commit")
    return (*commits, NO_COMMIT) if commits else ()


def checked(kind: EvidenceKind, terms: Sequence[Term]) -> list[Term]:
    """The terms, if all their kinds are declared, and their strengths numbers that add up to -1 to 1.

    Raises:
        DiagnosisError: they are not.
    """
    sums: defaultdict[tuple[str, str], float] = defaultdict(float)
    for term in terms:
        if not isinstance(term, Term):
            raise DiagnosisError(f"it gave {type(term).__name__} instead of rca.terms.Term")
        name = kind.declared(term.kind)
        if name is None:
            declared = ", ".join(kind.weights)
            raise DiagnosisError(f"it gave a term of kind {term.kind!r}, which has no declared weight: {declared}")
        sums[name, term.candidate] += term.strength
    for (name, candidate), strength in sums.items():
        if not abs(strength) <= 1.0 + ROUNDING:  # NaN fails this too
            raise DiagnosisError(f"the strengths of {name!r} on {candidate!r} add up to {strength!r}, not -1 to 1")
    return list(terms)


def order(candidates: Sequence[str], terms: Mapping[str, list[tuple[float, Term]]]) -> tuple[Ranked, ...]:
    """Candidates by the sum of their terms, best first; equals by name."""
    scores = {candidate: math.fsum(weight for weight, _ in terms[candidate]) for candidate in candidates}
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
                weight=round(weight, DIGITS),
                strength=round(term.strength, DIGITS),
                sentence=term.sentence,
                signal=term.signal,
                value=term.value,
                expected=term.expected,
                unit=term.unit,
            )
            for weight, term in ranked.terms
        ),
    )
