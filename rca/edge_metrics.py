"""Calls put together from metrics of call edges: how long callers waited, and how long the callee reports."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace

import numpy as np

from rca.case import F64, Flows, Links, Text, codes
from rca.levels import groups
from rca.metric_flows import USUAL_STEP_S
from rca.metric_words import measured

SERVER_SIDE = re.compile(r"server|callee|destination|upstream", re.IGNORECASE)


def metric_links(time: F64, caller: Text, callee: Text, metric: Text, value: F64) -> Links | None:
    """One row per caller, callee and time with a latency; None if no metric is one. All columns `(n,)`.

    Calls are not counted by such metrics: each sample stands for one call (see `with_requests`). Of several
    quantiles the best known (`metric_words`) speaks for an edge.
    """
    key, names = codes(metric)
    meanings = {code: found for code, (name,) in enumerate(names) if (found := measured(name)) is not None}
    latencies = {code: found for code, found in meanings.items() if found.measure == "latency"}
    sides: dict[bool, dict[tuple[str, str, float], float]] = {True: {}, False: {}}
    for code in sorted(latencies, key=lambda code: (-latencies[code].rank, names[code])):
        side = sides[SERVER_SIDE.search(names[code][0]) is not None]
        for rows in (rows for one, rows in groups(key) if one == code):
            seen = zip(caller[rows], callee[rows], time[rows].tolist(), strict=True)
            side |= dict(zip(seen, (value[rows] * latencies[code].unit).tolist(), strict=True))
    waited = sides[False] or sides[True]
    if not waited:
        return None
    cells = sorted(waited)
    times = np.unique(np.array([at for _, _, at in cells]))
    return Links(
        time=np.array([at for _, _, at in cells]),
        caller=np.array([one for one, _, _ in cells], dtype=object),
        callee=np.array([other for _, other, _ in cells], dtype=object),
        calls=np.ones(len(cells)),
        errors=np.zeros(len(cells)),
        waited=np.array([waited[cell] for cell in cells]),
        served=np.array([sides[True].get(cell, np.nan) for cell in cells]),
        step=float(np.median(np.diff(times))) if len(times) > 1 else USUAL_STEP_S,
    )


def with_requests(links: Links, flows: Flows | None) -> Links:
    """The links with the requests that each callee served, dealt out evenly to those who called it at that time."""
    if flows is None:
        return links
    served = {
        (node, at): calls
        for node, at, calls in zip(flows.node, flows.time.tolist(), flows.calls.tolist(), strict=True)
        if calls > 0
    }
    cells = list(zip(links.callee, links.time.tolist(), strict=True))
    callers = Counter(cells)
    calls = np.array([served.get(cell, float(callers[cell])) / callers[cell] for cell in cells])
    return replace(links, calls=calls, waited=links.waited * calls, served=links.served * calls)
