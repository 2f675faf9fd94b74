"""What the watch role may do to the target: what to propose for a diagnosis, and the runs that humans approved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from alerting.incidents.commands import Incidents
from alerting.oncall.escalation import MACHINE
from runbooks.feasible import weighed
from runbooks.judging import Judging
from runbooks.preflight import readable_runbooks
from runbooks.propose import propose
from runbooks.run_queue import RunQueue
from runbooks.runner import Runner
from runbooks.surroundings import surroundings
from watchkeeper.clock import SystemClock
from watchkeeper.config import Config
from watchkeeper.problems import Problems
from watchkeeper.roles.objectives import burn_rates
from watchkeeper.state.backup import restored_marker
from watchkeeper.state.database import Database
from watchkeeper.store.telemetry import Telemetry
from watchkeeper.target import configured_target
from watchkeeper.vocabulary import ChangeEvent, Diagnosis, Proposal

MOST_LOOKED_AT: Final = 200  # open incidents, newest first


class Acting:
    """Proposals, and one worker for their runs."""

    def __init__(
        self,
        config: Config,
        db: Database,
        incidents: Incidents,
        problems: Problems | None = None,
        telemetry: Telemetry | None = None,
    ) -> None:
        self._problems = problems = problems or Problems(None)
        self._library = readable_runbooks(config.runbooks.dir, problems)
        self._target = configured_target(config)
        self._incidents = incidents
        self._clock = SystemClock()
        self._judging = Judging(db, self._library, self._target)
        self._runner = Runner(
            RunQueue(db),
            self._target,
            self._library,
            incidents,
            problems,
            around=surroundings(
                self._library.policy, telemetry, burn=burn_rates(config, telemetry) if telemetry else None
            ),
            may_begin=lambda run: self._judging.why_not_begin(run, self._clock.now()),
        )

    def proposal(self, diagnosis: Diagnosis, changes: Sequence[ChangeEvent]) -> Proposal | None:
        """The runbook that fits a diagnosis, with the reason why it cannot be run from here, if there is one."""
        try:
            proposal = propose(diagnosis, changes, self._library)
            proposal = proposal and weighed(proposal, self._library, self._target)
            if proposal is None:
                return None
            now = self._clock.now()
            return replace(proposal, proof=self._judging.proof_of(proposal.runbook, now).line(now))
        except Exception as error:  # noqa: BLE001 - a step of another package must not keep the diagnosis from the page
            self._problems.report("runbooks", "proposal", error)
            return None

    def give_up_what_was_restored(self, config: Config) -> None:
        """After a backup took the database's place: its runs may have happened since, so none of them goes on."""
        marker = restored_marker(config)
        if marker and marker.exists():
            why = "the state database was restored from a backup, and it may have run since; approve it again if not"
            self._runner.give_up(why)
            marker.unlink(missing_ok=True)

    def act(self) -> None:
        """Carry out what was approved, by a human or by the policy, and what a kill interrupted."""
        if self._judging.allows_any:
            self._approve_what_may_run_alone()
        self._runner.turn()

    def _approve_what_may_run_alone(self) -> None:
        """The policy approves in a human's place where all that it demands holds; its reasons are on the timeline."""
        waiting = [
            incident
            for incident in self._incidents.list("open", MOST_LOOKED_AT)
            if incident.proposal_state == "proposed" and incident.proposal and not incident.proposal.blocked
        ]
        for attempt in self._problems.each("runbooks", waiting, lambda incident: incident.id):
            with attempt as incident:
                proposal = incident.proposal
                if proposal and not self._judging.why_not_alone(proposal, self._clock.now()):
                    self._incidents.approve(incident.id, MACHINE, f"alone:{proposal.id}", proposal.id)
