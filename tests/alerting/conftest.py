"""A fresh state database for each test: SQLite always, PostgreSQL too where a test asks for both."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from alerting.incidents import Incidents
from watchkeeper.clock import FrozenClock
from watchkeeper.config import EscalationStep, LayerConfig, OnCallConfig, PersonConfig, ScheduleConfig
from watchkeeper.state.database import Database
from watchkeeper.state.schema import metadata

ANA = PersonConfig(id="ana", name="Ana", slack_id="UANA")
BEN = PersonConfig(id="ben", name="Ben", slack_id="UBEN")


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


@pytest.fixture(params=["sqlite", "postgresql"])
def db(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """An empty state database of each kind."""
    if request.param == "sqlite":
        database = Database.open(f"sqlite:///{tmp_path / 'state.db'}")
    else:
        database = Database.open(request.getfixturevalue("postgres_url"))
        with database.write() as connection:
            for table in reversed(metadata.sorted_tables):
                connection.execute(table.delete())
    yield database
    database.close()


@pytest.fixture
def incidents(db: Database, clock: FrozenClock, oncall: OnCallConfig) -> Incidents:
    """The one writer."""
    return Incidents(db, clock, oncall)
