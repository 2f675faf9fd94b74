"""A fresh state database of each kind, and the one writer of incidents."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from alerting.incidents.commands import Incidents
from watchkeeper.clock import FrozenClock
from watchkeeper.config import OnCallConfig
from watchkeeper.state.database import Database


@pytest.fixture
def clock() -> FrozenClock:
    """Three in the morning."""
    return FrozenClock(datetime(2026, 3, 1, 3, 0, tzinfo=UTC))


@pytest.fixture
def incidents(db: Database, clock: FrozenClock) -> Incidents:
    """The one writer."""
    return Incidents(db, clock, OnCallConfig())
