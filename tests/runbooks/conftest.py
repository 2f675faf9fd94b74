"""A fresh state database of each kind, and the one writer of incidents."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from alerting.incidents import Incidents
from watchkeeper.clock import FrozenClock
from watchkeeper.config import OnCallConfig
from watchkeeper.state.database import Database
from watchkeeper.state.schema import metadata


@pytest.fixture
def clock() -> FrozenClock:
    """Three in the morning."""
    return FrozenClock(datetime(2026, 3, 1, 3, 0, tzinfo=UTC))


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
def incidents(db: Database, clock: FrozenClock) -> Incidents:
    """The one writer."""
    return Incidents(db, clock, OnCallConfig())
