"""What an operation logs per request, line by line: complaints that are new, and lines that are missing.

Conditioned on the operation that the lines' spans work for. A warning or an error that more of its requests
log than before points at it; so does an ordinary line that fewer of them reach: they returned early or
threw. Requests whose calls to other nodes failed or hung are left out: that explains what they log.
Errors that disappear and ordinary lines that appear are no fault. Needs lines that carry span ids.
"""

from __future__ import annotations

import numpy as np

from rca.case import Case
from rca.evidence_kind import EvidenceKind
from rca.levels import change_of_share
from rca.terms import Term

NEGLIGIBLE = 0.01  # a smaller change is not looked at


def operation_lines(case: Case) -> list[Term]:
    """Requests that log new warnings, or no longer reach a usual line.

    Terms `complaints` and `lost_lines`: per node, the line whose share of requests changed most.
    """
    spans, lines = case.spans, case.span_logs
    if spans is None or lines is None:
        return []
    unit, counted = spans.unit, spans.unhindered
    entry = spans.entry & counted
    size = len(spans.operations)
    n0 = np.bincount(spans.operation[entry & spans.known], minlength=size).astype(np.float64)
    n1 = np.bincount(spans.operation[entry & ~spans.known], minlength=size).astype(np.float64)
    # One count per request and line, however often the request logs it.
    of_counted = counted[lines.row]
    pairs = np.unique(np.stack([unit[lines.row], lines.template])[:, of_counted], axis=1)
    operation, known = spans.operation[pairs[0]], spans.known[pairs[0]]
    keys, inverse = np.unique(np.stack([operation, pairs[1]]), axis=1, return_inverse=True)
    inverse = inverse.reshape(-1)
    before = np.bincount(inverse[known], minlength=keys.shape[1]).astype(np.float64)
    after = np.bincount(inverse[~known], minlength=keys.shape[1]).astype(np.float64)
    strength = change_of_share(before, after, n0[keys[0]], n1[keys[0]])
    best: dict[tuple[str, str], Term] = {}
    for column in np.flatnonzero(np.abs(strength) > NEGLIGIBLE):
        code, line = keys[:, column]
        bad = lines.bad[line]
        if bad != (strength[column] > 0):
            continue
        kind = "complaints" if bad else "lost_lines"
        node, size_of_change = spans.nodes[spans.owner[code]], abs(float(strength[column]))
        if (kind, node) in best and best[kind, node].strength >= size_of_change:
            continue
        shares = after[column] / n1[code], before[column] / n0[code]
        best[kind, node] = Term(
            kind=kind,
            candidate=node,
            strength=size_of_change,
            sentence=(
                f"{shares[0]:.0%} of the {n1[code]:.0f} requests {spans.operations[code]} of {node} log "
                f"{lines.templates[line]!r} (usually {shares[1]:.0%})"
            ),
            signal="logs",
            value=shares[0],
            expected=shares[1],
            unit="share",
            operation=spans.operations[code],
            hints={"errors": size_of_change},
        )
    return list(best.values())


OPERATION_LINES = EvidenceKind(
    explain=operation_lines,
    weights={"complaints": 2.5, "lost_lines": 3.0},
    needs=frozenset({"spans", "span_logs"}),
)
