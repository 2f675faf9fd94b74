"""How a suspect hurts, by the hints of its evidence."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from rca.terms import Term
from watchkeeper.vocabulary import Mechanism

# What brings about which symptoms, the most specific cause first; and how strong a vote shows that the cause is there.
# A deploy of some minutes ago is there nearly always: only one right before the onset (`change_events`) takes over
# what else is seen.
CAUSES: tuple[tuple[Mechanism, tuple[Mechanism, ...], float], ...] = (
    ("database", ("latency", "errors"), 0.5),
    ("cpu", ("latency",), 0.5),
    ("deploy", ("latency", "errors", "cpu", "memory"), 0.9),
    ("memory", ("latency",), 0.5),
)


def mechanism(terms: Sequence[tuple[float, Term]]) -> Mechanism:
    """Each term's weight goes to the mechanisms that it hints at; the most voted one is the answer.

    Slowness and errors are symptoms. Where a cause is seen beside them that brings them about (`CAUSES`),
    their votes are the cause's.
    """
    votes: defaultdict[Mechanism, float] = defaultdict(float)
    for weight, term in terms:
        whole = max(sum(term.hints.values()), 1e-9)
        for name, vote in term.hints.items():
            votes[name] += max(weight, 0.0) * vote / whole
    for cause, symptoms, seen in CAUSES:
        if votes.get(cause, 0.0) >= seen:
            votes[cause] += sum(votes.pop(symptom, 0.0) for symptom in symptoms)
    return max(votes, key=lambda name: (votes[name], name)) if votes else "unknown"
