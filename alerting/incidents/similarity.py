"""Which earlier incidents resemble one, why, and how they ended.

Pure, over incidents as they stand: whoever asks reads them. Two incidents resemble each other by what people or the
diagnosis named as the cause, by the services that were affected, and by the kinds of findings. A person's label counts
in place of the diagnosis.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from alerting.incidents.machine import Incident
from watchkeeper.durations import duration
from watchkeeper.vocabulary import Label

CAUSE: Final = 0.4  # the weights of what two incidents share; they add up to one
SERVICES: Final = 0.3
KINDS: Final = 0.2
MECHANISM: Final = 0.1
LEAST: Final = 0.45  # one shared service of one, or one cause, with little beside it
MOST: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Similar:
    """An earlier incident with its resemblance (0 to 1, high is alike) and what is the same, in words."""

    incident: Incident
    score: float
    reasons: tuple[str, ...]


def similar(incident: Incident, others: Iterable[Incident], most: int = MOST) -> tuple[Similar, ...]:
    """The incidents among `others` that are over and resemble this one: the most alike first, then the newest."""
    compared = (_compared(incident, other) for other in others if other.id != incident.id and _is_over(other))
    alike = [one for one in compared if one.score >= LEAST]
    return tuple(sorted(alike, key=lambda one: (-one.score, -one.incident.opened_at.timestamp()))[:most])


def cause_of(incident: Incident) -> tuple[str, str]:
    """The service at fault and the mechanism: a label's, else the first suspect's; empty where nobody named one."""
    if (label := _judgement(incident)) and (label.cause or label.mechanism):
        return label.cause or "", label.mechanism or ""
    diagnosis = incident.diagnosis
    if diagnosis is None or diagnosis.abstained or not diagnosis.suspects:
        return "", ""
    first = diagnosis.suspects[0]
    return first.service, "" if first.mechanism == "unknown" else first.mechanism


def ending(incident: Incident) -> str:
    """How an incident ended, in a sentence: by whom, after how long, its cause, and what its runbook did."""
    if incident.resolved_at is None:
        return "It is not resolved."
    by = incident.resolved_by.name if incident.resolved_by else "somebody"
    parts = [f"Resolved by {by} after {duration(incident.resolved_at - incident.onset)}"]
    cause, mechanism = cause_of(incident)
    judged = _judgement(incident)
    if cause or mechanism:
        who = "cause" if judged and (judged.cause or judged.mechanism) else "likely cause"
        parts.append(f"{who}: {cause or 'no service'}" + (f" ({mechanism})" if mechanism else ""))
    if judged and judged.warranted is False:
        parts.append("judged a false page")
    if incident.proposal and incident.proposal_state in ("done", "failed"):
        ended = "worked" if incident.proposal_state == "done" else "failed"
        parts.append(f"the runbook “{incident.proposal.title}” {ended}")
    return "; ".join(parts) + "."


def _is_over(incident: Incident) -> bool:
    return incident.human_state == "resolved"


def _judgement(incident: Incident) -> Label | None:
    """The newest label of a person, else of an experiment."""
    return max(incident.labels, key=lambda label: (label.source == "human", label.at), default=None)


def _compared(incident: Incident, other: Incident) -> Similar:
    score, reasons = 0.0, []
    (cause, mechanism), (other_cause, other_mechanism) = cause_of(incident), cause_of(other)
    if cause and cause == other_cause:
        score += CAUSE
        reasons.append(f"the same cause, {cause}")
    if mechanism and mechanism == other_mechanism:
        score += MECHANISM
        reasons.append(f"the same mechanism, {mechanism}")
    services, other_services = _services(incident), _services(other)
    if shared := sorted(services & other_services):
        score += SERVICES * len(shared) / len(services | other_services)
        reasons.append(f"the same services: {', '.join(shared[:3])}" if len(shared) > 1 else f"on {shared[0]}, too")
    kinds, other_kinds = _kinds(incident), _kinds(other)
    if common := sorted(kinds & other_kinds):
        score += KINDS * len(common) / len(kinds | other_kinds)
        reasons.append(f"the same kind of finding: {', '.join(common[:3])}")
    return Similar(incident=other, score=score, reasons=tuple(reasons))


def _services(incident: Incident) -> set[str]:
    return {incident.service, *(finding.service for finding in incident.findings if finding.severity != "detail")}


def _kinds(incident: Incident) -> set[str]:
    return {finding.kind for finding in incident.findings if finding.severity != "detail"}
