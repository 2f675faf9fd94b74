"""New and surging log lines since the onset, worse ones first.

A template that is new, or comes several times as often as before, counts by the lines it added; errors
count more than warnings, and information hardly at all. Lines in which a node complains of another one
count for the other.
"""

from __future__ import annotations

from collections import defaultdict

from rca.case import Case
from rca.evidence_kind import EvidenceKind
from rca.levels import shares, trust
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


LOG_CHANGE = EvidenceKind(
    explain=log_change,
    weights={"logs": 1.0},
    needs=frozenset({"logs"}),
)
