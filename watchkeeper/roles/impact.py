"""The impact of incidents that are over, measured from the store: failed requests, and error budgets spent."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from alerting.postmortems.document import Measured
from alerting.postmortems.impact import Unmeasured, record_impact, unmeasured
from detectors.slo.openslo import Slo
from detectors.slo.preflight import readable_objectives
from watchkeeper.config import Config
from watchkeeper.problems import Problems
from watchkeeper.state.database import Database
from watchkeeper.store.telemetry import Telemetry
from watchkeeper.vocabulary import Window


def measure_impacts(config: Config, telemetry: Telemetry, db: Database, problems: Problems, now: datetime) -> int:
    """Measure what waits for it; returns how many. Raises StoreError while the store is away: a later round does it."""
    objectives = readable_objectives(config.slo, problems)
    return sum(
        record_impact(db, incident.incident_id, measured(telemetry, incident, objectives, now), now)
        for incident in unmeasured(db, now)
    )


def measured(telemetry: Telemetry, incident: Unmeasured, objectives: Sequence[Slo], now: datetime) -> Measured:
    """The requests of each service within the incident, and of each objective what it spent.

    An error budget is the share of failed requests that the objective allows over its window, up to the incident's end.
    """
    window = incident.window
    services = [(name, *_requests(telemetry, name, "", window)) for name in incident.services]
    own = next((counts for name, *counts in services if name == incident.service), [0, 0])
    budgets = []
    for slo in objectives:
        if slo.service in incident.services:
            _, failed = _requests(telemetry, slo.service, slo.operation, window)
            start = window.end - timedelta(seconds=slo.window_s)
            total, _ = _requests(telemetry, slo.service, slo.operation, Window(start=start, end=window.end))
            if total:
                budgets.append((slo.name, failed / ((1 - slo.target) * total)))
    return Measured(
        at=now,
        start=window.start,
        end=window.end,
        requests=own[0],
        failed=own[1],
        services=tuple((name, requests, failed) for name, requests, failed in services if requests),
        budgets=tuple(budgets),
    )


def _requests(telemetry: Telemetry, service: str, operation: str, window: Window) -> tuple[int, int]:
    """All requests, and those that failed."""
    table = telemetry.served(service, operation, window)
    total, failed = (sum(table[column].to_pylist()) for column in ("total", "bad"))
    return int(total), int(failed)
