"""The demo's configuration: its own data directory, ports that are free, the shop as target."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from chaos.shop.topology import PLANS
from runbooks.runbook import BUILT_IN
from watchkeeper.config import Config, load
from watchkeeper.ports import free_port, is_free

KEPT_RUNS = 5  # older ones are deleted
TARGET_TOKEN_ENV = "WATCHKEEPER_DEMO_TARGET_TOKEN"  # noqa: S105 - the name of a variable, not a secret
EXPERIMENTS = "experiments"  # in the run's directory: those with a schedule run by themselves
SCRAPED = ("web", "orders", "payments")  # their Prometheus pages; all services export OTLP besides


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """One run's places: Watchkeeper's configuration, the shop's directory, its port and token."""

    config: Config
    config_path: Path
    shop_dir: Path
    shop_port: int
    shop_token: str

    @property
    def otlp_url(self) -> str:
        return f"http://127.0.0.1:{self.config.ingest.otlp_http_port}"

    @property
    def stand_in_url(self) -> str:
        return f"http://127.0.0.1:{self.config.slack.stand_in.port}"

    @property
    def dashboard_url(self) -> str:
        return f"http://127.0.0.1:{self.config.web.port}/?token={self.config.secret('commands')}"


def prepare(root: Path, autonomous: Mapping[str, Any] | None = None) -> Settings:
    """Make a fresh directory under `root` for this run, with a configuration that needs nothing else.

    `autonomous` is that section of the runbooks' policy: what may run without a human.
    The default ports are used where they are free, others where they are not.
    """
    folder = root / f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(2)}"
    folder.mkdir(parents=True)
    _forget_old_runs(root)
    ports = _free_ports({"store": 8123, "http": 4318, "grpc": 4317, "web": 8050, "standin": 8065, "shop": 0})
    token = secrets.token_urlsafe(24)
    os.environ[TARGET_TOKEN_ENV] = token  # the roles, our children, find it there; it is written nowhere
    path = folder / "watchkeeper.yaml"
    path.write_text(yaml.safe_dump(_tree(folder, ports), sort_keys=False))
    _write_runbooks(folder / "runbooks", autonomous)
    shop_dir = folder / "shop"
    shop_dir.mkdir()
    (folder / EXPERIMENTS).mkdir()
    return Settings(config=load(path), config_path=path, shop_dir=shop_dir, shop_port=ports["shop"], shop_token=token)


def _tree(folder: Path, ports: dict[str, int]) -> dict[str, Any]:
    scrapes = [
        {
            "job": service,
            "targets": [f"127.0.0.1:{ports['shop']}"],
            "path": f"/metrics/{service}",
            "interval_s": 5.0,
            "timeout_s": 3.0,
        }
        for service in SCRAPED
    ]
    people = [
        {"id": "ana", "name": "Ana", "addresses": {"slack": "U0ANA"}, "timezone": "Europe/Lisbon"},
        {"id": "bo", "name": "Bo", "addresses": {"slack": "U0BO"}, "timezone": "Asia/Singapore"},
    ]
    return {
        "data_dir": str(folder / "data"),
        "store": {"port": ports["store"]},
        "ingest": {"otlp_http_port": ports["http"], "otlp_grpc_port": ports["grpc"], "scrape": scrapes},
        "watch": {"clear_s": 10.0},
        # Half an hour must do for what takes a day in production: this gate asks for as many labels, and less time.
        "learning": {"automatic": False, "gate": {"shadow_s": 20.0, "canary_s": 20.0, "canary_labels": 0}},
        "web": {"port": ports["web"]},
        "slack": {"stand_in": {"port": ports["standin"]}},
        "oncall": {
            "people": people,
            "schedules": [{"id": "primary", "layers": [{"people": ["ana", "bo"]}], "fallback": "ana"}],
            "escalation": [{"after_s": 0, "notify": "primary"}, {"after_s": 120, "notify": "bo"}],
        },
        "targets": {"shop": {"url": f"http://127.0.0.1:{ports['shop']}", "token_env": TARGET_TOKEN_ENV}},
        "runbooks": {"dir": "runbooks"},
        "chaos": {"folder": str(folder / EXPERIMENTS)},
    }


def _write_runbooks(folder: Path, autonomous: Mapping[str, Any] | None) -> None:
    """The built-in runbooks, allowed to touch the shop's services and nothing else."""
    shutil.copytree(BUILT_IN, folder)
    policy = yaml.safe_load((folder / "policy.yaml").read_text())
    policy["services"] = [plan.name for plan in PLANS]
    if autonomous:
        policy["autonomous"] = dict(autonomous)
    (folder / "policy.yaml").write_text(yaml.safe_dump(policy, sort_keys=False))


def _free_ports(wanted: dict[str, int]) -> dict[str, int]:
    """Each wanted port where it is free, else any free one; 0 wants any."""
    chosen: dict[str, int] = {}
    for name, port in wanted.items():
        chosen[name] = port if port and is_free(port) else free_port(besides=chosen.values())
    return chosen


def _forget_old_runs(root: Path) -> None:
    """Keep the newest runs only; a directory counts as a run when it holds our configuration."""
    runs = sorted(path.parent for path in root.glob("*/watchkeeper.yaml"))
    for old in runs[: max(0, len(runs) - KEPT_RUNS + 1)]:
        shutil.rmtree(old, ignore_errors=True)
