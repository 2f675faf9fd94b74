"""What the pages read of the state database: incidents, findings, changes, labels and suppressions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import select

from alerting.incidents.commands import Incidents
from alerting.incidents.machine import Incident
from alerting.incidents.silences import Silence, list_silences
from alerting.oncall.schedule import Override, stored_overrides
from alerting.oncall.swaps import Swap, swaps
from alerting.oncall.versions import RotaVersion, versions
from chaos.evidence import evidence_about
from chaos.scored import ScoredExperiment, scored_experiments
from dashboard.reads.cache import Cache
from detectors.learning.examples import Example, examples
from detectors.learning.suppression import Reopening, SuppressedFinding, reopenings, suppressed_findings
from detectors.learning.track_record import track_record
from detectors.recorded_readiness import read_readiness
from watchkeeper.state.changes import changes_between
from watchkeeper.state.codec import parse
from watchkeeper.state.database import Database, from_micros, to_micros
from watchkeeper.state.schema import findings, incidents, postmortems
from watchkeeper.vocabulary import ChangeEvent, Finding, Readiness, Severity, Window

LONGEST_FIRING: Final = timedelta(days=7)  # what has fired for longer without being seen anew is no news to a plot


@dataclass(frozen=True, slots=True, kw_only=True)
class Spell:
    """How long an incident was open, from its opening until somebody resolved it; `end` is None while it is open."""

    severity: Severity
    start: datetime
    end: datetime | None


class RecordReads:
    """Reads of the state database. Every method raises StateError if the database cannot be read."""

    def __init__(self, db: Database, incidents: Incidents, cache: Cache) -> None:
        self._db = db
        self._incidents = incidents
        self._cache = cache

    def newest(self, limit: int = 60, severity: str | None = None) -> Sequence[Incident]:
        """The newest incidents, newest first, of one severity or of both."""
        wanted = ("incidents", limit, severity)
        return self._cache.get(wanted, lambda: tuple(self._incidents.list(limit=limit, severity=severity)))

    def open(self, limit: int) -> Sequence[Incident]:
        """The newest open incidents, newest first."""
        return self._cache.get(("open", limit), lambda: tuple(self._incidents.list("open", limit)))

    def spells(self, since: datetime, limit: int = 5000) -> Sequence[Spell]:
        """When incidents were open since a time, the newest first, without those that were merged into others."""

        def load() -> Sequence[Spell]:
            columns = incidents.c
            query = (
                select(columns.severity, columns.opened_at, columns.ended_at)
                .where(columns.ended_at.is_(None) | (columns.ended_at >= to_micros(since)))
                .where(columns.human_state != "merged")
                .order_by(columns.opened_at.desc())
                .limit(limit)
            )
            with self._db.read() as connection:
                return [
                    Spell(
                        severity=row.severity,
                        start=from_micros(row.opened_at),
                        end=from_micros(row.ended_at) if row.ended_at is not None else None,
                    )
                    for row in connection.execute(query)
                ]

        return self._cache.get(("spells", since), load)

    def incident(self, incident_id: str) -> Incident:
        """One incident as it is now: never from the cache, because somebody may just have acted on it.

        Raises:
            NotFound: no incident has that id.
        """
        return self._incidents.get(incident_id)

    def firing(self) -> Sequence[Finding]:
        """Every finding that has not cleared."""

        def load() -> Sequence[Finding]:
            with self._db.read() as connection:
                bodies = connection.scalars(select(findings.c.body).where(findings.c.cleared_at.is_(None)))
                return [parse(Finding, body) for body in bodies]

        return self._cache.get("firing", load)

    def reported(self, service: str, window: Window, limit: int = 50) -> Sequence[tuple[Finding, datetime | None]]:
        """Findings about a service that fired within a window, with when each cleared; the newest first, no details."""

        def load() -> Sequence[tuple[Finding, datetime | None]]:
            columns = findings.c
            query = (
                select(columns.body, columns.cleared_at)
                .where(columns.service == service, columns.severity != "detail")
                .where(
                    columns.onset < to_micros(window.end), columns.seen_at >= to_micros(window.start - LONGEST_FIRING)
                )
                .where(columns.cleared_at.is_(None) | (columns.cleared_at >= to_micros(window.start)))
                .order_by(columns.onset.desc(), columns.key)
                .limit(limit)
            )
            with self._db.read() as connection:
                return [
                    (parse(Finding, row.body), from_micros(row.cleared_at) if row.cleared_at is not None else None)
                    for row in connection.execute(query)
                ]

        return self._cache.get(("reported", service, window, limit), load)

    def readiness(self) -> Mapping[str, Readiness]:
        """Whether the detectors' baselines are ready, by service."""
        return self._cache.get("readiness", lambda: read_readiness(self._db))

    def changes(self, window: Window) -> Sequence[ChangeEvent]:
        """Change events in the window, newest first."""

        def load() -> Sequence[ChangeEvent]:
            return sorted(changes_between(self._db, window), key=lambda c: c.at, reverse=True)

        return self._cache.get(("changes", window), load)

    def overrides(self) -> tuple[Override, ...]:
        """Every override of the on-call schedules."""
        return self._cache.get("overrides", lambda: stored_overrides(self._db))

    def rotas(self) -> tuple[RotaVersion, ...]:
        """Every version of the rota, oldest first."""
        return self._cache.get("rotas", lambda: versions(self._db))

    def swaps(self) -> tuple[Swap, ...]:
        """Shifts that somebody was asked to take and has not answered, newest first."""
        return self._cache.get("swaps", lambda: swaps(self._db, "asked"))

    def silences(self, now: datetime) -> tuple[Silence, ...]:
        """The silences that are in force or to come."""
        return self._cache.get("silences", lambda: list_silences(self._db, now))

    def postmortem(self, incident_id: str) -> str:
        """The stored draft, as Markdown; empty if there is none."""
        with self._db.read() as connection:
            query = select(postmortems.c.markdown).where(postmortems.c.incident_id == incident_id)
            return connection.scalar(query) or ""

    def labelled(self) -> tuple[Example, ...]:
        """Every finding of a judged incident, with the judgement."""
        return self._cache.get("labelled", lambda: examples(self._db))

    def track_record(self, finding: Finding) -> str:
        """How often the detector of a finding was right on its service, in a sentence."""
        return track_record(self.labelled(), finding).sentence()

    def experiments(self) -> tuple[ScoredExperiment, ...]:
        """Every experiment and control window, oldest first."""
        return self._cache.get("experiments", lambda: scored_experiments(self._db))

    def tested(self, incident: Incident, now: datetime) -> str:
        """How faults like an incident's were found by experiments, in a sentence; empty if there was none."""
        return evidence_about(self.experiments(), incident.id, incident.service, incident.diagnosis, now)

    def suppressed(self, limit: int = 30) -> tuple[SuppressedFinding, ...]:
        """Findings that a version suppressed, newest first."""
        return self._cache.get(("suppressed", limit), lambda: suppressed_findings(self._db, limit))

    def reopened(self) -> tuple[Reopening, ...]:
        """Suppressed findings that people reopened."""
        return self._cache.get("reopened", lambda: reopenings(self._db))

    def barred(self) -> frozenset[tuple[str, str]]:
        """The pairs of detector and service that may not be suppressed."""
        return frozenset(reopening.group for reopening in self.reopened())
