"""The first configuration file: a few answers in, a commented YAML text out."""

from __future__ import annotations

import hashlib
import json
import os
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

from watchkeeper.config import IngestConfig, SlackConfig, SlackStandInConfig, StoreConfig, WebConfig, is_loopback
from watchkeeper.config_values import bracketed, zone

LOCALTIME: Final = Path("/etc/localtime")
WEBHOOK: Final = "/api/v1/alerts/alertmanager"


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstPerson:
    """Somebody who can be paged, as they gave their name; `slack_id` is empty where Slack is not used yet."""

    name: str
    slack_id: str = ""

    @property
    def id(self) -> str:
        """For schedules and commands: `Zoë Ana` is zoe-ana."""
        plain = unicodedata.normalize("NFKD", self.name).encode("ascii", "ignore").decode().lower()
        return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:60] or "person"

    @property
    def member(self) -> str:
        """Their id in Slack; a made-up one works with the local stand-in."""
        return self.slack_id or "U0" + (re.sub(r"[^A-Z0-9]", "", self.id.upper())[:28] or "PERSON")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """Where the roles listen."""

    otlp_http: int = IngestConfig().otlp_http_port
    otlp_grpc: int = IngestConfig().otlp_grpc_port
    web: int = WebConfig().port
    store: int = StoreConfig().port
    stand_in: int = SlackStandInConfig().port


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What a first configuration is made of. `token` is needed where `listen` is beyond loopback."""

    people: Sequence[FirstPerson]
    data_dir: str = "watchkeeper-data"
    timezone: str = "UTC"
    channel: str = SlackConfig().channel
    listen: str = "127.0.0.1"
    token: str = ""
    scrape: Sequence[str] = ()
    ports: Ports = field(default_factory=Ports)


def system_zone() -> str:
    """This machine's time zone, or UTC where it can't be determined."""
    named = os.environ.get("TZ", "").removeprefix(":")
    linked = str(LOCALTIME.resolve()).partition("zoneinfo/")[2] if LOCALTIME.is_symlink() else ""
    for name in (named, linked):
        try:
            return zone(name)
        except ValueError:
            continue
    return "UTC"


def _endpoint(answers: Answers) -> str:
    """Where others send to, as they reach it."""
    host = answers.listen if is_loopback(answers.listen) else "THIS-MACHINE"
    return f"http://{bracketed(host)}:{answers.ports.otlp_http}"


def exporter_settings(answers: Answers) -> tuple[str, ...]:
    """The environment of any OpenTelemetry exporter that sends here."""
    lines = [
        f"export OTEL_EXPORTER_OTLP_ENDPOINT={_endpoint(answers)}",
        "export OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf",
    ]
    if answers.token:
        lines.append(f"export OTEL_EXPORTER_OTLP_HEADERS=authorization=Bearer%20{answers.token}")
    return tuple(lines)


def collector_settings(answers: Answers) -> tuple[str, ...]:
    """What an OpenTelemetry Collector needs beside its own receivers, in its configuration."""
    pipeline = "{exporters: [otlphttp/watchkeeper]}"
    lines = ["exporters:", "  otlphttp/watchkeeper:", f"    endpoint: {_endpoint(answers)}"]
    if answers.token:
        lines.append(f"    headers: {{authorization: Bearer {answers.token}}}")
    lines += ["service:", "  pipelines:  # add the exporter to those that are there"]
    return (*lines, *(f"    {signal}: {pipeline}" for signal in ("traces", "metrics", "logs")))


def alertmanager_settings(answers: Answers) -> tuple[str, ...]:
    """A receiver in Alertmanager's configuration that sends alerts here."""
    lines = ["receivers:", "  - name: watchkeeper", "    webhook_configs:"]
    lines.append(f"      - url: {_endpoint(answers)}{WEBHOOK}")
    if answers.token:
        lines.append(f"        http_config: {{authorization: {{credentials: {answers.token}}}}}")
    return tuple(lines)


def text(answers: Answers, now: datetime) -> str:
    """The file. Everything that is commented out shows its default."""
    people = "\n".join(
        f"    - {{id: {_yaml(one.id)}, name: {_yaml(one.name)}, addresses: {{slack: {_yaml(one.member)}}}, "
        f"timezone: {_yaml(answers.timezone)}}}"
        for one in answers.people
    )
    local = now.astimezone(ZoneInfo(answers.timezone))
    monday = (local - timedelta(days=7 if local.weekday() == 0 else local.weekday())).date()
    ids = [one.id for one in answers.people]
    last = ids[1] if len(ids) > 1 else ids[0]
    ports = answers.ports
    return f"""\
# Watchkeeper's configuration. `watchkeeper validate FILE` checks it; every key is in docs/configuration.md.
# Relative paths are relative to this file. Secrets never stand here: keys that end in _env name a variable.

data_dir: {_yaml(answers.data_dir)}

ingest:                                 # where exporters send to
  host: {_yaml(answers.listen)}
  otlp_http_port: {ports.otlp_http}
  otlp_grpc_port: {ports.otlp_grpc}
{_scrape(answers)}

store:                                  # the embedded telemetry store
  port: {ports.store}
  # retention_days: 7
  # memory_mib: 700

web:                                    # the dashboard, the API and Slack's endpoint
  port: {ports.web}
  # public_url: https://watch.example.org   # its address as Slack and your colleagues reach it

slack:
  # Real Slack is used as soon as WATCHKEEPER_SLACK_TOKEN and WATCHKEEPER_SLACK_SIGNING_SECRET are set in the
  # environment of `watchkeeper up`. Until then a local page stands in for it.
  channel: {_yaml(answers.channel)}
  stand_in:
    port: {ports.stand_in}

oncall:
  people:                               # addresses.slack: in Slack, open a profile, then `Copy member ID`
{people}
  schedules:
    - id: primary
      timezone: {_yaml(answers.timezone)}
      fallback: {_yaml(ids[0])}
      layers:
        - {{people: [{", ".join(map(_yaml, ids))}], start: "{monday.isoformat()}T09:00", turn_hours: 168}}
  escalation:                           # who is paged when nobody acknowledges
    - {{after_s: 0, notify: primary}}
    - {{after_s: 300, notify: primary}}
    - {{after_s: 900, notify: {_yaml(last)}}}

# slo: [slo/checkout.yaml]              # OpenSLO v1 files
# runbooks: {{dir: runbooks}}             # your own runbooks, and what they may touch
# state: {{url_env: WATCHKEEPER_STATE_URL}}   # PostgreSQL instead of SQLite
{_tokens(answers)}"""


def _scrape(answers: Answers) -> str:
    """Prometheus targets to read; without any, an example that is commented out."""
    mark = "" if answers.scrape else "# "
    targets = ", ".join(map(_yaml, answers.scrape or ["127.0.0.1:9100"]))
    job = "targets" if answers.scrape else "node"
    return (
        f"  {mark}scrape:                             # Prometheus targets to read\n"
        f"  {mark}  - {{job: {job}, targets: [{targets}], interval_s: 15}}"
    )


def _tokens(answers: Answers) -> str:
    if not answers.token:
        return "# tokens: []                            # for writers on other machines: `watchkeeper token new`\n"
    digest = hashlib.sha256(answers.token.encode()).hexdigest()
    return f"\ntokens:\n  - {{name: exporters, sha256: {_yaml(digest)}, scopes: [ingest, changes]}}\n"


def _yaml(value: str) -> str:
    """A value in quotes: whatever it holds, YAML reads it as text."""
    return json.dumps(value, ensure_ascii=False)
