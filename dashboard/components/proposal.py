"""What a human must know of a proposed runbook, as names and values."""

from __future__ import annotations

from alerting.incidents.machine import Incident
from dashboard.components.elements import Part


def proposal_facts(incident: Incident) -> list[tuple[str, Part]]:
    """What it acts on and how far it reaches, what experiments have shown of it, and who approved it so far."""
    proposal = incident.proposal
    if proposal is None:
        return []
    rows: list[tuple[str, Part]] = [
        ("Acts on", proposal.service),
        ("Blast radius", proposal.blast_radius),
        ("Undo", proposal.undo),
    ]
    if proposal.proof:
        rows.append(("Proof", proposal.proof))
    if proposal.approvals > 1:
        names = "".join(f", {approver.name}" for approver in incident.approvals)
        rows.append(("Approvals", f"{len(incident.approvals)} of {proposal.approvals}{names}"))
    if proposal.approvers:
        rows.append(("May approve", ", ".join(proposal.approvers)))
    return rows
