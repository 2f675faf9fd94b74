"""Many more requests than usual: where they came in, and who below is overloaded by them.

What callers send more, repeated calls included, is theirs; what is left came in at a node. Counted over the last half
minute, so that an onset which is estimated too early does not dilute it. Fails where calls are not known: then every
node below the entry shows the same surge.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from rca.case import F64, Case, Text, codes

RECENT_S = 30.0
LEAST = 2.0  # times the usual requests: less is a busy hour
# Times the usual requests that a system is expected to cope with: the peaks of a day. By judgement.
SPARE = 3.0
DOUBT = 20.0  # requests more than usual that prove a surge by half


@dataclass(frozen=True, slots=True, kw_only=True)
class Surge:
    """Requests a second where a surge shows: the recent and the usual ones, and those that callers don't explain."""

    recent: float
    usual: float
    own: float

    @property
    def times(self) -> float:
        """How many times the usual requests it gets."""
        return self.recent / self.usual

    @property
    def overload(self) -> float:
        """How far trouble below is due to the requests, 0 to 1."""
        seen = self.own * RECENT_S
        unexplained = self.own / max(self.recent - self.usual, 1e-9)
        return max(1.0 - (SPARE / self.times) ** 2, 0.0) * unexplained * seen / (seen + DOUBT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Overload:
    """How far the trouble of a node is due to requests that came in at `origin`, 0 to 1."""

    share: float
    origin: str


def surges(case: Case) -> dict[str, Surge]:
    """Every node that gets many times its usual requests, of which some came in at it."""
    if case.flows is None or len(case.flows.time) == 0:
        return {}
    flows = case.flows
    served = _rates(case.onset, flows.time, flows.step, (flows.node,), flows.calls)
    times = {node: recent / usual for (node,), (usual, recent) in served.items() if usual > 0}
    sent: defaultdict[str, float] = defaultdict(float)
    if case.links is not None and len(case.links.time):
        links, by = case.links, (case.links.caller, case.links.callee)
        called = _rates(case.onset, links.time, links.step, by, links.calls)
        for (_, callee), (usual, recent) in called.items():
            sent[callee] += max(recent - usual, 0.0)
    for caller, callee in case.calls - case.ledger.links.keys():
        if (callee,) in served and callee != caller:
            sent[callee] += served[callee,][0] * max(times.get(caller, 1.0) - 1.0, 0.0)
    found: dict[str, Surge] = {}
    for (node,), (usual, recent) in served.items():
        own = recent - usual - sent[node]
        if own <= 0 or times.get(node, 1.0) < LEAST:
            continue
        surge = Surge(recent=recent, usual=usual, own=own)
        for origin in _entries(case, node):
            if origin not in found or found[origin].own * found[origin].overload < own * surge.overload:
                found[origin] = surge
    return found


def _entries(case: Case, node: str) -> list[str]:
    """Where requests to a node come in: at who calls it, directly or not, and is called by nobody.

    A call is known when it has ended, and callers that wait for long are behind what they send. Of several entries
    those that alerted are more likely; a node that alerted itself takes requests from outside, too.
    """
    if node in case.alerts or not case.callers(node):
        return [node]
    above: set[str] = set()
    todo = [node]
    while todo:
        for caller in set(case.callers(todo.pop())) - above - {node}:
            above.add(caller)
            todo.append(caller)
    return sorted(above & set(case.alerts)) or sorted(name for name in above if not case.callers(name)) or [node]


def overloads(case: Case) -> dict[str, Overload]:
    """Nodes that get their requests through one at which a surge came in."""
    found: dict[str, Overload] = {}
    grown: dict[str, float] | None = None
    for origin, surge in sorted(surges(case).items()):
        if surge.overload <= 0:
            continue
        grown = _growth(case) if grown is None else grown
        for node in case.reachable(origin):
            # What gets no more requests than usual is not overloaded by them.
            share = surge.overload * min(max(grown.get(node, LEAST) - 1.0, 0.0) / (LEAST - 1.0), 1.0)
            if share > 0 and (node not in found or found[node].share < share):
                found[node] = Overload(share=share, origin=origin)
    return found


def _growth(case: Case) -> dict[str, float]:
    """How many times the usual requests each node gets, as it or its callers count them, whichever is more."""
    grown: dict[str, float] = {}
    for table, names in ((case.flows, "node"), (case.links, "callee")):
        if table is None or len(table.time) == 0:
            continue
        rates = _rates(case.onset, table.time, table.step, (getattr(table, names),), table.calls)
        for (node,), (usual, recent) in rates.items():
            if usual > 0:
                grown[node] = max(grown.get(node, 0.0), recent / usual)
    return grown


def _rates(
    onset: float, time: F64, step: float, names: tuple[Text, ...], amount: F64
) -> Mapping[tuple[str, ...], tuple[float, float]]:
    """Usual and recent amounts a second by name. The newest step may not be complete and is left out."""
    key, rows = codes(*names)
    end = float(time.max())
    early = time + step <= onset
    late = (time >= max(onset, end - RECENT_S)) & (time < end)
    early_s = max(onset - float(time.min()), step)
    late_s = max(end - max(onset, end - RECENT_S), step)
    usual, recent = (
        np.bincount(key[side], weights=np.nan_to_num(amount[side]), minlength=len(rows)) / seconds
        for side, seconds in ((early, early_s), (late, late_s))
    )
    return {row: (float(usual[code]), float(recent[code])) for code, row in enumerate(rows)}
