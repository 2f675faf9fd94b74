"""What an experiment is watched by while its method runs: any of it ends the experiment early.

Each guard looks once a second and gives the reason to end, or nothing. A guard that cannot look raises: not to know is
not to be well.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from sqlalchemy import select

from chaos.objectives import budgets_left
from chaos.toolkit.document import AbortConditions, QueryLimit
from watchkeeper.clock import Clock, SystemClock
from watchkeeper.errors import ChaosError
from watchkeeper.state.database import Database, to_micros
from watchkeeper.state.schema import incidents
from watchkeeper.state.stops import stopped
from watchkeeper.store.telemetry import Telemetry
from watchkeeper.text import one_line, seen_name

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from watchkeeper.config import Config


class Guard(Protocol):
    """Watches one thing."""

    @property
    def name(self) -> str:
        """What it watches, in words."""
        ...

    def look(self) -> str:
        """Why the experiment must not begin or go on; empty: it may.

        Raises:
            WatchkeeperError: it cannot look.
        """
        ...


@dataclass(kw_only=True)
class ForeignIncidents:
    """Open incidents that page and are not the experiment's own.

    Its own are those that opened after it began and are about a service that it reaches; without services, none is.
    """

    db: Database
    services: Collection[str]
    began: datetime
    name: str = "the list of incidents"

    def look(self) -> str:
        for incident_id, opened_at, title, services in open_incidents(self.db):
            if opened_at < to_micros(self.began) or not services & set(self.services):
                return f"incident {incident_id} is open: {title}"
        return ""


@dataclass(kw_only=True)
class GlobalStop:
    """That somebody stopped everything, here or on another machine."""

    db: Database
    name: str = "the global stop"

    def look(self) -> str:
        return why_stopped(self.db)


def why_stopped(db: Database) -> str:
    """Who stopped everything, and how to go on; empty: nobody did."""
    stop = stopped(db)
    how = "`watchkeeper chaos resume` with --config ends that"
    return f"everything is stopped: {seen_name(stop.actor)} did it ({one_line(stop.reason)}); {how}" if stop else ""


def open_incidents(db: Database) -> list[tuple[str, int, str, set[str]]]:
    """Incidents that page and whose trouble goes on: id, when opened (Unix microseconds), title and services."""
    fires = (incidents.c.system_state == "firing") & incidents.c.human_state.not_in(("merged", "resolved"))
    query = select(incidents.c.id, incidents.c.opened_at, incidents.c.body).where(fires, incidents.c.severity == "page")
    with db.read() as connection:
        rows = connection.execute(query.order_by(incidents.c.opened_at)).all()
    described = []
    for incident_id, opened_at, body in rows:
        tree = json.loads(body)
        services = {finding["service"] for finding in tree.get("findings") or []}
        described.append((incident_id, opened_at, one_line(tree.get("title", "")), services))
    return described


@dataclass(kw_only=True)
class BudgetGuard:
    """Error budgets: too little is left of one. Read every `EVERY` looks, since it takes a query over weeks.

    If it cannot be read, the next look tries again.
    """

    config: Config
    telemetry: Telemetry
    below: float
    objectives: tuple[str, ...] = ()
    name: str = "the error budget"
    clock: Clock = field(default_factory=SystemClock)
    _looks: int = 0

    EVERY = 5

    def look(self) -> str:
        if self._looks % self.EVERY == 0:
            known = budgets_left(self.config, self.telemetry, self.clock.now(), self.objectives)
            for name, left in known.items():
                if left is not None and left < self.below:
                    return f"{left:.1%} is left of the error budget of {seen_name(name)}, less than {self.below:.1%}"
        self._looks += 1
        return ""


@dataclass(kw_only=True)
class QueryGuard:
    """A number that a query of the telemetry store gives."""

    telemetry: Telemetry
    limit: QueryLimit
    name: str = "the query of the store"

    def look(self) -> str:
        value = single_number(self.telemetry, self.limit.sql)
        if self.limit.lowest is not None and value < self.limit.lowest:
            return f"the query gives {value:g}, less than {self.limit.lowest:g}"
        if self.limit.highest is not None and value > self.limit.highest:
            return f"the query gives {value:g}, more than {self.limit.highest:g}"
        return ""


def single_number(telemetry: Telemetry, sql: str) -> float:
    """The number in the first column of a query's first row.

    Raises:
        ChaosError: it has no row, or no number there.
        StoreError: the store rejected it, or cannot be reached.
    """
    table = telemetry.query(sql)
    if not table.num_rows:
        raise ChaosError("the query gives no row; let it give one number")
    value = table.column(0)[0].as_py()
    # The mean of no rows is NaN, which lies in every range and in none.
    if isinstance(value, bool) or not isinstance(value, (int, float)) or math.isnan(value):
        raise ChaosError(f"the query gives {value!r}; let it give one number")
    return float(value)


def guards_for(
    conditions: AbortConditions, config: Config | None, services: Collection[str], began: datetime
) -> tuple[Guard, ...]:
    """The guards that an experiment asks for; wherever an installation is named, those on its stop and its incidents.

    Raises:
        ChaosError: it asks for what only an installation has, and none is named.
    """
    wants = conditions.incidents or conditions.budget_below is not None or conditions.query is not None
    if config is None:
        if wants:
            raise ChaosError("the experiment is to be ended by what an installation knows: name it by --config FILE")
        return ()
    db = Database.open(config)
    guards: list[Guard] = [GlobalStop(db=db)]
    if conditions.incidents is not False:
        guards.append(ForeignIncidents(db=db, services=services, began=began))
    if conditions.budget_below is not None:
        telemetry = Telemetry.connect(config)
        below, named = conditions.budget_below, conditions.budgets
        guards.append(BudgetGuard(config=config, telemetry=telemetry, below=below, objectives=named))
    if conditions.query is not None:
        guards.append(QueryGuard(telemetry=Telemetry.connect(config), limit=conditions.query))
    return tuple(guards)
