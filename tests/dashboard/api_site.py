"""A web role on a free port of loopback, with records of every kind to read, and a token of each scope."""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import httpx

from alerting.channels.slack.standin.served import serving
from alerting.incidents.commands import Incidents
from alerting.oncall.applying import bring_into_force, plan_file
from tests.alerting.channels.slack.running_site import diagnosis, finding
from watchkeeper.clock import SystemClock
from watchkeeper.config import Config, LayerConfig, OnCallConfig, PersonConfig, ScheduleConfig, TokenConfig, WebConfig
from watchkeeper.roles import web
from watchkeeper.state.database import Database
from watchkeeper.store.telemetry import Telemetry
from watchkeeper.vocabulary import Actor

# A token's name, and what it may do.
TOKENS: Final = {
    "full": ("ingest", "changes", "commands", "heartbeats", "rota"),
    "commands": ("commands",),
    "rota": ("rota",),
    "ingest": ("ingest",),
    "changes": ("changes",),
    "heartbeats": ("heartbeats",),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """What runs, and one incident that is there."""

    config: Config
    db: Database
    incidents: Incidents
    incident_id: str

    def client(self, token: str = "") -> httpx.Client:
        """A program with one of the tokens, or with none."""
        headers = {"Authorization": f"Bearer wk_{token}"} if token else {}
        return httpx.Client(base_url=self.config.web_url, timeout=120, trust_env=False, headers=headers)


@contextmanager
def api_site(folder: Path) -> Iterator[Site]:
    """Serve until the context ends."""
    listener = socket.create_server(("127.0.0.1", 0))
    oncall = OnCallConfig(
        people=(
            PersonConfig(id="ana", name="Ana Sousa", addresses={"slack": "UANA"}),
            PersonConfig(id="ben", name="Ben Okoro", addresses={"slack": "UBEN"}),
        ),
        schedules=(ScheduleConfig(id="primary", layers=(LayerConfig(people=("ana", "ben")),)),),
    )
    tokens = tuple(
        TokenConfig(name=name, sha256=hashlib.sha256(f"wk_{name}".encode()).hexdigest(), scopes=scopes)
        for name, scopes in TOKENS.items()
    )
    config = Config(data_dir=folder, oncall=oncall, tokens=tokens, web=WebConfig(port=listener.getsockname()[1]))
    db = Database.open(config)
    bring_into_force(db, plan_file(db, config, "watchkeeper.yaml"), datetime.now(UTC), Actor(name="boss", via="cli"))
    incidents = Incidents.configured(config, db, SystemClock())
    (incident_id,) = incidents.observe([finding("payments")])
    incidents.diagnosed(incident_id, diagnosis("payments"), None, "first")
    with serving(web.build(config, Telemetry.connect(config), db), listener):
        yield Site(config=config, db=db, incidents=incidents, incident_id=incident_id)
    db.close()
