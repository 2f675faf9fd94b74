"""A moment, a reader and an incident, for every test of the dashboard."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from alerting.incidents.commands import Incidents
from dashboard.viewer import Viewer, viewer
from tests.dashboard.values import NOW
from watchkeeper.clock import FrozenClock
from watchkeeper.config import EscalationStep, LayerConfig, OnCallConfig, PersonConfig, ScheduleConfig
from watchkeeper.state.database import Database

ONCALL = OnCallConfig(
    people=(
        PersonConfig(id="ana", name="Ana Sousa", addresses={"slack": "UANA"}, timezone="Europe/Lisbon"),
        PersonConfig(id="ben", name="Ben Okoro", addresses={"slack": "UBEN"}),
    ),
    schedules=(
        ScheduleConfig(id="primary", layers=(LayerConfig(people=("ana", "ben"), turn_hours=24),), fallback="ben"),
    ),
    escalation=(EscalationStep(after_s=0, notify="primary"), EscalationStep(after_s=300, notify="ben")),
)


@pytest.fixture
def now() -> datetime:
    """Three in the morning."""
    return NOW


@pytest.fixture
def reader() -> Viewer:
    """Somebody in Stockholm with a dark screen."""
    return viewer({"scheme": "dark", "zone": "Europe/Stockholm"}, NOW)


@pytest.fixture
def clock() -> FrozenClock:
    return FrozenClock(NOW)


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    """An empty state database."""
    database = Database.open(f"sqlite:///{tmp_path / 'state.db'}")
    yield database
    database.close()


@pytest.fixture
def incidents(db: Database, clock: FrozenClock) -> Incidents:
    return Incidents(db, clock, ONCALL)
