"""A resource that moved: CPU, memory, threads and the like, per node, before and after the onset.

Within one metric the nodes share the blame by how much each rose above its usual level, in the metric's
own unit, shrunk by how unusual that is for the node. Works from five samples on; a reference window gives
level and spread where the case has too few samples of its own.
"""

from __future__ import annotations

import re

import numpy as np

from rca.case import Case, Series, codes
from rca.levels import groups, level_and_spread, shares, trust
from rca.terms import Term
from watchkeeper.vocabulary import Mechanism

# What a metric measures, by the words of its name (OpenTelemetry and Prometheus conventions).
CONCEPTS: tuple[tuple[str, re.Pattern[str], Mechanism], ...] = (
    ("cpu", re.compile(r"cpu(?!.*(limit|count|frequency|request))", re.IGNORECASE), "cpu"),
    ("memory", re.compile(r"(mem|heap|rss)(?!.*(limit|request))", re.IGNORECASE), "memory"),
)
# A host's resources belong to all that run on it.
HOST = re.compile(r"^(node|host|machine|system|instance)[._]", re.IGNORECASE)


def concept(metric: str) -> tuple[str, Mechanism] | None:
    """The resource that a metric measures, or None if it is no resource."""
    if HOST.search(metric):
        return None
    for name, words, mechanism in CONCEPTS:
        if words.search(metric):
            return name, mechanism
    return None


def metric_change(case: Case) -> list[Term]:
    """One term per node and resource: its best metric of that resource."""
    if case.series is None or len(case.series.time) == 0:
        return []
    best: dict[tuple[str, str], Term] = {}
    for metric, changes in _changes(case.series, case.onset).items():
        found = concept(metric)
        if found is None:
            continue
        resource, mechanism = found
        amounts = {
            node: (after - usual) * trust((after - usual) / spread, 4.0) for node, usual, spread, after in changes
        }
        noise = float(np.sum([spread for _, _, spread, _ in changes])) * 0.5
        total_usual = float(np.sum([abs(usual) for _, usual, _, _ in changes]))
        by_node = {node: (usual, after) for node, usual, _, after in changes}
        for node, share in shares(amounts, noise + 0.1 * total_usual).items():
            usual, after = by_node[node]
            term = Term(
                kind=resource,
                candidate=node,
                strength=share,
                sentence=f"{metric} of {node} is {_figure(after)} (usually {_figure(usual)})",
                signal=metric,
                value=after,
                expected=usual,
                metric=metric,
                hints={mechanism: share},
            )
            if (node, resource) not in best or best[node, resource].strength < share:
                best[node, resource] = term
    return list(best.values())


def _changes(series: Series, onset: float) -> dict[str, list[tuple[str, float, float, float]]]:
    """Per metric: node, usual level, spread, level after the onset; only nodes with samples on both sides."""
    key, names = codes(series.node, series.metric)
    out: dict[str, list[tuple[str, float, float, float]]] = {}
    for code, rows in groups(key):
        values, after = series.value[rows], series.time[rows] >= onset
        known = np.isfinite(values)
        early, late = values[known & ~after], values[known & after]
        if len(early) < 2 or len(late) == 0:
            continue
        usual, spread = level_and_spread(early)
        node, metric = names[code]
        out.setdefault(metric, []).append((node, usual, spread, float(np.median(late))))
    return out


def _figure(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
