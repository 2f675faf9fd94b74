"""How a suspect hurts, by the hints of its evidence."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from rca.terms import Term
from watchkeeper.vocabulary import Mechanism

# What brings about which symptoms, the most specific cause first.
CAUSES: tuple[tuple[Mechanism, tuple[Mechanism, ...]], ...] = (
    ("traffic", ("latency", "errors", "cpu", "network", "database", "memory")),
    ("cpu", ("latency",)),
    ("database", ("latency", "errors")),
    ("deploy", ("latency", "errors", "cpu", "memory", "killed")),
    ("memory", ("latency",)),
)
SEEN = 0.5  # in units of a score; a cause with fewer votes is not believed to be there (by judgement)


def mechanism(terms: Sequence[tuple[float, Term]]) -> Mechanism:
    """Each term's weight goes to the mechanisms that it hints at; the most voted one is the answer.

    Slowness and errors are symptoms. Where a cause is seen beside them that brings them about (`CAUSES`),
    their votes are the cause's. A deploy alone is no symptom of anything: it takes over votes, or has none. What
    evidence cannot decide (`unknown`) is the answer only without any other vote. An error that names its cause decides,
    unless a change or a surge brought it about.
    """
    votes: defaultdict[Mechanism, float] = defaultdict(float)
    for weight, term in terms:
        total = max(sum(term.hints.values()), 1e-9)
        for name, vote in term.hints.items():
            votes[name] += max(weight, 0.0) * vote / total
    votes.pop("unknown", None)
    named = _named(terms)
    if named and votes.get("deploy", 0.0) < SEEN and votes.get("traffic", 0.0) < SEEN:
        return named
    for cause, symptoms in CAUSES:
        if votes.get(cause, 0.0) >= SEEN:
            votes[cause] += sum(votes.pop(symptom, 0.0) for symptom in symptoms)
        elif cause == "deploy":
            votes.pop(cause, None)
    voted = [name for name, vote in votes.items() if vote > 0]
    return max(voted, key=lambda name: (votes[name], name)) if voted else "unknown"


def _named(terms: Sequence[tuple[float, Term]]) -> Mechanism | None:
    surest = max(
        ((weight, name) for weight, term in terms if term.kind == "named_cause" for name in term.hints),
        default=(0.0, None),
    )
    return surest[1] if surest[0] >= SEEN else None
