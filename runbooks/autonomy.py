"""Whether a proposal may run without a human: only where the policy names it and everything below holds.

What the policy demands is data (`autonomous` in policy.yaml). The answer is a reason why not, in words, or nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from fnmatch import fnmatchcase

from runbooks.policy import AutonomousRule, BreakerRule, ProofRule, RateRule
from runbooks.program import program_of
from runbooks.proof import Proof
from runbooks.run_rows import Run
from watchkeeper.errors import RunbookError
from watchkeeper.vocabulary import Proposal


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """What is known when a proposal is judged.

    Attributes:
        runs: those of the longest time that the rule looks back, newest first; without the one that is judged.
        services: all that the targets have.
        stopped: why everything is stopped; empty: it is not.
    """

    now: datetime
    runs: Sequence[Run]
    proof: Proof
    services: Collection[str]
    stopped: str = ""


def why_not_alone(proposal: Proposal, rule: AutonomousRule, situation: Situation) -> str:
    """Why a human must approve this; empty: it may run without one. Pure."""
    if situation.stopped:
        return f"everything is stopped: {situation.stopped}"
    if proposal.runbook not in rule.runbooks:
        return f"{proposal.runbook} is none of `autonomous.runbooks` in policy.yaml"
    try:
        touched = program_of(proposal).services(proposal.service)
    except RunbookError as error:
        return error.message
    for service in sorted(touched):
        if not any(fnmatchcase(service, pattern) for pattern in rule.services):
            return f"{service} is none of `autonomous.services` in policy.yaml"
    return (
        _too_wide(touched, rule, situation)
        or _unproven(proposal, rule.proof, situation)
        or _tripped(proposal, rule.breaker, situation)
        or _too_often(rule.rate, situation)
    )


def _too_wide(touched: frozenset[str], rule: AutonomousRule, situation: Situation) -> str:
    radius = rule.blast_radius
    if len(touched) > radius.services:
        return f"it acts on {len(touched)} services, and at most {radius.services} may be"
    share = len(touched) / max(len(situation.services), 1)
    if share > radius.share_of_services:
        return f"it acts on {share:.0%} of the services, and at most {radius.share_of_services:.0%} may be"
    return ""


def _unproven(proposal: Proposal, rule: ProofRule, situation: Situation) -> str:
    """Experiments on the same service must have shown it, often enough and not too long ago."""
    since = situation.now - timedelta(days=rule.newer_than_days)
    proof = situation.proof.of(proposal.service).since(since)
    where = f"{proposal.runbook} on {proposal.service}"
    if len(proof.runs) < rule.runs:
        return f"experiments tested {where} {len(proof.runs)} times in {rule.newer_than_days:g} days, not {rule.runs}"
    if proof.success_rate < rule.success_rate:
        return f"{where} repaired {proof.success_rate:.0%} of the faults, and {rule.success_rate:.0%} are needed"
    return ""


def _tripped(proposal: Proposal, rule: BreakerRule, situation: Situation) -> str:
    """Failures in a row open the breaker; a run that a human approved and that succeeds closes it."""
    since = situation.now - timedelta(hours=rule.hours)
    ended = [
        run
        for run in situation.runs
        if run.proposal.runbook == proposal.runbook and run.state in ("done", "failed") and run.approved_at >= since
    ]
    failures = 0
    for run in ended:
        if run.state == "done":
            break
        failures += 1
    if failures >= rule.failures:
        return f"{proposal.runbook} failed {failures} times in a row within {rule.hours:g} hours"
    return ""


def _too_often(rule: RateRule, situation: Situation) -> str:
    if under_way := next((run for run in situation.runs if not run.is_over), None):
        return f"another run is under way: {under_way.id}"
    since = situation.now - timedelta(hours=rule.hours)
    recent = sum(run.autonomous and run.approved_at >= since for run in situation.runs)
    if recent >= rule.runs:
        return f"{recent} runs without a human within {rule.hours:g} hours, and no more are allowed"
    return ""
