"""Whether the way to a callee is in trouble and not the callee: who is served, who is not, and who is alive.

A callee that serves other callers as ever, or goes on to report, is alive: what one caller cannot do is on the way.
"""

from __future__ import annotations

from dataclasses import replace

from rca.case import Case
from rca.ledger import Entry
from rca.levels import trust

FEWEST_CALLS = 10.0  # of a caller that is to be a witness
IN_TROUBLE, WELL = 0.5, 0.2  # shares of calls that fail, or of waiting that was added
HALF_AT = 2.0  # standard errors of a Poisson count of failures


def worse(entry: Entry) -> float:
    """How much worse calls became, 0 to 1: the part of the waiting that was added, or the share of added failures."""
    waited = entry.mean * entry.calls
    slower = min(entry.extra_seconds / waited, 1.0) if waited > 0 else 0.0
    failed = max(entry.extra_errors, 0.0)
    return max(slower, failed / entry.calls * trust(failed / (entry.usual_errors + 1.0) ** 0.5, HALF_AT))


def unanswered_share(case: Case, callee: str, caller: str | None = None) -> float:
    """The share of calls to a callee that got no reply since the onset, of one caller or of all."""
    table, lost = case.unanswered, 0.0
    if table is not None:
        rows = table.callee == callee
        lost = float(table.calls[rows if caller is None else rows & (table.caller == caller)].sum())
    links = case.ledger.links.items()
    answered = sum(link.calls for (c, to), link in links if to == callee and caller in (None, c))
    return lost / (lost + answered) if lost > 0 else 0.0


def deserted(case: Case, caller: str, callee: str) -> float:
    """How far a callee serves no more requests while its caller goes on and waits, 0 to 1.

    For callers whose calls nobody measured: a request that is never answered leaves no trace at a process that hangs.
    """
    nodes = case.ledger.nodes
    if caller not in nodes or callee not in nodes or nodes[caller].early_calls <= 0:
        return 0.0
    expected = nodes[callee].early_calls * nodes[caller].calls / nodes[caller].early_calls
    if expected < FEWEST_CALLS:
        return 0.0
    return max(1.0 - nodes[callee].calls / expected, 0.0) * worse(replace(nodes[caller], extra_errors=0.0))


def one_way(case: Case, callee: str) -> bool:
    """Whether some callers are in trouble with a callee while others, that call it as often, are well with it."""
    table = case.unanswered
    callers = {caller for caller, to in case.ledger.links if to == callee}
    if table is not None:
        callers |= set(table.caller[table.callee == callee])
    trouble = {}
    for caller in callers:
        link = case.ledger.links.get((caller, callee), Entry())
        lost = unanswered_share(case, callee, caller)
        if link.calls >= FEWEST_CALLS and link.usual > 0:
            slower, failed = 1.0 - link.usual / max(link.mean, link.usual), max(link.extra_errors, 0.0) / link.calls
            trouble[caller] = max(slower, failed, lost)
        elif lost > 0:
            trouble[caller] = lost
    return max(trouble.values(), default=0.0) >= IN_TROUBLE and min(trouble.values(), default=1.0) <= WELL


def alive(case: Case, node: str) -> bool:
    """Whether a node went on to report after the onset, and did not start anew."""
    if any(change.kind == "restart" and change.service == node for change in case.changes):
        return False
    beats = case.heartbeats
    if beats is None:
        return False
    return any(
        name == node and last > case.onset + period
        for name, last, period in zip(beats.node, beats.last, beats.period, strict=True)
    )
