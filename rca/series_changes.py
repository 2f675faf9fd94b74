"""Metric series before and after the onset: level, spread, and what the series measures.

A reference window gives level and spread where the case has too few samples of its own.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace

import numpy as np

from rca.case import F64, I64, Series, codes
from rca.levels import groups, level_and_spread
from watchkeeper.metric_names import amount, describe_named
from watchkeeper.vocabulary import Mechanism

# A reference is compared at the same time of day, give or take an hour, if it has enough samples of it.
DAY_S = 86400.0
SAME_HOUR_S = 3600.0
ENOUGH_OF_THE_HOUR = 20

# What is left of a resource is none of it in use.
LEFT = r"(?!.*(limit|request|free|avail|idle|\bmax\b|_max_))"
# What a metric measures, by the words of its name (OpenTelemetry and Prometheus conventions).
CONCEPTS: tuple[tuple[str, re.Pattern[str], Mechanism | None], ...] = (
    ("cpu", re.compile(r"cpu(?!.*(limit|count|frequency|request|idle))", re.IGNORECASE), "cpu"),
    (
        "stall",
        re.compile(r"event.?loop.*(delay|lag|utili[sz])|run.?queue|throttl.*(time|sec|period)", re.IGNORECASE),
        "cpu",
    ),
    ("memory", re.compile(rf"^(?=.*(mem|heap|rss)){LEFT}", re.IGNORECASE), "memory"),
    ("disk", re.compile(r"(disk|fs_|filesystem|block_?io|blkio)(?!.*(limit|free|avail))", re.IGNORECASE), None),
    (
        "pool",
        re.compile(rf"^(?=.*(db\W.*conn|conn\w*\W?pool|pool\W?conn|pending.?requests)){LEFT}", re.IGNORECASE),
        "database",
    ),
    (
        "handles",
        re.compile(
            rf"^(?=.*(socket|thread|goroutine|\bfds?\b|_fds?\b|file_?desc|handle|connection)){LEFT}", re.IGNORECASE
        ),
        None,
    ),
)
# Fewer samples before the onset than this, and the reference is added: a MAD of three values is one distance.
ENOUGH_SAMPLES = 4
PEAKS = 0.95  # a quantile of the level before the onset; the rest of it may be an incident of its own
# The weight of the other nodes' noise of the same metric, in samples; chosen on the development packs.
POOLED_SAMPLES = 2.0
# Resources of which a node has parts (pools of a heap, modes of a processor) that only add up to something.
WHOLE = frozenset({"cpu", "memory"})
# A host's resources belong to all that run on it.
HOST = re.compile(r"^(node|host|machine|system|instance)[._]", re.IGNORECASE)


def concept(metric: str) -> tuple[str, Mechanism | None] | None:
    """The resource that a metric measures, or None if it is no resource."""
    if HOST.search(metric):
        return None
    for name, words, mechanism in CONCEPTS:
        if words.search(metric):
            return name, mechanism
    return None


def resources(series: Series) -> Series:
    """The rows of metrics that measure a resource."""
    code, names = codes(series.metric)
    wanted = np.array([concept(name) is not None for (name,) in names], dtype=bool)
    return series.where(wanted[code]) if len(names) else series


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One node's metric before and after the onset."""

    node: str
    usual: float
    spread: float
    after: float
    samples: int

    def sentence(self, metric: str) -> str:
        """What the metric was and is."""
        return (
            f"{self.node}: {describe_named(metric)} is {amount(metric, self.after)} "
            f"(usually {amount(metric, self.usual)})"
        )


def changes(series: Series, reference: Series | None, onset: float) -> dict[str, list[Change]]:
    """The changes by metric, of nodes that have samples after the onset and a level to compare with."""
    key, names = codes(series.node, series.metric)
    history = _by_series(reference) if reference is not None else {}
    out: dict[str, list[Change]] = {}
    for code, rows in groups(key):
        node, metric = names[code]
        values, after = series.value[rows], series.time[rows] >= onset
        known = np.isfinite(values)
        early, late = values[known & ~after], values[known & after]
        if len(early) < ENOUGH_SAMPLES and (node, metric) in history and reference is not None:
            early = np.r_[early, _same_hours(reference, history[node, metric], onset)]
        if len(early) < 2 or len(late) == 0:
            continue
        usual, spread = level_and_spread(early)
        # What rises and falls by itself (a heap between collections) is as unsteady as its ordinary peaks are high.
        spread = max(spread, float(np.quantile(early, PEAKS)) - usual, usual - float(np.quantile(early, 1.0 - PEAKS)))
        change = Change(node=node, usual=usual, spread=spread, after=float(np.median(late)), samples=len(early))
        out.setdefault(metric, []).append(change)
    return {metric: _steadied(moved) for metric, moved in out.items()}


def _steadied(moved: list[Change]) -> list[Change]:
    """Spreads of few samples, shrunk towards what is usual for that metric: three samples that agree prove little."""
    relative = np.array([c.spread / abs(c.usual) for c in moved if c.usual])
    usual = float(np.median(relative)) if len(relative) else 0.0
    return [
        replace(
            c,
            spread=math.sqrt(
                (c.samples * c.spread**2 + POOLED_SAMPLES * (usual * c.usual) ** 2) / (c.samples + POOLED_SAMPLES)
            ),
        )
        for c in moved
    ]


def _by_series(reference: Series) -> dict[tuple[str, ...], I64]:
    key, names = codes(reference.node, reference.metric)
    return {names[code]: rows for code, rows in groups(key)}


def _same_hours(reference: Series, rows: I64, onset: float) -> F64:
    """The reference's values at this time of day, give or take an hour; all of them where these are few."""
    distance = np.abs((reference.time[rows] - onset + DAY_S / 2) % DAY_S - DAY_S / 2)
    near = reference.value[rows[distance < SAME_HOUR_S]]
    near = near[np.isfinite(near)]
    if len(near) >= ENOUGH_OF_THE_HOUR:
        return near
    values = reference.value[rows]
    return values[np.isfinite(values)]
