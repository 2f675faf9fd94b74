"""New and surging log lines since the onset, worse ones first.

A template that is new, or comes several times as often as before, counts by the lines it added; errors
count more than warnings, and information hardly at all. Lines in which a node complains of another one
count for the other.
"""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from rca.case import Case
from rca.evidence_kind import EvidenceKind
from rca.example_cases import full_disk_case
from rca.levels import shares, trust
from rca.named_causes import named_cause
from rca.terms import Term, count
from watchkeeper.vocabulary import Mechanism

# How many errors a line of another severity counts for.
SEVERITIES = {"FATAL": 1.0, "ERROR": 1.0, "WARN": 0.4, "WARNING": 0.4}
OTHER_SEVERITY = 0.02
HALF_AT = 2.0  # standard errors of a Poisson count
DOUBT = 2.0  # lines of severity error
MOSTLY = 0.5  # of a node's added lines: from there on they show how it hurts
ERRORS_HINT = 0.3  # lines show that something fails more surely than how: less than their share is voted
QUOTED = 160  # characters of a line in a sentence
# Phrases in which common software reports that something is wrong with its database.
DATABASE_WORDS = (
    "database is locked", "deadlock", "lock wait", "lock timeout", "too many connections", "could not obtain lock",
    "connection pool", "operationalerror", "sqlstate", "database",
)  # fmt: skip


def log_change(case: Case) -> list[Term]:
    """New and surging log lines.

    Term `logs`, for each node: its share of the added lines, quoting the template that grew most.
    """
    lines = case.logs
    if lines is None or len(lines.node) == 0:
        return []
    seconds = max(case.end - case.onset, 1.0)
    added: defaultdict[str, float] = defaultdict(float)
    quotes: dict[str, tuple[float, str, float, float]] = {}
    database: defaultdict[str, float] = defaultdict(float)
    for node, severity, before, after, sample in zip(
        lines.node, lines.severity, lines.before, lines.after, lines.sample, strict=True
    ):
        expected = before * seconds
        grown = after - expected
        weight = SEVERITIES.get(str(severity).upper(), OTHER_SEVERITY)
        amount = weight * grown * trust(grown / (expected + 1.0) ** 0.5, HALF_AT)
        if amount <= 0:
            continue
        blamed = _named(case, str(node), str(sample))
        added[blamed] += amount
        if any(words in str(sample).lower() for words in DATABASE_WORDS):
            database[blamed] += amount
        if blamed not in quotes or quotes[blamed][0] < amount:
            quotes[blamed] = (amount, f"{node} logs {str(sample)[:QUOTED]!r}", after, expected)
    terms = []
    for node, share in shares(added, DOUBT).items():
        _, quote, after, expected = quotes[node]
        hints: dict[Mechanism, float] = (
            {"database": share} if database[node] > MOSTLY * added[node] else {"errors": ERRORS_HINT * share}
        )
        terms.append(
            Term(
                kind="logs",
                candidate=node,
                strength=share,
                sentence=f"{quote}: {count(after, 'line')} since the onset ({expected:.0f} would be usual)",
                signal="logs",
                value=after,
                expected=expected,
                unit="lines",
                hints=hints,
            )
        )
    return terms


def _named(case: Case, node: str, sample: str) -> str:
    """The callee that a line of `node` complains of, or the node itself."""
    lowered = sample.lower()
    named = [callee for callee in case.callees(node) if callee.lower() in lowered]
    return max(named, key=len) if named else node


def named_causes(case: Case) -> list[Term]:
    """New log lines in which a standard error names its cause.

    Term `named_cause`, for each node that complains of itself, or of which its callers complain.
    """
    lines = case.logs
    if lines is None:
        return []
    seconds = max(case.end - case.onset, 1.0)
    best: dict[str, Term] = {}
    for node, before, after, sample in zip(lines.node, lines.before, lines.after, lines.sample, strict=True):
        cause = named_cause(str(sample))
        if cause is None:
            continue
        mechanism, of_peer = cause
        blamed = _peer(case, str(node), str(sample)) if of_peer else str(node)
        expected = before * seconds
        strength = trust((after - expected) / (expected + 1.0) ** 0.5, HALF_AT) * case.remaining(blamed).failures
        if strength > (best[blamed].strength if blamed in best else 0.0):
            best[blamed] = Term(
                kind="named_cause",
                candidate=blamed,
                strength=strength,
                sentence=f"{node} logs {str(sample)[:QUOTED]!r}: {count(after, 'line')} since the onset",
                signal="logs",
                value=after,
                expected=expected,
                unit="lines",
                hints={mechanism: strength},
            )
    return list(best.values())


def _peer(case: Case, node: str, sample: str) -> str:
    """The callee that a line is about: the one that it names, or the one to which calls fail most."""
    named = _named(case, node, sample)
    if named != node:
        return named
    failed: defaultdict[str, float] = defaultdict(float)
    for (caller, callee), link in case.ledger.links.items():
        if caller == node:
            failed[callee] += max(link.extra_errors, 0.0)
    table = case.unanswered
    if table is not None:
        for row in np.flatnonzero(table.caller == node):
            failed[str(table.callee[row])] += float(table.calls[row])
    worst = max(failed, key=lambda callee: (failed[callee], callee), default=node)
    return worst if failed.get(worst, 0.0) > 0 and worst in case.candidates else node


LOG_CHANGE = EvidenceKind(
    explain=log_change,
    weights={"logs": 1.0},
    needs=frozenset({"logs"}),
)


NAMED_CAUSES = EvidenceKind(
    explain=named_causes,
    weights={"named_cause": 0.75},
    needs=frozenset({"logs"}),
    example=full_disk_case,
)
