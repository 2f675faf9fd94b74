"""What the demo sees of the loop: incidents, pages, models, read from the state database as they come."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import select

from alerting.incidents.commands import Incidents
from alerting.incidents.machine import Incident
from chaos.demo.report import FaultReport, ranked
from chaos.record import Journal
from chaos.registry import faults
from chaos.scorecard import described, scorecard
from chaos.scored import scored_experiments
from chaos.truth import settle
from watchkeeper.clock import SystemClock
from watchkeeper.config import Config
from watchkeeper.problems import Problems
from watchkeeper.state.database import Database
from watchkeeper.state.labels import labels
from watchkeeper.state.schema import models, postmortems, shadow_verdicts
from watchkeeper.store.telemetry import Telemetry
from watchkeeper.vocabulary import Diagnosis, LabelSource, utc


class Loop:
    """Reads the state that the roles write."""

    def __init__(self, config: Config) -> None:
        self.db = Database.open(config)
        self.telemetry = Telemetry.connect(config)
        self.gate = config.learning.gate
        self.experiments = config.chaos.folder
        self.incidents = Incidents.configured(config, self.db, SystemClock())

    def close(self) -> None:
        self.db.close()

    def opened_since(self, since: float) -> list[Incident]:
        """Incidents that page, opened or raised to a page after a Unix time, oldest first."""
        pages = self.incidents.list(limit=200, severity="page")
        return sorted((one for one in pages if _began(one).timestamp() >= since), key=_began)

    def pages_between(self, since: float, until: float) -> int:
        """Incidents whose page a human got in that time."""
        stamps = [paged_at(incident) for incident in self.incidents.list(limit=200)]
        return sum(stamp is not None and since <= stamp < until for stamp in stamps)

    def model_versions(self) -> list[dict[str, Any]]:
        """Every model version and its stage."""
        query = select(models.c.name, models.c.version, models.c.stage).order_by(models.c.name, models.c.version)
        with self.db.read() as connection:
            return [dict(row) for row in connection.execute(query).mappings()]

    def would_have_changed(self) -> list[dict[str, Any]]:
        """The newest shadow version's verdicts: which incidents it would not have paged for."""
        shadows = [version for version in self.model_versions() if version["stage"] in ("shadow", "canary")]
        if not shadows:
            return []
        newest = shadows[-1]
        query = select(shadow_verdicts.c.incident_id, shadow_verdicts.c.would_page, shadow_verdicts.c.score).where(
            shadow_verdicts.c.name == newest["name"], shadow_verdicts.c.version == newest["version"]
        )
        with self.db.read() as connection:
            rows = connection.execute(query).all()
        return [{"incident": row[0], "would_page": bool(row[1]), "score": round(row[2], 3)} for row in rows]

    def postmortem(self, incident_id: str) -> str | None:
        with self.db.read() as connection:
            query = select(postmortems.c.markdown).where(postmortems.c.incident_id == incident_id)
            return connection.scalar(query)

    def human_label(self, incident_id: str) -> Mapping[str, Any] | None:
        """The human's label of an incident."""
        for label in labels(self.db, source="human", incident_id=incident_id):
            return {
                "source": label.source,
                "author": label.author,
                "warranted": label.warranted,
                "cause": label.cause,
                "mechanism": label.mechanism,
                "model_version": label.model_version,
                "note": label.note,
            }
        return None

    def labelled_incidents(self, source: LabelSource) -> int:
        """How many incidents that source has judged."""
        return len({label.incident_id for label in labels(self.db, source=source)})

    def settle(self) -> None:
        """Chaos' own labels of the incidents so far; the watch role does the same in its own time."""
        settle(self.db, datetime.now(UTC), Problems(None))

    def scorecard(self) -> dict[str, Any]:
        """What the experiments and the control window so far have measured."""
        return described(scorecard(scored_experiments(self.db)))

    def report(self, journal: Journal, incident: Incident | None, seen: Diagnosis | None, opened: int) -> FaultReport:
        """One fault and what became of it; `seen` is the diagnosis that the human acted on."""
        outcome: dict[str, Any] = {}
        if incident:
            since = journal.effect.since or journal.injected_at
            suspects, rank = ranked(seen or incident.diagnosis, journal.target)
            outcome = {
                "incident": incident.id,
                "detected_s": _after(since, _began(incident).timestamp()),
                "paged_s": _after(since, paged_at(incident)),
                "suspects": suspects,
                "rank_of_truth": rank,
                "mechanism_named": suspects[0]["mechanism"] if suspects else None,
                "abstained": incident.diagnosis.abstained if incident.diagnosis else None,
                "acknowledged_s": _after(since, _stamp(incident.acknowledged_at)),
                "runbook": incident.proposal.runbook if incident.proposal else None,
                "remediated": _remediated(incident, journal),
                "recovered_s": _after(since, _stamp(incident.recovered_at)),
                "resolved_s": _after(since, _stamp(incident.resolved_at)),
                "postmortem": self.postmortem(incident.id),
                "label": self.human_label(incident.id),
            }
        return FaultReport(
            fault=journal.fault,
            target=journal.target,
            mechanism=faults()[journal.fault].mechanism,
            injected_at=utc(journal.injected_at).isoformat(),
            took_effect=journal.effect.proved,
            effect=journal.effect.detail,
            incidents_opened=opened,
            steady_again=journal.steady_again,
            **outcome,
        )


def paged_at(incident: Incident) -> float | None:
    """When the page reached its channel, as a Unix time; None while it was not delivered."""
    return next((entry.at.timestamp() for entry in incident.timeline if entry.kind == "delivered"), None)


def _remediated(incident: Incident, journal: Journal) -> bool:
    """Whether the incident recovered after its runbook ran, and before chaos reverted the fault itself."""
    recovered = _stamp(incident.recovered_at)
    return incident.proposal_state == "done" and recovered is not None and recovered <= journal.reverted_at


def _stamp(at: datetime | None) -> float | None:
    return at.timestamp() if at else None


def _began(incident: Incident) -> datetime:
    """When it became a page."""
    return incident.raised_at or incident.opened_at


def _after(since: float, at: float | None) -> float | None:
    return round(at - since, 1) if at is not None else None
