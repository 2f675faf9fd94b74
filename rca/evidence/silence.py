"""Silence is evidence: a killed or hung node stops reporting, and its callers get no answer.

Two independent signs. A node that used to report every few seconds has not been heard of while others
have (telemetry that is late for everybody is no silence). And calls to it fail without any reply:
refused at once when nobody listens, timed out when somebody listens and does not answer.
Assumes one clock for all heartbeats (the store's). Fails where nodes report less often than the window is long.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

from rca.case import Case
from rca.evidence_kind import EvidenceKind
from rca.levels import shares, trust
from rca.terms import Term, clock, count
from rca.ways import alive, one_way, unanswered_share, worse
from watchkeeper.durations import duration
from watchkeeper.vocabulary import Mechanism

LATE_REPORTS = 2.0  # missed reports that are ordinary lateness
HALF_AT = 2.0  # missed reports beyond these at which silence is half certain
# How long before the onset a node may have been heard of for the last time: a detector needs a while to notice.
BEFORE_ONSET_S = 60.0
BEFORE_ONSET_REPORTS = 5
# A node that fell silent a period and so much before or after the onset is believed by half to be its cause. What
# always reports late is silent since a moment that moves with the clock, and never long before or after the onset.
APART_S = 20.0
DOUBT = 3.0  # calls without an answer
UNOBSERVED = 0.5  # how far a callee that reports nothing is slow itself, where some calls are lost and others answered
LAST_STEPS = 2  # whose requests tell whether a node still serves


def silent_nodes(case: Case) -> dict[str, float]:
    """How surely each node stopped reporting around or after the onset, 0 to 1."""
    beats = case.heartbeats
    if beats is None:
        return {}
    silent = {}
    for node, last, period in zip(beats.node, beats.last, beats.period, strict=True):
        missed = (beats.horizon - last) / max(period, 1.0)
        if missed > LATE_REPORTS and last >= case.onset - max(BEFORE_ONSET_S, BEFORE_ONSET_REPORTS * period):
            apart = max(abs(last + period / 2.0 - case.onset) - period, 0.0) / APART_S
            missing = trust(missed - LATE_REPORTS, HALF_AT)
            silent[str(node)] = missing / (1.0 + apart**2) * (1.0 - answering(case, str(node), last + period))
    return silent


def answering(case: Case, node: str, since: float) -> float:
    """How many of its usual calls a node answered `since` then, as its callers and itself saw it, 0 to 1.

    What answers is alive, whatever became of its reports.
    """
    answered = 0.0
    for table, names in ((case.links, "callee"), (case.flows, "node")):
        if table is None or len(table.time) == 0:
            continue
        own = getattr(table, names) == node
        early, late = own & (table.time + table.step <= case.onset), own & (table.time >= since)
        late_s = float(table.time.max()) + table.step - since
        if not early.any() or late_s < table.step:
            continue
        early_s = max(case.onset - float(table.time[early].min()), table.step)
        usual = float((table.calls[early] - table.errors[early]).sum()) / early_s * late_s
        answered = max(answered, float((table.calls[late] - table.errors[late]).sum()) / max(usual, 1.0))
    return min(answered, 1.0)


def silence(case: Case) -> list[Term]:
    """Services that stopped reporting while others go on.

    Term `silence`, for each of them.
    """
    terms = []
    beats = case.heartbeats
    for node, strength in silent_nodes(case).items():
        assert beats is not None  # noqa: S101 - silent_nodes is empty without heartbeats
        last = float(beats.last[list(beats.node).index(node)])
        terms.append(
            Term(
                kind="silence",
                candidate=node,
                strength=strength,
                sentence=(
                    f"{node} has reported nothing since {clock(last)}, {duration(beats.horizon - last)} ago; others do"
                ),
                signal="heartbeat",
                value=beats.horizon - last,
                unit="s",
                hints=_how_silent(case, node, strength),
            )
        )
    return terms


def _how_silent(case: Case, node: str, strength: float) -> dict[Mechanism, float]:
    """Whoever waits for a silent node waits for a process that hangs; calls to one that is gone fail at once."""
    served = case.ledger.nodes
    waiting = [
        worse(replace(served[c], extra_errors=0.0)) for c in case.callers(node) if c in served and served[c].calls
    ]
    waits = max(waiting) if waiting else 0.5
    return {"killed": (1.0 - waits) * strength, "hung": waits * strength}


def unanswered(case: Case) -> list[Term]:
    """Services whose callers get no reply.

    Term `unanswered`, for each of them, unless it waits itself for one that gives none.
    """
    table = case.unanswered
    if table is None or len(table.calls) == 0:
        return []
    silent = silent_nodes(case)
    into: defaultdict[str, list[int]] = defaultdict(list)
    for row, callee in enumerate(table.callee):
        into[callee].append(row)
    own: dict[str, float] = {}
    for node, rows in into.items():
        quietest = max((silent.get(callee, 0.0) for callee in case.reachable(node)), default=0.0)
        waits = max(passed_on(case, node), quietest) * (1.0 - silent.get(node, 0.0))
        own[node] = float(table.calls[rows].sum()) * (1.0 - waits)
    terms = []
    for node, strength in shares(own, DOUBT).items():
        rows = into[node]
        calls = float(table.calls[rows].sum())
        refused, timed_out = float(table.refused[rows].sum()), float(table.timed_out[rows].sum())
        waited = float(table.waited[rows].sum()) / calls
        callers = sorted(set(table.caller[rows]))
        broken = calls - refused - timed_out
        how = max(
            (refused, "the connection is refused"),
            (timed_out, f"they wait {duration(waited)} in vain"),
            (broken, "the connection breaks off"),
        )[1]
        terms.append(
            Term(
                kind="unanswered",
                candidate=node,
                strength=strength,
                sentence=f"{count(calls, 'call')} from {', '.join(callers)} to {node} got no answer: {how}",
                signal="errors",
                value=calls,
                expected=0.0,
                unit="calls",
                hints=_how(
                    refused / calls,
                    timed_out / calls,
                    max(silent.get(node, 0.0), idle(case, node)),
                    slow=slowness(case, node),
                    way=_way(case, node),
                ),
            )
        )
    return terms


def passed_on(case: Case, node: str) -> float:
    """How far a node that gives no replies waits for others that give none, 0 to 1."""
    table = case.unanswered
    if table is None:
        return 0.0
    calls = float(table.calls[table.callee == node].sum())
    return min(float(table.calls[table.caller == node].sum()) / calls, 1.0) if calls else 0.0


def idle(case: Case, node: str) -> float:
    """How far the node has stopped to serve: 1 if its last steps hold none of its usual requests, 0 if all of them.

    The last steps are those before the newest one that anybody has: that one may not be complete.
    """
    flows = case.flows
    if flows is None or len(flows.time) == 0 or node not in case.ledger.nodes:
        return unanswered_share(case, node)
    served = flows.node == node
    newest = float(flows.time.max())
    last = served & (flows.time >= newest - LAST_STEPS * flows.step) & (flows.time < newest)
    early = served & (flows.time + flows.step <= case.onset)
    if not early.any():
        return 1.0
    span = max(case.onset - float(flows.time[early].min()), flows.step)
    usual = float(flows.calls[early].sum()) / span * LAST_STEPS * flows.step
    return max(1.0 - float(flows.calls[last].sum()) / max(usual, 1e-9), 0.0)


def slowness(case: Case, node: str) -> float:
    """The part of a node's own reported time that was added since the onset; 1 where it reports none."""
    entry = case.ledger.nodes.get(node)
    if entry is None:
        return UNOBSERVED
    if entry.calls <= 0 or entry.mean <= 0:
        return 1.0
    return min(entry.extra_seconds / (entry.calls * entry.mean), 1.0)


def _way(case: Case, node: str) -> float:
    """How far nobody gets through although the node is alive, or only some callers do, 0 to 1."""
    if one_way(case, node):
        return 1.0
    return unanswered_share(case, node) ** 2 if alive(case, node) else 0.0


def _how(refused: float, timed_out: float, silent: float, *, slow: float, way: float) -> dict[Mechanism, float]:
    """Where nobody listens, the process was gone, even if another took over since; unless it is the way to it that is
    closed. Who lets calls time out hangs where it is silent, is slow where it serves others slowly, and is cut off from
    its callers where it serves others as ever. A connection that broke off decides nothing, since both ends do that,
    unless it serves nobody meanwhile: libraries tell a refused connection as one that failed.
    """
    broken = max(1.0 - refused - timed_out, 0.0)
    gone = refused + broken * silent
    hung = timed_out * silent * (1.0 - way)
    served = timed_out * (1.0 - silent) * (1.0 - way)
    return {
        "killed": gone * (1.0 - way),
        "hung": hung,
        "latency": served * slow,
        "network": served * (1.0 - slow) + (gone + timed_out) * way,
        "unknown": broken * (1.0 - silent),
    }


SILENCE = EvidenceKind(
    explain=silence,
    weights={"silence": 3.0},
    needs=frozenset({"heartbeats"}),
)


UNANSWERED = EvidenceKind(
    explain=unanswered,
    weights={"unanswered": 3.0},
    needs=frozenset({"unanswered"}),
)
