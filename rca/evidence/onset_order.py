"""Who moved first: trouble starts at its cause and reaches the callers later.

For each node the earliest step, from the onset on, at which one of its series is clearly out of its past and stays
there for another step. The first to move share the credit; each step later halves it. Works from samples that are
finer than the spread of the trouble: where all move within one step, all share, and no order is known.
"""

from __future__ import annotations

import numpy as np

from rca.case import F64, Case, Series, codes
from rca.evidence_kind import EvidenceKind
from rca.levels import groups, level_and_spread, shares
from rca.series_changes import ENOUGH_SAMPLES, HOST
from rca.terms import Term
from watchkeeper.durations import duration

STAYS = 2  # steps that a series must be out of its past
CLEAR = 5.0  # spreads out of the past: with hundreds of series, three are passed by chance
DOUBT = 0.5  # of the credit of one node that moved first


def onset_order(case: Case) -> list[Term]:
    """Which service moved first.

    Term `onset_order`, for each node that moved: the earlier, the more.
    """
    first = first_moves(case)
    if len(first) < 2:
        return []
    earliest = min(at for at, _, _ in first.values())
    credit = {node: 0.5 ** ((at - earliest) / step) for node, (at, step, _) in first.items()}
    terms = []
    for node, share in shares(credit, DOUBT).items():
        at, _, what = first[node]
        later = max(other for other, _, _ in first.values()) - at
        terms.append(
            Term(
                kind="onset_order",
                candidate=node,
                strength=share,
                sentence=f"{what} of {node} moved {duration(later)} before the last of {len(first)} nodes that moved",
                signal=what,
            )
        )
    return terms


def first_moves(case: Case) -> dict[str, tuple[float, float, str]]:
    """Node → when it first moved (Unix seconds), the step of that series in seconds, and which series."""
    found: dict[str, tuple[float, float, str]] = {}
    for series in _all_series(case):
        key, names = codes(series.node, series.metric)
        for code, rows in groups(key):
            node, metric = names[code]
            if HOST.search(metric):
                continue
            order = rows[np.argsort(series.time[rows], kind="stable")]
            at = _first(series.time[order], series.value[order], case.onset)
            if at is not None and (node not in found or at[0] < found[node][0]):
                found[node] = (at[0], at[1], metric)
    return found


def _all_series(case: Case) -> list[Series]:
    out = [case.series] if case.series is not None else []
    flows = case.flows
    if flows is not None and len(flows.time):
        busy = flows.calls > 0
        name = np.array(["latency " + o for o in flows.operation[busy]], dtype=object)
        out.append(
            Series(
                time=flows.time[busy], node=flows.node[busy], metric=name, value=flows.busy[busy] / flows.calls[busy]
            )
        )
    return out


def _first(time: F64, value: F64, onset: float) -> tuple[float, float] | None:
    known = np.isfinite(value)
    time, value = time[known], value[known]
    early = time < onset
    if early.sum() < ENOUGH_SAMPLES or (~early).sum() < STAYS:
        return None
    usual, spread = level_and_spread(value[early])
    far = np.abs(value[~early] - usual) > CLEAR * spread
    stays = np.flatnonzero(far[:-1] & far[1:])
    if not len(stays):
        return None
    late = time[~early]
    return float(late[stays[0]]), float(np.median(np.diff(time)))


# A tie-breaker: more of it cost a development case where steps are minutes.
ONSET_ORDER = EvidenceKind(
    explain=onset_order,
    weights={"onset_order": 0.1},
    reads=frozenset({"series", "flows"}),
)
