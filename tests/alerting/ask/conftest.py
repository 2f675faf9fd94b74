"""A real store with requests whose answers are known, a state database, and an asker over both."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from alerting.ask.asker import Asker
from alerting.incidents.commands import Incidents
from bench.own_roles import OwnRoles, loader_of
from detectors.slo.openslo import Slo
from watchkeeper.clock import FrozenClock
from watchkeeper.config import LayerConfig, OnCallConfig, PersonConfig, ScheduleConfig
from watchkeeper.state.database import Database
from watchkeeper.store.telemetry import Telemetry
from watchkeeper.vocabulary import utc

ONCALL = OnCallConfig(
    people=(
        PersonConfig(id="ana", name="Ana Sousa", addresses={"slack": "UANA"}),
        PersonConfig(id="ben", name="Ben Okoro", addresses={"slack": "UBEN"}),
    ),
    schedules=(ScheduleConfig(id="primary", layers=(LayerConfig(people=("ana",)),), fallback="ben"),),
    policies=(
        {"id": "money", "services": ["zahlung*"], "steps": [{"after_s": 0, "notify": "ben"}]},  # type: ignore[arg-type]
    ),
)
# What each service does: requests a minute, then milliseconds and the share that fails, before and in the last minutes.
# None of these names is in the code.
SERVICES = {
    "zahlung-gateway": (30, (40, 0.0), (900, 0.25)),
    "warenkorb": (30, (25, 0.0), (26, 0.0)),
    "lager.bestand": (30, (20, 0.0), (21, 0.0)),
    "ProductCatalogService": (30, (15, 0.0), (15, 0.0)),
    "why": (6, (10, 0.0), (10, 0.0)),
    "買い物かご": (6, (10, 0.0), (10, 0.0)),
}
# Who calls whom; `bank.example` sends nothing of its own.
CALLS = (
    ("warenkorb", "zahlung-gateway"),
    ("ProductCatalogService", "warenkorb"),
    ("zahlung-gateway", "bank.example"),
)


@dataclass(frozen=True, kw_only=True)
class Asking:
    """What a test asks, and what it may change first."""

    db: Database
    incidents: Incidents
    asker: Asker
    clock: FrozenClock
    now: datetime


@pytest.fixture(scope="session")
def roles(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnRoles]:
    """A running store, filled once."""
    folder: Path = tmp_path_factory.mktemp("ask")
    with OwnRoles(folder) as own:
        own.start("store")
        loader = loader_of(own.config)
        rows = [row for minute in range(60) for row in _minute(_now(), minute)]
        body = "\n".join(json.dumps(row) for row in rows).encode()
        loader.run(f"INSERT INTO otel.otel_traces ({', '.join(rows[0])}) FORMAT JSONEachRow", body)
        edges = [row for minute in range(60) for row in _edges(_now(), minute)]
        body = "\n".join(json.dumps(row) for row in edges).encode()
        loader.run(f"INSERT INTO otel.edges ({', '.join(edges[0])}) FORMAT JSONEachRow", body)
        yield own


@cache
def _now() -> datetime:
    """The present of all these tests, to the minute, so that what was filled in stays in its place."""
    return utc(int(time.time()) // 60 * 60)


@pytest.fixture
def asking(roles: OwnRoles, tmp_path: Path) -> Iterator[Asking]:
    """An empty state database beside the store."""
    db, clock = Database.open(f"sqlite:///{tmp_path / 'state.db'}"), FrozenClock(_now())
    incidents = Incidents(db, clock, ONCALL)
    objectives = (
        Slo(name="pay", title="Zahlungen gelingen", service="zahlung-gateway", operation="", target=0.9, window_s=3600),
        Slo(name="cart", title="Cart answers", service="warenkorb", operation="", target=0.99, window_s=86_400 * 30),
    )
    asker = Asker(
        db=db,
        incidents=incidents,
        store=Telemetry.connect(roles.config),
        oncall=ONCALL,
        clock=clock,
        objectives=lambda: objectives,
    )
    yield Asking(db=db, incidents=incidents, asker=asker, clock=clock, now=_now())
    db.close()


def _minute(now: datetime, minute: int) -> list[dict[str, Any]]:
    """The spans of one minute of the last hour; from the fiftieth on as it is now."""
    at = now - timedelta(minutes=60 - minute)
    rows = []
    for place, (service, (count, before, late)) in enumerate(SERVICES.items()):
        ms, failing = late if minute >= 50 else before
        rows += [
            {
                "Timestamp": f"{int(at.timestamp()) + number % 60}.000000000",
                "TraceId": f"{minute:08x}{place:08x}{number:016x}",
                "SpanId": f"{number:016x}",
                "SpanName": "POST /pay" if number % 2 else "GET /",
                "SpanKind": "Server",
                "ServiceName": service,
                "Duration": ms * 1_000_000,
                "StatusCode": "Error" if number < failing * count else "Unset",
            }
            for number in range(count)
        ]
    return rows


def _edges(now: datetime, minute: int) -> list[dict[str, Any]]:
    at = int((now - timedelta(minutes=60 - minute)).timestamp())
    return [
        {
            "bucket": at,
            "caller": caller,
            "callee": callee,
            "source": "attribute" if callee == "bank.example" else "span",
            "calls": 30,
            "errors": 6 if minute >= 50 and callee == "bank.example" else 0,
            "client_ns_sum": 30 * (880 if minute >= 50 and callee == "bank.example" else 12) * 1_000_000,
        }
        for caller, callee in CALLS
    ]
