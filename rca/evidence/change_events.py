"""Somebody changed something: deploys, flags and commits shortly before the onset.

A change counts the more, the closer before the onset it came (half after `HALF_LIFE_S`); one that came
after the onset cannot have caused it, but clocks and detectors are a few seconds apart. It is how a service hurts only
where the trouble came with it (half after `AT_ONCE_S`): what then ran well for minutes hurts for another reason.
"""

from __future__ import annotations

from rca.case import Case
from rca.evidence_kind import EvidenceKind
from rca.terms import Term, clock
from watchkeeper.durations import duration

# By judgement: a bad deploy shows within minutes.
HALF_LIFE_S = 600.0
SLACK_S = 15.0  # a change that seems to follow the onset by no more may have come before it: clocks, detectors' steps
AT_ONCE_S = 20.0  # a few steps of the roll-ups, in which trouble that came with a change is first seen


def change_events(case: Case) -> list[Term]:
    """A deploy, flag or other change shortly before the onset.

    Term `change`, for each candidate that was changed: its latest change.
    """
    best: dict[str, Term] = {}
    for change in case.changes:
        ahead = case.onset - change.at.timestamp()
        if change.service not in case.candidates or ahead < -SLACK_S:
            continue
        strength = 0.5 ** (max(ahead, 0.0) / HALF_LIFE_S)
        if change.service in best and best[change.service].strength >= strength:
            continue
        brought = 0.0 if change.kind == "restart" else 0.5 ** (max(ahead, 0.0) / AT_ONCE_S)
        version = f" {change.version}" if change.version and change.version not in change.title else ""
        best[change.service] = Term(
            kind="change",
            candidate=change.service,
            strength=strength,
            sentence=(
                f"{change.kind} of {change.service}{version} at {clock(change.at.timestamp())}, "
                f"{duration(max(ahead, 0.0))} before the onset: {change.title}"
            ),
            signal="changes",
            change_id=change.id,
            hints={"deploy": strength * brought, "unknown": strength * (1.0 - brought)},
        )
    return list(best.values())


CHANGE_EVENTS = EvidenceKind(
    explain=change_events,
    weights={"change": 1.0},
    needs=frozenset({"changes"}),
    needs_symptoms=True,
)
