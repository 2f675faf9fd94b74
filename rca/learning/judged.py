"""Incidents whose cause somebody named: what each candidate's terms were, and which candidate it was."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from rca.case import Case
from rca.engine import Engine, commits_of
from rca.evidence_kind import Subject, declared
from rca.weights import weight_of
from watchkeeper.vocabulary import Diagnosis, Label

SOURCES: Final = ("human", "chaos")


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedCase:
    """One incident with a known cause.

    Attributes:
        id: the incident, or the case of a pack.
        source: who named the cause: `human`, `chaos`, or a pack.
        cause: the candidate at fault.
        terms: candidate → kind of term → strength, as the evidence stood at the last diagnosis.
        at: when the cause was named; None in a pack.
    """

    id: str
    source: str
    cause: str
    terms: Mapping[str, Mapping[str, float]]
    at: datetime | None = None

    def first(self, weights: Mapping[str, float]) -> str | None:
        """The first suspect by these weights; None where no candidate has evidence for it."""
        scores = {
            candidate: math.fsum(weight_of(kind, weights) * strength for kind, strength in strengths.items())
            for candidate, strengths in self.terms.items()
        }
        best = min(scores, key=lambda candidate: (-scores[candidate], candidate), default=None)
        return best if best is not None and scores[best] > 0.0 else None

    def right(self, weights: Mapping[str, float]) -> bool:
        """Whether these weights put the cause first."""
        return self.first(weights) == self.cause


def judged_live(label: Label, diagnosis: Diagnosis, weights: Mapping[str, float]) -> JudgedCase | None:
    """A labelled incident; None where its diagnosis kept no strengths (of an older version), or names nobody.

    Evidence of a kind that has no weight any more is left out.
    """
    if label.cause is None or not diagnosis.suspects:
        return None
    terms: dict[str, dict[str, float]] = {}
    for suspect in diagnosis.suspects:
        strengths = terms.setdefault(suspect.service, {})
        for evidence in suspect.evidence:
            if evidence.strength is None:
                return None
            if declared(evidence.kind, weights) is not None:
                strengths[evidence.kind] = strengths.get(evidence.kind, 0.0) + evidence.strength
    return JudgedCase(id=label.incident_id, source=label.source, cause=label.cause, terms=terms, at=label.at)


def judged_case(case: Case, engine: Engine, source: str, cause: str, subject: Subject = "node") -> JudgedCase:
    """A recorded case with its label; the candidates are its services or instances, or its commits."""
    candidates = case.candidates if subject == "node" else commits_of(case)
    terms: dict[str, dict[str, float]] = {}
    for candidate, weighed in engine.weigh(candidates, engine.gather(case, subject)).items():
        strengths = terms.setdefault(candidate, {})
        for _, term in weighed:
            strengths[term.kind] = strengths.get(term.kind, 0.0) + term.strength
    return JudgedCase(id=case.id, source=source, cause=cause, terms=terms)


def one_per_incident(cases: Iterable[JudgedCase]) -> tuple[JudgedCase, ...]:
    """The newest judgement of each incident; that of an experiment, which knows, before a human's."""
    chosen: dict[str, JudgedCase] = {}
    for case in cases:
        known = chosen.get(case.id)
        if known is None or case.source == "chaos" or known.source != "chaos":
            chosen[case.id] = case
    return tuple(chosen.values())


def accuracy(right: Sequence[bool]) -> float:
    """AC@1: the share of causes that stand first; 0 where there are none."""
    return sum(right) / len(right) if right else 0.0
