"""What a node shows now and hardly ever showed in other incidents.

Every incident has the same loud victims; the culprit stands out by what is unusual for it even then. The
surprise of an anomaly is -log of its frequency at that node in past incidents (without labels), at most
`MOST_SURPRISE`, because past incidents cannot prove more; a part of the node's usual surprise is taken
off, so that noisy nodes do not win by number. Fails for nodes that show nothing at all. Not
used where requests are recorded: seconds and failures have sizes and are better evidence.
"""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from rca.case import Case
from rca.evidence_kind import EvidenceKind
from rca.example_cases import eventful_case
from rca.terms import Term

MOST_SURPRISE = 4.0  # nats: once in 55 incidents
USUAL_PART = 1.0 / 3.0  # of a node's usual surprise that is taken off


def rarity(case: Case) -> list[Term]:
    """What a service hardly ever showed in other incidents.

    Terms `rare <concept>`, for each node: its surprise, as a share of the greatest surprise of any node.
    """
    past = case.past
    if past is None or case.id not in past.seen or (case.flows is not None and len(case.flows.time)):
        return []
    surprise = np.minimum(-np.log(past.frequency(case.id)), MOST_SURPRISE)
    node, event = past.seen[case.id]
    concepts = sorted(set(past.concepts))
    number = {concept: row for row, concept in enumerate(concepts)}
    concept_of = np.array([number[concept] for concept in past.concepts], dtype=np.int64)
    now = np.zeros((len(past.nodes), len(concepts)))
    np.add.at(now, (node, concept_of[event]), surprise[node, event])
    usual = _usual(case, surprise, concept_of, len(concepts))
    excess = now - USUAL_PART * usual
    scale = max(float(np.abs(excess.sum(axis=1)).max(initial=0.0)), 1.0)
    loudest = _loudest(case, surprise)
    terms = []
    for name, row in past.nodes.items():
        for concept, column in number.items():
            strength = float(excess[row, column]) / scale
            if not strength:
                continue
            terms.append(
                Term(
                    kind=f"rare {concept}",
                    candidate=name,
                    strength=strength,
                    sentence=_sentence(name, concept, now[row, column] > 0, loudest.get((row, concept))),
                    signal=loudest.get((row, concept), ("", 0.0))[0],
                )
            )
    return terms


def _usual(case: Case, surprise: np.ndarray, concept_of: np.ndarray, concepts: int) -> np.ndarray:
    """The mean surprise of each node and concept over the other incidents."""
    past = case.past
    assert past is not None  # noqa: S101 - the caller checked
    counts = past.counts.copy()
    counts[past.seen[case.id]] -= 1.0
    totals = np.zeros((len(past.nodes), concepts))
    for concept in range(concepts):
        events = concept_of == concept
        totals[:, concept] = (counts[:, events] * surprise[:, events]).sum(axis=1)
    return totals / max(past.incidents - 1, 1)


def _loudest(case: Case, surprise: np.ndarray) -> dict[tuple[int, str], tuple[str, float]]:
    past = case.past
    assert past is not None  # noqa: S101 - the caller checked
    names = {code: name for name, code in past.events.items()}
    best: defaultdict[tuple[int, str], tuple[str, float]] = defaultdict(lambda: ("", 0.0))
    for node, event in zip(*past.seen[case.id], strict=True):
        key = (int(node), past.concepts[event])
        if surprise[node, event] > best[key][1]:
            best[key] = (names[int(event)], float(surprise[node, event]))
    return dict(best)


def _sentence(node: str, concept: str, shows: bool, loudest: tuple[str, float] | None) -> str:
    if not shows or loudest is None:
        return f"{node} shows no {concept} now, though it does in other incidents"
    event, surprise = loudest
    often = (
        f"in about one of {np.exp(surprise):.0f} incidents" if surprise < MOST_SURPRISE else "in hardly any incident"
    )
    return f"{node} shows {event}, which it shows {often}"


# `rare <concept>`: the greatest surprise of any node, spread over its concepts.
RARITY = EvidenceKind(
    explain=rarity,
    weights={"rare": 3.0},
    needs=frozenset({"past"}),
    example=eventful_case,
)
