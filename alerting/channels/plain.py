"""An incident in plain text, for channels without a layout of their own. Foreign text in it is one printable line."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from alerting.incidents.machine import CLOSED, QUIET, Incident
from watchkeeper.text import one_line

OVER: Final = ("recovered", "resolved", "merged")  # states in which nothing fires, or somebody ended it
FINDINGS: Final = 8
SUSPECTS: Final = 3


def state_of(incident: Incident) -> str:
    """One of `OVER`, `acknowledged`, `snoozed`, `silenced` or `firing`: the last that became of it."""
    if incident.human_state in CLOSED:
        return incident.human_state
    if incident.system_state == "recovered":
        return "recovered"
    return incident.human_state if incident.human_state in QUIET else "firing"


def headline(incident: Incident) -> str:
    """`firing: payments: errors 31 %`."""
    return f"{state_of(incident)}: {one_line(incident.title, 200)}"


def headline_of_many(incidents: Sequence[Incident]) -> str:
    """`12 incidents, 9 of them firing: cart, payments and 4 more`."""
    firing = sum(state_of(incident) == "firing" for incident in incidents)
    services = list(dict.fromkeys(one_line(incident.service, 60) for incident in incidents))
    named = ", ".join(services[:3]) + (f" and {len(services) - 3} more" if len(services) > 3 else "")
    return f"{len(incidents)} incidents, {firing} of them firing: {named}"


def facts(incident: Incident) -> list[tuple[str, str]]:
    """What somebody needs at once, as names and texts: service, time, cause, what fires."""
    known = [("Incident", incident.id), ("Service", one_line(incident.service, 120)), ("Since", moment(incident.onset))]
    if incident.resolved_by:
        known.append(("Resolved by", one_line(incident.resolved_by.name, 60)))
    elif incident.human_state == "acknowledged" and incident.acknowledged_by:
        known.append(("Acknowledged by", one_line(incident.acknowledged_by.name, 60)))
    if incident.diagnosis:
        known.append(("Cause", cause(incident)))
    if incident.proposal:
        known.append(("Runbook", f"{one_line(incident.proposal.title, 160)} ({incident.proposal_state})"))
    known += [("Finding", one_line(finding.summary, 200)) for finding in incident.first_findings[:FINDINGS]]
    return known


def cause(incident: Incident) -> str:
    """The likely causes with their probabilities, or that there is no clear one; empty before the diagnosis."""
    diagnosis = incident.diagnosis
    if diagnosis is None:
        return ""
    suspects = ", ".join(
        f"{one_line(suspect.service, 80)} ({one_line(suspect.mechanism, 40)}, {suspect.probability * 100:.0f} %)"
        for suspect in diagnosis.suspects[:SUSPECTS]
    )
    if diagnosis.abstained or not suspects:
        return "no clear cause" + (f"; leads: {suspects}" if suspects else "")
    return f"likely {suspects}"


def moment(at: datetime) -> str:
    """A time for a human, in UTC."""
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"
