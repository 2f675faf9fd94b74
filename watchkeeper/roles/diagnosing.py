"""What the watch role explains: incidents that are new or still fire; the first explanation is followed by the page."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

import structlog
from opentelemetry import trace
from prometheus_client import Histogram

from alerting.incidents.commands import Incidents
from alerting.incidents.machine import Incident
from rca.learning.causes import Causes
from rca.live.diagnose import diagnose
from rca.live.incident import LiveIncident
from rca.live.rounds import Rounds
from watchkeeper.errors import StoreError
from watchkeeper.problems import Problems
from watchkeeper.roles.acting import Acting
from watchkeeper.state.changes import changes_between
from watchkeeper.state.database import Database
from watchkeeper.store.telemetry import Telemetry
from watchkeeper.vocabulary import Finding, Window, is_news

DIAGNOSIS_SECONDS = Histogram("watchkeeper_diagnosis_seconds", "Time of one diagnosis.")

CHANGES_BEFORE: Final = timedelta(hours=2)
MOST_DIAGNOSED: Final = 200
# With more incidents than this waiting for their first page, pages go out undiagnosed: so many of them at once.
STORM: Final = 3
MOST_PAGED: Final = 5000
# With more incidents than that to explain, a round leaves the rest to the next after so long: who pages and places
# findings wants the core, too.
EXPLAINS_FOR_S: Final = 0.3
# A diagnosis reads telemetry from before the onset on: no further back than this before the incident was opened.
LONGEST_ONSET: Final = timedelta(hours=6)
PAST_INCIDENTS: Final = 100  # as many of the newest say what is usual in trouble
PAST_KEPT_S: Final = 600.0  # they change slowly: read anew after so long


class Diagnosing:
    """The `diagnose` job of one watch role."""

    def __init__(
        self,
        telemetry: Telemetry,
        db: Database,
        incidents: Incidents,
        acting: Acting,
        causes: Causes,
        problems: Problems,
    ) -> None:
        self._telemetry = telemetry
        self._db = db
        self._incidents = incidents
        self._acting = acting
        self._problems = problems
        self._causes = causes
        self._logger = structlog.get_logger()
        self._tracer = trace.get_tracer("watchkeeper")
        self._rounds = Rounds()
        self._past: dict[str, tuple[Finding, ...]] = {}
        self._past_read: float | None = None
        self.store_is_away = False

    def run(self, now: datetime, settle_s: float) -> None:
        """Explain every incident that is due, and page for those that are explained for the first time.

        Args:
            settle_s: how long an incident may gather findings before it is explained for the first time.
        """
        open_incidents = self._incidents.list("open", MOST_DIAGNOSED)
        due = self._rounds.due(open_incidents, now, settle_s)
        unpaged = [incident for incident in due if _waits_for_page(incident)]
        if len(unpaged) > STORM:
            # Diagnoses take a second each, one after the other: in a storm they follow the pages.
            settled = now - timedelta(seconds=settle_s)
            waiting = self._incidents.list("waiting", MOST_PAGED, "page")
            older = {one.id for one in waiting if one.paged_at is None and (one.raised_at or one.opened_at) <= settled}
            self._incidents.page_all([incident.id for incident in unpaged if incident.id not in older] + sorted(older))
            unpaged = []
        # Who waits for a page comes first, and is never left to a later round; then what nobody knows anything of yet.
        due = [*unpaged, *sorted((one for one in due if one not in unpaged), key=lambda one: one.diagnosis is not None)]
        until = time.monotonic() + EXPLAINS_FOR_S
        for count, attempt in enumerate(self._problems.each("diagnose", due, lambda incident: incident.id), 1):
            with attempt as incident:
                self._explain_and_page(incident, now)
            if len(due) > STORM and count >= len(unpaged) and time.monotonic() > until:
                break

    def _explain_and_page(self, incident: Incident, now: datetime) -> None:
        """A page never waits for a diagnosis that fails, or for a store that is known to be away."""
        try:
            if not self.store_is_away:
                self._rounds.begin(incident)
                self._explain(incident, now)
        finally:
            if _waits_for_page(incident):
                self._incidents.page(incident.id)

    def _explain(self, incident: Incident, now: datetime) -> None:
        # An alert may have begun days before it came here: what is compared is how it was then with just before.
        onset = max(incident.onset, incident.opened_at - LONGEST_ONSET)
        window = Window(start=min(onset, now) - CHANGES_BEFORE, end=now + timedelta(seconds=1))
        changes = changes_between(self._db, window)
        known = LiveIncident(
            onset=onset, now=now, findings=incident.findings, changes=changes, past=self._past_findings(incident.id)
        )
        try:
            with self._tracer.start_as_current_span("diagnose"), DIAGNOSIS_SECONDS.time():
                diagnosis = diagnose(self._telemetry, self._causes.engine, known)
        except StoreError as error:
            if not error.retry:
                raise
            self.store_is_away = True
            self._logger.warning("diagnosis.failed", incident=incident.id, error=error.message)
            return
        self._problems.solved("diagnose", incident.id)
        if not diagnosis.notes:
            self._problems.solved("evidence")
        for note in diagnosis.notes:
            subject, _, reason = note.partition(": ")
            self._problems.report("evidence", subject, reason)
        if not is_news(diagnosis, incident.diagnosis):
            return
        proposal = self._acting.proposal(diagnosis, changes)
        if incident.proposal_state not in ("none", "proposed"):
            proposal = None
        # Named by when it was made: a number of rounds begins anew with every process.
        self._incidents.diagnosed(incident.id, diagnosis, proposal, f"diagnosed:{diagnosis.made_at.isoformat()}")
        first = diagnosis.suspects[0].service if diagnosis.suspects else None
        self._logger.info("incident.diagnosed", incident=incident.id, first=first, abstained=diagnosis.abstained)

    def _past_findings(self, incident_id: str) -> Sequence[Sequence[Finding]]:
        """The findings of the newest incidents but this one."""
        if self._past_read is None or time.monotonic() - self._past_read > PAST_KEPT_S:
            past = self._incidents.list(None, PAST_INCIDENTS)
            self._past = {incident.id: incident.findings for incident in past}
            self._past_read = time.monotonic()
        return [findings for known, findings in self._past.items() if known != incident_id]


def _waits_for_page(incident: Incident) -> bool:
    """Whether nobody was paged yet for an incident that warrants it; a ticket that was raised is one from then on."""
    return incident.severity == "page" and incident.paged_at is None
