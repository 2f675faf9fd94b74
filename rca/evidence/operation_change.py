"""What an operation does per request: spans it starts and lines it logs, before and after the onset.

Conditioned on the operation, so that a different mix of requests is no change. An operation that starts
fewer spans or writes fewer lines than usual returned early or failed; one that does more retries or
complains. Effect (relative to the usual count) times trust (Welch's z, shrunk for small counts).
Requests whose calls to other nodes failed or hung are left out: what they do differently is explained by that.
Needs spans on both sides of the onset, or a reference. Fails for operations that are new or vanished.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rca.case import F64, I64, Case, Mask
from rca.evidence_kind import EvidenceKind
from rca.levels import trust
from rca.spans import Spans
from rca.terms import Term

PRIOR_SPANS = 3.0  # spans at which a count is half believed
FEWEST_SPANS = 2
HALF_AT = 4.0  # standard errors
LEAST_VARIANCE = 0.2  # of a count that never varied and is below it: one request in five may differ
CHANCE = 0.5  # how much of what varies only since the onset is chance and not the fault itself
LEAST_USUAL = 0.5  # a change of less than half a span or line a request is no change of all that is usual
NEGLIGIBLE = 0.01  # a smaller change is not looked at


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A quantity of one operation: its mean per span before and after, and the change, -1 to 1."""

    node: str
    operation: str
    before: float
    after: float
    spans: float
    change: float


def changes(spans: Spans, quantity: F64, rows: Mask) -> list[Change]:
    """The change of a per-span count `(n,)` in each operation among `rows`."""
    size = len(spans.operations)
    found = []
    stats = [
        _moments(spans.operation[rows & part], quantity[rows & part], size) for part in (spans.known, ~spans.known)
    ]
    (n0, m0, v0), (n1, m1, v1) = stats
    for code in np.flatnonzero((n0 >= FEWEST_SPANS) & (n1 >= FEWEST_SPANS)):
        # A count that never varied may vary: one more span than was seen, off by one. What varies only
        # since the onset is partly chance, partly the fault itself.
        usual = (n0[code] * v0[code] + max(m0[code], LEAST_VARIANCE)) / (n0[code] + 1.0)
        error = np.sqrt(usual / n0[code] + CHANCE * (usual + v1[code]) / n1[code])
        delta = m1[code] - m0[code]
        z = abs(delta) / error
        effect = abs(delta) / max(m0[code], m1[code], LEAST_USUAL)
        shrink = min(n0[code] / (n0[code] + PRIOR_SPANS), n1[code] / (n1[code] + PRIOR_SPANS))
        size_of_change = effect * trust(float(z), HALF_AT) * shrink
        if size_of_change > NEGLIGIBLE:
            found.append(
                Change(
                    node=spans.nodes[spans.owner[code]],
                    operation=spans.operations[code],
                    before=float(m0[code]),
                    after=float(m1[code]),
                    spans=float(n1[code]),
                    change=float(np.sign(delta) * size_of_change),
                )
            )
    return found


def _moments(key: I64, values: F64, size: int) -> tuple[F64, F64, F64]:
    n = np.bincount(key, minlength=size).astype(np.float64)
    mean = np.divide(np.bincount(key, weights=values, minlength=size), n, out=np.zeros(size), where=n > 0)
    square = np.bincount(key, weights=values**2, minlength=size)
    variance = np.maximum(np.divide(square, n, out=np.zeros(size), where=n > 0) - mean**2, 0.0)
    return n, mean, variance


def operation_change(case: Case) -> list[Term]:
    """Operations that do less per request than before.

    Terms `fewer_spans` and `fewer_lines`: the operation of each node that changed most.
    """
    spans = case.spans
    if spans is None:
        return []
    unit, entry, counted = spans.unit, spans.entry, spans.unhindered
    work = np.bincount(unit, minlength=spans.size).astype(np.float64) - 1.0
    found = changes(spans, work, entry & counted) + changes(spans, spans.children(), ~entry & counted)
    terms = _terms(found, "spans", "starts {after:.2g} spans a request (usually {before:.2g})")
    if case.span_logs is not None:
        lines = np.bincount(unit[case.span_logs.row], minlength=spans.size).astype(np.float64)
        terms += _terms(
            changes(spans, lines, entry & counted), "lines", "logs {after:.2g} lines a request (usually {before:.2g})"
        )
    return terms


def _terms(found: list[Change], noun: str, phrase: str) -> list[Term]:
    best: dict[tuple[str, str], Change] = {}
    for change in found:
        if change.change > 0:  # more work is seen as latency, more lines as complaints
            continue
        kind = f"fewer_{noun}"
        if (kind, change.node) not in best or abs(best[kind, change.node].change) < abs(change.change):
            best[kind, change.node] = change
    terms = []
    for (kind, node), change in best.items():
        terms.append(
            Term(
                kind=kind,
                candidate=node,
                strength=abs(change.change),
                sentence=f"{change.operation} of {node} "
                + phrase.format(after=change.after, before=change.before)
                + f", over {change.spans:.0f} requests",
                signal=noun,
                value=change.after,
                expected=change.before,
                unit=noun,
                operation=change.operation,
                hints={"errors": abs(change.change)},
            )
        )
    return terms


OPERATION_CHANGE = EvidenceKind(
    explain=operation_change,
    weights={"fewer_spans": 2.0, "fewer_lines": 2.0},
    needs=frozenset({"spans"}),
)
