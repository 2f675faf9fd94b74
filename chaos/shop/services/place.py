"""What a service is given to work with."""

from __future__ import annotations

from dataclasses import dataclass

from prometheus_client import CollectorRegistry

from chaos.shop.calls import Calls
from chaos.shop.database import Database


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A service's database, its line to the others, and its Prometheus registry."""

    database: Database
    calls: Calls
    registry: CollectorRegistry
