"""A fresh state database for each test: SQLite always, PostgreSQL too where a test asks for both."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from alerting.incidents.commands import Incidents
from watchkeeper.clock import FrozenClock
from watchkeeper.config import EscalationStep, LayerConfig, OnCallConfig, PersonConfig, ScheduleConfig
from watchkeeper.state.database import Database

ANA = PersonConfig(id="ana", name="Ana", addresses={"slack": "UANA"})
BEN = PersonConfig(id="ben", name="Ben", addresses={"slack": "UBEN"})


@pytest.fixture
def clock() -> FrozenClock:
    """Three in the morning."""
    return FrozenClock(datetime(2026, 3, 1, 3, 0, tzinfo=UTC))


@pytest.fixture
def oncall() -> OnCallConfig:
    """Ana is on call; Ben is next after five minutes."""
    return OnCallConfig(
        people=(ANA, BEN),
        schedules=(ScheduleConfig(id="primary", layers=(LayerConfig(people=("ana",)),), fallback="ben"),),
        escalation=(EscalationStep(after_s=0, notify="primary"), EscalationStep(after_s=300, notify="ben")),
    )


@pytest.fixture
def incidents(db: Database, clock: FrozenClock, oncall: OnCallConfig) -> Incidents:
    """The one writer."""
    return Incidents(db, clock, oncall)
