"""Requests that stop right after a step which used to be followed by another: an exception, an early return.

For each kind of step inside an operation: the share of its occurrences after which nothing more was done.
Where it rises, the operation's node broke off by itself, or on what the step brought back. One caller
is not enough to decide; several callers that all break off after calling the same node point at that node.
Requests whose calls failed or hung are left out: these break off for another reason.
Needs spans of steps on both sides of the onset, or a reference.
"""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from rca.case import Case
from rca.evidence_kind import EvidenceKind
from rca.levels import change_of_share
from rca.spans import Spans
from rca.terms import Term

NEGLIGIBLE = 0.02  # as the engine leaves out
WITNESS = 0.25  # a caller that broke off this clearly counts as a witness against the node it called


def cut_short(case: Case) -> list[Term]:
    """One term per node, its clearest step; shared between a callee and its callers by the number of witnesses."""
    spans = case.spans
    if spans is None:
        return []
    found = _steps(spans)
    witnesses: defaultdict[str, dict[str, float]] = defaultdict(dict)
    for caller, callee, _, _, strength, *_ in found:
        if callee != caller and strength > WITNESS:
            witnesses[callee][caller] = max(strength, witnesses[callee].get(caller, 0.0))
    best: dict[str, Term] = {}
    for caller, callee, operation, step, strength, before, after, seen in found:
        voices = len(witnesses[callee]) if callee != caller else 1
        sentence = (
            f"after {step}, {operation} of {caller} does nothing more in {after:.0%} of {seen:.0f} cases "
            f"(usually {before:.0%})"
        )
        for node, part in ((caller, 1.0 / max(voices, 1)), (callee, 1.0 - 1.0 / max(voices, 1))):
            if strength * part > (best[node].strength if node in best else NEGLIGIBLE):
                best[node] = Term(
                    kind="cut_short",
                    candidate=node,
                    strength=strength * part,
                    sentence=sentence,
                    signal="spans",
                    value=after,
                    expected=before,
                    unit="share",
                    operation=operation,
                    hints={"errors": strength * part},
                )
    return list(best.values())


def _steps(spans: Spans) -> list[tuple[str, str, str, str, float, float, float, float]]:
    """Steps that end more often: caller, callee, operation, step, strength, shares before and after, count after."""
    rows = np.flatnonzero((spans.parent >= 0) & spans.unhindered())
    if len(rows) == 0:
        return []
    parent = spans.parent[rows]
    inside = spans.node[parent] == spans.node[rows]  # a step is a span at the operation's own node
    rows, parent = rows[inside], parent[inside]
    order = np.lexsort((spans.start[rows], parent))
    rows, parent = rows[order], parent[order]
    last = np.r_[parent[1:] != parent[:-1], True] if len(rows) else np.zeros(0, dtype=bool)
    keys, inverse = np.unique(np.stack([spans.operation[parent], spans.operation[rows]]), axis=1, return_inverse=True)
    inverse = inverse.reshape(-1)
    known, size = spans.known[rows], keys.shape[1]
    n0 = np.bincount(inverse[known], minlength=size).astype(np.float64)
    n1 = np.bincount(inverse[~known], minlength=size).astype(np.float64)
    ends0 = np.bincount(inverse[known & last], minlength=size).astype(np.float64)
    ends1 = np.bincount(inverse[~known & last], minlength=size).astype(np.float64)
    strength = change_of_share(ends0, ends1, n0, n1)
    owner = np.zeros(len(spans.operations), dtype=np.int64)
    owner[spans.operation] = spans.node
    callee = _callees(spans)
    return [
        (
            spans.nodes[owner[keys[0, column]]],
            spans.nodes[callee[keys[1, column]]]
            if callee[keys[1, column]] >= 0
            else spans.nodes[owner[keys[0, column]]],
            spans.operations[keys[0, column]],
            spans.operations[keys[1, column]],
            float(strength[column]),
            float(ends0[column] / n0[column]),
            float(ends1[column] / n1[column]),
            float(n1[column]),
        )
        for column in np.flatnonzero(strength > NEGLIGIBLE)
    ]


def _callees(spans: Spans) -> np.ndarray:
    """The node that each client operation calls, -1 for the others."""
    callee = np.full(len(spans.operations), -1, dtype=np.int64)
    up = np.maximum(spans.parent, 0)
    crossing = (spans.parent >= 0) & (spans.node[up] != spans.node)
    callee[spans.operation[up[crossing]]] = spans.node[crossing]
    return callee


CUT_SHORT = EvidenceKind(
    explain=cut_short,
    weights={"cut_short": 1.5},
    needs=frozenset({"spans"}),
)
