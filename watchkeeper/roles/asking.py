"""Questions in plain words, connected: records, the telemetry store, the rota and the objectives."""

from __future__ import annotations

from collections.abc import Sequence

from alerting.ask.asker import Asker
from alerting.incidents.commands import Incidents
from detectors.slo.openslo import Slo
from detectors.slo.preflight import readable_objectives
from watchkeeper.clock import Clock
from watchkeeper.config import Config
from watchkeeper.problems import Problems
from watchkeeper.state.database import Database
from watchkeeper.store.telemetry import Telemetry


def asker_of(config: Config, telemetry: Telemetry, db: Database, incidents: Incidents, clock: Clock) -> Asker:
    """What answers questions about the system that a configuration names."""

    def objectives() -> Sequence[Slo]:
        return readable_objectives(config.slo, Problems(None))

    return Asker(
        db=db, incidents=incidents, store=telemetry, oncall=lambda: config.oncall, clock=clock, objectives=objectives
    )
