"""Requests served, put together from metrics: latency, request counts and success of each node and time."""

from __future__ import annotations

import numpy as np

from rca.case import F64, Flows, Series, codes, text
from rca.metric_words import Meaning, meaning

Cell = tuple[str, float]
USUAL_STEP_S = 60.0  # of a series with one time only: what most exporters are scraped at
LARGEST_SHARE = 1.5  # a success rate that exceeds 1 by more than rounding is in percent


def metric_flows(series: Series) -> Flows | None:
    """One row per node and time that has a request count; None if no metric counts requests.

    Without a metric of latency or of failures, the time spent or the errors are zero.
    """
    _, names = codes(series.metric)
    meanings = {name: found for (name,) in names if (found := meaning(name)) is not None}
    chosen = {measure: _best(meanings, measure) for measure in ("latency", "requests", "success", "errors")}
    if chosen["requests"] is None or not len(series.time):
        return None
    times = np.unique(series.time)
    step = float(np.median(np.diff(times))) if len(times) > 1 else USUAL_STEP_S
    requests = _cells(series, chosen["requests"])
    latency = _cells(series, chosen["latency"])
    success = _cells(series, chosen["success"])
    failed = _cells(series, chosen["errors"])
    if max(success.values(), default=0.0) > LARGEST_SHARE:  # a share in percent, whatever its name
        success = {row: share / 100.0 for row, share in success.items()}
    if not any(success.values()):  # a success rate that is zero everywhere is not measured
        success = {}
    per_second = meanings[chosen["requests"]].per_second
    rows = sorted(requests)
    calls = np.array([requests[row] * (step if per_second else 1.0) for row in rows], dtype=np.float64)
    errors = np.zeros(len(rows))
    for number, row in enumerate(rows):
        if row in success:
            errors[number] = calls[number] * (1.0 - min(success[row], 1.0))
        elif row in failed:
            errors[number] = failed[row] * (calls[number] if meanings[chosen["errors"] or ""].unit != 1.0 else 1.0)
    return Flows(
        time=np.array([at for _, at in rows], dtype=np.float64),
        node=text([node for node, _ in rows]),
        operation=text([""] * len(rows)),
        calls=calls,
        errors=errors,
        busy=np.array([latency.get(row, 0.0) for row in rows], dtype=np.float64) * calls,
        step=step,
    )


def _best(meanings: dict[str, Meaning], measure: str) -> str | None:
    names = sorted((found.rank, name) for name, found in meanings.items() if found.measure == measure)
    return names[0][1] if names else None


def _cells(series: Series, metric: str | None) -> dict[Cell, float]:
    if metric is None:
        return {}
    rows = np.flatnonzero(series.metric == metric)
    found = meaning(metric)
    unit = found.unit if found else 1.0
    values: F64 = series.value[rows] * unit
    return dict(zip(zip(series.node[rows], series.time[rows].tolist(), strict=True), values.tolist(), strict=True))
