"""What is known of an installation by experiments: its scorecard, its coverage map, and what to test next.

Reads the state database, and, where they answer, the target (what could be tested) and the telemetry store (who depends
on whom). What does not answer is named in `gaps`; the rest is there all the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from typing import Final

from chaos.calls import Observed, observe
from chaos.coverage import Cell, Proposed, Reach, coverage, propose, reach_of
from chaos.fault import Fault, why_not
from chaos.journal import is_name_of
from chaos.objectives import budgets_by_service
from chaos.registry import faults
from chaos.scored import ScoredExperiment, scored_experiments, unsealed
from watchkeeper.config import Config
from watchkeeper.errors import ConfigError, StoreError, TargetError
from watchkeeper.state.database import Database
from watchkeeper.store.telemetry import Telemetry
from watchkeeper.target import Target
from watchkeeper.text import one_line
from watchkeeper.vocabulary import Window

GRAPH_S: Final = 3600  # of telemetry that says who calls whom
RETRY_AFTER: Final = timedelta(days=1)
Edges = tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True)
class Assessment:
    """What experiments have shown until `now`.

    Attributes:
        known: every experiment and control window, oldest first.
        possible: the cells (service, fault) that the target offers.
        edges: who calls whom (caller, callee).
        budgets: by service, how much of its error budget is left.
        gaps: what could not be read, and what that means; empty if all was.
    """

    known: tuple[ScoredExperiment, ...]
    possible: frozenset[tuple[str, str]]
    edges: Edges
    now: datetime
    budgets: Mapping[str, float] = field(default_factory=dict)
    gaps: tuple[str, ...] = ()

    @cached_property
    def cells(self) -> tuple[Cell, ...]:
        return coverage(self.known, self.now, self.possible)

    @cached_property
    def reaches(self) -> Mapping[str, Reach]:
        """What each service that can be broken would put at risk."""
        edges = by_service(self.edges, {cell.service for cell in self.cells})
        services = {name for pair in edges for name in pair} | {cell.service for cell in self.cells}
        return {cell.service: reach_of(cell.service, edges, services, self.budgets) for cell in self.cells}

    def next_experiments(self, count: int = 3) -> tuple[Proposed, ...]:
        """What to run next: only what the target offers, where it could be asked.

        Not what runs or waits for its outcome, and not what had no effect lately: it would have none again.
        """
        newest = {one.cell: one for one in self.known}
        waits = {
            cell
            for cell, one in newest.items()
            if one.outcome is None
            or (one.outcome in ("no effect", "unknown") and self.now - one.truth.began < RETRY_AFTER)
        }
        offered = self.possible or {(cell.service, cell.fault) for cell in self.cells}
        cells = [cell for cell in self.cells if (cell.service, cell.fault) in offered - waits]
        return propose(cells, self.known, self.reaches, self.now, count)


def assess(
    db: Database, telemetry: Telemetry, target: Target, now: datetime, config: Config | None = None
) -> Assessment:
    """Read everything that is known; the objectives of `config` say which error budgets there are.

    Raises:
        StateError: the state database cannot be read.
    """
    gaps: list[str] = []
    possible: frozenset[tuple[str, str]] = frozenset()
    edges: Edges = ()
    budgets: Mapping[str, float] = {}
    try:
        possible = possible_cells(target, faults().values())
    except TargetError as error:
        gaps.append(f"only what was tested is on the map: {one_line(error, 200)}")
    try:
        edges = call_graph(telemetry, now)
        budgets = budgets_by_service(config, telemetry, now) if config and config.slo else {}
    except StoreError as error:
        gaps.append(f"who depends on whom is not known: {one_line(error, 200)}")
    except ConfigError as error:
        gaps.append(f"error budgets are not known: {error.message}")
    known = unsealed(scored_experiments(db), now)
    return Assessment(known=known, possible=possible, edges=edges, now=now, budgets=budgets, gaps=tuple(gaps))


def observe_experiments(telemetry: Telemetry, known: Iterable[ScoredExperiment]) -> tuple[tuple[Observed, ...], str]:
    """The traffic around each experiment that took effect, and why some could not be read."""
    observed: list[Observed] = []
    for one in known:
        if one.truth.took_effect and one.truth.fault:
            try:
                observed.append(observe(telemetry, one.truth))
            except StoreError as error:
                return tuple(observed), f"what callers did is not known: {error.message}"
    return tuple(observed), ""


def possible_cells(target: Target, known: Iterable[Fault]) -> frozenset[tuple[str, str]]:
    """Every service that has opted in, with each fault that it has the capabilities for. Raises TargetError."""
    services = target.services()
    return frozenset(
        (name, fault.name) for fault in known for name, status in services.items() if not why_not(fault, status)
    )


def by_service(edges: Edges, services: Iterable[str]) -> Edges:
    """The call graph by the services' own names, where telemetry has those that callers give.

    >>> by_service((("cart", "redis (10.0.0.7:6379)"), ("cart", "till")), ["redis"])
    (('cart', 'redis'), ('cart', 'till'))
    """
    known = tuple(services)

    def named(seen: str) -> str:
        return next((service for service in known if is_name_of(service, seen)), seen)

    return tuple(sorted({(named(caller), named(callee)) for caller, callee in edges}))


def call_graph(telemetry: Telemetry, now: datetime) -> Edges:
    """Who called whom within the last hour. Raises StoreError."""
    table = telemetry.edges(Window.last(GRAPH_S, until=now), GRAPH_S)
    pairs = zip(table["caller"].to_pylist(), table["callee"].to_pylist(), strict=True)
    return tuple(sorted({(caller, callee) for caller, callee in pairs if caller != callee}))
