"""Guards that cannot look, and looks that give no number, end an experiment as surely as those that see something."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from chaos.toolkit.document import QueryLimit
from chaos.toolkit.guards import BudgetGuard, GlobalStop, QueryGuard
from watchkeeper.config import Config
from watchkeeper.errors import ChaosError
from watchkeeper.state.database import Database
from watchkeeper.state.stops import lift_stop, stop_everything
from watchkeeper.vocabulary import Actor


class Store:
    """A store that answers every query with this."""

    def __init__(self, value: float | None) -> None:
        self.value = value

    def query(self, sql: str) -> pa.Table:
        return pa.table({"value": [self.value]})


def test_a_query_that_gives_no_number_is_not_well() -> None:
    """The mean of no rows is NaN: it is neither above nor below anything."""
    for value in (math.nan, None):
        store: Any = Store(value)
        guard = QueryGuard(telemetry=store, limit=QueryLimit(sql="SELECT avg(x) FROM t WHERE 0", highest=0.5))
        with pytest.raises(ChaosError, match="let it give one number"):
            guard.look()


def test_a_budget_that_cannot_be_read_is_looked_at_again_at_once() -> None:
    """Between two of its looks it sees nothing: that must not count as well."""
    store: Any = Store(None)
    guard = BudgetGuard(config=Config(), telemetry=store, below=0.5)
    for _ in range(3):
        with pytest.raises(ChaosError, match="no objective is configured"):
            guard.look()


def test_a_global_stop_is_seen_with_who_and_why(tmp_path: Path) -> None:
    """Also where it was set on another machine, by a command that ends what runs there."""
    db = Database.open(f"sqlite:///{tmp_path}/state.sqlite")
    now, ana = datetime(2026, 3, 1, tzinfo=UTC), Actor(name="ana", via="cli")
    guard = GlobalStop(db=db)
    assert guard.look() == ""
    stop_everything(db, ana, "the database is being moved", now)
    assert "ana did it (the database is being moved)" in guard.look()
    lift_stop(db, ana, now)
    assert guard.look() == ""
    db.close()
