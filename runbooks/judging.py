"""What is known of the runs so far, read from the state database: proofs, rates, the breaker, the global stop."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from runbooks.autonomy import Situation, why_not_alone
from runbooks.library import Library
from runbooks.proof import Proof
from runbooks.proof_rows import proofs
from runbooks.run_rows import Run, recent_runs
from watchkeeper.errors import TargetError
from watchkeeper.state.database import Database
from watchkeeper.state.stops import stopped
from watchkeeper.target import Target
from watchkeeper.vocabulary import Proposal

MOST_RUNS: Final = 1000


class Judging:
    """Judges proposals and runs by the policy of a library."""

    def __init__(self, db: Database, library: Library, target: Target) -> None:
        self._db = db
        self._library = library
        self._target = target

    @property
    def allows_any(self) -> bool:
        """Whether the policy lets anything run without a human."""
        return bool(self._library.policy.autonomous.runbooks)

    def proof_of(self, runbook: str, now: datetime) -> Proof:
        """What experiments have shown of a runbook, within the time that the policy looks back."""
        days = self._library.policy.autonomous.proof.newer_than_days
        return proofs(self._db, now - timedelta(days=days)).get(runbook, Proof())

    def why_not_alone(self, proposal: Proposal, now: datetime, own: Run | None = None) -> str:
        """Why a human must approve a proposal; empty: it may run without one. `own` is its run, if it has one."""
        if proposal.blocked:
            return proposal.blocked
        rule = self._library.policy.autonomous
        since = now - timedelta(hours=max(rule.rate.hours, rule.breaker.hours))
        runs = recent_runs(self._db, MOST_RUNS, since)
        if own is not None:  # of several that were approved at once, each counts those before it
            place = (own.approved_at, own.id)
            runs = tuple(run for run in runs if (run.approved_at, run.id) < place)
        stop = stopped(self._db)
        try:
            services = tuple(self._target.services())
        except TargetError as error:
            return error.message
        situation = Situation(
            now=now,
            runs=runs,
            proof=self.proof_of(proposal.runbook, now),
            services=services,
            stopped=f"{stop.actor} did it ({stop.reason})" if stop else "",
        )
        return why_not_alone(proposal, rule, situation)

    def why_not_begin(self, run: Run, now: datetime) -> str:
        """Why an approved run may not begin any more; empty: it may."""
        rule = self._library.policy.rule_for(run.proposal.runbook)
        if (now - run.approved_at).total_seconds() > rule.stands_s:
            return f"its approval stood for {rule.stands_s:g} s and is over; approve it again"
        return self.why_not_alone(run.proposal, now, own=run) if run.autonomous else ""
