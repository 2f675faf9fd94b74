"""Requests that stop right after a step which used to be followed by another: an exception, an early return.

For each kind of step inside an operation: the share of its occurrences after which nothing more was done.
Where it rises, the operation's node broke off by itself, or on what the step brought back. One caller
is not enough to decide; several callers that all break off after calling the same node point at that node.
Requests whose calls failed or hung are left out: these break off for another reason.
Needs spans of steps on both sides of the onset, or a reference.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from rca.case import Case
from rca.evidence_kind import EvidenceKind
from rca.levels import change_of_share
from rca.spans import Spans
from rca.terms import Term

NEGLIGIBLE = 0.02  # as the engine leaves out
WITNESS = 0.25  # a caller that broke off this clearly counts as a witness against the node it called


@dataclass(frozen=True, slots=True, kw_only=True)
class EndingStep:
    """A step after which requests do nothing more, more often than before: shares before and after, and how many after.

    `callee` is the node that the step calls, the caller itself where it calls none.
    """

    caller: str
    callee: str
    operation: str
    step: str
    strength: float
    before: float
    after: float
    count: float

    def sentence(self) -> str:
        return (
            f"after {self.step}, {self.operation} of {self.caller} does nothing more in {self.after:.0%} of "
            f"{self.count:.0f} cases (usually {self.before:.0%})"
        )


def cut_short(case: Case) -> list[Term]:
    """Requests that stop right after a step that used to be followed by another.

    Term `cut_short`: the clearest step of each node, shared by callee and callers by the number of witnesses.
    """
    if case.spans is None:
        return []
    steps = _steps(case.spans)
    witnesses: defaultdict[str, set[str]] = defaultdict(set)
    for step in steps:
        if step.callee != step.caller and step.strength > WITNESS:
            witnesses[step.callee].add(step.caller)
    best: dict[str, Term] = {}
    for step in steps:
        voices = max(len(witnesses[step.callee]), 1) if step.callee != step.caller else 1
        for node, part in ((step.caller, 1.0 / voices), (step.callee, 1.0 - 1.0 / voices)):
            strength = step.strength * part
            if strength > (best[node].strength if node in best else NEGLIGIBLE):
                best[node] = Term(
                    kind="cut_short",
                    candidate=node,
                    strength=strength,
                    sentence=step.sentence(),
                    signal="spans",
                    value=step.after,
                    expected=step.before,
                    unit="share",
                    operation=step.operation,
                    hints={"errors": strength},
                )
    return list(best.values())


def _steps(spans: Spans) -> list[EndingStep]:
    """Steps that end their requests more often than before."""
    rows = np.flatnonzero((spans.parent >= 0) & spans.unhindered)
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
    callee = _callees(spans)
    steps = []
    for column in np.flatnonzero(strength > NEGLIGIBLE):
        operation, step = keys[:, column]
        called = callee[step] if callee[step] >= 0 else spans.owner[operation]
        steps.append(
            EndingStep(
                caller=spans.nodes[spans.owner[operation]],
                callee=spans.nodes[called],
                operation=spans.operations[operation],
                step=spans.operations[step],
                strength=float(strength[column]),
                before=float(ends0[column] / n0[column]),
                after=float(ends1[column] / n1[column]),
                count=float(n1[column]),
            )
        )
    return steps


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
