"""What the pages read of experiments: what is known by them, and the traffic around one."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import cached_property
from typing import Final

from chaos.assessment import Assessment, assess
from chaos.calls import observe
from chaos.findings import ResilienceFinding, stored_findings
from chaos.resilience import Resilience, resilience
from chaos.schedules.announcing import announcements
from chaos.schedules.requests import Announcement
from chaos.schedules.rows import DueRuns
from chaos.scored import ScoredExperiment
from dashboard.reads.cache import Cache
from watchkeeper.clock import Clock
from watchkeeper.config import Config
from watchkeeper.state.database import Database
from watchkeeper.store.telemetry import Telemetry
from watchkeeper.target import Target, configured_target

KEPT_S: Final = 20.0  # what a target offers, and who calls whom, changes slowly
RUNNING_S: Final = 2.0
SHORTEST_ID: Final = 6  # characters that name an experiment


class ExperimentReads:
    """Reads of experiments. Every method raises StateError if the state database cannot be read."""

    def __init__(self, telemetry: Telemetry, db: Database, config: Config, clock: Clock) -> None:
        self._telemetry = telemetry
        self._db = db
        self._config = config
        self._clock = clock
        self._cache = Cache(KEPT_S)
        self._soon = Cache(RUNNING_S)

    @cached_property
    def target(self) -> Target:
        """All configured targets as one; opened at the first use."""
        return configured_target(self._config)

    def assessment(self) -> Assessment:
        """What experiments have shown until now. While one runs, it is read anew every few seconds."""
        kept = self._cache.get("assessment", self._assess)
        if not any(one.outcome is None for one in kept.known):
            return kept
        return self._soon.get("assessment", self._assess)

    def _assess(self) -> Assessment:
        return assess(self._db, self._telemetry, self.target, self._clock.now(), self._config)

    def announced(self, now: datetime, names: Mapping[str, str]) -> tuple[Announcement, ...]:
        """The scheduled runs for which people were asked, those that are open or ended lately; `names` by id."""
        return self._soon.get("announced", lambda: announcements(DueRuns(self._db), names, now))

    def findings(self) -> tuple[ResilienceFinding, ...]:
        """The weaknesses that experiments have shown, open ones first."""
        return self._soon.get("findings", lambda: stored_findings(self._db))

    def record(self, experiment_id: str) -> ScoredExperiment | None:
        """One experiment by the beginning of its id; None where there is none, or several."""
        found = [one for one in self.assessment().known if one.truth.id.startswith(experiment_id)]
        return found[0] if len(found) == 1 and len(experiment_id) >= SHORTEST_ID else None

    def borne(self, one: ScoredExperiment) -> Resilience:
        """How the system bore one experiment. Raises StoreError."""
        key = ("borne", one.truth.id, one.truth.ended)
        return self._cache.get(key, lambda: resilience([observe(self._telemetry, one.truth)]))

    def forget(self) -> None:
        """Read everything again: an experiment was just started or stopped."""
        self._cache.clear()
        self._soon.clear()


def newest_by_cell(known: Assessment) -> Mapping[tuple[str, str], ScoredExperiment]:
    """The newest experiment of each service and fault that took effect."""
    return {one.cell: one for one in known.known if one.counts}
