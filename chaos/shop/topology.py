"""The shop's plan: which services there are, whom each calls, and how to ask each for real work.

load ─► web ─┬─► catalogue ─► inventory
             ├─► recommendations ─► catalogue
             ├─► cart ─► catalogue
             └─► orders ─┬─► cart
                         ├─► inventory
                         ├─► payments
                         └─► shipping
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

FIRST_VERSION = "1.4.0"
READY_FILE = "shop.json"  # in the data directory: where a running shop is reached
STATS_FILE = "load.json"  # beside it: what customers saw within the last second
PRODUCTS = 60  # catalogue and inventory create as many rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """One real request to a service: it runs the service's usual code and touches its database."""

    method: str
    path: str
    body: Mapping[str, str | int] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True, kw_only=True)
class ServicePlan:
    """One service. `probe` is what an outsider asks to see whether it works; `may_break` opts in to experiments."""

    name: str
    calls: tuple[str, ...]
    probe: Work
    client_timeout_s: float = 2.0
    may_break: bool = True


PLANS: tuple[ServicePlan, ...] = (
    ServicePlan(
        name="web",
        calls=("catalogue", "recommendations", "cart", "orders"),
        probe=Work(method="GET", path="/"),
        client_timeout_s=3.0,
        may_break=False,  # without the front door customers and probes see nothing of the others
    ),
    ServicePlan(name="catalogue", calls=("inventory",), probe=Work(method="GET", path="/products?page=1")),
    ServicePlan(name="recommendations", calls=("catalogue",), probe=Work(method="GET", path="/recommendations/3")),
    ServicePlan(name="cart", calls=("catalogue",), probe=Work(method="GET", path="/carts/probe")),
    ServicePlan(
        name="orders",
        calls=("cart", "inventory", "payments", "shipping"),
        probe=Work(method="GET", path="/orders/1"),
        client_timeout_s=2.5,
    ),
    ServicePlan(
        name="payments",
        calls=(),
        probe=Work(method="POST", path="/charges", body={"order": 0, "amount_cents": 100}),
    ),
    ServicePlan(name="inventory", calls=(), probe=Work(method="GET", path="/stock/3")),
    ServicePlan(name="shipping", calls=(), probe=Work(method="POST", path="/quotes", body={"order": 0, "items": 1})),
)
BY_NAME: Mapping[str, ServicePlan] = MappingProxyType({plan.name: plan for plan in PLANS})


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceSpec:
    """The start parameters of one process of a service. `defect` is what its version does wrong."""

    service: str
    instance_id: str
    version: str
    defect: str
    data_dir: Path
    otlp_url: str
    token: str

    @property
    def database(self) -> Path:
        return database_path(self.data_dir, self.service)


def database_path(data_dir: Path, service: str) -> Path:
    """Where a service keeps its data."""
    return data_dir / f"{service}.sqlite"
